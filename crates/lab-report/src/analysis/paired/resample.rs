//! How often a gate is wrong: gates on versions of which it is known how they differ, those that were
//! run and whole ones made up from their pairs.
//!
//! A made-up gate draws pairs with replacement. Where the code is identical, which version is called
//! the head is a coin's choice, thrown for each pair; with the head's figures made worse by a known
//! factor that also shows the gate's power. What it cannot show is a disturbance
//! that follows the versions through all pairs of a gate: that needs gates that were really run.
//! **Source**: Efron, Tibshirani, *An Introduction to the Bootstrap*, 1993, chapters 6 and 15.

use lab_core::{
    artifact::gate::{
        GatePairs, GateSubject, GateVerdict, KNOWN_SCHEMA, KnownChange, KnownGate, KnownGates,
        PairFigures, ResampledGates, SideFigures,
    },
    scenario::GateSpec,
    seed::{Seed, mix},
};

use super::judge::{judge_by, length, verdict};

/// How much worse the head of made-up gates is, in multiples of the margin.
pub const MARGINS_WORSE: [f64; 4] = [0.0, 1.0, 2.0, 3.0];

/// Comparisons that cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResampleError {
    /// There is no pair.
    #[error("make up gates: there is no pair to draw from; name comparisons that were run")]
    NoPair,
    /// Their versions differ by something else.
    #[error(
        "{started_at}: compares {head} with {reference}, which is not a comparison of {change}"
    )]
    OtherVersions {
        /// Start of the comparison.
        started_at: String,
        /// The version that was judged.
        head: String,
        /// The version it was judged against.
        reference: String,
        /// What was to be the difference.
        change: &'static str,
    },
    /// They ran another cell.
    #[error("{started_at}: has another {what} than the first of these comparisons")]
    Different {
        /// Start of the comparison.
        started_at: String,
        /// What differs.
        what: &'static str,
    },
}

/// What gates on `change` say by the rules of `spec`: those that were run, `comparisons`, and `n_gates`
/// made up from their pairs at each of [`MARGINS_WORSE`], or as they are where the code is not
/// identical. A comparison that was run under other rules and has too few pairs for these is no gate,
/// and its pairs are drawn from all the same.
///
/// **Errors**: no pair, versions that do not differ by `change`, or comparisons that are not alike.
pub fn known_gates(
    (change, spec): (KnownChange, &GateSpec),
    comparisons: Vec<GatePairs>,
    (n_gates, seed): (u32, Seed),
) -> Result<KnownGates, ResampleError> {
    let first = comparisons.first().ok_or(ResampleError::NoPair)?;
    for comparison in &comparisons {
        check_versions(change, comparison)?;
        check_alike(first, comparison)?;
    }
    let pool: Vec<&PairFigures> = comparisons.iter().flat_map(|it| &it.pairs).collect();
    if pool.is_empty() {
        return Err(ResampleError::NoPair);
    }
    let worse = match change {
        KnownChange::IdenticalCode => MARGINS_WORSE.as_slice(),
        KnownChange::SlowerPages | KnownChange::BreakerOff | KnownChange::LocalCacheOff => &[0.0],
    };
    let made_up = |it: &f64| resample(&pool, (spec, change), *it, (n_gates, seed));
    Ok(KnownGates {
        schema: KNOWN_SCHEMA.into(),
        change,
        gate: spec.clone(),
        gates: comparisons.iter().filter_map(|it| known_gate(it, spec)).collect(),
        n_pairs: length(&pool),
        seed,
        resampled: worse.iter().map(made_up).collect(),
        comparisons,
    })
}

/// Identical code has one commit; what is changed on purpose stands in a work tree with changes.
fn check_versions(change: KnownChange, comparison: &GatePairs) -> Result<(), ResampleError> {
    let GateSubject { head, reference, started_at, .. } = &comparison.subject;
    let is_known = match (change, &head.commit, &reference.commit) {
        (KnownChange::IdenticalCode, Some(head), Some(reference)) => head == reference,
        (_, Some(head), Some(reference)) => {
            head.starts_with(reference.as_str()) && head != reference
        }
        (_, None, _) | (_, _, None) => false,
    };
    if is_known {
        return Ok(());
    }
    Err(ResampleError::OtherVersions {
        started_at: started_at.clone(),
        head: head.to_string(),
        reference: reference.to_string(),
        change: change.name(),
    })
}

fn check_alike(first: &GatePairs, comparison: &GatePairs) -> Result<(), ResampleError> {
    let (one, other) = (&first.subject, &comparison.subject);
    let differs = [
        ("variant", one.cell.variant != other.cell.variant),
        ("fault", one.cell.fault != other.cell.fault),
        ("load factor", one.cell.params.load_factor != other.cell.params.load_factor),
    ];
    match differs.into_iter().find(|(_, differs)| *differs) {
        Some((what, _)) => {
            Err(ResampleError::Different { started_at: other.started_at.clone(), what })
        }
        None => Ok(()),
    }
}

/// What `spec` says of a comparison; `None` where it needs more pairs.
fn known_gate(comparison: &GatePairs, spec: &GateSpec) -> Option<KnownGate> {
    let judgement = judge_by(comparison, spec);
    (judgement.verdict != GateVerdict::Undecided).then(|| KnownGate {
        started_at: comparison.subject.started_at.clone(),
        commit: comparison.subject.head.commit.clone(),
        n_pairs: judgement.n_pairs,
        n_pairs_needed: judgement.looks.last().map_or(judgement.n_pairs, |it| it.n_pairs),
        verdict: judgement.verdict,
    })
}

/// `n_gates` gates of pairs drawn from `pool`, which is not empty, with the head made worse.
fn resample(
    pool: &[&PairFigures],
    (spec, change): (&GateSpec, KnownChange),
    margins_worse: f64,
    (n_gates, seed): (u32, Seed),
) -> ResampledGates {
    let mut tally =
        ResampledGates { margins_worse, n_gates, n_regression: 0, n_pass: 0, n_inconclusive: 0 };
    for gate in 0..n_gates {
        let mut draws = Draws::new(seed.derive(&format!("gate-{gate}")));
        let pairs: Vec<PairFigures> = (0..spec.pairs_max())
            .map(|_| draws.pair(pool, change))
            .map(|it| made_worse(it, spec, margins_worse))
            .collect();
        match verdict(&pairs, spec) {
            GateVerdict::Regression => tally.n_regression += 1,
            GateVerdict::Pass => tally.n_pass += 1,
            GateVerdict::Inconclusive | GateVerdict::Undecided => tally.n_inconclusive += 1,
        }
    }
    tally
}

/// Words drawn one after another from a seed.
struct Draws {
    seed: Seed,
    n_drawn: u64,
}

impl Draws {
    fn new(seed: Seed) -> Self {
        Self { seed, n_drawn: 0 }
    }

    fn word(&mut self) -> u64 {
        self.n_drawn += 1;
        mix(self.seed.0.wrapping_add(self.n_drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    /// One of the pool; of identical code with its versions changed over or not.
    fn pair(&mut self, pool: &[&PairFigures], change: KnownChange) -> PairFigures {
        let n = u64::try_from(pool.len()).unwrap_or(u64::MAX);
        // The remainder favours the first of a few dozen pairs by less than one in 10^17.
        let place = usize::try_from(self.word() % n).unwrap_or(0);
        let mut pair = pool[place].clone();
        if change == KnownChange::IdenticalCode && self.word() % 2 == 1 {
            std::mem::swap(&mut pair.head, &mut pair.reference);
        }
        pair
    }
}

/// The same pair with the head worse in every figure that decides, by its factor to the power of
/// `margins`.
fn made_worse(mut pair: PairFigures, spec: &GateSpec, margins: f64) -> PairFigures {
    let SideFigures { figures, .. } = &mut pair.head;
    for margin in &spec.figures {
        if let Some(value) = figures.get_mut(&margin.figure) {
            let factor = margin.factor.powf(margins);
            *value =
                if margin.figure.is_better_when_high() { *value / factor } else { *value * factor };
        }
    }
    pair
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{Made, USUAL, file, pairs, spec},
        *,
    };

    /// Pairs of identical code, as a file says it.
    fn identical(n: u32, seed: u64) -> GatePairs {
        let mut file = file(pairs(n, USUAL, seed));
        file.subject.reference.commit.clone_from(&file.subject.head.commit);
        file
    }

    /// Pairs of a work tree with changes that make its p99 that many times as long.
    fn slower(n: u32, times: f64) -> GatePairs {
        let mut file = file(pairs(n, Made { p99_ms: times * USUAL.p99_ms, ..USUAL }, 4));
        file.subject.head.commit = Some("0123456789ab-dirty".into());
        file
    }

    fn seen(files: &[GatePairs], seed: u64) -> KnownGates {
        let same = (KnownChange::IdenticalCode, &spec());
        known_gates(same, files.to_vec(), (100, Seed(seed))).unwrap()
    }

    // The noise of these pairs is a factor of up to e^0.6 in p99. Identical code may be called a
    // regression in 5 % of gates; three margins are a factor of 1.95 in p99.
    #[test]
    fn identical_code_seldom_alarms_and_worse_code_does() {
        let record = seen(&[identical(20, 1), identical(20, 2)], 3);
        let [same, .., worse] = record.resampled[..] else { panic!("{record:?}") };
        assert!(same.n_regression <= 5, "{same:?}");
        assert!(85 <= same.n_pass, "{same:?}");
        assert!(95 <= worse.n_regression, "{worse:?}");
        let n_regression: Vec<u32> = record.resampled.iter().map(|it| it.n_regression).collect();
        assert!(n_regression.is_sorted(), "power grows with what there is to see: {record:?}");
        for it in &record.resampled {
            assert_eq!(it.n_regression + it.n_pass + it.n_inconclusive, it.n_gates);
        }
    }

    #[test]
    fn the_gates_that_were_run_are_named_with_what_they_said() {
        let mut cut_short = identical(3, 5);
        let given_up = lab_core::artifact::gate::GivenUp { pair: 3, reasons: vec!["x".into()] };
        cut_short.given_up = Some(given_up);
        let record = seen(&[identical(20, 1), cut_short], 3);
        assert_eq!((record.n_pairs, record.gates.len()), (23, 2));
        assert_eq!(record.gates[0].verdict, GateVerdict::Pass);
        assert_eq!(record.gates[1].verdict, GateVerdict::Inconclusive);
    }

    #[test]
    fn the_same_seed_makes_up_the_same_gates() {
        let files = [identical(8, 1)];
        assert_eq!(seen(&files, 3), seen(&files, 3));
        let drawn = |seed| {
            let pool: Vec<&PairFigures> = files[0].pairs.iter().collect();
            let mut draws = Draws::new(Seed(seed));
            let drawn = |_| draws.pair(&pool, KnownChange::IdenticalCode).pair;
            (0..20).map(drawn).collect::<Vec<_>>()
        };
        assert_ne!(drawn(3), drawn(4));
    }

    #[test]
    fn what_is_not_identical_code_or_not_alike_is_refused() {
        let error = |files: &[GatePairs]| {
            let same = (KnownChange::IdenticalCode, &spec());
            known_gates(same, files.to_vec(), (1, Seed(1))).unwrap_err().to_string()
        };
        let nothing =
            "make up gates: there is no pair to draw from; name comparisons that were run";
        assert_eq!(error(&[]), nothing);
        assert_eq!(error(&[identical(0, 1)]), nothing);
        let versions = error(&[file(pairs(8, USUAL, 1))]);
        assert!(versions.contains("work tree (89ab89ab89ab) with main (0123"), "{versions}");
        let mut other = identical(8, 1);
        other.subject.cell.params.load_factor = Some(9.0);
        let cell = error(&[identical(8, 1), other]);
        assert!(cell.contains("has another load factor than the first"), "{cell}");
    }

    // Twice as long is seen at the first look, after 8 pairs; rules whose first look is after 14 can
    // say nothing of a comparison of 8.
    #[test]
    fn all_are_judged_by_the_rules_that_are_given() {
        let later = GateSpec { looks: vec![14, 20], ..spec() };
        let judged = |rules: &GateSpec| {
            let files = vec![slower(8, 2.0), slower(20, 2.0)];
            known_gates((KnownChange::SlowerPages, rules), files, (10, Seed(3))).unwrap()
        };
        let needed = |rules: &GateSpec| -> Vec<u32> {
            judged(rules).gates.iter().map(|it| it.n_pairs_needed).collect()
        };
        assert_eq!(needed(&spec()), [8, 8]);
        assert_eq!(needed(&later), [14]);
        let record = judged(&later);
        assert_eq!((record.gate, record.n_pairs), (later, 28));
    }

    // Twice as long is three margins, and nobody changes the versions over: nearly all are caught.
    #[test]
    fn a_change_on_purpose_is_drawn_as_it_was_run() {
        let slow = (KnownChange::SlowerPages, &spec());
        let record = known_gates(slow, vec![slower(20, 2.0)], (100, Seed(3))).unwrap();
        assert_eq!(record.gates[0].verdict, GateVerdict::Regression);
        assert_eq!((record.gates[0].n_pairs, record.gates[0].n_pairs_needed), (20, 8));
        let [gates] = record.resampled[..] else { panic!("{record:?}") };
        assert!(95 <= gates.n_regression, "{gates:?}");
        for versions in [identical(8, 1), file(pairs(8, USUAL, 1))] {
            let error = known_gates(slow, vec![versions], (1, Seed(1))).unwrap_err().to_string();
            assert!(error.contains("is not a comparison of slower-pages"), "{error}");
        }
    }
}
