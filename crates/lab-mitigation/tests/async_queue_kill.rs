//! A process that enqueues is killed, again and again: nothing it acknowledged is lost.
//!
//! The child is this test binary itself, told by the environment. A kill leaves the page cache, so
//! this shows the order of acknowledging and writing, and the recovery of what a real process
//! leaves. What a loss of power leaves is simulated in the unit tests of the log.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy knows only the #[test] functions"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
};

use lab_core::settings::{AsyncQueueSettings, Mode};
use lab_mitigation::async_queue::{AsyncQueue, Enqueued};

const FOLDER: &str = "ASYNC_QUEUE_KILL_FOLDER";
const ROUND: &str = "ASYNC_QUEUE_KILL_ROUND";
/// Acknowledgements after which the child is killed. How far it gets beyond is up to chance.
const N_ACKS: [usize; 8] = [1, 2, 10, 50, 120, 3, 200, 77];
const N_CALLERS: usize = 8;
/// The child ends on its own after this many items of each caller, should nobody kill it.
const N_ITEMS_MAX: usize = 5_000;

fn settings() -> AsyncQueueSettings {
    // Small files, so that the kills meet their beginnings and ends too.
    AsyncQueueSettings { mode: Mode::Enforce, segment_bytes: 4_096, ..Default::default() }
}

#[test]
fn every_acknowledged_item_survives_kills_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("queue");
    let (mut acknowledged, mut applied) = (BTreeSet::new(), BTreeMap::new());
    for (round, n_acks) in N_ACKS.into_iter().enumerate() {
        let n_before = acknowledged.len();
        for line in run_and_kill(&folder, round, n_acks) {
            match line.split_once(' ') {
                Some(("ack", id)) => drop(acknowledged.insert(id.to_owned())),
                Some(("applied", id)) => *applied.entry(id.to_owned()).or_insert(0) += 1,
                other => panic!("the child said {other:?}"),
            }
        }
        assert!(n_before + n_acks <= acknowledged.len(), "round {round} did something");
    }
    let (queue, _recovered) = AsyncQueue::open(&folder, &settings()).unwrap();
    let waiting: BTreeSet<_> = queue
        .peek(usize::MAX)
        .items()
        .iter()
        .map(|it| String::from_utf8(it.payload.to_vec()).unwrap())
        .collect();
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|it| !waiting.contains(*it) && !applied.contains_key(*it))
        .collect();
    assert!(lost.is_empty(), "of {} acknowledged: {lost:?}", acknowledged.len());
    assert!(!applied.is_empty(), "the children applied some");
    // At least once; and once more only where a kill came between applying and advancing.
    let most = applied.values().max().copied().unwrap_or(0);
    assert!(most <= N_ACKS.len(), "an item was applied {most} times");
}

/// The whole lines that a child said before it was killed.
fn run_and_kill(folder: &Path, round: usize, n_acks: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_that_is_killed", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (mut lines, mut n_seen, mut is_killed) = (Vec::new(), 0, false);
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).unwrap() == 0 {
            break;
        }
        // What the kill cut off was said to nobody; what the test harness says is not ours.
        let Some(line) = line.strip_suffix('\n').and_then(|it| it.strip_prefix("> ")) else {
            continue;
        };
        n_seen += usize::from(line.starts_with("ack "));
        lines.push(line.to_owned());
        if n_seen == n_acks && !is_killed {
            // SIGKILL: nothing in the child can prepare for it.
            child.kill().unwrap();
            is_killed = true;
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "it did not end on its own");
    lines
}

/// One write for each line, so that a kill cuts it off whole or not at all.
fn say(what: &str, id: &str) {
    let line = format!("> {what} {id}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[test]
fn child_that_is_killed() {
    let (Ok(folder), Ok(round)) = (std::env::var(FOLDER), std::env::var(ROUND)) else { return };
    // The test harness has begun a line.
    std::io::stdout().lock().write_all(b"\n").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (queue, _recovered) = AsyncQueue::open(Path::new(&folder), &settings()).unwrap();
        let consumer = tokio::spawn(apply_slowly(queue.clone()));
        let callers: Vec<_> = (0..N_CALLERS)
            .map(|it| tokio::spawn(call(queue.clone(), format!("{round}-{it}"))))
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        consumer.abort();
    });
}

async fn call(queue: AsyncQueue, caller: String) {
    for n in 0..N_ITEMS_MAX {
        let id = format!("{caller}-{n}");
        match queue.enqueue(id.as_bytes()).await.unwrap() {
            Enqueued::Durable(_) => say("ack", &id),
            Enqueued::Bypassed => panic!("the mode is enforce"),
        }
    }
}

/// Applies less than comes in, so that there is always something to lose.
async fn apply_slowly(queue: AsyncQueue) {
    loop {
        queue.ready().await;
        let batch = queue.peek(3);
        for item in batch.items() {
            say("applied", std::str::from_utf8(&item.payload).unwrap());
        }
        queue.advance(batch).await.unwrap();
    }
}
