//! The product pages of a trial in short: what goodput and response time are made of.

use std::time::Duration;

use lab_core::{
    artifact::verdict::Window, clock::nanos, outcome::Outcome, route::Route, sample::RequestSample,
};

use super::{
    statistics::{fraction, nearest_rank, quantile_bounds, rank_of},
    windows::ns_to_ms,
};

/// One scheduled product page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Page {
    /// When it was due, in milliseconds from the start of the schedule.
    pub due_ms: f64,
    /// Whether it was a success.
    pub success: bool,
    /// Its response time in microseconds, see [`response_time_us`].
    pub response_time_us: u64,
}

/// Nanoseconds as microseconds, rounded to the nearest.
pub fn ns_to_us(ns: u64) -> u64 {
    (ns + 500) / 1_000
}

/// How long the user waited, in microseconds. A request that was not served would have taken
/// longer still, so it counts at the longer of its true time and the deadline.
pub fn response_time_us(sample: &RequestSample, deadline: Duration) -> u64 {
    let waited = sample.response_time_ns();
    ns_to_us(if sample.outcome.is_served() { waited } else { waited.max(nanos(deadline)) })
}

/// The product pages among `samples`, in their order.
pub fn product_pages(samples: &[RequestSample], deadline: Duration) -> Vec<Page> {
    samples
        .iter()
        .filter(|it| it.route == Route::Product)
        .map(|it| Page {
            due_ms: ns_to_ms(it.intended_at_ns),
            success: it.outcome == Outcome::Success,
            response_time_us: response_time_us(it, deadline),
        })
        .collect()
}

/// The pages that were due in `window`. `pages` are in order of their due time.
pub fn within(pages: &[Page], window: Window) -> &[Page] {
    let start = pages.partition_point(|it| it.due_ms < window.start_ms);
    let end = pages.partition_point(|it| it.due_ms < window.end_ms);
    &pages[start..end.max(start)]
}

/// Goodput fraction: successes within the deadline over scheduled, of requests due in the same
/// window, so that the noise of Poisson arrivals cancels. `None` when none was due.
pub fn goodput_fraction(pages: &[Page]) -> Option<f64> {
    fraction(n_success(pages), pages.len() as u64)
}

/// How many of `pages` were a success.
pub fn n_success(pages: &[Page]) -> u64 {
    pages.iter().filter(|it| it.success).count() as u64
}

/// The response time that the share `q` of `pages` does not exceed, in microseconds.
pub fn response_time_quantile(pages: &[Page], q: f64) -> Option<u64> {
    let mut sorted: Vec<u64> = pages.iter().map(|it| it.response_time_us).collect();
    sorted.sort_unstable();
    nearest_rank(&sorted, q)
}

/// Bounds between which the true quantile `q` of the response time lies, in microseconds; see
/// [`quantile_bounds`].
pub fn response_time_bounds(pages: &[Page], q: f64) -> Option<(u64, u64)> {
    let mut sorted: Vec<u64> = pages.iter().map(|it| it.response_time_us).collect();
    sorted.sort_unstable();
    quantile_bounds(&sorted, q)
}

/// Whether the p99 of `n` requests, of which `n_served` were served, is that of one that was not.
///
/// Served requests are within the deadline and all others count at the deadline or above, so in
/// order of response time the served come first: p99, of rank ⌈0.99·n⌉, is censored when that is
/// above `n_served`.
pub fn p99_is_censored(n_served: usize, n: usize) -> bool {
    rank_of(n, 0.99).is_some_and(|rank| n_served < rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::testing::{page, request};

    const DEADLINE: Duration = Duration::from_secs(1);

    // A 503 after 5 ms did not serve the user for at least the deadline; one that the client gave
    // up after 1.2 s took 1.2 s.
    #[test]
    fn a_request_that_was_not_served_counts_at_the_longer_of_its_time_and_the_deadline() {
        let of = |outcome, ms: u64| {
            let mut sample = request(Route::Product, 0, outcome);
            sample.completed_at_ns = sample.intended_at_ns + ms * 1_000_000;
            response_time_us(&sample, DEADLINE)
        };
        assert_eq!(of(Outcome::Success, 5), 5_000);
        assert_eq!(of(Outcome::Degraded, 5), 5_000);
        assert_eq!(of(Outcome::Shed, 5), 1_000_000);
        assert_eq!(of(Outcome::TimedOut, 1_200), 1_200_000);
    }

    #[test]
    fn only_product_pages_are_pages() {
        let samples =
            [request(Route::Home, 1, Outcome::Success), request(Route::Product, 2, Outcome::Shed)];
        let pages = product_pages(&samples, DEADLINE);
        assert_eq!(pages.len(), 1);
        assert!(!pages[0].success);
    }

    // Four due between 10 and 20 ms, three of them good.
    #[test]
    fn the_goodput_fraction_is_success_over_scheduled_in_the_same_window() {
        let pages = [
            page(9.0, true),
            page(10.0, true),
            page(11.0, false),
            page(12.0, true),
            page(19.0, true),
            page(20.0, false),
        ];
        let window = Window { start_ms: 10.0, end_ms: 20.0 };
        assert_eq!(goodput_fraction(within(&pages, window)), Some(0.75));
        assert_eq!(goodput_fraction(within(&pages, Window { start_ms: 30.0, end_ms: 40.0 })), None);
    }

    // ⌈0.99·200⌉ = 198: with 198 served the 198th is a served one, with 197 it is not.
    #[test]
    fn p99_is_censored_when_more_than_one_in_a_hundred_was_not_served() {
        assert!(!p99_is_censored(198, 200));
        assert!(p99_is_censored(197, 200));
        assert!(!p99_is_censored(0, 0));
    }
}
