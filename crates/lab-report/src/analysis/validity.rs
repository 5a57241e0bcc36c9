//! Whether a trial may be averaged in: one small function for each thing that must hold.
//!
//! Every check has a negative control in its tests: the defect it is there to find.

use std::collections::BTreeSet;

use lab_core::{
    artifact::{
        raw::{self, FinalCounts},
        verdict::{InvalidReason, PerPhase, PhaseCounts, Window},
    },
    event::{Event, kind},
    outcome::{Outcome, ServedBy},
    sample::RequestSample,
    scenario::Phase,
};

use super::{
    histograms::{Distribution, PhaseHistograms},
    instances::by_instance,
    pages::{Page, response_time_bounds, response_time_quantile, within},
    stalls::Stalls,
    statistics::{float, floor, fraction, nearest_rank, ratio},
    windows::{Windows, first_event, ns_to_ms},
};

/// A fault must be seen this long after it was injected. From the design.
const CONFIRMED_WITHIN_MS: f64 = 250.0;
/// Least share of successes while nothing is broken. From the design.
const BASELINE_SUCCESS_MIN: f64 = 0.999;
/// How far the p99 of the baseline's halves may be apart. From the design.
const HALVES_RATIO_MAX: f64 = 1.5;
/// How far the hit ratio may be from what the scenario states. From the design.
const HIT_RATIO_TOLERANCE: f64 = 0.02;
/// Send lag p99 that is always allowed, in microseconds. From the design.
const SEND_LAG_US_MIN: u64 = 1_000;
/// No request may be sent later than this while a user was free. Chosen: a generator that stalls
/// for 20 ms must be caught, so half of that.
const SENT_LATE_MS: f64 = 10.0;
/// Longest that the machine may stand still while figures are taken. Chosen: a tenth of the usual
/// deadline of 1 s. Shorter stalls are in the response times, as they are for users of a busy host.
const MACHINE_STALL_MS: f64 = 100.0;
/// Least share of its samples that a sampler must have taken. Chosen.
const SAMPLES_SHARE_MIN: f64 = 0.5;
/// How far the two counts of queries may be apart. From the design.
const QUERIES_TOLERANCE: f64 = 0.01;

/// The probe, which is not the injector, saw the fault in time.
pub fn fault_confirmed(events: &[Event]) -> Option<InvalidReason> {
    let Some(injected) = first_event(events, kind::FAULT_INJECTED, f64::NEG_INFINITY) else {
        return Some(InvalidReason::FaultNotInjected {});
    };
    let after_ms = first_event(events, kind::FAULT_CONFIRMED, injected).map(|it| it - injected);
    let in_time = after_ms.is_some_and(|it| it <= CONFIRMED_WITHIN_MS);
    (!in_time)
        .then_some(InvalidReason::FaultNotConfirmed { after_ms, allowed_ms: CONFIRMED_WITHIN_MS })
}

/// The dependency answered again while requests still arrived.
pub fn dependency_ready(events: &[Event], arrivals: Window) -> Option<InvalidReason> {
    let ready = first_event(events, kind::DEPENDENCY_READY, arrivals.start_ms);
    let in_time = ready.is_some_and(|it| it < arrivals.end_ms);
    (!in_time).then_some(InvalidReason::DependencyNotReady {})
}

/// Every request could be sent.
pub fn nothing_unsent(samples: &[RequestSample]) -> Option<InvalidReason> {
    let n = samples.iter().filter(|it| it.outcome == Outcome::Unsent).count() as u64;
    (0 < n).then_some(InvalidReason::Unsent { n })
}

/// No request due in `figured` was sent more than 10 ms late by the generator's own doing while
/// one of `n_users` users was free. What is late in the warmup is in no figure.
///
/// The time in which the machine stood still between the intended and the real sending is taken off:
/// the generator cannot send while it does not run. A generator that stalls while its processor is
/// there has no such time to show. The figures keep all of it: response times start when a request
/// was due.
///
/// A user was free all that time when those busy at its start, together with all who began since,
/// were fewer than there are. That can only acquit a late generator, never accuse a busy one.
pub fn sent_in_time(
    samples: &[RequestSample],
    n_users: u32,
    figured: Window,
    stalls: &Stalls,
) -> Option<InvalidReason> {
    let sent: Vec<&RequestSample> =
        samples.iter().filter(|it| it.outcome != Outcome::Unsent).collect();
    let mut begins: Vec<f64> = sent.iter().map(|it| ns_to_ms(it.sent_at_ns)).collect();
    let mut ends: Vec<f64> = sent.iter().map(|it| ns_to_ms(it.completed_at_ns)).collect();
    begins.sort_by(f64::total_cmp);
    ends.sort_by(f64::total_cmp);
    let busy_at_most = |from_ms: f64, to_ms: f64| {
        let begun = begins.partition_point(|it| *it < to_ms);
        begun - ends.partition_point(|it| *it <= from_ms)
    };
    let lags_ms: Vec<f64> = sent
        .iter()
        .filter(|it| figured.contains(ns_to_ms(it.intended_at_ns)))
        .filter(|it| SENT_LATE_MS < own_lag_ms(it, stalls))
        .filter(|it| {
            let sent_ms = ns_to_ms(it.sent_at_ns);
            busy_at_most(sent_ms - SENT_LATE_MS, sent_ms) < n_users as usize
        })
        .map(|it| own_lag_ms(it, stalls))
        .collect();
    let worst_ms = lags_ms.iter().copied().max_by(f64::total_cmp)?;
    let n = lags_ms.len() as u64;
    Some(InvalidReason::SentLate { n, worst_ms, allowed_ms: SENT_LATE_MS })
}

/// The machine never stood still for long.
pub fn machine_ran(stalls: &Stalls) -> Option<InvalidReason> {
    let longest_ms = stalls.summary().longest_ms;
    (MACHINE_STALL_MS < longest_ms)
        .then_some(InvalidReason::MachineStalled { longest_ms, allowed_ms: MACHINE_STALL_MS })
}

/// Every phase has product pages to speak of.
pub fn phases_not_empty(histograms: &PhaseHistograms) -> Vec<InvalidReason> {
    let product = Distribution::ResponseTime(lab_core::route::Route::Product);
    [Phase::Baseline, Phase::Fault, Phase::Recovery]
        .into_iter()
        .filter(|phase| histograms.get(*phase, product).is_none())
        .map(|phase| InvalidReason::EmptyPhase { phase })
        .collect()
}

/// Requests succeed while nothing is broken.
pub fn baseline_succeeds(baseline: &PhaseCounts) -> Option<InvalidReason> {
    let n_success = baseline.outcomes.get(&Outcome::Success).copied().unwrap_or(0);
    let got = fraction(n_success, baseline.n_scheduled)?;
    (got < BASELINE_SUCCESS_MIN)
        .then_some(InvalidReason::BaselineFailing { got, allowed: BASELINE_SUCCESS_MIN })
}

/// The service has settled before the fault: the p99 of the baseline's halves are alike.
///
/// A p99 rests on a hundredth of the pages, a handful here, and two halves of a steady baseline are
/// often more than 1.5 times apart. So the halves drift only when their p99 are apart by more than
/// that whatever their noise: the lower bound of the larger against the upper bound of the smaller,
/// which two steady halves reach in one of fifty trials.
pub fn baseline_is_steady(pages: &[Page], baseline: Window) -> Option<InvalidReason> {
    let middle = baseline.start_ms + baseline.length_ms() / 2.0;
    let first = within(pages, Window { end_ms: middle, ..baseline });
    let second = within(pages, Window { start_ms: middle, ..baseline });
    let (first_low, first_high) = response_time_bounds(first, 0.99)?;
    let (second_low, second_high) = response_time_bounds(second, 0.99)?;
    let apart = |high_us: u64, low_us: u64| HALVES_RATIO_MAX * float(high_us) < float(low_us);
    let drifts = apart(first_high, second_low) || apart(second_high, first_low);
    drifts.then_some(InvalidReason::BaselineDrifting {
        first_half_us: response_time_quantile(first, 0.99)?,
        second_half_us: response_time_quantile(second, 0.99)?,
        allowed: HALVES_RATIO_MAX,
    })
}

/// Whether the service has a cache of its own beside the shared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalCache {
    /// Only the shared cache answers.
    Absent,
    /// Its own cache answers too, so that fewer reads need a query than the scenario states.
    Present,
}

/// In the baseline caches answer the share of cached reads that the scenario states. A local cache
/// may answer more.
pub fn hit_ratio_as_stated(
    samples: &[RequestSample],
    baseline: Window,
    stated: f64,
    local_cache: LocalCache,
) -> Option<InvalidReason> {
    let (mut n_hits, mut n_reads) = (0, 0);
    for sample in samples {
        if !sample.route.is_cached() || !baseline.contains(ns_to_ms(sample.intended_at_ns)) {
            continue;
        }
        match sample.served_by {
            Some(ServedBy::Redis | ServedBy::Local) => {
                n_hits += 1;
                n_reads += 1;
            }
            Some(ServedBy::Database | ServedBy::Coalesced | ServedBy::Replica) => n_reads += 1,
            Some(ServedBy::Stale | ServedBy::Static | ServedBy::Degraded | ServedBy::Shed)
            | None => {}
        }
    }
    let got = fraction(n_hits, n_reads)?;
    let too_high = local_cache == LocalCache::Absent && stated + HIT_RATIO_TOLERANCE < got;
    (got < stated - HIT_RATIO_TOLERANCE || too_high).then_some(InvalidReason::HitRatioOff {
        got,
        stated,
        tolerance: HIT_RATIO_TOLERANCE,
    })
}

/// The generator was on time: send lag p99, machine stalls taken off, at most the larger of 1 ms and
/// a quarter of the product response time's p99, in each phase.
pub fn send_lag_small(
    samples: &[RequestSample],
    windows: &Windows,
    histograms: &PhaseHistograms,
    stalls: &Stalls,
) -> Vec<InvalidReason> {
    let product = Distribution::ResponseTime(lab_core::route::Route::Product);
    windows
        .phases
        .iter()
        .filter_map(|(phase, window)| {
            let sent = samples.iter().filter(|it| it.outcome != Outcome::Unsent);
            let due = sent.filter(|it| window.contains(ns_to_ms(it.intended_at_ns)));
            let mut lags_us: Vec<u64> =
                due.map(|it| floor(own_lag_ms(it, stalls) * 1_000.0) as u64).collect();
            lags_us.sort_unstable();
            let got_us = nearest_rank(&lags_us, 0.99)?;
            let p99_us = histograms.quantile(phase, product, 0.99).unwrap_or(0);
            let allowed_us = SEND_LAG_US_MIN.max(p99_us / 4);
            (allowed_us < got_us).then_some(InvalidReason::SendLag { phase, got_us, allowed_us })
        })
        .collect()
}

/// How late a request was sent by the generator's own doing: the send lag without the time in which
/// the machine stood still.
fn own_lag_ms(sample: &RequestSample, stalls: &Stalls) -> f64 {
    let waited =
        Window { start_ms: ns_to_ms(sample.intended_at_ns), end_ms: ns_to_ms(sample.sent_at_ns) };
    waited.length_ms() - stalls.within_ms(waited)
}

/// Each sampler took at least half of its samples in `figured`. A service that is too busy to
/// answer now and then is a finding; one that hardly answers leaves no figure to believe.
pub fn sampled_enough(
    record: &crate::load::trial_files::TrialRecord,
    figured: Window,
) -> Vec<InvalidReason> {
    let count =
        |times: &mut dyn Iterator<Item = f64>| times.filter(|it| figured.contains(*it)).count();
    let n_database = count(&mut record.database.iter().map(|it| it.at_ms));
    let n_cpu = count(&mut record.cpu.iter().map(|it| it.at_ms));
    let mut instances = by_instance(&record.service);
    instances.entry(1).or_default();
    // One that joins is sampled from when it begins.
    let service = instances.into_iter().map(|(number, lines)| {
        let start_ms = lines.began_at_ms().map_or(figured.start_ms, |it| it.max(figured.start_ms));
        let window = Window { start_ms, ..figured };
        let what =
            if number == 1 { "service".into() } else { format!("service, instance {number}") };
        (what, lines.n_in(window), window, raw::SERVICE_PERIOD)
    });
    let others = [
        ("database".to_owned(), n_database, figured, raw::DATABASE_PERIOD),
        ("cpu".to_owned(), n_cpu, figured, raw::CPU_PERIOD),
    ];
    service
        .chain(others)
        .filter_map(|(what, n, window, period)| {
            let expected = window.length_s() / period.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small count"
            )]
            let allowed = (SAMPLES_SHARE_MIN * expected).floor() as u64;
            let n = n as u64;
            (n < allowed).then_some(InvalidReason::SampledTooRarely { what, n, allowed })
        })
        .collect()
}

/// The service's count of its queries is PostgreSQL's.
pub fn queries_reconciled(counts: &FinalCounts) -> Option<InvalidReason> {
    let (Some(service), Some(postgres)) = (counts.service_queries, counts.postgres_queries) else {
        return Some(InvalidReason::QueriesNotCounted {});
    };
    let apart = ratio(float(service.abs_diff(postgres)), float(service.max(postgres)))?;
    (QUERIES_TOLERANCE < apart).then_some(InvalidReason::QueriesNotReconciled {
        service,
        postgres,
        tolerance: QUERIES_TOLERANCE,
    })
}

/// Every scheduled request has exactly one record, and no record is of another request.
pub fn one_outcome_each(samples: &[RequestSample], scheduled: u64) -> Option<InvalidReason> {
    let mut arrivals: Vec<u32> = samples.iter().map(|it| it.arrival).collect();
    arrivals.sort_unstable();
    let n_records = arrivals.len() as u64;
    arrivals.dedup();
    let n_distinct = arrivals.len() as u64;
    let foreign = arrivals.iter().filter(|it| scheduled <= u64::from(**it)).count() as u64;
    let missing = scheduled - (n_distinct - foreign);
    let repeated = n_records - n_distinct;
    (0 < missing + repeated + foreign).then_some(InvalidReason::OutcomesNotOneEach {
        scheduled,
        missing,
        repeated,
        foreign,
    })
}

/// No process ended although nobody asked it to.
pub fn nobody_died(counts: &FinalCounts, events: &[Event]) -> Vec<InvalidReason> {
    let seen = events.iter().filter(|it| it.kind == kind::UNEXPECTED_DEATH).map(|it| {
        it.detail.get("who").cloned().unwrap_or_else(|| "a process of the trial".to_owned())
    });
    let dead: BTreeSet<String> = seen.chain(counts.unexpected_deaths.iter().cloned()).collect();
    dead.into_iter().map(|process| InvalidReason::UnexpectedDeath { process }).collect()
}

/// Every acknowledged order is in the database.
pub fn no_order_lost(counts: &FinalCounts) -> Option<InvalidReason> {
    let n = counts.orders_lost;
    (0 < n).then_some(InvalidReason::OrdersLost { n })
}

/// Everything that [`reasons`] judges beside the record itself.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Requests of the baseline, counted.
    pub phases: &'a PerPhase<PhaseCounts>,
    /// Where the phases lie.
    pub windows: &'a super::windows::Windows,
    /// The product pages.
    pub pages: &'a [Page],
    /// The times of all requests.
    pub histograms: &'a PhaseHistograms,
    /// When the machine stood still.
    pub stalls: &'a Stalls,
}

/// Why the trial may not be averaged in; empty when it may.
pub fn reasons(
    record: &crate::load::trial_files::TrialRecord,
    judged: &Judged<'_>,
) -> Vec<InvalidReason> {
    let settings = &record.manifest.variant.settings;
    let local_cache = match settings.local_cache.mode {
        lab_core::settings::Mode::Enforce => LocalCache::Present,
        lab_core::settings::Mode::Off | lab_core::settings::Mode::Observe => LocalCache::Absent,
    };
    let stated = record.manifest.campaign.cache.hit_ratio.get();
    let baseline = judged.windows.phases.baseline;
    let single = [
        fault_confirmed(&record.events),
        dependency_ready(&record.events, judged.windows.from_fault),
        nothing_unsent(&record.samples),
        sent_in_time(
            &record.samples,
            record.manifest.load.users.get(),
            judged.windows.figured(),
            judged.stalls,
        ),
        machine_ran(judged.stalls),
        baseline_succeeds(&judged.phases.baseline),
        baseline_is_steady(judged.pages, baseline),
        hit_ratio_as_stated(&record.samples, baseline, stated, local_cache),
        queries_reconciled(&record.counts),
        one_outcome_each(&record.samples, record.counts.requests_scheduled),
        no_order_lost(&record.counts),
    ];
    let several = [
        phases_not_empty(judged.histograms),
        send_lag_small(&record.samples, judged.windows, judged.histograms, judged.stalls),
        sampled_enough(record, judged.windows.figured()),
        nobody_died(&record.counts, &record.events),
    ];
    single.into_iter().flatten().chain(several.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests;
