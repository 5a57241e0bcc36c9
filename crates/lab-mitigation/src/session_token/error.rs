//! Why a token is refused, and why bytes are no key.

use super::UnixSeconds;

/// A token that does not stand for a session. All three mean "not logged in"; what they are
/// counted as differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionTokenError {
    /// It does not have the form of a token: another version, or not ours at all.
    #[error("session token is malformed")]
    Malformed,
    /// It has the form, and neither the current nor the previous key signed it.
    #[error("session token has a bad signature")]
    BadSignature,
    /// It is ours, and its time is over.
    #[error("session token expired at {expired_at}")]
    Expired {
        /// The first second at which it was not valid.
        expired_at: UnixSeconds,
    },
}

/// Bytes too few to sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a session key must have at least {n_bytes_min} bytes, got {n_bytes}")]
pub struct SessionKeyTooShort {
    /// Bytes given.
    pub n_bytes: usize,
    /// Fewest bytes.
    pub n_bytes_min: usize,
}
