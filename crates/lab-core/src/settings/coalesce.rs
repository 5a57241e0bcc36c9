//! Settings of coalescing.

use serde::{Deserialize, Serialize};

use super::Mode;

/// Coalescing of identical misses: one read of the database serves everybody who waits for it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CoalesceSettings {
    /// Off, observe or enforce.
    pub mode: Mode,
    /// How long a fill goes on. **Default** attached.
    pub fill: FillLifetime,
}

/// How long a fill goes on when callers leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FillLifetime {
    /// As long as at least one caller waits for it.
    #[default]
    Attached,
    /// To its end, whoever waits: work that was paid for is not thrown away.
    Detached,
}
