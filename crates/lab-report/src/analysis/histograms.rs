//! `phases.hlog`: one HdrHistogram for each phase and distribution, as a standard interval log.
//!
//! Tags are `<phase>/<what>/<distribution>`, such as `fault/product/response_time`. Values are
//! microseconds, 1 µs to 120 s, three significant digits; a longer one counts as 120 s.

use std::{collections::BTreeMap, time::Duration};

use base64::Engine as _;
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer, V2DeflateSerializer,
        interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag},
    },
};
use lab_core::{
    artifact::{
        summary::{LagQuantiles, Quantiles},
        verdict::{PerPhase, Window},
    },
    route::Route,
    scenario::Phase,
};

use super::statistics::rank_of;
use crate::error::HistogramLogError;

/// The file's name, below the trial's folder.
pub const FILE: &str = "phases.hlog";

/// Longest value in microseconds: 120 s.
const VALUE_US_MAX: u64 = 120_000_000;

/// What is distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Distribution {
    /// Response time of the requests of one route that were due in the phase. Those that were not
    /// served count at the longer of their true time and the deadline.
    ResponseTime(Route),
    /// Service time of product pages that were sent.
    ServiceTime,
    /// Send lag of the requests of all routes that were due in the phase.
    SendLag,
    /// Waits for a connection that ended in the phase.
    PoolAcquireWait,
}

impl Distribution {
    /// Every distribution, in the order of the file.
    pub fn all() -> impl Iterator<Item = Self> {
        let rest = [Self::ServiceTime, Self::SendLag, Self::PoolAcquireWait];
        Route::ALL.into_iter().map(Self::ResponseTime).chain(rest)
    }

    /// Its tag in `phase`.
    pub fn tag(self, phase: Phase) -> String {
        match self {
            Self::ResponseTime(route) => format!("{phase}/{}/response_time", route.name()),
            Self::ServiceTime => format!("{phase}/product/service_time"),
            Self::SendLag => format!("{phase}/all/send_lag"),
            Self::PoolAcquireWait => format!("{phase}/pool/acquire_wait"),
        }
    }
}

/// The histograms of one trial, or of several merged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PhaseHistograms {
    histograms: BTreeMap<(Phase, Distribution), Histogram<u64>>,
}

impl PhaseHistograms {
    /// Counts `n` values of `value_us` microseconds.
    pub fn record(&mut self, phase: Phase, distribution: Distribution, value_us: u64, n: u64) {
        let histogram =
            self.histograms.entry((phase, distribution)).or_insert_with(empty_histogram);
        histogram
            .record_n(value_us.min(VALUE_US_MAX), n)
            .expect("a value of at most 120 s fits the histogram");
    }

    /// The histogram of one distribution in one phase; `None` when it has no value.
    pub fn get(&self, phase: Phase, distribution: Distribution) -> Option<&Histogram<u64>> {
        self.histograms.get(&(phase, distribution)).filter(|it| !it.is_empty())
    }

    /// Adds every value of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (key, histogram) in &other.histograms {
            self.histograms
                .entry(*key)
                .or_insert_with(empty_histogram)
                .add(histogram)
                .expect("all histograms have the same bounds");
        }
    }

    /// The value that the share `q` of all values does not exceed, in microseconds.
    pub fn quantile(&self, phase: Phase, distribution: Distribution, q: f64) -> Option<u64> {
        self.get(phase, distribution).map(|it| it.value_at_quantile(q))
    }

    /// The quantiles of the contract.
    pub fn quantiles(&self, phase: Phase, distribution: Distribution) -> Quantiles {
        let at = |q| self.quantile(phase, distribution, q);
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1.0) }
    }

    /// The quantiles of the send lag.
    pub fn lag_quantiles(&self, phase: Phase) -> LagQuantiles {
        let at = |q| self.quantile(phase, Distribution::SendLag, q);
        LagQuantiles { p50: at(0.5), p99: at(0.99), max: at(1.0) }
    }

    /// The bytes of the interval log. Times in it are seconds from the start of the schedule.
    pub fn encode(&self, windows: &PerPhase<Window>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut serializer = V2DeflateSerializer::new();
        let mut writer = IntervalLogWriterBuilder::new()
            .add_comment("outage-lab phases: microseconds, seconds from the start of the schedule")
            .begin_log_with(&mut bytes, &mut serializer)
            .expect("writing to memory does not fail");
        for (phase, window) in windows.iter() {
            let start = Duration::from_secs_f64(window.start_ms.max(0.0) / 1_000.0);
            let length = Duration::from_secs_f64(window.length_s());
            for distribution in Distribution::all() {
                let Some(histogram) = self.get(phase, distribution) else { continue };
                let tag = distribution.tag(phase);
                writer
                    .write_histogram(histogram, start, length, Tag::new(&tag))
                    .expect("writing to memory does not fail");
            }
        }
        bytes
    }

    /// Reads an interval log. **Errors**: bytes that are none, an unknown tag, a tag that stands
    /// twice.
    pub fn decode(bytes: &[u8]) -> Result<Self, HistogramLogError> {
        let keys: BTreeMap<String, (Phase, Distribution)> = Phase::ALL
            .into_iter()
            .flat_map(|phase| Distribution::all().map(move |it| (it.tag(phase), (phase, it))))
            .collect();
        let mut all = Self::default();
        for entry in IntervalLogIterator::new(bytes) {
            let LogEntry::Interval(interval) = entry.map_err(|_| HistogramLogError::Syntax)? else {
                continue;
            };
            let tag = interval.tag().map_or("", |it| it.as_str()).to_owned();
            let Some(key) = keys.get(&tag) else {
                return Err(HistogramLogError::UnknownTag { tag });
            };
            let histogram = decode_histogram(&tag, interval.encoded_histogram())?;
            if all.histograms.insert(*key, histogram).is_some() {
                return Err(HistogramLogError::Repeated { tag });
            }
        }
        Ok(all)
    }
}

fn decode_histogram(tag: &str, text: &str) -> Result<Histogram<u64>, HistogramLogError> {
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(text)
        .map_err(|source| HistogramLogError::Base64 { tag: tag.to_owned(), source })?;
    Deserializer::new()
        .deserialize(&mut bytes.as_slice())
        .map_err(|source| HistogramLogError::Histogram { tag: tag.to_owned(), source })
}

/// The p99 of the `n` shortest values: the one of rank ⌈0.99·n⌉. `None` when `n` is 0 or more than
/// the histogram has.
///
/// Of response times, the shortest are those of the requests that were served (see
/// [`p99_is_censored`](super::pages::p99_is_censored)), so this is the p99 of what was served.
pub fn p99_of_shortest(histogram: &Histogram<u64>, n: u64) -> Option<u64> {
    let rank = u64::try_from(rank_of(usize::try_from(n).ok()?, 0.99)?).ok()?;
    let mut n_seen = 0;
    let value = histogram.iter_recorded().find(|it| {
        n_seen += it.count_since_last_iteration();
        rank <= n_seen
    });
    value.filter(|_| n <= histogram.len()).map(|it| it.value_iterated_to())
}

/// A histogram without a value, with the bounds that all of them have.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, VALUE_US_MAX, 3).expect("1 us to 120 s with 3 digits is allowed")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRODUCT: Distribution = Distribution::ResponseTime(Route::Product);

    fn windows() -> PerPhase<Window> {
        PerPhase::from_fn(|_| Window { start_ms: 1_000.0, end_ms: 3_500.0 })
    }

    // Nine values of 1 ms and one of 1 s: p90 is the 9th, p99 the 10th. Three digits at 1 s are
    // buckets of 512 us.
    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histograms = PhaseHistograms::default();
        histograms.record(Phase::Fault, PRODUCT, 1_000, 9);
        histograms.record(Phase::Fault, PRODUCT, 1_000_000, 1);
        let quantiles = histograms.quantiles(Phase::Fault, PRODUCT);
        assert_eq!((quantiles.p50, quantiles.p90), (Some(1_000), Some(1_000)));
        let p99 = quantiles.p99.unwrap();
        assert!((1_000_000..1_000_512).contains(&p99), "{p99}");
        assert_eq!(quantiles.p99, quantiles.max);
        assert_eq!(histograms.quantiles(Phase::Baseline, PRODUCT), Quantiles::default());
    }

    // 198 served after 1 to 198 ms and 22 that count at 1 s. Rank ⌈0.99·198⌉ = 197 of the served is
    // 197 ms; three digits there are buckets of 128 us.
    #[test]
    fn the_p99_of_what_was_served_does_not_see_what_was_not() {
        let mut histogram = empty_histogram();
        for ms in 1..=198 {
            histogram.record(ms * 1_000).unwrap();
        }
        histogram.record_n(1_000_000, 22).unwrap();
        let p99 = p99_of_shortest(&histogram, 198).unwrap();
        assert!((197_000..197_128).contains(&p99), "{p99}");
        let all = p99_of_shortest(&histogram, 220).unwrap();
        assert_eq!(all, histogram.value_at_quantile(0.99));
        assert_eq!(p99_of_shortest(&histogram, 0), None);
        assert_eq!(p99_of_shortest(&histogram, 221), None);
    }

    #[test]
    fn a_value_longer_than_two_minutes_counts_as_two_minutes() {
        let mut histograms = PhaseHistograms::default();
        histograms.record(Phase::Fault, PRODUCT, 500_000_000, 1);
        let max = histograms.quantile(Phase::Fault, PRODUCT, 1.0).unwrap();
        assert!((120_000_000..120_070_000).contains(&max), "{max}");
    }

    #[test]
    fn histograms_survive_the_interval_log_and_add_up() {
        let mut histograms = PhaseHistograms::default();
        histograms.record(Phase::Baseline, Distribution::SendLag, 0, 3);
        histograms.record(Phase::Recovery, Distribution::PoolAcquireWait, 250, 2);
        histograms.record(Phase::Fault, PRODUCT, 2_100, 5);
        let bytes = histograms.encode(&windows());
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(text.contains("Tag=fault/product/response_time,1.000,2.500,"), "{text}");
        let read = PhaseHistograms::decode(&bytes).unwrap();
        assert_eq!(read, histograms);
        assert_eq!(read.encode(&windows()), bytes, "the same values give the same bytes");
        let mut twice = read;
        twice.merge(&histograms);
        assert_eq!(twice.get(Phase::Fault, PRODUCT).unwrap().len(), 10);
    }

    #[test]
    fn a_log_that_is_none_is_refused_by_its_tag() {
        let line = |tag: &str, text: &str| format!("Tag={tag},1.000,2.500,3.000,{text}\n");
        let error = |log: String| PhaseHistograms::decode(log.as_bytes()).unwrap_err().to_string();
        assert_eq!(error(line("lunch/all/send_lag", "AA==")), "unknown tag `lunch/all/send_lag`");
        assert_eq!(
            error(line("fault/all/send_lag", "AA==")),
            "tag `fault/all/send_lag`: not an HdrHistogram"
        );
        assert_eq!(error("lunch\n".into()), "a line is no part of an interval log");
    }
}
