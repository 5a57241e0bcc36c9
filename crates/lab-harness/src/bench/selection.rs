//! The campaign file with the command line laid over it, checked as a whole before anything runs.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use anyhow::{Context, Result, bail};
use lab_core::{
    artifact::manifest::Params,
    scenario::{
        Campaign, Fault, FaultRefused, PhaseOverrides, ResolvedVariant, Servers, Topology, Trials,
        resolve_variant,
    },
    seed::Seed,
    units::PerSec,
};

use super::{
    plan::{Block, blocks},
    scenario_files::ScenarioFiles,
};
use crate::cli::BenchArgs;

/// What to run.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    /// Name of the campaign.
    pub(crate) name: String,
    /// The campaign with the overrides of the command line.
    pub(crate) campaign: Campaign,
    /// The variants with all settings, in the order of tables.
    pub(crate) variants: Vec<ResolvedVariant>,
    /// How much load.
    pub(crate) load: OfferedLoad,
    /// Where the results go.
    pub(crate) out: PathBuf,
}

/// How much load to offer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum OfferedLoad {
    /// Multiples of the calibrated capacity: those of the campaign.
    Factors,
    /// This many arrivals per second.
    Rate(PerSec),
}

impl Selection {
    /// Lays `args` over the campaign's file. **Errors**: unknown names, values that cannot work.
    pub(crate) fn new(files: &ScenarioFiles, args: &BenchArgs) -> Result<Self> {
        let mut campaign = files.campaign(&args.campaign)?;
        if !args.variant.is_empty() {
            campaign.variants.clone_from(&args.variant);
        }
        if !args.fault.is_empty() {
            campaign.faults =
                args.fault.iter().map(|name| parse_fault(name)).collect::<Result<_>>()?;
        }
        if !args.load_factor.is_empty() {
            campaign.load_factors.clone_from(&args.load_factor);
        }
        if let Some(trials) = Trials::from_numbers(&args.trials) {
            campaign.trials = trials;
        }
        if let Some(profile) = args.profile {
            // The flag says how long phases are; what the file says otherwise goes with its profile.
            campaign.profile = profile;
            campaign.phases = PhaseOverrides::default();
        }
        campaign.seed = args.seed.map_or(campaign.seed, Seed);
        campaign.cache.hit_ratio = args.hit_ratio.unwrap_or(campaign.cache.hit_ratio);
        campaign.slo.deadline = args.deadline.unwrap_or(campaign.slo.deadline);
        campaign.validate().context("check the command line")?;
        let fault = campaign.lengths().fault;
        let resolve = |name: &String| {
            let variant = resolve_variant(name, &files.variants)?;
            variant.check_fault_length(fault)?;
            campaign.check_topology(&variant)?;
            variant.check_joins(fault)?;
            variant.check_least_fault_phase(fault)?;
            check_faults(&variant, &campaign.faults, !args.fault.is_empty())?;
            anyhow::Ok(variant)
        };
        let variants = campaign.variants.iter().map(resolve).collect::<Result<_>>()?;
        let out =
            args.out.clone().unwrap_or_else(|| files.root.join("results").join(&args.campaign));
        let load = args.rate.map_or(OfferedLoad::Factors, OfferedLoad::Rate);
        if args.rate.is_some() && matches!(campaign.trials, Trials::OfLoadFactors(_)) {
            bail!("--trials: give one number beside --rate, got {}", campaign.trials);
        }
        Ok(Self { name: args.campaign.clone(), campaign, variants, load, out })
    }

    /// The trials to run, in their order.
    pub(crate) fn blocks(&self, params: &[Params]) -> Vec<Block> {
        let campaign = &self.campaign;
        let servers: Vec<Servers> = self.variants.iter().map(ResolvedVariant::servers).collect();
        let loads: Vec<(Params, u32)> =
            params.iter().map(|it| (it.clone(), self.n_trials(it))).collect();
        blocks(&servers, &campaign.faults, &loads, campaign.seed)
    }

    /// Repetitions of the cells with these parameters.
    fn n_trials(&self, params: &Params) -> u32 {
        let Campaign { load_factors, trials, .. } = &self.campaign;
        let place = load_factors.iter().position(|it| Some(it.get()) == params.load_factor);
        trials.of_load_factor(place.unwrap_or(0)).unwrap_or_else(|| trials.most())
    }

    /// Repetitions under each load, by the name of its folder, where they have numbers of their own.
    pub(crate) fn n_trials_of_load(&self, params: &[Params]) -> BTreeMap<String, u32> {
        match self.campaign.trials {
            Trials::Each(_) => BTreeMap::new(),
            Trials::OfLoadFactors(_) => {
                params.iter().map(|it| (it.folder(), self.n_trials(it))).collect()
            }
        }
    }

    /// The parameters of every cell, given C in requests per second.
    pub(crate) fn params(&self, db_capacity_per_sec: f64) -> Vec<Params> {
        let loads: Vec<(Option<f64>, f64)> = match self.load {
            OfferedLoad::Rate(rate) => vec![(None, rate.get())],
            OfferedLoad::Factors => {
                let factors = self.campaign.load_factors.iter().map(|it| it.get());
                let rate = |factor| round_to_tenth(factor * db_capacity_per_sec);
                factors.map(|factor| (Some(factor), rate(factor))).collect()
            }
        };
        let of_number = |n: &NonZeroU32| {
            let n_instances = n.get();
            loads.iter().map(move |&(load_factor, arrival_rate_per_sec)| Params {
                load_factor,
                arrival_rate_per_sec,
                n_instances,
            })
        };
        self.campaign.instances.iter().flat_map(of_number).collect()
    }

    /// Each number of instances that runs at some time, in order: those of the campaign, and the one
    /// that a variant starts with to which others join.
    pub(crate) fn numbers_of_instances(&self) -> Vec<u32> {
        let wanted = self.campaign.instances.iter().map(|it| it.get());
        let at_start = |n: u32| self.variants.iter().map(move |it| it.n_instances_at_start(n));
        let mut numbers: Vec<u32> = wanted.clone().chain(wanted.flat_map(at_start)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The topologies whose databases are compared with each other: those without and with a
    /// replica, where a variant has one; else none.
    pub(crate) fn compared_topologies(&self) -> Vec<Topology> {
        let has_replica = self.variants.iter().any(|it| it.topology.has_database_replica());
        if has_replica { COMPARED.to_vec() } else { Vec::new() }
    }

    /// Whether a variant reaches the database over a network of its own.
    pub(crate) fn has_network(&self) -> bool {
        self.variants.iter().any(|it| it.network.is_some())
    }
}

/// What reading from a replica too is compared with.
const COMPARED: [Topology; 2] = [Topology::Single, Topology::Replica];

/// A fault that was asked for by its flag must suit every variant; of those that only the
/// campaign lists, one is enough, and the others are left out.
fn check_faults(
    variant: &ResolvedVariant,
    faults: &[Fault],
    asked_for: bool,
) -> Result<(), FaultRefused> {
    let refused: Vec<FaultRefused> =
        faults.iter().filter_map(|it| variant.check_fault(*it).err()).collect();
    let is_refused = asked_for || refused.len() == faults.len();
    refused.into_iter().next().filter(|_| is_refused).map_or(Ok(()), Err)
}

/// Rates are offered in tenths of a request per second: finer digits of C are noise.
fn round_to_tenth(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

fn parse_fault(name: &str) -> Result<Fault> {
    let Some(fault) = Fault::from_name(name) else {
        let known = Fault::ALL.map(Fault::name).join(", ");
        bail!("--fault: unknown fault `{name}`; there are: {known}");
    };
    Ok(fault)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn select(args: &[&str]) -> Result<Selection> {
        let files = ScenarioFiles::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let all = ["lab", "bench"].iter().chain(args);
        let Command::Bench(args) = Cli::parse_from(all).command else { panic!("not a bench") };
        Selection::new(&files, &args)
    }

    #[test]
    fn the_command_line_overrides_the_file() {
        let args = ["--variant", "none,circuit-breaker", "--fault", "pause", "--trials", "3"];
        let selection = select(&args).unwrap();
        assert_eq!(selection.variants.len(), 2);
        assert_eq!(selection.variants[1].base.as_deref(), Some("bounded-timeouts"));
        assert_eq!(selection.campaign.faults, vec![Fault::Pause]);
        assert_eq!(selection.campaign.trials.to_string(), "3");
        assert!(selection.out.ends_with("results/redis-outage"));
    }

    #[test]
    fn load_factors_become_rates_through_the_capacity() {
        let selection = select(&["--load-factor", "0.7,1.5"]).unwrap();
        let rates: Vec<_> =
            selection.params(401.23).iter().map(|it| it.arrival_rate_per_sec).collect();
        // Worked by hand: 0.7 x 401.23 = 280.861 and 1.5 x 401.23 = 601.845.
        assert_eq!(rates, [280.9, 601.8]);
        let fixed = select(&["--rate", "1500"]).unwrap().params(401.23);
        assert_eq!(fixed[0].folder(), "rate-1500");
    }

    #[test]
    fn each_load_factor_may_have_a_number_of_trials_of_its_own() {
        let flags = ["--load-factor", "0.7,1.5", "--trials", "3,5", "--variant", "none"];
        let selection = select(&flags).unwrap();
        let params = selection.params(400.0);
        let of_load = [("load-factor-0.7".to_owned(), 3), ("load-factor-1.5".to_owned(), 5)];
        assert_eq!(selection.n_trials_of_load(&params), BTreeMap::from(of_load));
        let ran: Vec<_> = selection
            .blocks(&params)
            .iter()
            .flat_map(|it| it.trials.clone())
            .map(|it| (it.trial, it.params.load_factor.unwrap()))
            .collect();
        let thrice = [(0, 0.7), (0, 1.5), (1, 0.7), (1, 1.5), (2, 0.7), (2, 1.5)];
        assert_eq!(ran, [&thrice[..], &[(3, 1.5), (4, 1.5)]].concat());
        let error = |args: &[&str]| format!("{:#}", select(args).unwrap_err());
        let three = error(&["--load-factor", "0.7,1.5", "--trials", "3,5,1"]);
        assert!(three.contains("one for each of the 2 load factors, got 3,5,1"), "{three}");
        let beside_rate = error(&["overload", "--rate", "100", "--trials", "3,5,1"]);
        assert!(beside_rate.contains("--trials: give one number beside --rate"), "{beside_rate}");
    }

    #[test]
    fn each_number_of_instances_is_a_cell_of_its_own_and_a_variant_may_start_with_one() {
        let mut selection = select(&["scale-out"]).unwrap();
        let folders: Vec<_> = selection.params(200.0).iter().map(Params::folder).collect();
        let expected = ["", "-instances-2", "-instances-4", "-instances-8"];
        assert_eq!(folders, expected.map(|it| format!("load-factor-1.5{it}")));
        assert_eq!(selection.numbers_of_instances(), [1, 2, 4, 8]);
        selection.campaign.instances = vec![NonZeroU32::new(4).unwrap()];
        assert_eq!(selection.numbers_of_instances(), [1, 4], "others join the first");
        selection.variants.retain(|it| it.scale_out.is_none());
        assert_eq!(selection.numbers_of_instances(), [4]);
    }

    #[test]
    fn a_replica_is_compared_with_none_where_a_variant_has_one() {
        let selection = select(&["read-replica"]).unwrap();
        assert_eq!(selection.compared_topologies(), COMPARED);
        assert!(select(&[]).unwrap().compared_topologies().is_empty());
    }

    #[test]
    fn a_network_is_one_of_the_selected_variants() {
        assert!(select(&["scale-out"]).unwrap().has_network());
        assert!(!select(&["scale-out", "--variant", "scale-out"]).unwrap().has_network());
    }

    #[test]
    fn unknown_names_and_bad_combinations_say_what_there_is() {
        for (args, part) in [
            (&["--variant", "circut-breaker"][..], "unknown variant `circut-breaker`; there are:"),
            (&["--fault", "outage"], "--fault: unknown fault `outage`; there are: crash, pause"),
            (&["--variant", "none,none"], "`none` stands twice"),
            (&["--deadline", "2h"], "slo.deadline: must be from 10ms to 60s"),
            (&["nightly"], "unknown campaign `nightly`"),
            (
                &["read-replica", "--variant", "read-replica", "--fault", "failover"],
                "`read-replica` runs on topology `replica`, which does not have fault `failover`",
            ),
            (
                &["read-replica", "--variant", "redis-cluster"],
                "`redis-cluster` needs topology `cluster`, the campaign's `topologies` has only \
                 single, replica",
            ),
        ] {
            let error = format!("{:#}", select(args).unwrap_err());
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }
}
