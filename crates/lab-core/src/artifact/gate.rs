//! The files of a comparison of two versions of the service in pairs of trials.
//!
//! `gate.json` is the harness's: what was run, in which order. `pairs.json` is the analysis's: the
//! figures of both versions in every valid pair, all that a judgement needs. `judgement.json` is what
//! follows from it.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    campaign_run::PlannedCell,
    manifest::{Calibration, Host},
};
use crate::{
    scenario::{GateFigure, GateSpec},
    seed::Seed,
};

/// Version of the schema of `gate.json`.
pub const RUN_SCHEMA: &str = "outage-lab/gate/1";
/// The file's name, below the folder of the comparison.
pub const RUN_FILE: &str = "gate.json";
/// Version of the schema of `pairs.json`.
pub const PAIRS_SCHEMA: &str = "outage-lab/gate-pairs/1";
/// The file's name, below the folder of the comparison.
pub const PAIRS_FILE: &str = "pairs.json";
/// Version of the schema of `judgement.json`.
pub const JUDGEMENT_SCHEMA: &str = "outage-lab/gate-judgement/1";
/// The file's name, below the folder of the comparison.
pub const JUDGEMENT_FILE: &str = "judgement.json";
/// Version of the schema of a record of gates on a known change.
pub const KNOWN_SCHEMA: &str = "outage-lab/known-gates/1";

/// The campaign by whose gate such records are judged, from the root of the repository.
pub const RULES_FILE: &str = "scenarios/gate.toml";

/// What differs between two versions of the service where that is known beforehand. Gates on them
/// say how often the gate is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KnownChange {
    /// Nothing: *regression* is a false alarm.
    IdenticalCode,
    /// Every product page of the head takes a fifth longer (`docs/gate/slower-pages.patch`).
    SlowerPages,
    /// The head's circuit breaker is off (`docs/gate/breaker-off.patch`).
    BreakerOff,
    /// The cache inside the head is off (`docs/gate/local-cache-off.patch`).
    LocalCacheOff,
}

impl KnownChange {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::IdenticalCode, Self::SlowerPages, Self::BreakerOff, Self::LocalCacheOff];

    /// The name used in artifacts and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::IdenticalCode => "identical-code",
            Self::SlowerPages => "slower-pages",
            Self::BreakerOff => "breaker-off",
            Self::LocalCacheOff => "local-cache-off",
        }
    }

    /// The change of that name; `None` for an unknown one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Where its record is committed, from the root of the repository.
    pub fn record_file(self) -> String {
        format!("results/gate-{}.json", self.name())
    }
}

/// One of the two versions of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The version that is judged: that of the work tree.
    Head,
    /// The version it is judged against.
    Reference,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Head, Self::Reference];

    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Reference => "reference",
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Head => Self::Reference,
            Self::Reference => Self::Head,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A version of the service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// What the user calls it: a git reference, or the work tree.
    pub label: String,
    /// Its commit, with `-dirty` for a work tree that differs from it; `None` where nobody knows.
    pub commit: Option<String>,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.commit {
            Some(commit) if !self.label.starts_with(commit.as_str()) => {
                write!(f, "{} ({commit})", self.label)
            }
            _ => f.write_str(&self.label),
        }
    }
}

/// Two versions and what was compared of them: the head of each of the three files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateSubject {
    /// Name of the campaign.
    pub campaign: String,
    /// The cell.
    pub cell: PlannedCell,
    /// Seed of the campaign: of arrivals, and of the order of the versions.
    pub seed: Seed,
    /// The version that is judged.
    pub head: Version,
    /// The version it is judged against.
    pub reference: Version,
    /// What is judged, and how.
    pub gate: GateSpec,
    /// Capacities, measured with the reference; `None` when the rate was given outright.
    pub calibration: Option<Calibration>,
    /// `docker` or `process`.
    pub backend: String,
    /// The machine.
    pub host: Host,
    /// Wall time of the start, RFC 3339.
    pub started_at: String,
}

/// `gate.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateRun {
    /// [`RUN_SCHEMA`].
    pub schema: String,
    /// What is compared.
    #[serde(flatten)]
    pub subject: GateSubject,
    /// The pairs of which both trials are valid, in the order in which they were run.
    pub pairs: Vec<RanPair>,
    /// The pair that ended the comparison because it could not be made valid.
    pub given_up: Option<GivenUp>,
}

/// One pair that was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanPair {
    /// Which pair, from 0: it decides the arrivals.
    pub pair: u32,
    /// Which version went first.
    pub first: Side,
    /// At which attempt both trials were valid, from 1.
    pub attempt: u32,
}

impl RanPair {
    /// The folder of one of its trials, below that of the comparison.
    pub fn trial_folder(pair: u32, side: Side) -> String {
        format!("trials/{side}/pair-{pair:03}")
    }
}

/// A pair that was not valid however often it was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Which pair, from 0.
    pub pair: u32,
    /// Why its last attempt was not valid, each with the version it is about.
    pub reasons: Vec<String>,
}

/// `pairs.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GatePairs {
    /// [`PAIRS_SCHEMA`].
    pub schema: String,
    /// What was compared.
    #[serde(flatten)]
    pub subject: GateSubject,
    /// Every valid pair, in the order in which they were run.
    pub pairs: Vec<PairFigures>,
    /// The pair that ended the comparison because it could not be made valid.
    pub given_up: Option<GivenUp>,
}

/// The figures of one pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairFigures {
    /// Which pair, from 0.
    pub pair: u32,
    /// Which version went first.
    pub first: Side,
    /// At which attempt both trials were valid, from 1.
    pub attempt: u32,
    /// Of the version that is judged.
    pub head: SideFigures,
    /// Of the version it is judged against.
    pub reference: SideFigures,
}

impl PairFigures {
    /// One figure of both versions: the one that is judged, and the other. `None` where one of them
    /// does not have it.
    pub fn both(&self, figure: GateFigure) -> Option<(f64, f64)> {
        let of = |side: &SideFigures| side.figures.get(&figure).copied();
        Some((of(&self.head)?, of(&self.reference)?))
    }

    /// How many times the processor time the generator took with the version that is judged. `None`:
    /// nobody recorded it.
    pub fn load_cpu_factor(&self) -> Option<f64> {
        let (head, reference) = (self.head.machine?, self.reference.machine?);
        (0.0 < reference.load_cpu_cores).then(|| head.load_cpu_cores / reference.load_cpu_cores)
    }
}

/// The figures of one trial of a pair.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SideFigures {
    /// Those that exist.
    pub figures: BTreeMap<GateFigure, f64>,
    /// Whether the p99 of the fault window is that of a request that was not served: the true value
    /// is at least as large.
    pub p99_censored: bool,
    /// What the machine was like. `None`: nobody recorded it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSeen>,
}

/// What the machine was like in one trial, told by what does not depend on the service.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MachineSeen {
    /// Share of the time from the baseline to the last arrival in which the generator's processor
    /// stood still.
    pub stalled_ratio: f64,
    /// Processor time of the generator in the fault window, in seconds for each second.
    pub load_cpu_cores: f64,
}

/// What a comparison says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    /// Every figure that decides is certainly not worse than it may be.
    Pass,
    /// A figure that decides is certainly worse, and by more than it may be.
    Regression,
    /// The last look is over, or a pair could not be made valid, and neither can be said.
    Inconclusive,
    /// There are more pairs to come.
    Undecided,
}

impl GateVerdict {
    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Regression => "regression",
            Self::Inconclusive => "inconclusive",
            Self::Undecided => "undecided",
        }
    }
}

/// `judgement.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateJudgement {
    /// [`JUDGEMENT_SCHEMA`].
    pub schema: String,
    /// The versions that were compared: the one that is judged, and the other.
    pub versions: [Version; 2],
    /// What it comes to.
    pub verdict: GateVerdict,
    /// Pairs that there are.
    pub n_pairs: u32,
    /// Every look up to the one that decided.
    pub looks: Vec<GateLook>,
    /// Figures that do not decide, over all pairs.
    pub shown: Vec<FigureComparison>,
    /// The pair that ended the comparison because it could not be made valid.
    pub given_up: Option<GivenUp>,
}

/// What the figures said after a number of pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateLook {
    /// After how many pairs.
    pub n_pairs: u32,
    /// What it comes to.
    pub verdict: GateVerdict,
    /// The figures that decide, in the order of the campaign.
    pub figures: Vec<JudgedFigure>,
}

/// One figure of two versions over a number of pairs. *Worse* is above 1 and above 0, also for
/// figures that are better when they are high.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FigureComparison {
    /// Which figure.
    pub figure: GateFigure,
    /// Pairs in which both versions have it.
    pub n_pairs: u32,
    /// Median of the version it is judged against.
    pub reference_median: f64,
    /// Median of the version that is judged.
    pub head_median: f64,
    /// How many times as bad: estimate of Hodges and Lehmann.
    pub worse_factor: f64,
    /// Its interval; `None` with too few pairs for one at this level.
    pub worse_factor_interval: Option<[f64; 2]>,
    /// By how much worse, in the figure's own unit: estimate of Hodges and Lehmann.
    pub worse_by: f64,
    /// Upper end of its interval.
    pub worse_by_high: Option<f64>,
    /// Whether the p99 rests on a request that was not served in some pair: its true value is at
    /// least as large.
    pub censored: bool,
}

/// A figure that decides, after a number of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct JudgedFigure {
    /// The two versions in it.
    #[serde(flatten)]
    pub comparison: FigureComparison,
    /// Probability that identical code looks so much worse: one-sided, exact, signed-rank.
    pub p: f64,
    /// What `p` must not exceed, after the correction for the number of figures.
    pub p_max: f64,
    /// What it comes to.
    pub verdict: GateVerdict,
}

/// The record of gates on a known change: how often they were right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownGates {
    /// [`KNOWN_SCHEMA`].
    pub schema: String,
    /// What differs between the versions.
    pub change: KnownChange,
    /// What is judged, and how: these rules, whatever those were that a comparison was run under.
    pub gate: GateSpec,
    /// What each gate says, in the order of `comparisons`; without those that have too few pairs for
    /// these rules.
    pub gates: Vec<KnownGate>,
    /// Pairs of all of them together.
    pub n_pairs: u32,
    /// Seed of the gates that were made up from these pairs.
    pub seed: Seed,
    /// What those said. Of identical code the first is the false alarms; the rest is made worse and
    /// worse, which is the power.
    pub resampled: Vec<ResampledGates>,
    /// The comparisons that were run. All else follows from them.
    pub comparisons: Vec<GatePairs>,
}

/// One gate on a known change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KnownGate {
    /// Wall time of its start, RFC 3339.
    pub started_at: String,
    /// The commit of the version that was judged.
    pub commit: Option<String>,
    /// Valid pairs that were run.
    pub n_pairs: u32,
    /// Pairs after which it was decided, or all.
    pub n_pairs_needed: u32,
    /// What it said.
    pub verdict: GateVerdict,
}

/// Gates made up from pairs of a known change, with one version made worse still.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResampledGates {
    /// How much worse, in multiples of the margin on a scale of logarithms: 0 is the code as it was, 1
    /// a version whose every deciding figure is worse by its factor, 2 by its factor twice.
    pub margins_worse: f64,
    /// How many were made up.
    pub n_gates: u32,
    /// Those that said regression.
    pub n_regression: u32,
    /// Those that said pass.
    pub n_pass: u32,
    /// Those that could not tell.
    pub n_inconclusive: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_named_with_its_commit_once() {
        let version = |label: &str, commit: Option<&str>| {
            Version { label: label.into(), commit: commit.map(str::to_owned) }.to_string()
        };
        assert_eq!(version("main", Some("0123456789ab")), "main (0123456789ab)");
        assert_eq!(version("0123456789abcdef", Some("0123456789ab")), "0123456789abcdef");
        assert_eq!(version("main", None), "main");
    }

    #[test]
    fn a_known_change_is_found_by_the_name_that_is_written() {
        for change in KnownChange::ALL {
            assert_eq!(KnownChange::from_name(change.name()), Some(change));
            assert_eq!(serde_json::to_value(change).unwrap(), change.name());
        }
        assert_eq!(KnownChange::from_name("nothing"), None);
        assert_eq!(KnownChange::BreakerOff.record_file(), "results/gate-breaker-off.json");
    }

    #[test]
    fn the_two_trials_of_a_pair_have_a_folder_each() {
        assert_eq!(RanPair::trial_folder(7, Side::Head), "trials/head/pair-007");
        assert_eq!(RanPair::trial_folder(7, Side::Head.other()), "trials/reference/pair-007");
    }
}
