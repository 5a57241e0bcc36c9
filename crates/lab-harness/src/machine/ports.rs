//! Ports for the servers of a run.
//!
//! They come from below the kernel's ephemeral range: a dead Redis port inside that range can be
//! taken as somebody's source port, and a reconnect loop can even connect to itself.

use std::{
    net::TcpListener,
    ops::RangeInclusive,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Where the lab's ports come from.
pub const RANGE: RangeInclusive<u16> = 20_000..=29_999;
/// Ports that one process takes before it comes to those where the next one begins: several times
/// what the servers of a trial need.
const STRIDE: usize = 200;

/// Too many ports of the range are taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fewer than {wanted} ports are free between {} and {}", RANGE.start(), RANGE.end())]
pub struct NoFreePort {
    /// How many were wanted.
    pub wanted: usize,
}

/// Picks `n` ports of loopback that nobody listens on. Nobody listens on those of a server that is
/// down either, so each process begins elsewhere, and goes on where it stopped: a port comes back
/// only when all others of the range were given. **Errors**: the range is full.
pub fn pick(n: usize) -> Result<Vec<u16>, NoFreePort> {
    static N_PASSED: AtomicUsize = AtomicUsize::new(0);
    let begin = usize::try_from(std::process::id()).unwrap_or_default() * STRIDE;
    pick_from(
        std::iter::repeat_with(|| begin + N_PASSED.fetch_add(1, Ordering::Relaxed))
            .take(RANGE.len())
            .map(|it| RANGE.start() + u16::try_from(it % RANGE.len()).expect("in the range")),
        n,
    )
}

/// The first `n` free ones of `candidates`.
fn pick_from(candidates: impl Iterator<Item = u16>, n: usize) -> Result<Vec<u16>, NoFreePort> {
    // All are held until the last is found, so that none is given twice.
    let held: Vec<(u16, TcpListener)> = candidates
        .filter_map(|port| Some((port, TcpListener::bind(("127.0.0.1", port)).ok()?)))
        .take(n)
        .collect();
    if held.len() < n {
        return Err(NoFreePort { wanted: n });
    }
    Ok(held.into_iter().map(|(port, _)| port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let free = pick(2).unwrap();
        assert!(free.iter().all(|it| RANGE.contains(it)) && free[0] != free[1]);
        let taken = TcpListener::bind(("127.0.0.1", free[0])).unwrap();
        assert_eq!(pick_from(free.iter().copied(), 1), Ok(vec![free[1]]));
        assert_eq!(pick_from(free.iter().copied(), 2), Err(NoFreePort { wanted: 2 }));
        drop(taken);
    }

    #[test]
    fn a_port_is_not_given_again_while_there_are_others() {
        let first = pick(3).unwrap();
        let next = pick(3).unwrap();
        assert!(first.iter().all(|it| !next.contains(it)), "{first:?} {next:?}");
    }
}
