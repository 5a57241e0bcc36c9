//! What a caller gets instead of a value.

/// A fill gave no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FillError<E> {
    /// The fill failed; the error is its own, unchanged, and the same for everybody who waited.
    #[error(transparent)]
    Failed(E),
    /// The fill ended without a result: it panicked, or the runtime it ran on was shut down.
    #[error("the fill ended without a result")]
    Lost,
}
