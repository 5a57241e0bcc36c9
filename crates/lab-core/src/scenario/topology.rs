//! Which servers a variant runs on.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// The servers behind the service. A variant names the one that it is about; the usual is
/// [`Topology::Single`].
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// One Redis, one PostgreSQL.
    #[default]
    Single,
}

/// A fault that a topology does not have.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "variant `{variant}` runs on topology `{topology}`, which does not have fault `{fault}`; take \
     one of them away"
)]
pub struct FaultNotThere {
    /// The variant that asks for the topology.
    pub variant: String,
    /// The topology.
    pub topology: Topology,
    /// The fault.
    pub fault: Fault,
}

impl Topology {
    /// Every topology, in the order of tables.
    pub const ALL: [Self; 1] = [Self::Single];

    /// The name used on the command line and in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
        }
    }

    /// Which servers it has, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Single => "One Redis, one PostgreSQL, one storefront",
        }
    }

    /// Whether `fault` can be made there.
    pub fn has(self, _fault: Fault) -> bool {
        match self {
            Self::Single => true,
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
