//! Whoever is told what a mitigation's policy did.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

use lab_core::settings::Mode;

/// A listener behind a pointer, with a name for `Debug`.
pub(crate) struct Listener<E>(Box<dyn Fn(Mode, E) + Send + Sync>);

impl<E> Listener<E> {
    pub(crate) fn new(listener: impl Fn(Mode, E) + Send + Sync + 'static) -> Self {
        Self(Box::new(listener))
    }

    /// Tells it the event, if there is one, and the mode it happened under. Callers hold the lock
    /// of the policy meanwhile, which keeps events in order.
    ///
    /// A listener that panics must not take the call with it that happened to cause the event: the
    /// panic ends here, and the panic hook has told of it.
    pub(crate) fn tell(&self, mode: Mode, event: Option<E>) {
        if let Some(event) = event {
            let _ = catch_unwind(AssertUnwindSafe(|| (self.0)(mode, event)));
        }
    }
}

impl<E> fmt::Debug for Listener<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Listener")
    }
}
