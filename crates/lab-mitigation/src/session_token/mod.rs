//! A session that its user carries: signed by the service, kept nowhere.
//!
//! **States.** *Valid* from issue to expiry, then *expired*. A token whose signature fits neither
//! the current nor the previous key is not ours.
//!
//! **Helps** when sessions live in Redis: with Redis gone everybody is logged out, and everybody
//! logs in again at once when it is back. A token is checked with one or two hashes and no
//! network, by every instance that has the keys, and survives the loss of any store.
//!
//! **Hurts** by what it cannot do: a token cannot be taken back before it expires. Logging out
//! deletes it from one browser, and a stolen one works until its end, so keep the lifetime short,
//! or keep a list of revoked users, which is a store again. Whoever has the key is every user. The
//! content is signed, not hidden: put nothing into it that its user must not read. And it is sent
//! with every request.
//!
//! **In a cookie** it needs `HttpOnly`, `Secure` and `SameSite=Lax` (or `Strict`), which are the
//! caller's to set.
//!
//! **Rotating keys.** [`SessionTokens::rotated`] signs with a new key and still accepts the one
//! before. After one lifetime no token of the old key is left. To refuse the tokens of a leaked key
//! at once, rotate twice. Give the new key to every instance as *previous* first where
//! they are replaced one by one, or the old ones refuse what the new ones sign.
//!
//! **No modes**: a session is kept with the user or it is not; `session.store` says it.
//!
//! **Source**: strategy row S21; HMAC-SHA256 is RFC 2104 with FIPS 180-4. The layout has a
//! version and no choice of algorithm, as in PASETO: RFC 8725 tells what JWT's choice led to.

mod codec;
mod error;
mod key;
mod tokens;

pub use codec::UnixSeconds;
pub use error::{SessionKeyTooShort, SessionTokenError};
pub use key::SessionKey;
pub use tokens::{KeyAge, Session, SessionTokens, SessionTokensSnapshot};
