//! Tokens: what is accepted, what is refused, and that nothing forged is.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use proptest::prelude::*;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_750_000_000);

fn key(byte: u8) -> SessionKey {
    SessionKey::new(&[byte; 32]).unwrap()
}

fn tokens() -> SessionTokens {
    let settings =
        SessionSettings { lifetime: Duration::from_secs(3_600), ..SessionSettings::default() };
    SessionTokens::new(&settings, key(1), None)
}

fn later(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

#[test]
fn a_token_is_valid_until_the_second_it_expires() {
    let (tokens, expires_at) = (tokens(), later(3_600));
    let token = tokens.issue(NOW, 42);
    let session = Session { user: 42, issued_at: NOW, expires_at };
    for now in [NOW, later(3_599), UnixSeconds(NOW.0 - 30)] {
        assert_eq!(tokens.verify(now, &token), Ok((session, KeyAge::Current)));
    }
    for now in [expires_at, UnixSeconds(u64::MAX)] {
        let error = SessionTokenError::Expired { expired_at: expires_at };
        assert_eq!(tokens.verify(now, &token), Err(error));
    }
}

// The signature is from an independent program: Python's hmac module, over the context
// `lab-mitigation session token\0` and the 25 bytes of version 1, user 42, issued 1_750_000_000,
// expiry 3600 s later, with a key of 32 bytes 0x01.
#[test]
fn a_token_is_spelled_as_other_programs_spell_it() {
    assert_eq!(
        tokens().issue(NOW, 42),
        "AQAAAAAAAAAqAAAAAGhO4YAAAAAAaE7vkItApPikmeO8VnX_SaUgbEcIDt4dB4rAbGG8_UtrBkeD"
    );
}

#[test]
fn a_token_needs_no_escaping_in_a_cookie() {
    let token = tokens().issue(NOW, u64::MAX);
    assert_eq!(token.len(), 76);
    assert!(token.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it)));
}

#[test]
fn after_a_rotation_old_tokens_are_known_by_their_key_and_after_two_they_are_not_ours() {
    let tokens = tokens();
    let old = tokens.issue(NOW, 42);
    let tokens = tokens.rotated(key(2));
    assert_eq!(tokens.verify(NOW, &old).unwrap().1, KeyAge::Previous);
    let new = tokens.issue(NOW, 42);
    assert_eq!(tokens.verify(NOW, &new).unwrap().1, KeyAge::Current);
    let tokens = tokens.rotated(key(3));
    assert_eq!(tokens.verify(NOW, &old), Err(SessionTokenError::BadSignature));
    assert_eq!(tokens.verify(NOW, &new).unwrap().1, KeyAge::Previous);
}

#[test]
fn an_instance_with_the_next_key_as_previous_accepts_what_the_others_sign_already() {
    let settings = SessionSettings::default();
    let not_yet = SessionTokens::new(&settings, key(1), Some(key(2)));
    let token = SessionTokens::new(&settings, key(2), Some(key(1))).issue(NOW, 7);
    assert!(not_yet.verify(NOW, &token).is_ok());
}

#[test]
fn what_has_not_the_form_of_a_token_is_malformed() {
    let token = tokens().issue(NOW, 42);
    let padded = format!("{token}=");
    let other_alphabet = format!("{}+", &token[..75]);
    let long = "A".repeat(1 << 20);
    // A version of 2 makes the first character different from version 1's `A`.
    let mut bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    bytes[0] = 2;
    let other_version = URL_SAFE_NO_PAD.encode(bytes);
    for malformed in
        ["", "42", &token[..75], &padded, &other_alphabet, &long, &other_version, &"é".repeat(38)]
    {
        assert_eq!(tokens().verify(NOW, malformed), Err(SessionTokenError::Malformed));
    }
}

#[test]
fn expired_is_said_of_nothing_but_our_own_tokens() {
    let forged =
        SessionTokens::new(&SessionSettings::default(), key(9), None).issue(UnixSeconds(0), 42);
    assert_eq!(tokens().verify(NOW, &forged), Err(SessionTokenError::BadSignature));
}

#[test]
fn every_token_shown_is_counted_once() {
    let tokens = tokens();
    let token = tokens.issue(NOW, 42);
    let forged = SessionTokens::new(&SessionSettings::default(), key(9), None).issue(NOW, 42);
    let shown = [(NOW, &*token), (NOW, &token), (later(3_600), &token), (NOW, &forged), (NOW, "")];
    for (now, token) in shown {
        let _ = tokens.verify(now, token);
    }
    let want = SessionTokensSnapshot {
        n_issued: 1,
        n_valid: 2,
        n_malformed: 1,
        n_bad_signature: 1,
        n_expired: 1,
    };
    assert_eq!(tokens.snapshot(), want);
}

#[test]
fn every_single_bit_flipped_in_the_bytes_or_in_the_characters_is_refused() {
    let tokens = tokens();
    let token = tokens.issue(NOW, 42);
    let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let mut n_flipped = 0;
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(tokens.verify(NOW, &URL_SAFE_NO_PAD.encode(forged)).is_err(), "bit {bit}");
        n_flipped += 1;
    }
    for bit in 0..token.len() * 8 {
        let mut forged = token.clone().into_bytes();
        forged[bit / 8] ^= 1 << (bit % 8);
        let Ok(forged) = String::from_utf8(forged) else { continue };
        assert!(tokens.verify(NOW, &forged).is_err(), "bit {bit} of the characters");
        n_flipped += 1;
    }
    assert_eq!(n_flipped, 57 * 8 + 76 * 7, "the eighth bit of a character makes it no text");
}

proptest! {
    #[test]
    fn a_flipped_bit_is_refused_whoever_and_whenever(
        user in any::<u64>(),
        now in 0..u64::MAX / 2,
        bit in 0..57_usize * 8,
    ) {
        let (tokens, now) = (tokens(), UnixSeconds(now));
        let token = tokens.issue(now, user);
        prop_assert_eq!(tokens.verify(now, &token).unwrap().0.user, user);
        let mut forged = URL_SAFE_NO_PAD.decode(&token).unwrap();
        forged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(tokens.verify(now, &URL_SAFE_NO_PAD.encode(forged)).is_err());
    }

    #[test]
    fn no_text_makes_the_check_panic(token in ".{0,100}|[A-Za-z0-9_-]{76}") {
        prop_assert!(tokens().verify(NOW, &token).is_err());
    }
}
