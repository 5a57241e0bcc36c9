//! Issues tokens, and says whom a token stands for.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use lab_core::settings::SessionSettings;
use serde::Serialize;

use super::{
    SessionKey, SessionTokenError, UnixSeconds,
    codec::{decode, encode, message},
};

/// What a valid token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Whose session it is.
    pub user: u64,
    /// When it was issued.
    pub issued_at: UnixSeconds,
    /// The first second at which it is not valid any more.
    pub expires_at: UnixSeconds,
}

/// Which key signed a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyAge {
    /// The one that signs now.
    Current,
    /// The one before. Issue a new token to whoever shows it, or it ends with that key.
    Previous,
}

/// Issues and verifies tokens. Reads no clock and does no input or output.
///
/// ```
/// # use lab_core::settings::SessionSettings;
/// # use lab_mitigation::session_token::*;
/// let key = SessionKey::new(b"at least 32 random bytes, never in a repository")?;
/// let tokens = SessionTokens::new(&SessionSettings::default(), key, None);
/// let now = UnixSeconds(1_750_000_000); // `SystemTime::now().into()` in a service
///
/// let token = tokens.issue(now, 42);
/// let (session, _key_age) = tokens.verify(now, &token).unwrap();
/// assert_eq!(session.user, 42);
/// # Ok::<(), SessionKeyTooShort>(())
/// ```
#[derive(Debug)]
pub struct SessionTokens {
    current: SessionKey,
    previous: Option<SessionKey>,
    lifetime: Duration,
    n_issued: AtomicU64,
    n_valid: AtomicU64,
    n_malformed: AtomicU64,
    n_bad_signature: AtomicU64,
    n_expired: AtomicU64,
}

/// What the tokens tell about themselves. The last four are disjoint: together they are the tokens
/// that were shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SessionTokensSnapshot {
    /// Tokens issued.
    pub n_issued: u64,
    /// Tokens that stood for a session.
    pub n_valid: u64,
    /// Tokens that did not have the form of one.
    pub n_malformed: u64,
    /// Tokens that neither key had signed.
    pub n_bad_signature: u64,
    /// Tokens whose time was over.
    pub n_expired: u64,
}

impl SessionTokens {
    /// Signs with `current`, and accepts what `previous` signed too.
    pub fn new(
        settings: &SessionSettings,
        current: SessionKey,
        previous: Option<SessionKey>,
    ) -> Self {
        Self {
            current,
            previous,
            lifetime: settings.lifetime,
            n_issued: AtomicU64::new(0),
            n_valid: AtomicU64::new(0),
            n_malformed: AtomicU64::new(0),
            n_bad_signature: AtomicU64::new(0),
            n_expired: AtomicU64::new(0),
        }
    }

    /// Signs with `next` from here on, and accepts what the current key has signed. The key before
    /// that one is forgotten.
    #[must_use]
    pub fn rotated(self, next: SessionKey) -> Self {
        Self { previous: Some(self.current), current: next, ..self }
    }

    /// A token for a session of `user` that begins at `now`: 76 characters that need no escaping
    /// in a cookie. Whoever shows it is that user, so this comes after the password.
    pub fn issue(&self, now: UnixSeconds, user: u64) -> String {
        let expires_at = UnixSeconds(now.0.saturating_add(self.lifetime.as_secs()));
        let message = message(&Session { user, issued_at: now, expires_at });
        self.n_issued.fetch_add(1, Relaxed);
        encode(&message, &self.current.sign(&message))
    }

    /// The session that `token` stands for at `now`, and the key that signed it.
    ///
    /// A token issued in the future (by an instance whose clock is ahead) is valid.
    ///
    /// **Errors**: see [`SessionTokenError`]. The signature is looked at before the times, so that
    /// "expired" is said of nothing but our own tokens.
    pub fn verify(
        &self,
        now: UnixSeconds,
        token: &str,
    ) -> Result<(Session, KeyAge), SessionTokenError> {
        let verified = self.check(now, token);
        let count = match verified {
            Ok(_) => &self.n_valid,
            Err(SessionTokenError::Malformed) => &self.n_malformed,
            Err(SessionTokenError::BadSignature) => &self.n_bad_signature,
            Err(SessionTokenError::Expired { .. }) => &self.n_expired,
        };
        count.fetch_add(1, Relaxed);
        verified
    }

    /// Counts, for the internal port and metrics.
    pub fn snapshot(&self) -> SessionTokensSnapshot {
        SessionTokensSnapshot {
            n_issued: self.n_issued.load(Relaxed),
            n_valid: self.n_valid.load(Relaxed),
            n_malformed: self.n_malformed.load(Relaxed),
            n_bad_signature: self.n_bad_signature.load(Relaxed),
            n_expired: self.n_expired.load(Relaxed),
        }
    }

    fn check(&self, now: UnixSeconds, token: &str) -> Result<(Session, KeyAge), SessionTokenError> {
        let claim = decode(token)?;
        let is_ours = |key: &SessionKey| key.is_signature(&claim.message, &claim.signature);
        let key_age = if is_ours(&self.current) {
            KeyAge::Current
        } else if self.previous.as_ref().is_some_and(is_ours) {
            KeyAge::Previous
        } else {
            return Err(SessionTokenError::BadSignature);
        };
        let expired_at = claim.session.expires_at;
        if expired_at <= now {
            return Err(SessionTokenError::Expired { expired_at });
        }
        Ok((claim.session, key_age))
    }
}

#[cfg(test)]
mod tests;
