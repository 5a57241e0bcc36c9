//! The instances of the target: which of them an arrival goes to, and how the list changes while a
//! run goes on.

use std::{
    io::BufRead,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
};

use lab_core::{load_plan::LoadPlan, seed::Seed};

use crate::{connections::Connections, error::LoadError, requests::Requests};

/// One instance: what is sent to it, and over what.
#[derive(Debug)]
pub(crate) struct Instance {
    address: SocketAddr,
    pub(crate) requests: Requests,
    /// Shared by all users: with one each, connections would go cold.
    pub(crate) connections: Connections,
}

impl Instance {
    fn new(address: SocketAddr, seed: Seed) -> Arc<Self> {
        let requests = Requests::new(address, seed);
        Arc::new(Self { address, requests, connections: Connections::to(address) })
    }
}

/// The instances that are in the list now. There is always one.
#[derive(Debug)]
pub(crate) struct Targets {
    active: RwLock<Vec<Arc<Instance>>>,
    seed: Seed,
}

impl Targets {
    /// Those that `plan` begins with.
    pub(crate) fn of(plan: &LoadPlan) -> Arc<Self> {
        let active = plan.targets().into_iter().map(|it| Instance::new(it, plan.seed)).collect();
        Arc::new(Self { active: RwLock::new(active), seed: plan.seed })
    }

    /// The instance that arrival `index` goes to: `index` mod n of the n in the list.
    ///
    /// Arrivals draw their product and user independently of their number, so every instance sees
    /// the same mix. It costs a lock that is hardly ever written, and no allocation.
    pub(crate) fn of_arrival(&self, index: u32) -> Arc<Instance> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(index).expect("a usize has 32 bits at least") % active.len();
        Arc::clone(&active[place])
    }

    /// Makes `addresses` the list. Those that stay keep their connections; requests on their way to
    /// those that leave go on.
    fn set(&self, addresses: &[SocketAddr]) {
        let mut active = self.active.write().unwrap_or_else(PoisonError::into_inner);
        let kept = |address: &SocketAddr| active.iter().find(|it| it.address == *address).cloned();
        let next = addresses
            .iter()
            .map(|address| kept(address).unwrap_or_else(|| Instance::new(*address, self.seed)))
            .collect();
        *active = next;
    }

    /// Reads lines `targets <address>,<address>…` until `lines` end, and makes each the list.
    ///
    /// **Errors**: another line, an address that is none, or an empty list.
    pub(crate) fn follow(&self, lines: impl BufRead) -> Result<(), LoadError> {
        for line in lines.lines() {
            self.set(&parse(&line.map_err(LoadError::Handshake)?)?);
        }
        Ok(())
    }
}

fn parse(line: &str) -> Result<Vec<SocketAddr>, LoadError> {
    let addresses = line.strip_prefix("targets ").map(|list| list.split(',').map(str::parse));
    let addresses = addresses.and_then(|it| it.collect::<Result<_, _>>().ok());
    addresses.ok_or_else(|| LoadError::TargetsLine { got: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn targets(ports: &[u16]) -> Targets {
        let active = ports.iter().map(|it| Instance::new(address(*it), Seed(1))).collect();
        Targets { active: RwLock::new(active), seed: Seed(1) }
    }

    fn ports_of(targets: &Targets, arrivals: std::ops::Range<u32>) -> Vec<u16> {
        arrivals.map(|it| targets.of_arrival(it).address.port()).collect()
    }

    #[test]
    fn arrivals_go_round_the_instances_in_the_list_at_their_time() {
        let targets = targets(&[7]);
        assert_eq!(ports_of(&targets, 0..3), [7, 7, 7]);
        targets.follow(&b"targets 127.0.0.1:7,127.0.0.1:8,127.0.0.1:9\n"[..]).unwrap();
        assert_eq!(ports_of(&targets, 3..9), [7, 8, 9, 7, 8, 9]);
        targets.follow(&b"targets 127.0.0.1:8\n"[..]).unwrap();
        assert_eq!(ports_of(&targets, 9..11), [8, 8]);
    }

    #[test]
    fn an_instance_that_stays_keeps_its_connections() {
        let targets = targets(&[7, 8]);
        let before = targets.of_arrival(1);
        targets.set(&[address(9), address(8)]);
        assert!(Arc::ptr_eq(&before, &targets.of_arrival(1)));
        targets.set(&[address(9)]);
        targets.set(&[address(8)]);
        assert!(!Arc::ptr_eq(&before, &targets.of_arrival(0)), "it had left");
    }

    #[test]
    fn a_line_that_names_nobody_is_refused_and_changes_nothing() {
        let targets = targets(&[7]);
        for line in ["", "targets", "targets ", "targets 8", "targets 127.0.0.1:8,", "start 5"] {
            let error = targets.follow(format!("{line}\n").as_bytes()).unwrap_err();
            assert!(matches!(&error, LoadError::TargetsLine { got } if got == line), "{error}");
            assert_eq!(ports_of(&targets, 0..1), [7]);
        }
        targets.follow(&b""[..]).unwrap();
    }
}
