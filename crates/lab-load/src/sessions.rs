//! The sessions that the virtual users hold.

use std::sync::{Mutex, MutexGuard};

use hyper::header::HeaderValue;
use serde::{Deserialize, Serialize};

/// What `POST /sessions` wants and what `GET /me` answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct User {
    /// The virtual user.
    pub(crate) user: u32,
}

/// What `POST /sessions` answers.
#[derive(Debug, Deserialize)]
struct Session {
    token: String,
}

/// The value of `authorization` for each virtual user that is logged in.
#[derive(Debug)]
pub(crate) struct Sessions {
    by_user: Mutex<Vec<Option<HeaderValue>>>,
}

impl Sessions {
    /// Nobody is logged in.
    pub(crate) fn new(n_users: u32) -> Self {
        Self { by_user: Mutex::new(vec![None; n_users as usize]) }
    }

    /// What `user` sends to use its session; `None` when it must log in first.
    pub(crate) fn authorization(&self, user: u32) -> Option<HeaderValue> {
        self.lock()[user as usize].clone()
    }

    /// Keeps the session that the body of an answer to a login grants. `false` when it grants none.
    pub(crate) fn log_in(&self, user: u32, body: &[u8]) -> bool {
        let authorization = serde_json::from_slice::<Session>(body)
            .ok()
            .filter(|session| !session.token.is_empty())
            .and_then(|session| HeaderValue::try_from(format!("Bearer {}", session.token)).ok());
        let granted = authorization.is_some();
        if granted {
            self.lock()[user as usize] = authorization;
        }
        granted
    }

    /// Forgets a session that the service no longer knows, unless `user` has a newer one.
    pub(crate) fn log_out(&self, user: u32, lost: &HeaderValue) {
        let session = &mut self.lock()[user as usize];
        if session.as_ref() == Some(lost) {
            *session = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<HeaderValue>>> {
        self.by_user.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_holds_the_session_it_was_granted_until_it_is_lost() {
        let sessions = Sessions::new(2);
        assert_eq!(sessions.authorization(1), None);
        assert!(sessions.log_in(1, br#"{"token":"abc"}"#));
        let held = sessions.authorization(1).unwrap();
        assert_eq!(held, "Bearer abc");
        assert_eq!(sessions.authorization(0), None);
        sessions.log_out(1, &held);
        assert_eq!(sessions.authorization(1), None);
    }

    #[test]
    fn losing_an_old_session_keeps_the_newer_one() {
        let sessions = Sessions::new(1);
        assert!(sessions.log_in(0, br#"{"token":"old"}"#));
        let old = sessions.authorization(0).unwrap();
        assert!(sessions.log_in(0, br#"{"token":"new"}"#));
        sessions.log_out(0, &old);
        assert_eq!(sessions.authorization(0).unwrap(), "Bearer new");
    }

    #[test]
    fn a_login_without_a_token_grants_nothing() {
        let sessions = Sessions::new(1);
        for body in ["", "{}", "null", r#"{"token":""}"#, "{\"token\":\"a\\nb\"}"] {
            assert!(!sessions.log_in(0, body.as_bytes()), "{body}");
        }
        assert_eq!(sessions.authorization(0), None);
    }
}
