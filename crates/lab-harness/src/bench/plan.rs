//! Which trials run, in which order, and how long that takes. Pure.

use std::time::Duration;

use lab_core::{
    artifact::manifest::Params,
    scenario::{Fault, PhaseLengths, Servers},
    seed::Seed,
};
use rand::seq::SliceRandom;

/// One trial to run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlannedTrial {
    /// Index into the selection's variants.
    pub(crate) variant: usize,
    /// What is done to Redis.
    pub(crate) fault: Fault,
    /// The cell's parameters.
    pub(crate) params: Params,
    /// Which repetition, from 0.
    pub(crate) trial: u32,
}

/// Trials that share fault, load and arrivals, and differ in the variant: what is compared with
/// each other. When one of them is invalid, all are run again, so that pairs stay pairs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    /// The trials, in the order in which they run.
    pub(crate) trials: Vec<PlannedTrial>,
}

/// Blocks in the order in which they run: repetition by repetition, so that a slow drift of the
/// machine meets every cell, and within a block the variants in an order drawn from the seed. Each
/// variant has its servers in `servers`; where those do not have a fault, there is no trial. Each
/// load has its number of repetitions.
pub(crate) fn blocks(
    servers: &[Servers],
    faults: &[Fault],
    loads: &[(Params, u32)],
    seed: Seed,
) -> Vec<Block> {
    let mut rng = seed.stream("order");
    let mut blocks = Vec::new();
    let n_trials_max = loads.iter().map(|(_, n_trials)| *n_trials).max().unwrap_or(0);
    for trial in 0..n_trials_max {
        for &fault in faults {
            for (params, _) in loads.iter().filter(|(_, n_trials)| trial < *n_trials) {
                let there = |it: &usize| servers[*it].have(fault);
                let mut order: Vec<_> = (0..servers.len()).filter(there).collect();
                order.shuffle(&mut rng);
                let trials = order
                    .into_iter()
                    .map(|variant| PlannedTrial { variant, fault, params: params.clone(), trial })
                    .collect();
                blocks.push(Block { trials });
            }
        }
    }
    blocks
}

/// The seed of a repetition: the same for every variant, fault and load, so that they meet the
/// same users.
pub(crate) fn trial_seed(campaign: Seed, trial: u32) -> Seed {
    campaign.derive(&format!("trial-{trial}"))
}

/// Time around a trial: reset, start of the service and the generator, audit and analysis. In the
/// committed campaigns it was between nothing (a drain ends when all is answered) and 5.4 s, and
/// 1.8 s in the median; only the expected time and the progress bar depend on it.
const TRIAL_OVERHEAD: Duration = Duration::from_secs(2);

/// Time before the first trial: servers, data set and calibration. Measured on two cores.
const START_OVERHEAD: Duration = Duration::from_secs(45);

/// How long `n_trials` trials take, about.
pub(crate) fn expected_time(n_trials: usize, phases: &PhaseLengths) -> Duration {
    let n_trials = u32::try_from(n_trials).unwrap_or(u32::MAX);
    START_OVERHEAD + (phases.total() + TRIAL_OVERHEAD).saturating_mul(n_trials)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn six() -> [Servers; 6] {
        [Servers::default(); 6]
    }

    fn load(load_factor: f64, n_trials: u32) -> (Params, u32) {
        let params = Params {
            load_factor: Some(load_factor),
            arrival_rate_per_sec: load_factor * 400.0,
            n_instances: 1,
        };
        (params, n_trials)
    }

    #[test]
    fn every_cell_is_planned_once_per_repetition() {
        let blocks =
            blocks(&six(), &[Fault::Crash, Fault::Pause], &[load(0.7, 3), load(1.5, 3)], Seed(1));
        assert_eq!(blocks.len(), 2 * 2 * 3);
        for block in &blocks {
            let mut variants: Vec<_> = block.trials.iter().map(|it| it.variant).collect();
            variants.sort_unstable();
            assert_eq!(variants, [0, 1, 2, 3, 4, 5]);
            assert!(block.trials.iter().all(|it| it.fault == block.trials[0].fault));
        }
        let repetitions: Vec<_> = blocks.iter().map(|it| it.trials[0].trial).collect();
        assert!(repetitions.is_sorted(), "all cells of one repetition run before the next");
    }

    #[test]
    fn the_order_comes_from_the_seed() {
        let order = |seed| blocks(&six(), &[Fault::Crash], &[load(1.5, 5)], Seed(seed));
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn repetitions_differ_in_their_seed_and_nothing_else_does() {
        assert_eq!(trial_seed(Seed(9), 0), trial_seed(Seed(9), 0));
        assert_ne!(trial_seed(Seed(9), 0), trial_seed(Seed(9), 1));
        assert_ne!(trial_seed(Seed(9), 0), trial_seed(Seed(8), 0));
    }
}
