//! A clock that stands still until a test moves it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A clock moved by hand. Clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Arc<Mutex<Instant>>,
}

impl ManualClock {
    /// Starts at some instant; only differences mean anything.
    pub fn new() -> Self {
        // `Instant` has no other origin than a reading of the clock.
        Self { now: Arc::new(Mutex::new(tokio::time::Instant::now().into_std())) }
    }

    /// The time on the clock.
    pub fn now(&self) -> Instant {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock forward and returns the new time.
    pub fn advance(&self, by: Duration) -> Instant {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        *now += by;
        *now
    }

    /// A function that reads this clock, for code that takes its clock as one.
    pub fn reader(&self) -> impl Fn() -> Instant + Send + Sync + 'static + use<> {
        let clock = self.clone();
        move || clock.now()
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_clone_and_reader_shows_the_time_that_one_was_moved_to() {
        let clock = ManualClock::new();
        let (clone, reader, start) = (clock.clone(), clock.reader(), clock.now());
        assert_eq!(clock.advance(Duration::from_secs(3)), start + Duration::from_secs(3));
        assert_eq!(
            (clone.now() - start, reader() - start),
            (Duration::from_secs(3), clone.now() - start)
        );
    }
}
