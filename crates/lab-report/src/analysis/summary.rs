//! From the trials of a campaign to `summary.json`.

use lab_core::artifact::{
    campaign_run::{CampaignRun, PlannedCell},
    summary::{CalibrationSummary, CellSummary, SCHEMA, SloSummary, Summary, Versions},
    verdict::{ConnectionDemand, DbAmplification, PerPhase, TrialFigures, TrialVerdict, Verdict},
};

use super::{
    histograms::PhaseHistograms,
    merge::{merge_counts, phase_summary},
    statistics::{Bound, median_bound, median_of_existing, median_time},
    trial::verdict,
};

/// What is left of one trial: all that the summary is made of.
#[derive(Debug, Clone, Copy)]
pub struct TrialResult<'a> {
    /// Its figures.
    pub verdict: &'a TrialVerdict,
    /// Its distributions.
    pub histograms: &'a PhaseHistograms,
}

/// Sums a campaign up. `trials` has one list for each planned cell, in the order of the plan.
pub fn summarise(run: &CampaignRun, trials: &[Vec<TrialResult<'_>>]) -> Summary {
    let is_short = |(cell, trials): (&PlannedCell, &Vec<TrialResult<'_>>)| {
        trials.len() < run.n_trials_of(cell) as usize
    };
    let version = |name: &str| run.versions.get(name).cloned();
    Summary {
        schema: SCHEMA.to_owned(),
        campaign: run.campaign.clone(),
        profile: run.profile,
        seed: run.seed,
        partial: run.partial || run.cells.iter().zip(trials).any(is_short),
        started_at: run.started_at.clone(),
        wall_time_s: run.wall_time_s,
        measuring_time_s: run.measuring_time_s,
        backend: run.backend.clone(),
        host: run.host.clone(),
        versions: Versions {
            outage_lab: version("outage_lab"),
            redis: version("redis"),
            postgres: version("postgres"),
            rustc: version("rustc"),
        },
        calibration: CalibrationSummary {
            db_capacity_per_sec: run.calibration.as_ref().map(|it| it.db_capacity_per_sec),
            warm_capacity_per_sec: run.calibration.as_ref().map(|it| it.warm_capacity_per_sec),
            control: run.calibration.as_ref().map_or_else(Vec::new, |it| it.control.clone()),
            topologies: run.calibration.as_ref().map_or_else(Vec::new, |it| it.topologies.clone()),
        },
        slo: SloSummary {
            deadline_ms: run.slo.deadline.as_secs_f64() * 1_000.0,
            served_ratio_min: run.slo.served_ratio_min.get(),
        },
        variants: run
            .cells
            .iter()
            .zip(trials)
            .map(|(cell, trials)| cell_summary(cell, trials, run.slo.served_ratio_min.get()))
            .collect(),
    }
}

/// A cell of which more than a third of the trials are invalid cannot answer.
pub fn cell_is_valid(n_invalid: usize, n_trials: usize) -> bool {
    0 < n_trials && n_invalid * 3 <= n_trials
}

fn cell_summary(
    cell: &PlannedCell,
    trials: &[TrialResult<'_>],
    served_ratio_min: f64,
) -> CellSummary {
    let valid: Vec<TrialResult<'_>> =
        trials.iter().copied().filter(|it| it.verdict.valid).collect();
    let n_invalid = trials.len() - valid.len();
    let figures: Vec<&TrialFigures> = valid.iter().map(|it| &it.verdict.figures).collect();
    let goodput = of_each(&figures, |it| it.goodput_ratio_fault);
    let served = of_each(&figures, |it| it.served_ratio_fault);
    let p99 = of_each(&figures, |it| it.response_time_p99_ratio_fault);
    let served_ratio_fault = median_of_existing(&served);
    let n_recovered = figures.iter().filter(|it| it.recovered).count();
    CellSummary {
        variant: cell.variant.clone(),
        base: cell.base.clone(),
        fault: cell.fault,
        topology: cell.topology,
        params: cell.params.clone(),
        arrival_rate_per_sec: cell.params.arrival_rate_per_sec,
        n_trials: narrow(trials.len()),
        n_invalid: narrow(n_invalid),
        verdict: match cell_is_valid(n_invalid, trials.len()) {
            true => verdict(true, served_ratio_fault, served_ratio_min),
            false => Verdict::Invalid,
        },
        goodput_ratio_fault: median_of_existing(&goodput),
        goodput_ratio_fault_trials: goodput,
        served_ratio_fault,
        served_ratio_fault_trials: served,
        response_time_p99_ratio_fault: median_of_existing(&p99),
        response_time_p99_ratio_fault_trials: p99,
        p99_censored: median_p99_is_censored(&figures),
        db_amplification: db_amplification(&figures),
        connection_demand: connection_demand(&figures),
        time_to_detect_ms: median_time(&of_each(&figures, |it| it.time_to_detect_ms)),
        time_to_mitigate_ms: median_time(&of_each(&figures, |it| it.time_to_mitigate_ms)),
        time_to_recover_ms: median_time(&of_each(&figures, |it| it.time_to_recover_ms)),
        n_recovered: narrow(n_recovered),
        recovered: (!figures.is_empty()).then_some(n_recovered == figures.len()),
        lost_requests: sum(&figures, |it| Some(it.lost_requests)),
        orders_acknowledged: sum(&figures, |it| Some(it.orders_acknowledged)),
        orders_lost: sum(&figures, |it| Some(it.orders_lost)),
        views_lost: sum(&figures, |it| it.views_lost),
        phases: phases(&valid),
    }
}

/// Whether a median of p99 ratios rests on a trial whose p99 is only a lower bound.
fn median_p99_is_censored(figures: &[&TrialFigures]) -> bool {
    let trials: Vec<Bound> = figures
        .iter()
        .filter_map(|it| {
            let value = it.response_time_p99_ratio_fault?;
            Some(Bound { value, censored: it.p99_censored })
        })
        .collect();
    median_bound(&trials).is_some_and(|it| it.censored)
}

fn db_amplification(figures: &[&TrialFigures]) -> DbAmplification {
    let median = |of: fn(&DbAmplification) -> Option<f64>| {
        median_of_existing(&of_each(figures, |it| of(&it.db_amplification)))
    };
    DbAmplification {
        ratio: median(|it| it.ratio),
        queries_per_request_fault_peak: median(|it| it.queries_per_request_fault_peak),
        queries_per_request_baseline: median(|it| it.queries_per_request_baseline),
    }
}

fn connection_demand(figures: &[&TrialFigures]) -> ConnectionDemand {
    let median = |of: fn(&ConnectionDemand) -> Option<f64>| {
        median_of_existing(&of_each(figures, |it| of(&it.connection_demand)))
    };
    ConnectionDemand {
        mean_baseline: median(|it| it.mean_baseline),
        mean_fault: median(|it| it.mean_fault),
        high_water_fault: figures
            .iter()
            .filter_map(|it| it.connection_demand.high_water_fault)
            .max(),
    }
}

fn phases(valid: &[TrialResult<'_>]) -> PerPhase<lab_core::artifact::summary::PhaseSummary> {
    let mut histograms = PhaseHistograms::default();
    for trial in valid {
        histograms.merge(trial.histograms);
    }
    PerPhase::from_fn(|phase| {
        let counts = valid.iter().filter_map(|it| it.verdict.figures.phases.get(phase));
        phase_summary(&merge_counts(counts), &histograms, phase)
    })
}

fn of_each<T>(figures: &[&TrialFigures], of: impl Fn(&TrialFigures) -> T) -> Vec<T> {
    figures.iter().map(|it| of(it)).collect()
}

/// Sum over trials; `None` when there is no trial or one has no count.
fn sum(figures: &[&TrialFigures], of: impl Fn(&TrialFigures) -> Option<u64>) -> Option<u64> {
    if figures.is_empty() { None } else { figures.iter().map(|it| of(it)).sum() }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).expect("a cell has far fewer than 2^32 trials")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{campaign_run, planned_cell, trial_figures, trial_verdict};

    fn summary_of(trials: &[TrialVerdict]) -> CellSummary {
        let histograms = PhaseHistograms::default();
        let results: Vec<TrialResult<'_>> =
            trials.iter().map(|verdict| TrialResult { verdict, histograms: &histograms }).collect();
        cell_summary(&planned_cell(), &results, 0.95)
    }

    /// A trial with these figures; p99 is censored from a ratio of 100 on.
    fn trial(goodput: f64, served: f64, p99: f64) -> TrialVerdict {
        trial_verdict(TrialFigures {
            goodput_ratio_fault: Some(goodput),
            served_ratio_fault: Some(served),
            response_time_p99_ratio_fault: Some(p99),
            p99_censored: 100.0 <= p99,
            ..trial_figures()
        })
    }

    fn invalid(verdict: TrialVerdict) -> TrialVerdict {
        TrialVerdict { valid: false, verdict: Verdict::Invalid, ..verdict }
    }

    #[test]
    fn figures_are_medians_over_valid_trials_and_every_valid_trial_is_shown() {
        let trials = [
            trial(0.9, 0.96, 3.0),
            trial(0.7, 0.90, 2.0),
            trial(0.8, 0.97, 100.0),
            invalid(trial(0.0, 0.0, 900.0)),
        ];
        let cell = summary_of(&trials);
        assert_eq!((cell.n_trials, cell.n_invalid), (4, 1));
        assert_eq!(cell.goodput_ratio_fault, Some(0.8));
        assert_eq!(cell.goodput_ratio_fault_trials, [Some(0.9), Some(0.7), Some(0.8)]);
        assert_eq!(cell.served_ratio_fault, Some(0.96));
        assert_eq!(cell.response_time_p99_ratio_fault, Some(3.0));
        assert!(!cell.p99_censored, "the median trial's p99 is exact");
        assert_eq!(cell.verdict, Verdict::Met);
    }

    #[test]
    fn a_median_that_rests_on_a_censored_trial_is_a_lower_bound() {
        assert!(summary_of(&[trial(0.9, 1.0, 3.0), trial(0.9, 1.0, 100.0)]).p99_censored);
        let cell =
            summary_of(&[trial(0.9, 1.0, 3.0), trial(0.9, 1.0, 100.0), trial(0.9, 1.0, 120.0)]);
        assert!(cell.p99_censored);
    }

    #[test]
    fn a_cell_with_more_than_a_third_invalid_cannot_answer() {
        assert!(cell_is_valid(1, 3) && !cell_is_valid(2, 5) && !cell_is_valid(0, 0));
        let good = trial(1.0, 1.0, 1.0);
        let cell = summary_of(&[good.clone(), invalid(good.clone()), invalid(good)]);
        assert_eq!(cell.verdict, Verdict::Invalid);
        assert_eq!(cell.goodput_ratio_fault, Some(1.0), "what was measured is still shown");
    }

    #[test]
    fn a_cell_without_trials_has_no_figure() {
        let cell = summary_of(&[]);
        assert_eq!((cell.n_trials, cell.verdict), (0, Verdict::Invalid));
        assert_eq!(
            (cell.goodput_ratio_fault, cell.recovered, cell.lost_requests),
            (None, None, None)
        );
        assert_eq!(cell.phases.fault.offered_per_sec, None);
    }

    #[test]
    fn a_cell_is_whole_with_as_many_trials_as_its_load_was_planned_for() {
        let (verdict, histograms) = (trial(1.0, 1.0, 1.0), PhaseHistograms::default());
        let two = vec![TrialResult { verdict: &verdict, histograms: &histograms }; 2];
        let mut run = campaign_run(vec![planned_cell()]);
        let mut is_partial = |of_load: &[(&str, u32)]| {
            run.n_trials_of_load = of_load.iter().map(|(it, n)| ((*it).to_owned(), *n)).collect();
            summarise(&run, std::slice::from_ref(&two)).partial
        };
        assert!(is_partial(&[]), "three are planned for every load");
        assert!(!is_partial(&[("load-factor-1.5", 2)]));
        assert!(is_partial(&[("load-factor-0.7", 2)]), "of another load");
    }

    // Recovered after 500 ms, never, after 900 ms: never ranks last, so the median is 900.
    #[test]
    fn recovery_needs_every_trial_and_counts_are_summed() {
        let trials: Vec<TrialVerdict> = [Some(500.0), None, Some(900.0)]
            .into_iter()
            .map(|time_to_recover_ms| {
                trial_verdict(TrialFigures {
                    time_to_recover_ms,
                    recovered: time_to_recover_ms.is_some(),
                    lost_requests: 7,
                    views_lost: time_to_recover_ms.map(|_| 1),
                    ..trial_figures()
                })
            })
            .collect();
        let cell = summary_of(&trials);
        assert_eq!((cell.n_recovered, cell.recovered), (2, Some(false)));
        assert_eq!(cell.time_to_recover_ms, Some(900.0));
        assert_eq!(cell.lost_requests, Some(21));
        assert_eq!(cell.views_lost, None, "one trial has no count");
    }
}
