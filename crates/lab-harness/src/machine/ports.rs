//! Ports for the servers of a run.
//!
//! They come from below the kernel's ephemeral range: a dead Redis port inside that range can be
//! taken as somebody's source port, and a reconnect loop can even connect to itself.

use std::{
    io,
    net::TcpListener,
    ops::RangeInclusive,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    sync::{Mutex, PoisonError},
};

/// Where the lab's ports come from.
pub const RANGE: RangeInclusive<u16> = 20_000..=29_999;
/// Ports that a process claims at a time: what the servers of a trial need, and some more.
const BLOCK: u16 = 50;
const N_BLOCKS: u16 = (*RANGE.end() - *RANGE.start() + 1) / BLOCK;

/// Too many ports of the range are taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("fewer than {wanted} ports are free between {} and {}", RANGE.start(), RANGE.end())]
pub struct NoFreePort {
    /// How many were wanted.
    pub wanted: usize,
}

/// Picks `n` ports of loopback that nobody listens on. Nobody listens on those of a server that is
/// down either, so a port belongs to the process that was given it, until that ends, and it comes
/// back only when all others that this process can have were given. **Errors**: the range is full.
pub fn pick(n: usize) -> Result<Vec<u16>, NoFreePort> {
    static CLAIMS: Mutex<Claims> = Mutex::new(Claims::new("outage-lab ports"));
    let mut claims = CLAIMS.lock().unwrap_or_else(PoisonError::into_inner);
    pick_from(std::iter::from_fn(|| claims.next_port()).take(RANGE.len()), n)
}

/// The ports of one process, in blocks.
///
/// A block is claimed by a socket in Linux' abstract namespace: it is gone with its process however
/// that ends, leaves no file, and is seen as far as the ports are (by a network's namespace).
#[derive(Debug)]
struct Claims {
    /// What the sockets' names begin with.
    name: &'static str,
    sockets: Vec<UnixListener>,
    ports: Vec<u16>,
    /// How many of `ports` were given since the first was.
    n_given: usize,
}

impl Claims {
    const fn new(name: &'static str) -> Self {
        Self { name, sockets: Vec::new(), ports: Vec::new(), n_given: 0 }
    }

    /// The next port; `None` when there is no block at all.
    fn next_port(&mut self) -> Option<u16> {
        if self.n_given == self.ports.len() && !self.claim_block() {
            self.n_given = 0;
        }
        let port = *self.ports.get(self.n_given)?;
        self.n_given += 1;
        Some(port)
    }

    /// Claims a block that is nobody's. Each process begins to look elsewhere, so that the ports of
    /// one that has just ended rest for a while.
    fn claim_block(&mut self) -> bool {
        let begin = std::process::id() % u32::from(N_BLOCKS);
        let begin = u16::try_from(begin).expect("less than the number of blocks");
        let mut blocks = (0..N_BLOCKS).map(|it| RANGE.start() + (begin + it) % N_BLOCKS * BLOCK);
        let claimed = blocks.find_map(|first| Some((first, self.claim(first).ok()?)));
        let Some((first, socket)) = claimed else { return false };
        self.sockets.push(socket);
        self.ports.extend(first..first + BLOCK);
        true
    }

    /// Claims the block that begins with this port. **Errors**: it is somebody's.
    fn claim(&self, first: u16) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(format!("{} {first}", self.name))?)
    }
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

    fn next_of(claims: &mut Claims, n: u16) -> Vec<u16> {
        (0..n).map(|_| claims.next_port().unwrap()).collect()
    }

    #[test]
    fn a_port_that_somebody_else_was_given_is_not_given() {
        let [mut one, mut other] = [(); 2].map(|()| Claims::new("test of two"));
        let its = next_of(&mut one, BLOCK + 1);
        let others = next_of(&mut other, BLOCK + 1);
        assert!(others.iter().all(|it| !its.contains(it)), "{others:?} {its:?}");
        assert_eq!(other.claim(its[0]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(one);
        assert!(other.claim(its[0]).is_ok(), "a claim ends with whose it is");
    }

    #[test]
    fn ports_come_back_when_all_blocks_are_claimed() {
        let mut claims = Claims::new("test of all");
        let mut given = next_of(&mut claims, BLOCK * N_BLOCKS);
        assert_eq!(claims.next_port(), Some(given[0]));
        given.sort_unstable();
        assert_eq!(given, RANGE.collect::<Vec<_>>(), "each once");
        assert_eq!(Claims::new("test of all").next_port(), None);
    }

    #[test]
    fn a_port_is_not_given_again_while_there_are_others() {
        let first = pick(3).unwrap();
        let next = pick(3).unwrap();
        assert!(first.iter().all(|it| !next.contains(it)), "{first:?} {next:?}");
    }
}
