//! What the lab does to Redis.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A way in which Redis goes away, or is there and of no use. The cause, not what users see of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// `SIGKILL`, and a restart with an empty memory, or with a snapshot where the variant restores
    /// one. The kernel closes the sockets at once and refuses new connections, on both backends:
    /// containers share the host's network, so no network namespace goes away with the process.
    Crash,
    /// `SIGSTOP`, and `SIGCONT`. Sockets stay open, the kernel completes handshakes up to the
    /// backlog, and nothing answers.
    Pause,
    /// Scripts of 50 ms, back to back. Every call is answered, after up to that or somewhat more.
    SlowServer,
    /// `FLUSHALL`. Redis is well and knows nothing.
    Cold,
    /// `UNLINK` of the 200 keys that were read most.
    ExpireHot,
    /// `SIGKILL`, and a restart that answers `LOADING` until the end of the fault, when the
    /// contents of before the load are back.
    Loading,
    /// A replica of a primary that is not there: reads work, writes are answered `READONLY`.
    ReadOnly,
    /// `maxmemory` reached under `noeviction`: reads work, writes are answered `OOM`.
    OutOfMemory,
    /// All connections belong to somebody else: those of the service are closed, new ones refused
    /// with an error.
    MaxClients,
    /// [`Fault::Crash`] while twenty sessions of somebody else's compute in PostgreSQL.
    DatabaseSlow,
    /// [`Fault::Crash`] while somebody else holds half of PostgreSQL's `max_connections`.
    DatabaseConnections,
    /// On the wire: replies 40 to 60 ms later.
    Latency,
    /// On the wire: 256 KB/s for all replies of a connection together.
    Bandwidth,
    /// On the wire: nothing arrives any more, and no new connection comes about.
    BlackHole,
    /// On the wire: every connection is reset, new ones right after their handshake.
    Reset,
    /// On the wire: half of the next reply on each connection, and then nothing.
    HalfReply,
    /// On the wire: three commands of ten are answered with an error.
    Partial,
    /// On the wire: a second of [`Fault::Reset`], a second of health, and so on.
    Flap,
    /// [`Fault::Crash`] of every Redis server at once; sentinels live on.
    CrashAll,
    /// A hand-over that somebody asked for: the replica becomes primary, the primary its replica.
    Failover,
}

/// A fault phase that is too short for its fault.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "fault `{fault}` needs a fault phase of {least:?}, this one has {length:?}; take a longer \
     --profile, or set phases.fault in the campaign"
)]
pub struct FaultPhaseTooShort {
    /// The fault.
    pub fault: Fault,
    /// What it needs.
    pub least: Duration,
    /// Length of the fault phase.
    pub length: Duration,
}

impl Fault {
    /// Every fault, in the order of tables.
    pub const ALL: [Self; 20] = [
        Self::Crash,
        Self::Pause,
        Self::SlowServer,
        Self::Cold,
        Self::ExpireHot,
        Self::Loading,
        Self::ReadOnly,
        Self::OutOfMemory,
        Self::MaxClients,
        Self::DatabaseSlow,
        Self::DatabaseConnections,
        Self::Latency,
        Self::Bandwidth,
        Self::BlackHole,
        Self::Reset,
        Self::HalfReply,
        Self::Partial,
        Self::Flap,
        Self::CrashAll,
        Self::Failover,
    ];

    /// The name used on the command line and in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Pause => "pause",
            Self::SlowServer => "slow-server",
            Self::Cold => "cold",
            Self::ExpireHot => "expire-hot",
            Self::Loading => "loading",
            Self::ReadOnly => "read-only",
            Self::OutOfMemory => "out-of-memory",
            Self::MaxClients => "max-clients",
            Self::DatabaseSlow => "database-slow",
            Self::DatabaseConnections => "database-connections",
            Self::Latency => "latency",
            Self::Bandwidth => "bandwidth",
            Self::BlackHole => "black-hole",
            Self::Reset => "reset",
            Self::HalfReply => "half-reply",
            Self::Partial => "partial",
            Self::Flap => "flap",
            Self::CrashAll => "crash-all",
            Self::Failover => "failover",
        }
    }

    /// What it does, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Crash => "Redis is killed (SIGKILL) and restarts empty",
            Self::Pause => "Redis is stopped (SIGSTOP): connections stay open, nothing answers",
            Self::SlowServer => "Redis runs somebody's slow scripts: it answers, some 50 ms late",
            Self::Cold => "Redis is emptied (FLUSHALL) and answers",
            Self::ExpireHot => "The 200 hottest keys are gone at once, the others stay",
            Self::Loading => "Redis is killed and reads its snapshot: LOADING, then full again",
            Self::ReadOnly => "Redis became a replica: reads work, writes are refused (READONLY)",
            Self::OutOfMemory => "Redis is full: reads work, writes are refused (OOM)",
            Self::MaxClients => "Redis' connections are taken: open ones closed, new ones refused",
            Self::DatabaseSlow => {
                "Redis is killed while somebody else's queries keep PostgreSQL busy"
            }
            Self::DatabaseConnections => {
                "Redis is killed while somebody else holds half of PostgreSQL's connections"
            }
            Self::Latency => "Replies of Redis arrive 40 to 60 ms later",
            Self::Bandwidth => "The wire to Redis carries 256 KB/s",
            Self::BlackHole => "Nothing from Redis arrives, and connects never complete",
            Self::Reset => "Connections to Redis are reset, new ones too",
            Self::HalfReply => "Replies of Redis stop in the middle",
            Self::Partial => "Three commands of ten fail, the others are well",
            Self::Flap => "Connections are reset for a second, well for a second, and so on",
            Self::CrashAll => "Every Redis server is killed, replicas too, and restarts empty",
            Self::Failover => "The primary is asked to hand over to its replica, and does",
        }
    }

    /// Whether it happens between the service and Redis, so that a proxy must stand there.
    pub fn is_on_wire(self) -> bool {
        match self {
            Self::Latency
            | Self::Bandwidth
            | Self::BlackHole
            | Self::Reset
            | Self::HalfReply
            | Self::Partial
            | Self::Flap => true,
            Self::Crash
            | Self::Pause
            | Self::SlowServer
            | Self::Cold
            | Self::ExpireHot
            | Self::Loading
            | Self::ReadOnly
            | Self::OutOfMemory
            | Self::MaxClients
            | Self::DatabaseSlow
            | Self::DatabaseConnections
            | Self::CrashAll
            | Self::Failover => false,
        }
    }

    /// Whether Redis is killed, and comes back with nothing but what it kept on disk.
    pub fn restarts_empty(self) -> bool {
        matches!(
            self,
            Self::Crash | Self::CrashAll | Self::DatabaseSlow | Self::DatabaseConnections
        )
    }

    /// The shortest fault phase that shows it: two sliding windows of the time to mitigate; a
    /// second more for a Redis that must restart inside the phase; two periods of one that flaps.
    pub fn least_length(self) -> Duration {
        let seconds = match self {
            Self::Loading => 3,
            Self::Flap => 4,
            _ => 2,
        };
        Duration::from_secs(seconds)
    }

    /// Checks that a fault phase of `length` shows this fault.
    ///
    /// **Errors**: it is shorter than [`Self::least_length`].
    pub fn check_length(self, length: Duration) -> Result<(), FaultPhaseTooShort> {
        let least = self.least_length();
        if length < least {
            return Err(FaultPhaseTooShort { fault: self, least, length });
        }
        Ok(())
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
    fn every_fault_survives_its_name_on_the_command_line_and_in_files() {
        for fault in Fault::ALL {
            assert_eq!(Fault::from_name(fault.name()), Some(fault));
            let written = serde_json::to_string(&fault).unwrap();
            assert_eq!(written, format!("\"{fault}\""));
            assert_eq!(serde_json::from_str::<Fault>(&written).unwrap(), fault);
        }
        assert_eq!(Fault::from_name("outage"), None);
    }

    #[test]
    fn a_phase_shorter_than_its_fault_needs_is_refused_with_both() {
        assert_eq!(Fault::Loading.check_length(Duration::from_secs(3)), Ok(()));
        let error = Fault::Loading.check_length(Duration::from_secs(2)).unwrap_err().to_string();
        for part in ["`loading`", "3s", "2s", "--profile"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
