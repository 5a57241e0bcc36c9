//! What `/proc` tells about a process: who it is, whose child it is, and how much CPU it used.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process that cannot be mistaken for a later one with the same pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process id.
    pub pid: u32,
    /// Start of the process in clock ticks since boot, from `/proc/<pid>/stat`.
    pub start_ticks: u64,
}

impl ProcessIdentity {
    /// The process that has `pid` now; `None` when there is none.
    pub fn of(pid: u32) -> Option<Self> {
        Stat::read(pid).map(|stat| Self { pid, start_ticks: stat.start_ticks })
    }

    /// The calling process.
    pub fn this_process() -> Self {
        Self::of(std::process::id()).expect("a running process has an entry in /proc")
    }

    /// Whether this very process still runs. A zombie does not.
    pub fn is_alive(self) -> bool {
        Stat::read(self.pid)
            .is_some_and(|stat| stat.start_ticks == self.start_ticks && !stat.is_zombie())
    }
}

/// The fields of `/proc/<pid>/stat` that the lab uses. **Source**: proc_pid_stat(5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// One letter: `R`, `S`, `T`, `Z` and so on.
    pub state: char,
    /// The parent.
    pub parent: u32,
    /// User and system time of the process and of the children it has reaped, in clock ticks.
    pub cpu_ticks: u64,
    /// Start in clock ticks since boot.
    pub start_ticks: u64,
}

impl Stat {
    /// Reads the entry of `pid`; `None` when there is no such process.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Parses the line. The command name may itself hold spaces and parentheses, so fields are
    /// counted from the last `)`: the state is field 3 of the manual page.
    fn parse(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: u32::try_from(number(4)?).ok()?,
            cpu_ticks: number(14)? + number(15)? + number(16)? + number(17)?,
            start_ticks: number(22)?,
        })
    }

    /// Whether the process has ended and waits to be reaped.
    pub fn is_zombie(&self) -> bool {
        matches!(self.state, 'Z' | 'X')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_parentheses_does_not_shift_the_fields() {
        // Fields 3, 4, 14 to 17 and 22 set by hand.
        let line = "77 (a) b) c) S 12 77 77 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 98765 0 0";
        let expected = Stat { state: 'S', parent: 12, cpu_ticks: 100, start_ticks: 98_765 };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("77 (cut"), None);
    }

    #[test]
    fn a_pid_with_another_start_is_another_process() {
        let this = ProcessIdentity::this_process();
        assert!(this.is_alive());
        assert!(!ProcessIdentity { start_ticks: this.start_ticks + 1, ..this }.is_alive());
    }
}
