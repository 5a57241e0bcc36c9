//! Injects faults, has them confirmed by a probe that is not the injector, and ends them.
//!
//! One file per fault. The probe is a fresh connection to where the service connects, so it sees
//! what a new client of the service would see.

use std::time::Duration;

use lab_core::{clock::MonotonicNs, scenario::Fault};
use tokio::{task::JoinHandle, time::sleep};

use crate::stack::{
    Stack, StackError,
    probe::{Seen, ping},
    redis_group::discovery,
};

mod admin;
mod bandwidth;
mod black_hole;
mod cold;
mod crash;
mod crash_all;
mod database_connections;
mod database_slow;
mod expire_hot;
mod failover;
mod flap;
mod half_reply;
mod latency;
mod loading;
mod max_clients;
mod neighbour;
mod out_of_memory;
mod partial;
mod pause;
mod read_only;
mod reset;
mod slow_server;
mod takeover;
mod wire;

use bandwidth::Bandwidth;
use black_hole::BlackHole;
use cold::Cold;
use crash::Crash;
use crash_all::CrashAll;
use database_connections::DatabaseConnections;
use database_slow::DatabaseSlow;
use expire_hot::ExpireHot;
use failover::Failover;
use flap::Flap;
use half_reply::HalfReply;
use latency::Latency;
use loading::Loading;
use max_clients::MaxClients;
use out_of_memory::OutOfMemory;
use partial::Partial;
use pause::Pause;
use read_only::ReadOnly;
use reset::Reset;
use slow_server::SlowServer;
pub use takeover::Takeover;
use takeover::TakeoverWatch;

/// A fault must be seen within this time from the first probe, else the trial is invalid.
pub const CONFIRM_WITHIN: Duration = Duration::from_millis(250);
/// How long one probe waits before it says that nothing came back.
const PROBE_PATIENCE: Duration = Duration::from_millis(100);
/// Time between two probes. Finer than the 100 ms bins of the analysis.
const PROBE_INTERVAL: Duration = Duration::from_millis(2);
/// Longest wait for the dependency to answer again.
const HEAL_TIMEOUT: Duration = Duration::from_secs(30);

/// One way in which Redis goes away, and what it must keep from its start to its end.
trait Injection {
    /// Prepares, before the load, what the fault or its probe needs. Users see nothing of it.
    async fn arm(&mut self, _stack: &Stack) -> Result<(), FaultError> {
        Ok(())
    }

    /// Starts the fault; the time right after the call that makes it returned is its origin.
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError>;

    /// What a new client meets now.
    async fn look(&mut self, stack: &Stack) -> Seen {
        ping(stack.redis_addr(), PROBE_PATIENCE).await
    }

    /// Whether that is the fault.
    fn is_effect(&self, seen: &Seen) -> bool;

    /// Whether that is a Redis that is well.
    fn is_well(&self, seen: &Seen) -> bool {
        *seen == Seen::Answered
    }

    /// Ends the fault; returns the time right after the call that ends it returned.
    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError>;
}

/// What the probe saw, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    /// When the probe knew.
    pub at: MonotonicNs,
    /// What it saw, in words.
    pub saw: String,
}

/// A fault that cannot be made or ended.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// A verb of the server fails.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// Redis takes no connection of the injector.
    #[error("the injector cannot connect to redis: {source}")]
    Connect {
        /// Why.
        source: redis::RedisError,
    },
    /// A fault on the wire, and no proxy on it.
    #[error("the stack has no proxy between the service and redis")]
    NoWire,
    /// PostgreSQL refuses somebody else.
    #[error("postgres refused a neighbour of the service: {0}")]
    Neighbour(#[from] tokio_postgres::Error),
    /// Redis refuses a command of the injector.
    #[error("redis refused `{command}`: {source}")]
    Command {
        /// The command.
        command: String,
        /// Why.
        source: redis::RedisError,
    },
}

/// Redis does not answer although the fault was ended.
#[derive(Debug, thiserror::Error)]
#[error("redis is not well {} s after the fault was ended: {saw}", HEAL_TIMEOUT.as_secs())]
pub struct NotHealed {
    /// What the last probe saw.
    pub saw: String,
}

/// A fault of one trial, from before its start to after its end. Dropping it ends what it has
/// running; a server that it changed stays changed until the next reset.
#[derive(Debug)]
pub struct ArmedFault {
    kind: Kind,
    /// Where another server can take over, and only while the fault is on.
    takeover: Option<TakeoverWatch>,
}

#[derive(Debug)]
enum Kind {
    Crash(Crash),
    Pause(Pause),
    SlowServer(SlowServer),
    Cold(Cold),
    ExpireHot(ExpireHot),
    Loading(Loading),
    ReadOnly(ReadOnly),
    OutOfMemory(OutOfMemory),
    MaxClients(MaxClients),
    DatabaseSlow(DatabaseSlow),
    DatabaseConnections(DatabaseConnections),
    Latency(Latency),
    Bandwidth(Bandwidth),
    BlackHole(BlackHole),
    Reset(Reset),
    HalfReply(HalfReply),
    Partial(Partial),
    Flap(Flap),
    CrashAll(CrashAll),
    Failover(Failover),
}

/// The same expression for whichever fault it is.
macro_rules! with_injection {
    ($kind:expr, $it:ident => $value:expr) => {
        match $kind {
            Kind::Crash($it) => $value,
            Kind::Pause($it) => $value,
            Kind::SlowServer($it) => $value,
            Kind::Cold($it) => $value,
            Kind::ExpireHot($it) => $value,
            Kind::Loading($it) => $value,
            Kind::ReadOnly($it) => $value,
            Kind::OutOfMemory($it) => $value,
            Kind::MaxClients($it) => $value,
            Kind::DatabaseSlow($it) => $value,
            Kind::DatabaseConnections($it) => $value,
            Kind::Latency($it) => $value,
            Kind::Bandwidth($it) => $value,
            Kind::BlackHole($it) => $value,
            Kind::Reset($it) => $value,
            Kind::HalfReply($it) => $value,
            Kind::Partial($it) => $value,
            Kind::Flap($it) => $value,
            Kind::CrashAll($it) => $value,
            Kind::Failover($it) => $value,
        }
    };
}

impl ArmedFault {
    /// Prepares `fault` on a stack that was reset and serves nobody yet.
    ///
    /// **Errors**: Redis does not take what the fault needs.
    pub async fn arm(fault: Fault, stack: &Stack) -> Result<Self, FaultError> {
        stack.redis_group().aim_at_primary().await?;
        let mut kind = Kind::of(fault);
        with_injection!(&mut kind, it => it.arm(stack).await)?;
        Ok(Self { kind, takeover: None })
    }

    /// Starts the fault, on whoever is the primary now. The returned time, right after the call that
    /// makes it, is the fault's origin.
    ///
    /// **Errors**: Redis is down already, or cannot be brought into that state.
    pub async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let group = stack.redis_group();
        if let Err(error) = group.aim_at_primary().await {
            tracing::warn!(%error, "the fault acts on the primary of before the load");
        }
        let injected_at = with_injection!(&mut self.kind, it => it.inject(stack).await)?;
        let watch = || TakeoverWatch::begin(group);
        self.takeover = group.topology().fails_over().then(watch);
        Ok(injected_at)
    }

    /// The other server that has taken over since the fault began, if one has.
    pub fn takeover(&self) -> Option<Takeover> {
        self.takeover.as_ref()?.seen()
    }

    /// Looks for the effect of the fault for up to 250 ms.
    ///
    /// **Errors**: what the last probe saw instead; the trial is then invalid.
    pub async fn confirm(&mut self, stack: &Stack) -> Result<Confirmation, Confirmation> {
        let deadline = MonotonicNs::now().plus(CONFIRM_WITHIN);
        loop {
            let (seen, at) = self.look(stack).await;
            let confirmation = Confirmation { at, saw: seen.to_string() };
            if with_injection!(&self.kind, it => it.is_effect(&seen)) {
                return Ok(confirmation);
            }
            if deadline <= at {
                return Err(confirmation);
            }
            sleep(PROBE_INTERVAL).await;
        }
    }

    /// Ends the fault, and the search for another primary with it. Returns the time right after the call that ends it returned: after a crash,
    /// that of the start, which itself waits for the first answer.
    ///
    /// **Errors**: Redis cannot be started, continued or set back.
    pub async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        self.takeover = None;
        with_injection!(&mut self.kind, it => it.heal(stack).await)
    }

    /// Waits until a new client finds Redis well: the end of the fault window. Where several servers
    /// are, the one that the fault was about is back and whoever is the primary accepts writes.
    ///
    /// **Errors**: it does not, for 30 s.
    pub async fn confirm_healed(&mut self, stack: &Stack) -> Result<Confirmation, NotHealed> {
        let deadline = MonotonicNs::now().plus(HEAL_TIMEOUT);
        loop {
            let (seen, at) = self.look(stack).await;
            let mut saw = seen.to_string();
            if with_injection!(&self.kind, it => it.is_well(&seen)) {
                match primary_is_well(stack).await {
                    Ok(()) => return Ok(Confirmation { at: MonotonicNs::now(), saw }),
                    Err(seen) => saw = seen,
                }
            }
            if deadline <= at {
                return Err(NotHealed { saw });
            }
            sleep(PROBE_INTERVAL).await;
        }
    }

    /// What a new client meets, and when that was known.
    async fn look(&mut self, stack: &Stack) -> (Seen, MonotonicNs) {
        let seen = with_injection!(&mut self.kind, it => it.look(stack).await);
        let at = if let Seen::Late { at, .. } = seen { at } else { MonotonicNs::now() };
        (seen, at)
    }
}

impl Kind {
    fn of(fault: Fault) -> Self {
        match fault {
            Fault::Crash => Self::Crash(Crash),
            Fault::Pause => Self::Pause(Pause),
            Fault::SlowServer => Self::SlowServer(SlowServer::default()),
            Fault::Cold => Self::Cold(Cold),
            Fault::ExpireHot => Self::ExpireHot(ExpireHot::default()),
            Fault::Loading => Self::Loading(Loading),
            Fault::ReadOnly => Self::ReadOnly(ReadOnly),
            Fault::OutOfMemory => Self::OutOfMemory(OutOfMemory),
            Fault::MaxClients => Self::MaxClients(MaxClients::default()),
            Fault::DatabaseSlow => Self::DatabaseSlow(DatabaseSlow::default()),
            Fault::DatabaseConnections => Self::DatabaseConnections(DatabaseConnections::default()),
            Fault::Latency => Self::Latency(Latency),
            Fault::Bandwidth => Self::Bandwidth(Bandwidth),
            Fault::BlackHole => Self::BlackHole(BlackHole),
            Fault::Reset => Self::Reset(Reset),
            Fault::HalfReply => Self::HalfReply(HalfReply),
            Fault::Partial => Self::Partial(Partial),
            Fault::Flap => Self::Flap(Flap::default()),
            Fault::CrashAll => Self::CrashAll(CrashAll),
            Fault::Failover => Self::Failover(Failover),
        }
    }
}

/// **Errors**: there are several servers, and none of them is a primary that accepts writes.
async fn primary_is_well(stack: &Stack) -> Result<(), String> {
    let group = stack.redis_group();
    if !group.topology().fails_over() {
        return Ok(());
    }
    group.discovery().writable_primary(None, PROBE_PATIENCE).await.map(drop)
}

/// A task that ends with whoever holds it.
#[derive(Debug)]
struct Background<T>(JoinHandle<T>);

impl<T> Drop for Background<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What `look` sees, told to be late when it took at least `late` in two of three looks.
async fn timed(late: Duration, mut look: impl AsyncFnMut() -> Seen) -> Seen {
    late_twice(late, async || {
        let asked_at = MonotonicNs::now();
        let seen = look().await;
        Look { seen, asked_at, after: since(asked_at) }
    })
    .await
}

/// What one look saw.
struct Look {
    seen: Seen,
    asked_at: MonotonicNs,
    /// How long it took.
    after: Duration,
}

/// How often to look before an answer is called late.
const LOOKS: usize = 3;

/// Late once is not enough: on a busy machine any answer is late now and then, and who looks often
/// enough meets it. Nor is one answer in time enough to call the first chance: between two scripts
/// that hold a server, one may slip through.
async fn late_twice(late: Duration, mut look: impl AsyncFnMut() -> Look) -> Seen {
    let mut first_late: Option<Look> = None;
    for _ in 0..LOOKS {
        let it = look().await;
        let is_late = it.seen == Seen::Answered && late <= it.after;
        match first_late {
            Some(first) if is_late => {
                let after = first.after.min(it.after);
                return Seen::Late { after, at: first.asked_at.plus(late) };
            }
            None if is_late => first_late = Some(it),
            Some(_) if it.seen == Seen::Answered => {}
            _ => return it.seen,
        }
    }
    Seen::Answered
}

fn since(start: MonotonicNs) -> Duration {
    MonotonicNs::now().saturating_since(start)
}

/// What a new client meets that writes a key of its own, which is gone a second later.
async fn write_probe(stack: &Stack) -> Seen {
    discovery::write(stack.redis_addr(), PROBE_PATIENCE).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replied(line: &str) -> Seen {
        Seen::Replied(line.to_owned())
    }

    /// What a new client can meet, in the order of the columns below.
    fn all_seen() -> [Seen; 18] {
        [
            Seen::Answered,
            Seen::Refused,
            Seen::Silent,
            Seen::Late { after: Duration::from_millis(90), at: MonotonicNs(0) },
            Seen::Other("the connection broke".into()),
            replied("+OK"),
            replied("$-1"),
            replied("-LOADING Redis is loading the dataset in memory"),
            replied("-READONLY You can't write against a read only replica."),
            replied("-OOM command not allowed when used memory > 'maxmemory'."),
            replied("-ERR max number of clients reached"),
            Seen::Refused.with_neighbours(50),
            Seen::Refused.with_neighbours(0),
            Seen::NoHandshake,
            Seen::Broken,
            Seen::Half,
            Seen::Some { n_failed: 20, n: 64 },
            Seen::HandsOver,
        ]
    }

    #[test]
    fn each_fault_is_told_by_one_effect_and_by_no_other() {
        for (fault, effect) in [
            (Fault::Crash, 1),
            (Fault::Pause, 2),
            (Fault::SlowServer, 3),
            (Fault::Cold, 6),
            (Fault::Loading, 7),
            (Fault::ReadOnly, 8),
            (Fault::OutOfMemory, 9),
            (Fault::MaxClients, 10),
            (Fault::DatabaseSlow, 11),
            (Fault::Latency, 3),
            (Fault::Bandwidth, 3),
            (Fault::BlackHole, 13),
            (Fault::Reset, 14),
            (Fault::Flap, 14),
            (Fault::HalfReply, 15),
            (Fault::Partial, 16),
            (Fault::CrashAll, 1),
            (Fault::Failover, 17),
        ] {
            let kind = Kind::of(fault);
            for (at, seen) in all_seen().iter().enumerate() {
                let told = with_injection!(&kind, it => it.is_effect(seen));
                assert_eq!(told, at == effect, "{fault}: {seen}");
            }
        }
    }

    #[test]
    fn no_effect_is_taken_for_health() {
        for fault in Fault::ALL {
            let kind = Kind::of(fault);
            for seen in all_seen() {
                let (effect, well) =
                    with_injection!(&kind, it => (it.is_effect(&seen), it.is_well(&seen)));
                // An emptied cache is well, as far as can be told: it answers. Nor is anything wrong
                // with a server that has handed over.
                let nothing_to_end = [Fault::Cold, Fault::Failover].contains(&fault);
                assert!(!(effect && well) || nothing_to_end, "{fault}: {seen}");
            }
            let failed = [Seen::Refused, Seen::Silent, replied("-LOADING")];
            for seen in failed {
                assert!(!with_injection!(&kind, it => it.is_well(&seen)), "{fault}: {seen}");
            }
        }
    }

    // A machine that stalls makes one answer late; a server that is slow makes nearly each.
    #[tokio::test]
    async fn two_late_answers_of_three_are_late_from_when_the_first_was_due() {
        let ms = Duration::from_millis;
        let told = async |seen: [Seen; 3], after_ms: [u64; 3]| {
            // Asked at 1 s, 2 s and 3 s.
            let mut looks = seen.into_iter().zip(after_ms).zip(1..);
            late_twice(ms(25), async || {
                let ((seen, after_ms), asked_at_s) = looks.next().expect("three looks at most");
                let asked_at = MonotonicNs(asked_at_s * 1_000_000_000);
                Look { seen, asked_at, after: ms(after_ms) }
            })
            .await
        };
        let answered = || [const { Seen::Answered }; 3];
        let late = |after_ms| Seen::Late { after: ms(after_ms), at: MonotonicNs(1_025_000_000) };
        assert_eq!(told(answered(), [24, 90, 90]).await, Seen::Answered);
        assert_eq!(told(answered(), [90, 24, 24]).await, Seen::Answered);
        assert_eq!(told(answered(), [90, 25, 24]).await, late(25));
        assert_eq!(told(answered(), [90, 24, 91]).await, late(90));
        let silent = [Seen::Answered, Seen::Answered, Seen::Silent];
        assert_eq!(told(silent, [90, 24, 90]).await, Seen::Silent);
        assert_eq!(told([const { Seen::Silent }; 3], [90, 90, 90]).await, Seen::Silent);
    }

    // Half of the hottest keys, and one fewer.
    #[test]
    fn hot_keys_are_gone_when_fewer_than_half_are_there() {
        let hot = ExpireHot::of(vec!["key".to_owned(); 10]);
        assert!(hot.is_effect(&replied(":4")));
        assert!(!hot.is_effect(&replied(":5")));
        assert!(!hot.is_effect(&Seen::Answered));
        assert!(hot.is_well(&replied(":5")) && !hot.is_well(&Seen::Refused));
    }
}
