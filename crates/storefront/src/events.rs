//! Events as JSON lines, written by a thread of their own so that no request waits for a disk.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use lab_core::{clock::MonotonicNs, target::TargetEvent};

/// Takes events and returns at once. Lines reach the file in order, each flushed on its own.
#[derive(Debug)]
pub(crate) struct EventLog {
    lines: Mutex<Option<Sender<TargetEvent>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl EventLog {
    /// Appends to the file at `path`. **Errors**: it cannot be opened for writing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (sender, receiver) = channel();
        let writer = std::thread::Builder::new()
            .name("events".into())
            .spawn(|| write_all(file, receiver))?;
        Ok(Self { lines: Mutex::new(Some(sender)), writer: Mutex::new(Some(writer)) })
    }

    /// Records that `kind` happened now.
    pub(crate) fn record(&self, kind: &str, detail: BTreeMap<String, String>) {
        let event = TargetEvent { at: MonotonicNs::now(), kind: kind.to_owned(), detail };
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lines) = lines.as_ref() {
            // The writer only goes away when the disk failed, which it has logged.
            let _ = lines.send(event);
        }
    }

    /// Writes out what was recorded and ends the writer.
    pub(crate) fn close(&self) {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).take();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|it| it.join().is_err()) {
            tracing::error!("the writer of events panicked");
        }
    }
}

fn write_all(mut file: impl Write, events: Receiver<TargetEvent>) {
    for event in events {
        let mut line = serde_json::to_vec(&event).expect("an event is strings and a number");
        line.push(b'\n');
        if let Err(error) = file.write_all(&line).and_then(|()| file.flush()) {
            tracing::error!(%error, "cannot write events any more");
            return;
        }
    }
}

/// Tells the first of something since a quiet second from those that follow.
#[derive(Debug, Default)]
pub(crate) struct QuietSecond {
    last_at: Mutex<Option<Instant>>,
}

impl QuietSecond {
    /// Notes that it happened at `now`; true when it had not for a second or more.
    pub(crate) fn is_first(&self, now: Instant) -> bool {
        let mut last_at = self.last_at.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last_at.replace(now);
        last.is_none_or(|last| Duration::from_secs(1) <= now.saturating_duration_since(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_without_a_quiet_second_has_one_first() {
        let start = tokio::time::Instant::now().into_std();
        let quiet = QuietSecond::default();
        let got = [0, 10, 900, 1_899, 2_899, 2_900]
            .map(|at_ms| quiet.is_first(start + Duration::from_millis(at_ms)));
        assert_eq!(got, [true, false, false, false, true, false]);
    }

    #[test]
    fn events_are_on_disk_once_the_log_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events.jsonl");
        let log = EventLog::open(&path).unwrap();
        log.record("circuit_opened", BTreeMap::from([("reason".into(), "a probe failed".into())]));
        log.record("circuit_closed", BTreeMap::new());
        log.close();
        let text = std::fs::read_to_string(path).unwrap();
        let kinds: Vec<String> = text
            .lines()
            .map(|line| serde_json::from_str::<TargetEvent>(line).unwrap().kind)
            .collect();
        assert_eq!(kinds, ["circuit_opened", "circuit_closed"]);
    }
}
