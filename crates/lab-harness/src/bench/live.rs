//! Live figures for the progress line, read from the sample file while it grows.
//!
//! For the eye only: no figure of a report comes from here.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use lab_core::{
    outcome::Outcome,
    route::Route,
    sample::{RECORD_BYTES, RequestSample},
};

/// Follows a sample file.
#[derive(Debug)]
pub(crate) struct LiveView {
    path: PathBuf,
    /// Records read so far; the header is as long as one record.
    n_read: u64,
}

/// What the last stretch of product pages looked like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LiveFigures {
    /// Successes per second.
    pub(crate) goodput_per_sec: f64,
    /// 99th percentile of the response time, all outcomes, in milliseconds.
    pub response_time_ms_p99: f64,
}

impl LiveView {
    /// Will follow the file at `path`, which need not exist yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), n_read: 0 }
    }

    /// Figures of what was recorded since the last call; `None` when there was nothing.
    pub(crate) fn poll(&mut self) -> Option<LiveFigures> {
        let mut file = File::open(&self.path).ok()?;
        file.seek(SeekFrom::Start((self.n_read + 1) * RECORD_BYTES as u64)).ok()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).ok()?;
        let records = bytes.as_chunks::<RECORD_BYTES>().0;
        self.n_read += records.len() as u64;
        let samples: Vec<_> =
            records.iter().filter_map(|it| RequestSample::decode(it).ok()).collect();
        figures(&samples)
    }
}

fn figures(samples: &[RequestSample]) -> Option<LiveFigures> {
    let product: Vec<_> = samples.iter().filter(|it| it.route == Route::Product).collect();
    let first = product.iter().map(|it| it.completed_at_ns).min()?;
    let last = product.iter().map(|it| it.completed_at_ns).max()?;
    let seconds = (last - first) as f64 / 1e9;
    if seconds <= 0.0 {
        return None;
    }
    let n_good = product.iter().filter(|it| it.outcome == Outcome::Success).count();
    let mut times: Vec<_> = product.iter().map(|it| it.response_time_ns()).collect();
    times.sort_unstable();
    let p99 = times[(times.len() - 1) * 99 / 100];
    Some(LiveFigures {
        goodput_per_sec: n_good as f64 / seconds,
        response_time_ms_p99: p99 as f64 / 1e6,
    })
}

#[cfg(test)]
mod tests {
    use lab_core::outcome::ServedBy;

    use super::*;

    // Worked by hand: five pages end at 0, 1, 2, 3 and 4 s, four of them well: 4 in 4 s.
    #[test]
    fn goodput_counts_successes_over_the_stretch() {
        let samples: Vec<_> = (0..5_u32)
            .map(|k| RequestSample {
                arrival: k,
                key: 0,
                route: Route::Product,
                outcome: if k == 2 { Outcome::TimedOut } else { Outcome::Success },
                served_by: Some(ServedBy::Redis),
                status: 200,
                intended_at_ns: u64::from(k) * 1_000_000_000,
                sent_at_ns: u64::from(k) * 1_000_000_000,
                completed_at_ns: u64::from(k) * 1_000_000_000 + 10_000_000,
            })
            .collect();
        let got = figures(&samples).unwrap();
        assert!((got.goodput_per_sec - 1.0).abs() < 1e-9);
        assert!((got.response_time_ms_p99 - 10.0).abs() < 1e-9);
        assert_eq!(figures(&[]), None);
    }
}
