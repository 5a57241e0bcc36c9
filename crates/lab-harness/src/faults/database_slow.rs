//! Database slow: Redis is killed while somebody else's queries take PostgreSQL's processor.

use lab_core::clock::MonotonicNs;

use super::{
    FaultError, Injection,
    neighbour::{Busy, Neighbour, Witness},
};
use crate::stack::{Stack, probe::Seen};

/// How many neighbours work. Chosen: as many as the pool of the service has connections, so that
/// they take about half of the processor from a service that uses all of its own.
const N_BUSY: usize = 20;

/// A crash, after twenty sessions began to compute. What falls back to the database finds half of
/// it.
#[derive(Debug, Default)]
pub(super) struct DatabaseSlow {
    witness: Option<Witness>,
    busy: Vec<Busy>,
}

impl Injection for DatabaseSlow {
    async fn arm(&mut self, stack: &Stack) -> Result<(), FaultError> {
        self.witness = Some(Witness::connect(stack).await?);
        Ok(())
    }

    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let mut idle = Vec::new();
        while idle.len() < N_BUSY {
            idle.push(Neighbour::connect(stack).await?);
        }
        self.busy = idle.into_iter().map(Neighbour::work).collect();
        Ok(stack.redis().kill().await?)
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        match &self.witness {
            // Before and after the fault none may be there, at work or not.
            Some(witness) => witness.look(stack, !self.busy.is_empty()).await,
            None => Seen::Other("the fault was not armed".to_owned()),
        }
    }

    /// Between two of its statements a neighbour is idle for a moment.
    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::WithNeighbours { n, redis }
            if **redis == Seen::Refused && N_BUSY / 2 < *n)
    }

    fn is_well(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::WithNeighbours { n: 0, redis } if **redis == Seen::Answered)
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        self.busy.clear();
        Ok(stack.redis().start().await?)
    }
}
