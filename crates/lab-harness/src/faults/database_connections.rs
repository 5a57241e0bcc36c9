//! Database connections: Redis is killed while somebody else holds half of PostgreSQL's connections.

use lab_core::clock::MonotonicNs;

use super::{
    FaultError, Injection,
    neighbour::{Neighbour, Witness},
};
use crate::stack::{Stack, probe::Seen};

/// A crash, after half of `max_connections` were taken. What asks the database for more connections
/// than usual may be refused.
#[derive(Debug, Default)]
pub(super) struct DatabaseConnections {
    witness: Option<Witness>,
    held: Vec<Neighbour>,
    /// How many are to be held.
    n_wanted: usize,
}

impl Injection for DatabaseConnections {
    async fn arm(&mut self, stack: &Stack) -> Result<(), FaultError> {
        let witness = Witness::connect(stack).await?;
        self.n_wanted = witness.max_connections().await? / 2;
        self.witness = Some(witness);
        Ok(())
    }

    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        while self.held.len() < self.n_wanted {
            self.held.push(Neighbour::connect(stack).await?);
        }
        Ok(stack.redis().kill().await?)
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        match &self.witness {
            Some(witness) => witness.look(stack, false).await,
            None => Seen::Other("the fault was not armed".to_owned()),
        }
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::WithNeighbours { n, redis }
            if **redis == Seen::Refused && self.n_wanted.max(1) <= *n)
    }

    fn is_well(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::WithNeighbours { n: 0, redis } if **redis == Seen::Answered)
    }

    async fn heal(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        self.held.clear();
        Ok(stack.redis().start().await?)
    }
}
