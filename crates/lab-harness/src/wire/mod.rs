//! The wire between the service and Redis: a proxy that knows the protocol of Redis and can make
//! the wire slow, narrow, broken or silent.
//!
//! It runs inside the lab, and only in trials whose fault needs it: then in their baseline too.
//! Beside it stands a narrow link that knows no protocol, for the way to PostgreSQL.

pub mod frames;
mod link;
mod narrow;
mod pace;
mod proxy;
mod slots;

pub use narrow::{NarrowLink, NarrowLinkError};
pub use proxy::{Proxy, ProxyError, Switch};

use std::time::Duration;

use lab_core::seed;

/// What the wire does with what is sent over it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// Everything arrives, at once.
    Clear,
    /// Every reply arrives `delay` later, and up to `jitter` more.
    Latency {
        /// Least time that is added.
        delay: Duration,
        /// Most time beyond that.
        jitter: Duration,
    },
    /// All replies of a connection together arrive at this many bytes per second at most.
    Bandwidth {
        /// Bytes per second.
        bytes_per_sec: f64,
    },
    /// Nothing arrives, in neither direction, and no new connection comes about.
    BlackHole,
    /// Connections are reset, those that there are and every new one.
    Reset,
    /// Of the next reply on each connection the first half arrives, and then nothing.
    HalfReply,
    /// Some commands are answered with an error and do not reach Redis.
    Partial {
        /// Which share of them, from 0 to 1.
        share: f64,
        /// The error, as Redis writes it: without the minus in front and the end of the line.
        error: &'static str,
    },
}

/// Length of a stretch of time in which the jitter is the same. Chosen: finer than any bin of the
/// analysis, coarser than the time between the parts of one reply.
const JITTER_STRETCH: Duration = Duration::from_millis(10);

/// How much later a reply arrives that Redis sent `sent` after the start of the connection.
///
/// The jitter depends on the time alone, so that a reply that comes in ten parts is as late as the
/// same reply in one.
fn lateness(condition: Condition, sent: Duration) -> Duration {
    let Condition::Latency { delay, jitter } = condition else { return Duration::ZERO };
    let stretch = sent.as_nanos() / JITTER_STRETCH.as_nanos();
    let stretch = u64::try_from(stretch).unwrap_or(u64::MAX);
    delay + jitter.mul_f64(seed::share(seed::mix(stretch.wrapping_add(0x9e37_79b9_7f4a_7c15))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_is_within_its_bounds_and_the_same_within_a_stretch() {
        let (delay, jitter) = (Duration::from_millis(50), Duration::from_millis(20));
        let at = |ms| lateness(Condition::Latency { delay, jitter }, Duration::from_millis(ms));
        let all: Vec<Duration> = (0..1_000).map(|it| at(it * 10)).collect();
        assert!(all.iter().all(|it| (delay..delay + jitter).contains(it)));
        let mean = all.iter().sum::<Duration>() / 1_000;
        // Evenly over 20 ms: mean 60 ms, and the mean of 1,000 errs by 0.2 ms, so five times that.
        assert!(mean.abs_diff(Duration::from_millis(60)) < Duration::from_millis(1), "{mean:?}");
        assert_eq!(at(40), at(49), "the parts of one reply are equally late");
        assert_ne!(at(40), at(50));
        assert_eq!(lateness(Condition::Clear, delay), Duration::ZERO);
    }
}
