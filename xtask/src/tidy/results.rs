//! Rules for committed results: whole campaigns and trials only, and nothing raw.
//!
//! They hold for what git tracks: what a run has just left in `results/` is its owner's business.

use std::collections::{BTreeMap, BTreeSet};

use super::Complaint;

/// What every committed campaign has.
const CAMPAIGN_FILES: [&str; 4] = ["campaign.json", "summary.json", "report.md", "report.html"];
/// What every committed trial has.
const TRIAL_FILES: [&str; 5] =
    ["manifest.json", "events.jsonl", "timeline.json", "phases.hlog", "verdict.json"];

/// Complaints about the `tracked` paths below `results/`.
pub(crate) fn check(tracked: &[String]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut folders: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for path in tracked.iter().filter_map(|it| it.strip_prefix("results/")) {
        if path.contains("/raw/") || path.ends_with("/samples.bin") || path.ends_with(".log") {
            let place = format!("results/{path}");
            complaints.push(Complaint::whole(&place, "raw samples and logs are not committed"));
        }
        for (folder, file) in folders_of_interest(path) {
            folders.entry(format!("results/{folder}")).or_default().insert(file);
        }
    }
    for (folder, files) in &folders {
        let is_trial = folder.contains("/trials/");
        let needed = if is_trial { TRIAL_FILES.as_slice() } else { CAMPAIGN_FILES.as_slice() };
        let missing = needed.iter().filter(|it| !files.contains(**it));
        complaints.extend(missing.map(|it| Complaint::whole(folder, format!("without {it}"))));
    }
    complaints
}

/// The campaign and, when there is one, the trial that `path` lies in, each with the rest of it.
fn folders_of_interest(path: &str) -> impl Iterator<Item = (&str, &str)> {
    let campaign = path.split_once('/');
    let trial = path.find("/trial-").and_then(|at| {
        let end = at + 1 + path[at + 1..].find('/')?;
        Some((&path[..end], &path[end + 1..]))
    });
    campaign.into_iter().chain(trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIAL: &str = "results/c/trials/none/crash/load-factor-1.5/trial-000";

    fn whole_campaign() -> Vec<String> {
        let campaign = CAMPAIGN_FILES.iter().map(|it| format!("results/c/{it}"));
        campaign.chain(TRIAL_FILES.iter().map(|it| format!("{TRIAL}/{it}"))).collect()
    }

    fn whats(tracked: &[String]) -> Vec<String> {
        check(tracked).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_whole_campaign_is_fine_and_so_are_no_results() {
        assert!(whats(&whole_campaign()).is_empty());
        assert!(whats(&["README.md".to_owned()]).is_empty());
    }

    #[test]
    fn every_missing_part_is_named() {
        let all = whole_campaign();
        for (index, path) in all.iter().enumerate() {
            let mut tracked = all.clone();
            tracked.remove(index);
            let (folder, file) = path.rsplit_once('/').unwrap();
            assert_eq!(whats(&tracked), [format!("{folder}: without {file}")]);
        }
    }

    #[test]
    fn raw_files_under_version_control_are_found() {
        for raw in ["samples.bin", "raw/cpu.jsonl", "storefront.log"] {
            let mut tracked = whole_campaign();
            tracked.push(format!("{TRIAL}/{raw}"));
            let expected = format!("{TRIAL}/{raw}: raw samples and logs are not committed");
            assert_eq!(whats(&tracked), [expected]);
        }
    }
}
