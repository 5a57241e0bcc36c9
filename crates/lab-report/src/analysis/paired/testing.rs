//! Made-up pairs of trials for tests.

use lab_core::{
    artifact::{
        campaign_run::PlannedCell,
        gate::{GatePairs, GateSubject, PAIRS_SCHEMA, PairFigures, Side, SideFigures, Version},
        manifest::{Host, Params},
    },
    scenario::{Campaign, Fault, GateFigure, GateSpec, Topology},
    seed::{Seed, mix, share},
};

/// A gate with margins that tests can name.
pub(crate) fn spec() -> GateSpec {
    let text = "looks = [8, 14, 20]\nfalse_alarm_ratio_max = 0.05\nmiss_ratio_max = 0.1\n\
         [[figures]]\nfigure = \"response_time_ms_p99\"\nfactor = 1.25\nfloor = 1.0\n\
         [[figures]]\nfigure = \"served_ratio\"\nfactor = 1.01\nfloor = 0.01\n\
         [[figures]]\nfigure = \"queries_per_request\"\nfactor = 1.1\nfloor = 0.05\n";
    toml::from_str(text).unwrap()
}

/// The gate of `scenarios/gate.toml`.
pub(crate) fn committed_spec() -> GateSpec {
    let text = include_str!("../../../../../scenarios/gate.toml");
    toml::from_str::<Campaign>(text).unwrap().gate.unwrap()
}

/// A pair with these figures: which, of the reference, of the head.
pub(crate) fn pair(number: u32, figures: &[(GateFigure, f64, f64)]) -> PairFigures {
    let side = |of: fn(&(GateFigure, f64, f64)) -> f64| SideFigures {
        figures: figures.iter().map(|it| (it.0, of(it))).collect(),
        p99_censored: false,
        machine: None,
    };
    let first = if number.is_multiple_of(2) { Side::Head } else { Side::Reference };
    PairFigures {
        pair: number,
        first,
        attempt: 1,
        head: side(|it| it.2),
        reference: side(|it| it.1),
    }
}

/// How a made-up service behaves: the medians of the three figures that decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Made {
    pub(crate) p99_ms: f64,
    pub(crate) served_ratio: f64,
    pub(crate) queries_per_request: f64,
}

/// What the playbook's variant measured on two cores.
pub(crate) const USUAL: Made = Made { p99_ms: 4.0, served_ratio: 0.972, queries_per_request: 0.30 };

/// `n` pairs of a usual reference and `head`, with noise in it: each p99 is off by
/// a factor of up to e^0.3, either way.
pub(crate) fn pairs(n: u32, head: Made, seed: u64) -> Vec<PairFigures> {
    let mut drawn = mix(seed);
    let mut noise = move |size: f64| {
        drawn = mix(drawn.wrapping_add(0x9e37_79b9_7f4a_7c15));
        (size * (2.0 * share(drawn) - 1.0)).exp()
    };
    let one = |number| {
        let figure = |figure, of: fn(Made) -> f64, noises: (f64, f64)| {
            (figure, of(USUAL) * noises.0, of(head) * noises.1)
        };
        let mut noises = |size| (noise(size), noise(size));
        pair(
            number,
            &[
                figure(GateFigure::ResponseTimeMsP99, |it| it.p99_ms, noises(0.3)),
                figure(GateFigure::ServedRatio, |it| it.served_ratio, noises(0.002)),
                figure(GateFigure::QueriesPerRequest, |it| it.queries_per_request, noises(0.02)),
                figure(GateFigure::GoodputRatio, |_| 1.0, (1.0, 1.0)),
            ],
        )
    };
    (0..n).map(one).collect()
}

/// `pairs.json` of these pairs.
pub(crate) fn file(pairs: Vec<PairFigures>) -> GatePairs {
    let params = Params { load_factor: Some(1.5), arrival_rate_per_sec: 546.9, n_instances: 1 };
    let version =
        |label: &str, commit: &str| Version { label: label.into(), commit: Some(commit.into()) };
    let subject = GateSubject {
        campaign: "gate".into(),
        cell: PlannedCell {
            variant: "playbook-one-minute".into(),
            base: Some("bounded-timeouts".into()),
            fault: Fault::Crash,
            topology: Topology::Single,
            params,
        },
        seed: Seed(7),
        head: version("work tree", "89ab89ab89ab"),
        reference: version("main", "0123456789ab"),
        gate: spec(),
        calibration: None,
        backend: "process".into(),
        host: Host {
            n_cpus: 2,
            cpu_model: "made up".into(),
            memory_bytes: 1 << 32,
            os: "none".into(),
            kernel: "none".into(),
        },
        started_at: "2026-11-27T06:00:00Z".into(),
    };
    GatePairs { schema: PAIRS_SCHEMA.into(), subject, pairs, given_up: None }
}
