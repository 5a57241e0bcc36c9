//! The bytes of a token.
//!
//! ```text
//! offset  bytes
//!      0      1  version, 1
//!      1      8  user, big-endian
//!      9      8  issued at, seconds since 1970, big-endian
//!     17      8  expires at, the same
//!     25     32  HMAC-SHA256 of the context and of the 25 bytes before
//! ```
//!
//! 57 bytes are 76 characters of base64 exactly: there is neither padding nor a bit to spare, so
//! each session has one spelling.

use std::{fmt, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{Session, SessionTokenError};

pub(super) const SIGNATURE_BYTES: usize = 32;
pub(super) const MESSAGE_BYTES: usize = 25;
const TOKEN_BYTES: usize = MESSAGE_BYTES + SIGNATURE_BYTES;
const TOKEN_CHARS: usize = 76;
const VERSION: u8 = 1;

/// A wall time in whole seconds since 1970-01-01 UTC. Instances must agree on it, and it must
/// survive a restart, so it cannot be an `Instant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl From<SystemTime> for UnixSeconds {
    /// Rounds down; a time before 1970 counts as 1970.
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs()))
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} s since 1970", self.0)
    }
}

/// The part that is signed.
pub(super) fn message(session: &Session) -> [u8; MESSAGE_BYTES] {
    let mut message = [0; MESSAGE_BYTES];
    message[0] = VERSION;
    message[1..9].copy_from_slice(&session.user.to_be_bytes());
    message[9..17].copy_from_slice(&session.issued_at.0.to_be_bytes());
    message[17..25].copy_from_slice(&session.expires_at.0.to_be_bytes());
    message
}

pub(super) fn encode(message: &[u8; MESSAGE_BYTES], signature: &[u8; SIGNATURE_BYTES]) -> String {
    let mut token = [0; TOKEN_BYTES];
    token[..MESSAGE_BYTES].copy_from_slice(message);
    token[MESSAGE_BYTES..].copy_from_slice(signature);
    URL_SAFE_NO_PAD.encode(token)
}

/// What a token says, and the signature that must cover it. Nothing is checked but the form: the
/// session is a claim until [`SessionKey::is_signature`](super::SessionKey) says otherwise.
pub(super) struct Claim {
    pub(super) message: [u8; MESSAGE_BYTES],
    pub(super) signature: [u8; SIGNATURE_BYTES],
    pub(super) session: Session,
}

pub(super) fn decode(token: &str) -> Result<Claim, SessionTokenError> {
    // Before anything is allocated for it: a token comes from outside.
    if token.len() != TOKEN_CHARS {
        return Err(SessionTokenError::Malformed);
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_error| SessionTokenError::Malformed)?;
    let claim = claim(&bytes).ok_or(SessionTokenError::Malformed)?;
    if claim.message[0] == VERSION { Ok(claim) } else { Err(SessionTokenError::Malformed) }
}

fn claim(bytes: &[u8]) -> Option<Claim> {
    let (message, signature) = bytes.split_first_chunk::<MESSAGE_BYTES>()?;
    let (user, rest) = message[1..].split_first_chunk::<8>()?;
    let (issued_at, expires_at) = rest.split_first_chunk::<8>()?;
    let session = Session {
        user: u64::from_be_bytes(*user),
        issued_at: UnixSeconds(u64::from_be_bytes(*issued_at)),
        expires_at: UnixSeconds(u64::from_be_bytes(expires_at.try_into().ok()?)),
    };
    Some(Claim { message: *message, signature: signature.try_into().ok()?, session })
}
