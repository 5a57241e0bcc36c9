//! A key that signs tokens, and does not show itself.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{SessionKeyTooShort, codec::SIGNATURE_BYTES};

/// Fewest bytes of a key: as many as the hash has. **Source**: RFC 2104, section 3.
const KEY_BYTES_MIN: usize = 32;

/// What a signature is for. A key that is used elsewhere too signs nothing there that is a token
/// here.
const CONTEXT: &[u8] = b"lab-mitigation session token\0";

/// A secret shared by every instance of the service. Its bytes must be random, and kept out of the
/// repository and of logs.
#[derive(Clone)]
pub struct SessionKey(Hmac<Sha256>);

impl SessionKey {
    /// Takes at least 32 bytes. **Errors**: fewer.
    pub fn new(secret: &[u8]) -> Result<Self, SessionKeyTooShort> {
        let too_short = SessionKeyTooShort { n_bytes: secret.len(), n_bytes_min: KEY_BYTES_MIN };
        if secret.len() < KEY_BYTES_MIN {
            return Err(too_short);
        }
        // HMAC takes a key of any length, so the second error cannot happen.
        let mut keyed = Hmac::new_from_slice(secret).map_err(|_invalid| too_short)?;
        keyed.update(CONTEXT);
        Ok(Self(keyed))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.over(message).finalize().into_bytes().into()
    }

    /// Whether this key signed `message`; takes the same time wherever the two differ.
    pub(super) fn is_signature(&self, message: &[u8], signature: &[u8]) -> bool {
        self.over(message).verify_slice(signature).is_ok()
    }

    fn over(&self, message: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(message)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SessionKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_fewer_bytes_than_the_hash_is_refused() {
        assert!(SessionKey::new(&[7; 32]).is_ok());
        let error = SessionKey::new(&[7; 31]).unwrap_err();
        assert_eq!(error, SessionKeyTooShort { n_bytes: 31, n_bytes_min: 32 });
    }

    #[test]
    fn a_key_does_not_show_its_bytes() {
        let shown = format!("{:?}", SessionKey::new(&[b'k'; 32]).unwrap());
        assert_eq!(shown, "SessionKey(…)");
    }
}
