//! `[gate]` of a campaign: which figures of two versions are judged, by how much one may be worse,
//! and after how many pairs of trials that is decided.

use serde::{Deserialize, Serialize};

/// Most pairs: up to here the exact distribution of the test is exact in floating point too.
const PAIRS_MAX: u32 = 50;
/// Most figures that decide: each takes its part of the false alarms that are allowed.
const FIGURES_MAX: usize = 3;

/// How two versions of the service are compared in pairs of trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateSpec {
    /// Numbers of pairs after which the figures are looked at, rising. After the last the answer
    /// stands, whatever it is. **Range**: even, so that each version went first equally often.
    pub looks: Vec<u32>,
    /// Most probability of *regression* for identical code, over all looks and figures together.
    pub false_alarm_ratio_max: f64,
    /// Most probability of *pass* for a figure that is worse by what a pass rules out, over all looks
    /// together.
    pub miss_ratio_max: f64,
    /// The figures that decide. All others are shown.
    pub figures: Vec<FigureMargin>,
    /// How figures that depend on the machine's speed are compared. `None`: as they were measured, in
    /// all pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineSpec>,
}

/// What is made of a machine that was not the same in the two trials of a pair. It is known by the
/// witness of stalls and by the generator, which does the same in both, and never by the service: its
/// own slowness would be taken for the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineSpec {
    /// Most share of a trial, from its baseline to its last arrival, in which the generator's
    /// processor stood still. A pair with more is not compared.
    pub stalled_ratio_max: f64,
    /// Where the generator took k times the processor time, a figure is expected to be k to the power
    /// of this times as high, whatever the version. 0 expects nothing.
    pub load_cpu_exponent: f64,
}

/// How much worse a figure may be. Only what is beyond the factor and the floor is a regression.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FigureMargin {
    /// Which figure.
    pub figure: GateFigure,
    /// This many times as bad: as high, or, of a figure that is better when it is high, as low.
    pub factor: f64,
    /// Worse by this much, in the figure's own unit.
    pub floor: f64,
    /// What a pass rules out, as a factor (the non-inferiority margin). `None`: `factor`. Where trials
    /// differ much from each other a few of them cannot rule out the factor of a regression even for
    /// identical code; a greater one they can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pass_factor: Option<f64>,
}

impl FigureMargin {
    /// The factor that a pass rules out.
    pub fn pass_factor(&self) -> f64 {
        self.pass_factor.unwrap_or(self.factor)
    }
}

/// A figure of one trial that two versions are compared in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateFigure {
    /// p99 of the product response time in the fault window, in milliseconds.
    ResponseTimeMsP99,
    /// Success and degraded over scheduled in the fault window, all routes.
    ServedRatio,
    /// Statements sent to PostgreSQL for each request due, in the fault window.
    QueriesPerRequest,
    /// Goodput fraction of product pages in the fault window over that in the baseline.
    GoodputRatio,
    /// p99 of the product response time in the baseline, in milliseconds.
    ResponseTimeMsP99Baseline,
    /// Statements sent to PostgreSQL for each request due, in the baseline.
    QueriesPerRequestBaseline,
    /// Mean connection demand in the fault window.
    ConnectionDemand,
    /// Time to mitigate, in milliseconds.
    TimeToMitigateMs,
    /// Time to recover, in milliseconds.
    TimeToRecoverMs,
}

impl GateFigure {
    /// Every figure, in the order of tables.
    pub const ALL: [Self; 9] = [
        Self::ResponseTimeMsP99,
        Self::ServedRatio,
        Self::QueriesPerRequest,
        Self::GoodputRatio,
        Self::ResponseTimeMsP99Baseline,
        Self::QueriesPerRequestBaseline,
        Self::ConnectionDemand,
        Self::TimeToMitigateMs,
        Self::TimeToRecoverMs,
    ];

    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::ResponseTimeMsP99 => "response_time_ms_p99",
            Self::ServedRatio => "served_ratio",
            Self::QueriesPerRequest => "queries_per_request",
            Self::GoodputRatio => "goodput_ratio",
            Self::ResponseTimeMsP99Baseline => "response_time_ms_p99_baseline",
            Self::QueriesPerRequestBaseline => "queries_per_request_baseline",
            Self::ConnectionDemand => "connection_demand",
            Self::TimeToMitigateMs => "time_to_mitigate_ms",
            Self::TimeToRecoverMs => "time_to_recover_ms",
        }
    }

    /// What it is, in words, with its unit.
    pub fn title(self) -> &'static str {
        match self {
            Self::ResponseTimeMsP99 => "p99 of product pages, ms",
            Self::ServedRatio => "served ratio",
            Self::QueriesPerRequest => "queries per request",
            Self::GoodputRatio => "goodput ratio",
            Self::ResponseTimeMsP99Baseline => "p99 of product pages before the fault, ms",
            Self::QueriesPerRequestBaseline => "queries per request before the fault",
            Self::ConnectionDemand => "connection demand",
            Self::TimeToMitigateMs => "time to mitigate, ms",
            Self::TimeToRecoverMs => "time to recover, ms",
        }
    }

    /// Whether more of it is better.
    pub fn is_better_when_high(self) -> bool {
        matches!(self, Self::ServedRatio | Self::GoodputRatio)
    }

    /// Whether the same service has more of it when the machine is slower in the fault window.
    pub fn depends_on_speed(self) -> bool {
        match self {
            Self::ResponseTimeMsP99 | Self::ConnectionDemand => true,
            Self::ServedRatio
            | Self::QueriesPerRequest
            | Self::GoodputRatio
            | Self::ResponseTimeMsP99Baseline
            | Self::QueriesPerRequestBaseline
            | Self::TimeToMitigateMs
            | Self::TimeToRecoverMs => false,
        }
    }

    /// The least value that its measurement tells from 0, in its own unit. Two values at or below it
    /// are the same, and a factor to 0 is one to this.
    pub fn resolution(self) -> f64 {
        match self {
            // Response times are recorded in whole microseconds.
            Self::ResponseTimeMsP99 | Self::ResponseTimeMsP99Baseline => 0.001,
            // A request in a thousand: a fault window of a gate has a few thousand.
            Self::ServedRatio | Self::GoodputRatio => 0.001,
            // A query for a hundred requests: what entries that expire cost in normal days.
            Self::QueriesPerRequest | Self::QueriesPerRequestBaseline => 0.01,
            Self::ConnectionDemand => 0.01,
            // Times to are multiples of 100 ms.
            Self::TimeToMitigateMs | Self::TimeToRecoverMs => 100.0,
        }
    }
}

/// A comparison that cannot decide anything. Names the key to change.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum GateSpecError {
    /// A value outside its range.
    #[error("gate.{key}: must be {allowed}, got {got}")]
    OutOfRange {
        /// The key.
        key: &'static str,
        /// The range.
        allowed: &'static str,
        /// The value.
        got: String,
    },
    /// Not even all pairs being worse would be significant at the first look.
    #[error(
        "gate.looks: after {n_pairs} pairs no difference can be significant; \
         {n_figures} figures and {n_looks} looks need at least {least}"
    )]
    Unreachable {
        /// Pairs at the first look.
        n_pairs: u32,
        /// Figures that decide.
        n_figures: usize,
        /// Looks.
        n_looks: usize,
        /// Least pairs that can be.
        least: u32,
    },
}

impl GateSpec {
    /// Pairs after which the answer stands. 0 without a look, which [`Self::validate`] refuses.
    pub fn pairs_max(&self) -> u32 {
        self.looks.last().copied().unwrap_or(0)
    }

    /// Level of one look for all figures together: an equal part for each look.
    ///
    /// Parts that grow, as O'Brien and Fleming's do, would leave the first look less than the
    /// 1 in 2^n that n pairs can show at best.
    pub fn level_of_look(&self) -> f64 {
        self.false_alarm_ratio_max / float(self.looks.len())
    }

    /// Level at which one look lets a figure pass: an equal part for each look and for each of the
    /// two ways to pass, by the margin and by the floor.
    pub fn level_of_pass(&self) -> f64 {
        self.miss_ratio_max / (2.0 * float(self.looks.len()))
    }

    /// Checks what the types do not. **Errors**: the first key that cannot work.
    pub fn validate(&self) -> Result<(), GateSpecError> {
        let wrong =
            |key, allowed, got: String| Err(GateSpecError::OutOfRange { key, allowed, got });
        let is_look = |n: &u32| 0 < *n && *n <= PAIRS_MAX && n.is_multiple_of(2);
        let looks = &self.looks;
        if looks.is_empty() || !looks.iter().all(is_look) || !looks.is_sorted_by(|a, b| a < b) {
            return wrong("looks", "even numbers up to 50 that rise", format!("{looks:?}"));
        }
        for (key, got) in [
            ("false_alarm_ratio_max", self.false_alarm_ratio_max),
            ("miss_ratio_max", self.miss_ratio_max),
        ] {
            if !(0.0 < got && got < 0.5) {
                return wrong(key, "above 0 and below 0.5", got.to_string());
            }
        }
        if !(1..=FIGURES_MAX).contains(&self.figures.len()) {
            return wrong("figures", "1 to 3 tables", self.figures.len().to_string());
        }
        for (at, margin) in self.figures.iter().enumerate() {
            let FigureMargin { figure, factor, floor, .. } = margin;
            if self.figures[..at].iter().any(|it| it.figure == *figure) {
                return wrong("figures", "different figures", format!("{} twice", figure.name()));
            }
            if !(1.0 < *factor && factor.is_finite()) {
                return wrong("figures.factor", "above 1", factor.to_string());
            }
            if !(0.0 <= *floor && floor.is_finite()) {
                return wrong("figures.floor", "0 or more", floor.to_string());
            }
            let pass_factor = margin.pass_factor();
            if !(*factor <= pass_factor && pass_factor.is_finite()) {
                return wrong("figures.pass_factor", "at least factor", pass_factor.to_string());
            }
        }
        if let Some(MachineSpec { stalled_ratio_max, load_cpu_exponent }) = self.machine {
            for (key, allowed, most, got) in [
                ("machine.stalled_ratio_max", "from 0 to 1", 1.0, stalled_ratio_max),
                ("machine.load_cpu_exponent", "from 0 to 4", 4.0, load_cpu_exponent),
            ] {
                if !(0.0..=most).contains(&got) {
                    return wrong(key, allowed, got.to_string());
                }
            }
        }
        self.check_reach()
    }

    /// n pairs are all worse by chance in one of 2^n gates: that is the least p there is.
    fn check_reach(&self) -> Result<(), GateSpecError> {
        let (n_figures, n_looks) = (self.figures.len(), self.looks.len());
        let level = self.level_of_look() / float(n_figures);
        let is_reached = |n: &u32| 0.5_f64.powf(f64::from(*n)) <= level;
        match self.looks.first() {
            Some(&n_pairs) if !is_reached(&n_pairs) => {
                let least = (1..=PAIRS_MAX).find(is_reached).unwrap_or(PAIRS_MAX);
                Err(GateSpecError::Unreachable { n_pairs, n_figures, n_looks, least })
            }
            _ => Ok(()),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a handful of looks and figures")]
fn float(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Campaign;

    const GATE: &str = include_str!("../../../../scenarios/gate.toml");

    fn spec() -> GateSpec {
        toml::from_str::<Campaign>(GATE).unwrap().gate.unwrap()
    }

    fn check(from: &str, to: &str) -> String {
        assert!(GATE.contains(from), "the campaign no longer has {from}");
        match toml::from_str::<Campaign>(&GATE.replace(from, to)) {
            Err(error) => error.to_string(),
            Ok(campaign) => campaign.validate().map_or_else(|e| e.to_string(), |()| "ok".into()),
        }
    }

    #[test]
    fn the_gate_is_valid_and_judges_one_cell() {
        assert_eq!(check("", ""), "ok");
        let campaign: Campaign = toml::from_str(GATE).unwrap();
        assert_eq!((campaign.variants.len(), campaign.faults.len()), (1, 1));
        assert_eq!(spec().pairs_max(), 16);
    }

    #[test]
    fn a_figure_has_one_name() {
        for figure in GateFigure::ALL {
            let name = serde_json::to_string(&figure).unwrap();
            assert_eq!(name, format!("\"{}\"", figure.name()));
        }
    }

    // By hand: 0.05 over three looks, and 0.10 over three looks and two ways.
    #[test]
    fn each_look_has_an_equal_part_of_what_is_allowed() {
        assert!((spec().level_of_look() - 0.05 / 3.0).abs() < 1e-12);
        assert!((spec().level_of_pass() - 0.10 / 6.0).abs() < 1e-12);
    }

    // By hand: 0.05 / 3 looks / 3 figures is 0.0056; 2^-7 is 0.0078 and 2^-8 is 0.0039.
    #[test]
    fn a_wrong_gate_names_the_key() {
        let looks = "looks = [8, 12, 16]";
        for (from, to, part) in [
            (looks, "looks = []", "gate.looks: must be even"),
            (looks, "looks = [12, 8]", "gate.looks: must be even numbers up to 50 that rise"),
            (looks, "looks = [9, 12, 16]", "gate.looks: must be even"),
            (looks, "looks = [8, 12, 52]", "gate.looks: must be even"),
            (looks, "looks = [6, 12, 16]", "after 6 pairs no difference can be significant"),
            (looks, "looks = [6, 12, 16]", "need at least 8"),
            ("false_alarm_ratio_max = 0.05", "false_alarm_ratio_max = 5", "above 0 and below 0.5"),
            ("miss_ratio_max = 0.1", "miss_ratio_max = 0", "gate.miss_ratio_max"),
            ("factor = 1.12", "factor = 0.8", "gate.figures.factor: must be above 1, got 0.8"),
            (
                "pass_factor = 1.2",
                "pass_factor = 1.1",
                "gate.figures.pass_factor: must be at least",
            ),
            ("floor = 0.25", "floor = -1.0", "gate.figures.floor: must be 0 or more"),
            ("\"served_ratio\"", "\"response_time_ms_p99\"", "different figures"),
            (
                "stalled_ratio_max = 0.03",
                "stalled_ratio_max = 2.0",
                "gate.machine.stalled_ratio_max",
            ),
            ("load_cpu_exponent = 2.0", "load_cpu_exponent = -1.0", "must be from 0 to 4, got -1"),
            ("\"served_ratio\"", "\"latency\"", "latency"),
            ("miss_ratio_max", "mis_ratio_max", "mis_ratio_max"),
        ] {
            let error = check(from, to);
            assert!(error.contains(part), "{to}: {error}");
        }
    }
}
