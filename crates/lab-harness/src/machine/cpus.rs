//! Which processors belong to whom.

use std::collections::BTreeMap;

use nix::{
    errno::Errno,
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Which processors belong to whom. With two or more, PostgreSQL has the last one to itself, so
/// that its capacity does not depend on the generator, and everything else shares the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CpuPlan {
    /// The database's processor; empty when nothing is pinned.
    pub postgres: Vec<usize>,
    /// Everybody else's; empty when nothing is pinned.
    pub others: Vec<usize>,
}

impl CpuPlan {
    /// Divides the processors that this process may use. Ask before pinning this process.
    pub fn of_this_machine() -> Self {
        Self::divide(&allowed())
    }

    fn divide(cpus: &[usize]) -> Self {
        match cpus {
            [others @ .., last] if !others.is_empty() => {
                Self { postgres: vec![*last], others: others.to_vec() }
            }
            _ => Self::default(),
        }
    }

    /// Processors that this process had before it was pinned; at least 1.
    pub fn n_cpus(&self) -> usize {
        (self.postgres.len() + self.others.len()).max(1)
    }

    /// Keeps the calling thread, and all that it starts from now on, off the database's processor.
    /// Call it before the runtime starts its threads. **Errors**: the kernel refused.
    pub fn pin_this_thread(&self) -> Result<(), Errno> {
        if self.others.is_empty() {
            return Ok(());
        }
        pin_this_thread_to(&self.others)
    }

    /// Processor numbers by component, for the manifest; empty when nothing is pinned.
    pub fn cpu_sets(&self) -> BTreeMap<String, Vec<usize>> {
        if self.postgres.is_empty() {
            return BTreeMap::new();
        }
        let others = ["redis", "storefront", "load", "lab"];
        let mut sets: BTreeMap<String, Vec<usize>> =
            others.into_iter().map(|name| (name.to_owned(), self.others.clone())).collect();
        sets.insert("postgres".to_owned(), self.postgres.clone());
        sets
    }
}

/// Keeps the calling thread, and all that it starts from now on, on `cpus`. **Errors**: the kernel
/// does not know one of them, or refused.
pub(super) fn pin_this_thread_to(cpus: &[usize]) -> Result<(), Errno> {
    let mut set = CpuSet::new();
    cpus.iter().try_for_each(|&cpu| set.set(cpu))?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Numbers of the processors that this thread may use.
pub fn allowed() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(Pid::from_raw(0)) else { return Vec::new() };
    (0..CpuSet::count()).filter(|&cpu| set.is_set(cpu) == Ok(true)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_has_the_last_processor_to_itself() {
        let plan = CpuPlan::divide(&[0, 1, 5]);
        assert_eq!(plan, CpuPlan { postgres: vec![5], others: vec![0, 1] });
        assert_eq!(plan.cpu_sets()["postgres"], [5]);
        assert_eq!(plan.cpu_sets()["load"], [0, 1]);
        assert_eq!(plan.n_cpus(), 3);
    }

    #[test]
    fn a_single_processor_is_not_divided() {
        assert_eq!(CpuPlan::divide(&[3]), CpuPlan::default());
        assert!(CpuPlan::divide(&[3]).cpu_sets().is_empty());
        assert_eq!(CpuPlan::divide(&[3]).n_cpus(), 1);
    }
}
