//! Keeps what a listener was told, for a test to look at.

use std::sync::{Arc, Mutex, PoisonError};

/// A list that a listener appends to. Clones share the list.
#[derive(Debug)]
pub struct Recorder<T> {
    told: Arc<Mutex<Vec<T>>>,
}

impl<T> Recorder<T> {
    /// Starts empty.
    pub fn new() -> Self {
        Self { told: Arc::default() }
    }

    /// Appends one thing.
    pub fn push(&self, told: T) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).push(told);
    }

    /// Everything told since the last time this was asked, in order.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<T> Default for Recorder<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Recorder<T> {
    fn clone(&self) -> Self {
        Self { told: Arc::clone(&self.told) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_is_not_told_again() {
        let recorder = Recorder::new();
        recorder.clone().push(1);
        recorder.push(2);
        assert_eq!(recorder.take(), [1, 2]);
        assert!(recorder.take().is_empty());
    }
}
