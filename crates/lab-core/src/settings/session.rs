//! Settings of sessions: where they are kept and how long they last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::SettingsError;

/// Shortest and longest `lifetime`: a token counts whole seconds, and one that cannot be taken
/// back should not outlive a month.
const LIFETIME_RANGE: [Duration; 2] =
    [Duration::from_secs(1), Duration::from_secs(30 * 24 * 60 * 60)];

/// Where a session is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionStore {
    /// In Redis only, as commonly shipped.
    #[default]
    Redis,
    /// With the user, in a cookie that the service has signed.
    SignedCookie,
    /// In a table of the database.
    Database,
}

/// Sessions. They have no mode: a session is somewhere, or there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionSettings {
    /// Where a session is kept.
    pub store: SessionStore,
    /// Time from logging in until the session ends. **Default** 1 h, longer than any trial.
    /// **Range**: from 1 s to 30 days.
    #[serde(with = "humantime_serde")]
    pub lifetime: Duration,
}

impl Default for SessionSettings {
    fn default() -> Self {
        Self { store: SessionStore::Redis, lifetime: Duration::from_secs(60 * 60) }
    }
}

impl SessionSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let [shortest, longest] = LIFETIME_RANGE;
        if (shortest..=longest).contains(&self.lifetime) {
            Ok(())
        } else {
            Err(SettingsError::new("session.lifetime", "from 1s to 30days", self.lifetime))
        }
    }
}
