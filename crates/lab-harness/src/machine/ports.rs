//! Ports for the servers of a run.
//!
//! They come from below the kernel's ephemeral range: a dead Redis port inside that range can be
//! taken as somebody's source port, and a reconnect loop can even connect to itself.

use std::{net::TcpListener, ops::RangeInclusive};

use lab_core::{clock::MonotonicNs, seed::mix};

/// Where the lab's ports come from.
pub const RANGE: RangeInclusive<u16> = 20_000..=29_999;

/// Too many ports of the range are taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fewer than {wanted} ports are free between {} and {}", RANGE.start(), RANGE.end())]
pub struct NoFreePort {
    /// How many were wanted.
    pub wanted: usize,
}

/// Picks `n` ports of loopback that nobody listens on, starting at a random one so that two labs
/// that ask at the same time get different ones. **Errors**: the range is full.
pub fn pick(n: usize) -> Result<Vec<u16>, NoFreePort> {
    let size = u64::try_from(RANGE.len()).expect("ten thousand fits");
    let seed = mix(MonotonicNs::now().0 ^ (u64::from(std::process::id()) << 40));
    let offset = u16::try_from(seed % size).expect("less than ten thousand");
    let first = RANGE.start() + offset;
    pick_from((first..=*RANGE.end()).chain(*RANGE.start()..first), n)
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
}
