//! Time in nanoseconds since a mitigation was built: cheap to read, to compare and to keep in an
//! atomic.
//!
//! What a reading costs decides what a closed breaker costs: `Instant::now` alone takes longer
//! than all the rest of an admitted call. There are two cheaper ones.
//!
//! The kernel's *coarse* clock is a load from memory that the kernel writes at every tick: several
//! times cheaper, and up to a tick (1 to 10 ms) behind. It is right where every duration that is
//! measured is many ticks long, and [`Timeline::for_shortest`] takes it only there.
//!
//! For the rest there is the processor's counter, read without the fence that the kernel's precise
//! clock puts before it: between two processors it may step back by some nanoseconds, which is why
//! differences saturate. quanta measures its rate once in a process, which takes some milliseconds
//! and at most a fifth of a second, and falls back on the kernel where the counter is not steady.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use crate::clock::{BoxedClock, Clock};

/// Ticks that the shortest measured duration has to be long, for a clock that is up to one tick
/// behind: at most a tenth of the duration is lost or gained.
const TICKS_MIN: u32 = 10;

#[cfg(target_os = "linux")]
const COARSE: ClockId = ClockId::MonotonicCoarse;
#[cfg(not(target_os = "linux"))]
const COARSE: ClockId = ClockId::Monotonic;

/// A clock and its origin.
#[derive(Debug)]
pub(crate) struct Timeline {
    source: Source,
    origin: Instant,
}

#[derive(Debug)]
enum Source {
    /// The kernel's coarse clock, and its reading at the origin.
    Coarse(u64),
    /// The processor's counter where it is steady, else the kernel's precise clock; and its
    /// reading at the origin.
    Precise(quanta::Clock, u64),
    /// The caller's.
    Given(BoxedClock),
}

impl Timeline {
    /// On the cheapest of the kernel's clocks that is good enough to tell durations of `shortest`
    /// and more.
    pub(crate) fn for_shortest(shortest: Duration) -> Self {
        let tick = duration(clock_getres(COARSE));
        let is_coarse_enough = tick.saturating_mul(TICKS_MIN) <= shortest;
        let source = if is_coarse_enough {
            Source::Coarse(coarse_ns())
        } else {
            let clock = quanta::Clock::new();
            let origin = clock.raw();
            Source::Precise(clock, origin)
        };
        #[expect(clippy::disallowed_methods, reason = "the edge: what the readings are laid on")]
        let origin = Instant::now();
        Self { source, origin }
    }

    /// On a clock that the caller gives.
    pub(crate) fn on(clock: impl Clock) -> Self {
        let clock = BoxedClock::new(clock);
        let origin = clock.now();
        Self { source: Source::Given(clock), origin }
    }

    /// The start, as an instant.
    pub(crate) fn origin(&self) -> Instant {
        self.origin
    }

    /// Nanoseconds since the origin. Wraps nothing for 584 years.
    #[inline]
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.source {
            Source::Coarse(origin_ns) => coarse_ns().saturating_sub(*origin_ns),
            Source::Precise(clock, origin) => clock.delta_as_nanos(*origin, clock.raw()),
            Source::Given(clock) => self.ns(clock.now()),
        }
    }

    /// The instant that lies `ns` after the origin.
    pub(crate) fn instant(&self, ns: u64) -> Instant {
        self.origin.checked_add(Duration::from_nanos(ns)).unwrap_or(self.origin)
    }

    /// Nanoseconds from the origin to `instant`: 0 for one before it.
    pub(crate) fn ns(&self, instant: Instant) -> u64 {
        let elapsed = instant.saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether readings come from the coarse clock.
    #[cfg(test)]
    fn is_coarse(&self) -> bool {
        matches!(self.source, Source::Coarse(_))
    }
}

#[inline]
fn coarse_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(COARSE);
    // A monotonic clock counts from the start of the machine, so neither is negative.
    tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(tv_nsec.cast_unsigned())
}

fn duration(time: Timespec) -> Duration {
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use lab_testkit::clock::ManualClock;

    use super::*;

    #[test]
    fn a_clock_of_the_callers_is_followed_to_the_nanosecond() {
        let clock = ManualClock::new();
        let timeline = Timeline::on(clock.reader());
        assert_eq!(timeline.now_ns(), 0);
        let now = clock.advance(Duration::from_nanos(1_234_567_891));
        assert_eq!(timeline.now_ns(), 1_234_567_891);
        assert_eq!(timeline.instant(1_234_567_891), now);
        assert_eq!(timeline.ns(now), 1_234_567_891);
    }

    #[test]
    fn an_instant_before_the_origin_is_at_it() {
        let clock = ManualClock::new();
        let before = clock.now();
        clock.advance(Duration::from_secs(1));
        assert_eq!(Timeline::on(clock.reader()).ns(before), 0);
    }

    // The coarse clock ticks every 1 to 10 ms, whatever the kernel was built with.
    #[test]
    fn the_coarse_clock_serves_long_durations_and_only_those() {
        assert!(Timeline::for_shortest(Duration::from_secs(1)).is_coarse());
        assert!(!Timeline::for_shortest(Duration::from_millis(1)).is_coarse());
    }

    #[test]
    fn the_kernels_clocks_move_forward_from_their_origin() {
        for shortest in [Duration::from_secs(1), Duration::ZERO] {
            let timeline = Timeline::for_shortest(shortest);
            let first = timeline.now_ns();
            let second = timeline.now_ns();
            assert!(first <= second && second < 60_000_000_000, "{first} {second}");
        }
    }
}
