//! The questions that a report answers, in their order, and each answer in a sentence or two.

use lab_core::{
    artifact::{
        summary::{CellSummary, Summary},
        verdict::Verdict,
    },
    scenario::CONTROL,
    strategy::CLAIMS,
};

use super::{
    claims::ClaimRow,
    numbers,
    ranking::{self, offered_title},
    sweep::{Series, Sweep},
    view::CampaignView,
};

/// A question of a reader who has to decide something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Nothing,
    Serving,
    Pressure,
    Load,
    Claims,
    Certainty,
}

impl Question {
    /// All of them, in the order of a report.
    pub(super) const ALL: [Self; 6] =
        [Self::Nothing, Self::Serving, Self::Pressure, Self::Load, Self::Claims, Self::Certainty];

    /// The heading.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Nothing => "What happens when Redis dies and nothing is done?",
            Self::Serving => "Which variants keep serving, and what does each add over its base?",
            Self::Pressure => "At what database pressure?",
            Self::Load => "How does that change with the load?",
            Self::Claims => "What did the strategy claim, and what was found?",
            Self::Certainty => "How sure are we?",
        }
    }

    /// Where a page answers it.
    pub(super) fn anchor(self) -> &'static str {
        match self {
            Self::Nothing => "nothing-done",
            Self::Serving => "serving",
            Self::Pressure => "pressure",
            Self::Load => "load",
            Self::Claims => "claims",
            Self::Certainty => "certainty",
        }
    }
}

/// The cells of the variant with the fewest mitigations, in the order of the plan: those of `none`;
/// in a campaign without it, those of the first variant of the plan. Empty without any cell.
pub(super) fn control_cells(summary: &Summary) -> Vec<&CellSummary> {
    let cells = &summary.variants;
    let is_measured = |it: &&CellSummary| it.n_invalid < it.n_trials;
    let none = cells.iter().filter(is_measured).find(|it| it.variant == CONTROL);
    let Some(control) = none.or(cells.first()) else { return Vec::new() };
    cells.iter().filter(|it| it.variant == control.variant).collect()
}

/// What happens when nothing is done.
pub(super) fn nothing_done(summary: &Summary) -> String {
    let Some(cell) = headline_control(summary) else { return "No cell was measured.".into() };
    let variant = &cell.variant;
    let who = if variant == CONTROL {
        "A service as commonly shipped (`none`)".to_owned()
    } else {
        format!(
            "This campaign has no valid trial of a service as commonly shipped (`{CONTROL}`). The \
             first of its plan, `{variant}`,"
        )
    };
    let Some(ratio) = cell.goodput_ratio_fault else {
        return format!("{who} has no valid trial under {}.", ranking::group_title(cell));
    };
    format!(
        "{who} still delivers {} of every 1,000 product pages that it normally delivers in time \
         ({}), and {}.",
        per_thousand(ratio),
        ranking::group_title(cell),
        recovery(cell)
    )
}

/// Of the control's cells the one that the headline is about, or else its first.
pub(super) fn headline_control(summary: &Summary) -> Option<&CellSummary> {
    let groups = ranking::groups(summary);
    let headline = ranking::headline_group(&groups).map(|it| it.key.clone());
    let cells = control_cells(summary);
    let of_headline = cells.iter().find(|it| Some(ranking::group_key(it)) == headline);
    of_headline.or(cells.first()).copied()
}

fn per_thousand(ratio: f64) -> String {
    numbers::three_digits((ratio * 1_000.0).round())
}

fn recovery(cell: &CellSummary) -> String {
    match cell.time_to_recover_ms {
        None if cell.n_valid() < 2 => "is not as before when the trial ends".into(),
        None => "in most trials is not as before when the trial ends".into(),
        Some(ms) if ms <= 0.0 => "is as before as soon as Redis answers again".into(),
        Some(ms) => {
            format!("is as before {} after Redis answers again", numbers::milliseconds(ms))
        }
    }
}

/// Longer lists of variants are left to the tables.
const NAMES_MAX: usize = 8;

/// Which variants keep the objective under everything, under some of it, and under nothing.
pub(super) fn serving(view: &CampaignView) -> String {
    let summary = &view.summary;
    let (mut always, mut sometimes, mut never) = (Vec::new(), Vec::new(), Vec::new());
    for variant in view.variants() {
        let of_variant = summary.variants.iter().filter(|it| it.variant == variant);
        let valid: Vec<Verdict> =
            of_variant.map(|it| it.verdict).filter(|it| *it != Verdict::Invalid).collect();
        let n_met = valid.iter().filter(|it| **it == Verdict::Met).count();
        match n_met {
            _ if valid.is_empty() => {}
            0 => never.push(variant),
            n if n == valid.len() => always.push(variant),
            _ => sometimes.push(variant),
        }
    }
    let n_variants = always.len() + sometimes.len() + never.len();
    if n_variants == 0 {
        return "No cell has a verdict.".into();
    }
    let least = numbers::three_digits(summary.slo.served_ratio_min);
    let serving = format!(
        "serving, that is at least {least} of all requests within the deadline, under every \
         fault and load that was measured"
    );
    let mut text = match always.len() {
        0 => format!("None of {n_variants} variants keeps {serving}."),
        1 => format!("1 of {n_variants} variants keeps {serving}: {}.", names(&always)),
        n => format!("{n} of {n_variants} variants keep {serving}: {}.", names(&always)),
    };
    if never.len() == n_variants {
        return text;
    }
    for (variants, when) in [(sometimes, "under some"), (never, "under none")] {
        match variants.len() {
            0 => {}
            n if n <= NAMES_MAX => {
                text.push_str(&format!(" {n} {when}: {}.", names(&variants)));
            }
            n => text.push_str(&format!(" {n} {when}.")),
        }
    }
    text
}

fn names(variants: &[&str]) -> String {
    variants.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
}

/// The least and the most pressure of the headline's fault and load.
pub(super) fn pressure(view: &CampaignView) -> String {
    let groups = ranking::groups(&view.summary);
    let Some(group) = ranking::headline_group(&groups) else {
        return "No cell was measured.".into();
    };
    let mut demands: Vec<(&str, f64)> = group
        .cells
        .iter()
        .filter_map(|it| Some((it.variant.as_str(), it.connection_demand.mean_fault?)))
        .collect();
    demands.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let (Some((least_variant, least)), Some((most_variant, most))) =
        (demands.first(), demands.last())
    else {
        return format!("No connection demand was measured under {}.", group.title);
    };
    let baseline = group.cells.iter().filter_map(|it| it.connection_demand.mean_baseline);
    let before = baseline.max_by(f64::total_cmp).map_or_else(String::new, |it| {
        format!(" Before the fault it is at most {} with any of them.", numbers::three_digits(it))
    });
    let pool = view.cells.iter().flat_map(|it| &it.trials).next().map_or_else(String::new, |it| {
        format!(" The campaign's pool has {}.", it.manifest.campaign.database.pool_size)
    });
    let [least, most] = [least, most].map(|it| numbers::three_digits(*it));
    format!(
        "Under {}, the service holds or waits for {least} database connections on average with \
         `{least_variant}`, the least, and {most} with `{most_variant}`, the most.{before}{pool}",
        group.title
    )
}

/// Who delivers most and least at the highest load, or why no loads can be compared.
pub(super) fn load(view: &CampaignView, sweeps: &[Sweep]) -> String {
    let summary = &view.summary;
    if let Some(sweep) = sweeps.first()
        && let (Some(best), Some(worst)) = (sweep.series.first(), sweep.series.last())
    {
        let of = |series: &Series| {
            let [first, last] =
                [series.points.first(), series.points.last()].map(|it| it.map(|it| it.median));
            let share =
                |it: Option<f64>| it.map_or_else(|| numbers::MISSING.into(), numbers::ratio);
            format!("`{}` {} and {}", series.variant, share(first), share(last))
        };
        let factors = sweep.load_factors();
        let [least, most] = [factors.first(), factors.last()]
            .map(|it| it.map_or_else(String::new, |it| numbers::three_digits(*it)));
        return format!(
            "Under {}, at {least} and at {most} times what the database sustains without its cache \
             (C), product pages delivered in time are, as a share of C: {} with the best; {} with \
             the worst. 1 is what the database alone sustains with 99 % of them in time.",
            sweep.title,
            of(best),
            of(worst)
        );
    }
    let mut loads: Vec<String> = summary.variants.iter().map(offered_title).collect();
    loads.dedup();
    match loads.as_slice() {
        [] => "No cell was measured.".into(),
        [load, rest @ ..] if rest.iter().all(|it| it == load) => {
            format!("This campaign cannot say: it offered one load only ({load}).")
        }
        _ => "This campaign cannot say: no variant was measured at two multiples of what the \
              database sustains without its cache."
            .into(),
    }
}

/// How much of the strategy the campaign tries, and what was found of it on the whole.
pub(super) fn claims(rows: &[ClaimRow<'_>]) -> String {
    if rows.is_empty() {
        return "No variant of this campaign tries a row of the strategy.".into();
    }
    let found: Vec<&str> = rows.iter().filter_map(found_on_the_whole).collect();
    let n_rows = |n| if n == 1 { "1 row".to_owned() } else { format!("{n} rows") };
    let parts: Vec<String> = FOUND
        .into_iter()
        .map(|it| (it, found.iter().filter(|found| **found == it).count()))
        .filter(|(_, n)| 0 < *n)
        .map(|(it, n)| format!("{it} for {}", n_rows(n)))
        .collect();
    let on_the_whole = if parts.is_empty() {
        String::new()
    } else {
        format!(" Of each, the variant that tries it with the fewest others {}.", parts.join(", "))
    };
    format!(
        "This campaign tries {} of the strategy's {}.{on_the_whole}",
        rows.len(),
        n_rows(CLAIMS.len())
    )
}

/// What can be said of a row over all its cells, in the order of a sentence.
const FOUND: [&str; 4] = [
    "made it worse in every cell",
    "helped in every cell",
    "made no difference that can be told in any cell",
    "did one thing in some cells and another in others",
];

/// What the variant that tries the row with the fewest others did; `None` for a control.
fn found_on_the_whole(row: &ClaimRow<'_>) -> Option<&'static str> {
    let [made_it_worse, helped, made_no_difference, differs] = FOUND;
    let mut classes = row.tries.first()?.found.iter().map(|it| it.word.class);
    let first = classes.next()?;
    Some(match first {
        _ if classes.any(|it| it != first) => differs,
        "worse" => made_it_worse,
        "helped" => helped,
        "untold" => made_no_difference,
        _ => differs,
    })
}

/// How many trials there are, how many count, and what so many can tell.
pub(super) fn certainty(view: &CampaignView) -> String {
    let cells = &view.summary.variants;
    let n_trials: u32 = cells.iter().map(|it| it.n_trials).sum();
    let n_all_valid: u32 = cells.iter().map(CellSummary::n_valid).sum();
    let (least, most) = cells
        .iter()
        .filter(|it| 0 < it.n_trials)
        .map(CellSummary::n_valid)
        .fold((u32::MAX, 0), |(least, most), n| (least.min(n), most.max(n)));
    if n_trials == 0 {
        return "No trial was run.".into();
    }
    let each = if least == most { most.to_string() } else { format!("{least} to {most}") };
    let mut text = format!("{n_all_valid} of {n_trials} trials are valid, {each} in each cell.");
    text.push_str(if most < 2 {
        " One trial cannot tell an effect from chance except by its size; a finding that rests on \
         one says so."
    } else {
        " The lowest and the highest trial are shown, with the confidence that the true median \
         lies between them; so few trials can give no more."
    });
    text
}

#[cfg(test)]
mod tests {
    use super::{
        super::{claims, sweep, testing},
        *,
    };

    fn answers(view: &CampaignView) -> [String; 6] {
        Question::ALL.map(|question| match question {
            Question::Nothing => nothing_done(&view.summary),
            Question::Serving => serving(view),
            Question::Pressure => pressure(view),
            Question::Load => load(view, &sweep::sweeps(view)),
            Question::Claims => claims(&claims::rows(view)),
            Question::Certainty => certainty(view),
        })
    }

    // The figures are those of the sample campaign: see `testing`.
    #[test]
    fn every_question_is_answered_from_the_figures() {
        let [nothing, serving, pressure, load, claims, certainty] = answers(&testing::campaign());
        assert_eq!(
            nothing,
            "A service as commonly shipped (`none`) still delivers 2 of every 1,000 product pages \
             that it normally delivers in time (crash, load factor 1.5), and is as before 7.43 s \
             after Redis answers again."
        );
        assert_eq!(
            serving,
            "1 of 4 variants keeps serving, that is at least 0.95 of all requests within the \
             deadline, under every fault and load that was measured: `playbook-one-minute`. 3 under \
             none: `none`, `bounded-timeouts`, `circuit-breaker`."
        );
        assert_eq!(
            pressure,
            "Under crash, load factor 1.5, the service holds or waits for 0.1 database connections \
             on average with `none`, the least, and 412 with `bounded-timeouts`, the most. Before \
             the fault it is at most 0.62 with any of them. The campaign's pool has 20."
        );
        assert_eq!(load, "This campaign cannot say: it offered one load only (load factor 1.5).");
        assert_eq!(
            claims,
            "This campaign tries 6 of the strategy's 35 rows. Of each, the variant that tries it \
             with the fewest others helped in every cell for 6 rows."
        );
        assert!(
            certainty.starts_with("11 of 12 trials are valid, 2 to 3 in each cell. The lowest")
        );
    }

    #[test]
    fn the_lowest_and_the_highest_load_are_compared() {
        let [.., load, _, _] = answers(&testing::campaign_at_two_loads());
        let want =
            "Under crash, at 1.5 and at 10 times what the database sustains without its cache";
        assert!(load.starts_with(want), "{load}");
        assert!(load.contains("`playbook-one-minute` 1.500 and 0.750 with the best"), "{load}");
        assert!(load.contains(" and 0.000 with the worst."), "{load}");
    }

    #[test]
    fn a_campaign_without_the_variant_as_shipped_says_so() {
        let mut view = testing::campaign();
        let cells = view.summary.variants.iter().map(|it| it.variant != CONTROL);
        let keeps: Vec<bool> = cells.collect();
        let mut keep = keeps.iter();
        view.summary.variants.retain(|_| *keep.next().unwrap());
        let mut keep = keeps.iter();
        view.cells.retain(|_| *keep.next().unwrap());
        let [nothing, ..] = answers(&view);
        let want = "This campaign has no valid trial of a service as commonly shipped (`none`). \
                    The first of its plan, `bounded-timeouts`, still delivers 6";
        assert!(nothing.starts_with(want), "{nothing}");
    }

    #[test]
    fn a_single_trial_is_said_to_tell_little() {
        let mut view = testing::campaign();
        for cell in view.summary.variants.iter_mut().filter(|it| 0 < it.n_trials) {
            (cell.n_trials, cell.n_invalid) = (1, 0);
        }
        let [.., certainty] = answers(&view);
        assert!(certainty.starts_with("4 of 4 trials are valid, 1 in each cell. One trial cannot"));
    }

    #[test]
    fn a_campaign_without_cells_has_answers_too() {
        let mut view = testing::campaign();
        view.summary.variants.clear();
        view.cells.clear();
        for answer in answers(&view) {
            assert!(answer.ends_with('.') && !answer.contains("NaN"), "{answer}");
        }
    }
}
