//! Failover: somebody asks the primary to hand over, and it does.

use std::net::SocketAddr;

use lab_core::clock::MonotonicNs;

use super::{FaultError, Injection, PROBE_PATIENCE};
use crate::stack::{
    Stack,
    probe::{Seen, ask_strings, ping},
    redis_group::discovery::{MASTER, write},
};

/// `SENTINEL FAILOVER` to a sentinel, or `CLUSTER FAILOVER` to a replica. Nobody dies: clients are
/// connected to what becomes a replica, and have to find the new primary.
#[derive(Debug, Default)]
pub(super) struct Failover;

impl Injection for Failover {
    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(stack.redis_group().hand_over().await?)
    }

    /// Whether the hand-over is under way; that it is over is told by the event
    /// `failover_completed`.
    async fn look(&mut self, stack: &Stack) -> Seen {
        let group = stack.redis_group();
        let subject = group.subject().address();
        let Some(asked) = group.sentinels().first() else { return look_at_node(subject).await };
        match ask_strings(asked.address(), &["SENTINEL", "MASTER", MASTER], PROBE_PATIENCE).await {
            Ok(facts) if tells_of_hand_over(&facts, subject) => Seen::HandsOver,
            Ok(_) => ping(subject, PROBE_PATIENCE).await,
            Err(seen) => seen,
        }
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        *seen == Seen::HandsOver
    }

    /// Whoever is the primary now is asked to write beside, as for every fault of such a topology.
    fn is_well(&self, seen: &Seen) -> bool {
        match seen {
            Seen::HandsOver | Seen::Answered => true,
            Seen::Replied(reply) => reply == "+OK",
            _ => false,
        }
    }

    /// Nothing to end: the primary is another one from now on.
    async fn heal(&mut self, _stack: &Stack) -> Result<MonotonicNs, FaultError> {
        Ok(MonotonicNs::now())
    }
}

/// Whether a sentinel's facts, names and values by turns, tell that another server is the primary or
/// will be. Of the sentinels, only the one that was asked to knows before it is done.
fn tells_of_hand_over(facts: &[String], subject: SocketAddr) -> bool {
    let fact = |name: &str| {
        let mut pairs = facts.chunks_exact(2);
        pairs.find(|it| it[0] == name).map_or("", |it| it[1].as_str())
    };
    let is_under_way = fact("flags").split(',').any(|it| it == "failover_in_progress");
    is_under_way || fact("port") != subject.port().to_string()
}

/// A node that hands over keeps writers waiting, and then sends them elsewhere.
async fn look_at_node(subject: SocketAddr) -> Seen {
    match write(subject, PROBE_PATIENCE).await {
        Seen::Silent => Seen::HandsOver,
        Seen::Replied(reply) if reply.starts_with("-MOVED") => Seen::HandsOver,
        seen => seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_tells_of_a_hand_over_while_it_lasts_and_after_it() {
        let tells = |flags: &str, port: &str| {
            let facts = ["name", MASTER, "port", port, "flags", flags].map(str::to_owned);
            tells_of_hand_over(&facts, SocketAddr::from(([127, 0, 0, 1], 20_001)))
        };
        assert!(!tells("master", "20001"));
        assert!(tells("master,failover_in_progress,force_failover", "20001"));
        assert!(tells("master", "20002"));
        assert!(!tells("master,s_down", "20001"), "gone is not handed over");
    }
}
