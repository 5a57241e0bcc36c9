//! What a caller gets when the buffer cannot take an increment.

/// The buffer has no room. The increment was not added; the caller writes it, or refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("buffer full: {n_keys} of {keys_max} keys, {count} of {count_max} increments")]
pub struct BufferFull {
    /// Keys held, those being written included.
    pub n_keys: usize,
    /// Most keys.
    pub keys_max: usize,
    /// Increments held, those being written included.
    pub count: u64,
    /// Most increments.
    pub count_max: u64,
}
