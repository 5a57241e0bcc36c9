//! Whoever is told what a mitigation's policy did.

use std::fmt;

use lab_core::settings::Mode;

/// A listener behind a pointer, with a name for `Debug`.
pub(crate) struct Listener<E>(Box<dyn Fn(Mode, E) + Send + Sync>);

impl<E> Listener<E> {
    pub(crate) fn new(listener: impl Fn(Mode, E) + Send + Sync + 'static) -> Self {
        Self(Box::new(listener))
    }

    /// Tells it the event, if there is one, and the mode it happened under. Callers hold the lock
    /// of the policy meanwhile, which keeps events in order.
    pub(crate) fn tell(&self, mode: Mode, event: Option<E>) {
        if let Some(event) = event {
            (self.0)(mode, event);
        }
    }
}

impl<E> fmt::Debug for Listener<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}
