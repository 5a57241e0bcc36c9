//! CPU time of a component.

use nix::unistd::{SysconfVar, sysconf};

use crate::process::{stat::Stat, tree::descendants};

/// Seconds of CPU that process `pid`, its living descendants and all children they have reaped
/// used since they started. `None` when there is no such process.
///
/// **Units**: seconds, in steps of one clock tick (10 ms on most systems). A child that is reaped
/// between two reads of `/proc` may be missed for one sample, so a difference can be a few ticks
/// off; the next sample has it.
pub fn tree_cpu_seconds(pid: u32) -> Option<f64> {
    let children = descendants(pid);
    let own = Stat::read(pid)?.cpu_ticks;
    let theirs: u64 = children.into_iter().filter_map(Stat::read).map(|it| it.cpu_ticks).sum();
    let ticks = u32::try_from(own + theirs).unwrap_or(u32::MAX);
    Some(f64::from(ticks) / ticks_per_second())
}

fn ticks_per_second() -> f64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|it| i32::try_from(it).ok());
    f64::from(ticks.unwrap_or(100))
}

#[cfg(test)]
mod tests {
    use lab_core::clock::MonotonicNs;

    use super::*;

    #[test]
    fn work_done_here_shows_as_cpu_time() {
        let before = tree_cpu_seconds(std::process::id()).unwrap();
        let start = MonotonicNs::now();
        let mut word = 1_u64;
        while tree_cpu_seconds(std::process::id()).unwrap() < before + 0.05 {
            word = lab_core::seed::mix(word);
            assert!(MonotonicNs::now().since(start) < 30_000_000_000, "no CPU time was counted");
        }
        assert_ne!(word, 0);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_cpu_time() {
        assert_eq!(tree_cpu_seconds(u32::MAX), None);
    }
}
