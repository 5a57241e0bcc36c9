//! A process together with all that descends from it.

use std::fs;

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Pids of all descendants of `pid`, parents before their children. Empty when there are none.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut found = children(pid);
    let mut next = 0;
    while next < found.len() {
        found.extend(children(found[next]));
        next += 1;
    }
    found
}

/// The kernel keeps children by the thread that forked them.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace().filter_map(|it| it.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

/// Sends `signal` to all descendants of `pid`, not to `pid` itself, and returns how many there
/// were. One that has just ended needs no signal and is passed over.
pub fn signal_descendants(pid: u32, signal: Signal) -> usize {
    let pids = descendants(pid);
    for &pid in &pids {
        kill(Pid::from_raw(pid.cast_signed()), signal).ok();
    }
    pids.len()
}
