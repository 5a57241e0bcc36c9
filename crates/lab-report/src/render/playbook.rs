//! `docs/playbook.md`: every row of the strategy, what was measured of it, and where.

use lab_core::strategy::{CLAIMS, Claim};

use super::{
    claims::{self, ClaimRow, Try},
    findings::{self, Found},
    view::CampaignView,
};

const HEAD: &str = "# Playbook\n\n\
    What the strategy claims, row by row, beside what the committed results say. This page is \
    generated from them by `cargo xtask gen`; no number in it was typed by hand.\n\n\
    *Found* is a variant against its base, in pairs of trials that met the same arrivals, figures \
    without → with the variant; how the word is come to stands at the end of each report, and in \
    [method](method.md). A variant that tries several rows at once says nothing about each of them \
    alone. What the figures cannot tell is in [limitations](limitations.md).\n";

/// What stands over the rows that no committed campaign tries.
const NOT_MEASURED: &str = "\n## Not measured yet\n\n| id | the strategy claims |\n| --- | --- |\n";

/// The whole page, from every committed campaign.
pub fn playbook(views: &[CampaignView]) -> String {
    let rows: Vec<(&str, Vec<ClaimRow<'_>>)> =
        views.iter().map(|it| (it.summary.campaign.as_str(), claims::rows(it))).collect();
    let mut text = format!("{HEAD}\n{}.\n", findings::note());
    let is_measured = |it: &&Claim| !lines(&rows, it.id).is_empty();
    let (measured, missing): (Vec<&Claim>, Vec<&Claim>) = CLAIMS.iter().partition(is_measured);
    text.push_str(&format!("\nOf {} rows {} are measured.\n", CLAIMS.len(), measured.len()));
    for claim in measured {
        text.push_str(&format!("\n## {}\n\n{}.\n\n", claim.id, claim.text));
        text.push_str(&lines(&rows, claim.id).concat());
    }
    if !missing.is_empty() {
        text.push_str(NOT_MEASURED);
        for Claim { id, text: claim } in missing {
            text.push_str(&format!("| {id} | {claim} |\n"));
        }
    }
    text
}

/// One line for each variant that tries row `id`, in each campaign.
fn lines(rows: &[(&str, Vec<ClaimRow<'_>>)], id: &str) -> Vec<String> {
    let of_row = |(campaign, rows): &(&str, Vec<ClaimRow<'_>>)| -> Vec<String> {
        let row = rows.iter().find(|it| it.id == id);
        row.map_or_else(Vec::new, |row| row.tries.iter().map(|it| line(campaign, it)).collect())
    };
    rows.iter().flat_map(of_row).collect()
}

fn line(campaign: &str, tried: &Try<'_>) -> String {
    let report = format!("../results/{campaign}/report.md");
    let others = match tried.others.as_slice() {
        [] => String::new(),
        others => format!(", with {}", others.join(", ")),
    };
    let found: Vec<String> = tried.found.iter().map(Found::markdown).collect();
    let found = if found.is_empty() { claims::CONTROL_FOUND.to_owned() } else { found.join("; ") };
    let variant = tried.variant;
    format!("- [`{variant}`]({report}#{variant}){others}, campaign `{campaign}`: {found}.\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::testing;

    #[test]
    fn every_row_is_there_once_and_says_what_was_found_or_that_nothing_was_measured() {
        let text = playbook(&[testing::campaign()]);
        let missing = text.split(NOT_MEASURED).nth(1).unwrap();
        let n_missing = missing.lines().filter(|it| it.starts_with("| S")).count();
        assert_eq!(text.matches("\n## S").count() + n_missing, 35);
        let section = |id: &str| {
            let rest = text.split(&format!("\n## {id}\n")).nth(1).unwrap();
            rest.split("\n## ").next().unwrap().to_owned()
        };
        assert!(missing.contains("| S26 | Spreading over several zones"), "{missing}");
        let breaker = section("S10");
        let campaign = testing::campaign().summary.campaign;
        let link = format!("[`circuit-breaker`](../results/{campaign}/report.md#circuit-breaker)");
        assert!(breaker.contains(&link), "{breaker}");
        assert!(breaker.contains("goodput 0.616 → 0.667"), "{breaker}");
    }

    #[test]
    fn without_results_nothing_is_measured() {
        let text = playbook(&[]);
        assert!(text.contains("Of 35 rows 0 are measured"), "{text}");
        assert_eq!(text.lines().filter(|it| it.starts_with("| S")).count(), 35);
    }
}
