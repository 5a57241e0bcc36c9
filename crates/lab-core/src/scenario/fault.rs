//! What the lab does to Redis.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A way in which Redis goes away. The cause, not what users see of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `SIGKILL`, and a restart with an empty memory. The kernel closes the sockets at once and
    /// refuses new connections, on both backends: containers share the host's network, so no
    /// network namespace goes away with the process.
    Crash,
    /// `SIGSTOP`, and `SIGCONT`. Sockets stay open, the kernel completes handshakes up to the
    /// backlog, and nothing answers.
    Pause,
}

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 2] = [Self::Crash, Self::Pause];

    /// The name used on the command line and in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Pause => "pause",
        }
    }

    /// What it does, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Crash => "Redis is killed (SIGKILL) and restarts empty",
            Self::Pause => "Redis is stopped (SIGSTOP): connections stay open, nothing answers",
        }
    }

    /// Parses the name used on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_survives_its_name() {
        for fault in Fault::ALL {
            assert_eq!(Fault::from_name(fault.name()), Some(fault));
        }
        assert_eq!(Fault::from_name("outage"), None);
    }
}
