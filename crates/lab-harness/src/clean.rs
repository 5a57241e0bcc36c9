//! Ends and removes what runs left that were killed: processes, containers, shared memory, folders.

use std::{fmt, fs, io, path::Path, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::{sleep, timeout};

use crate::{
    machine::{
        BASE, cpu_quota,
        run_dir::{DeadRun, dead_runs, is_alive},
    },
    process::registry::Entry,
    stack::{docker, postgres},
};

/// Time between the signal that ends a leftover cleanly and the kill.
const GRACE: Duration = Duration::from_secs(3);

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cleaned {
    /// Processes that still ran, by name.
    pub processes: Vec<String>,
    /// Containers, by name.
    pub containers: Vec<String>,
    /// Folders.
    pub folders: Vec<String>,
    /// What could not be removed, each with its reason.
    pub failures: Vec<String>,
}

impl fmt::Display for Cleaned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("nothing was left behind");
        }
        let parts = [
            ("ended", &self.processes),
            ("removed container", &self.containers),
            ("removed", &self.folders),
            ("could not remove", &self.failures),
        ];
        let lines = parts.iter().flat_map(|(verb, what)| {
            what.iter().map(move |it| format!("{verb} {it}")).collect::<Vec<_>>()
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}

/// Cleans up after all dead runs of this machine. Living runs are left alone, so it is safe beside
/// a bench, and a bench calls it before it starts.
pub async fn run() -> Cleaned {
    let mut cleaned = run_in(Path::new(BASE)).await;
    let containers = docker::reap_dead_runs().await;
    cleaned.containers = containers.removed;
    cleaned.failures.extend(containers.failures);
    let (groups, failures) = cpu_quota::remove_leftovers(|id| is_alive(Path::new(BASE), id));
    cleaned.folders.extend(groups.iter().map(|it| it.display().to_string()));
    let told = failures.iter().map(|(path, error)| format!("{}: {error}", path.display()));
    cleaned.failures.extend(told);
    cleaned
}

/// Cleans up after the dead runs whose folders are in `base`, containers excepted.
pub async fn run_in(base: &Path) -> Cleaned {
    let mut cleaned = Cleaned::default();
    for run in dead_runs(base) {
        cleaned.processes.extend(end_children(&run).await);
        for data in postgres::data_folders_in(&run.path) {
            postgres::remove_shared_memory(&data).await;
        }
        let folder = run.path.display().to_string();
        match fs::remove_dir_all(&run.path) {
            Ok(()) => cleaned.folders.push(folder),
            // Another lab that starts has removed it meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => cleaned.failures.push(format!("{folder}: {error}")),
        }
    }
    cleaned
}

/// Ends the children that still run, and returns their names.
async fn end_children(run: &DeadRun) -> Vec<String> {
    let mut ended = Vec::new();
    for child in &run.children {
        if child.identity.is_alive() {
            end(child).await;
            ended.push(format!("{} (pid {})", child.name, child.identity.pid));
        }
    }
    ended
}

async fn end(child: &Entry) {
    let clean = Signal::try_from(child.death_signal).unwrap_or(Signal::SIGKILL);
    send(child, clean);
    send(child, Signal::SIGCONT);
    if timeout(GRACE, gone(child)).await.is_err() {
        send(child, Signal::SIGKILL);
        // A process that survives SIGKILL is stuck in the kernel; nobody can do more.
        timeout(GRACE, gone(child)).await.ok();
    }
}

fn send(child: &Entry, signal: Signal) {
    if child.identity.is_alive() {
        // It may have ended since: then there is nothing to signal.
        kill(Pid::from_raw(child.identity.pid.cast_signed()), signal).ok();
    }
}

async fn gone(child: &Entry) {
    while child.identity.is_alive() {
        sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_is_listed_line_by_line() {
        assert_eq!(Cleaned::default().to_string(), "nothing was left behind");
        let cleaned = Cleaned {
            processes: vec!["redis (pid 7)".into()],
            folders: vec!["/x".into()],
            ..Cleaned::default()
        };
        assert_eq!(cleaned.to_string(), "ended redis (pid 7)\nremoved /x");
    }
}
