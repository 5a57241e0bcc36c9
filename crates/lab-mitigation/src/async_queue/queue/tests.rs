//! The queue as its callers see it. The disk is real, so the clock is too; nothing sleeps.

use std::{num::NonZeroU32, time::Duration};

use tempfile::TempDir;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::async_queue::{QueueFull, disk::fake::FakeDisk};

fn settings(mode: Mode) -> AsyncQueueSettings {
    AsyncQueueSettings { mode, ..AsyncQueueSettings::default() }
}

struct Rig {
    folder: TempDir,
    queue: AsyncQueue,
    disk: FakeDisk,
}

fn rig(settings: &AsyncQueueSettings) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let disk = FakeDisk::default();
    let queue = AsyncQueue::open_on(folder.path(), settings, Box::new(disk.clone())).unwrap().0;
    Rig { folder, queue, disk }
}

impl Rig {
    fn spawn_enqueue(&self, payload: &str) -> JoinHandle<Result<Enqueued, QueueError>> {
        let (queue, payload) = (self.queue.clone(), payload.as_bytes().to_vec());
        tokio::spawn(async move { queue.enqueue(payload).await })
    }

    /// Closes the queue and opens it again, as a restart does.
    async fn reopen(&mut self) -> Recovered {
        self.queue.close().await;
        let (queue, recovered) =
            AsyncQueue::open(self.folder.path(), &settings(Mode::Enforce)).unwrap();
        self.queue = queue;
        recovered
    }
}

fn texts(batch: &Batch) -> Vec<&str> {
    batch.items().iter().map(|it| std::str::from_utf8(&it.payload).unwrap()).collect()
}

/// Lets the writer's thread and the other tasks run until `is_met`. Fails after ten seconds: far
/// more than a sync takes, and no test waits for it to pass.
async fn until(is_met: impl Fn() -> bool) {
    let waiting = async {
        while !is_met() {
            yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap();
}

#[tokio::test]
async fn an_item_is_acknowledged_durable_seen_applied_and_gone() {
    let mut rig = rig(&settings(Mode::Enforce));
    let first = rig.queue.enqueue(&b"a"[..]).await.unwrap();
    let second = rig.queue.enqueue(&b"b"[..]).await.unwrap();
    assert_eq!([first, second], [0, 1].map(|it| Enqueued::Durable(Sequence(it))));
    let batch = rig.queue.peek(10);
    assert_eq!(texts(&batch), ["a", "b"]);
    assert_eq!(rig.queue.peek(1), rig.queue.peek(10).first(1));
    rig.queue.advance(batch).await.unwrap();
    assert!(rig.queue.peek(10).is_empty());
    assert_eq!(rig.reopen().await.n_items, 0);
    let third = rig.queue.enqueue(&b"c"[..]).await.unwrap();
    assert_eq!(third, Enqueued::Durable(Sequence(2)));
}

#[tokio::test]
async fn nothing_is_acknowledged_or_seen_before_its_sync_has_returned() {
    let rig = rig(&settings(Mode::Enforce));
    let held = rig.disk.hold_syncs();
    let enqueue = rig.spawn_enqueue("a");
    until(|| rig.disk.n_appends() == 1).await;
    for _ in 0..1_000 {
        yield_now().await;
    }
    assert!(!enqueue.is_finished());
    assert!(rig.queue.peek(1).is_empty());
    assert_eq!(rig.queue.snapshot().n_reserved, 1);
    drop(held);
    assert!(matches!(enqueue.await.unwrap(), Ok(Enqueued::Durable(_))));
    assert_eq!(texts(&rig.queue.peek(1)), ["a"]);
}

#[tokio::test]
async fn many_callers_share_one_sync() {
    let rig = rig(&settings(Mode::Enforce));
    let held = rig.disk.hold_syncs();
    let mut enqueues = vec![rig.spawn_enqueue("first")];
    until(|| rig.disk.n_appends() == 1).await;
    enqueues.extend((0..100).map(|it| rig.spawn_enqueue(&it.to_string())));
    until(|| rig.queue.snapshot().n_reserved == 101).await;
    drop(held);
    for enqueue in enqueues {
        assert!(matches!(enqueue.await.unwrap(), Ok(Enqueued::Durable(_))));
    }
    assert_eq!(rig.disk.n_syncs(), 2);
    let snapshot = rig.queue.snapshot();
    assert_eq!((snapshot.n_enqueued, snapshot.n_commits, snapshot.n_items), (101, 2, 101));
}

#[tokio::test]
async fn a_caller_who_leaves_before_its_item_is_written_gives_the_room_back() {
    let rig = rig(&settings(Mode::Enforce));
    let held = rig.disk.hold_syncs();
    let written = rig.spawn_enqueue("written");
    until(|| rig.disk.n_appends() == 1).await;
    let waiting = rig.spawn_enqueue("given up");
    until(|| rig.queue.snapshot().n_reserved == 2).await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    drop(held);
    written.await.unwrap().unwrap();
    until(|| rig.queue.snapshot().n_reserved == 1).await;
    assert_eq!(texts(&rig.queue.peek(10)), ["written"]);
    assert_eq!(rig.disk.n_appends(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_and_has_room_again_when_something_was_applied() {
    let rig = rig(&AsyncQueueSettings {
        items_max: NonZeroU32::new(2).unwrap(),
        bytes_max: 100,
        item_bytes_max: NonZeroU32::new(60).unwrap(),
        ..settings(Mode::Enforce)
    });
    rig.queue.enqueue(vec![1; 50]).await.unwrap();
    let error = rig.queue.enqueue(vec![1; 61]).await.unwrap_err();
    let (size_bytes, size_bytes_max) = (61, 60);
    assert!(matches!(error, QueueError::ItemTooLarge { size_bytes: a, size_bytes_max: b }
            if (a, b) == (size_bytes, size_bytes_max)));
    rig.queue.enqueue(vec![1; 50]).await.unwrap();
    let error = rig.queue.enqueue(vec![]).await.unwrap_err();
    let full = QueueFull { n_items: 2, items_max: 2, size_bytes: 100, size_bytes_max: 100 };
    assert!(matches!(error, QueueError::Full(it) if it == full), "{error}");
    rig.queue.advance(rig.queue.peek(1)).await.unwrap();
    rig.queue.enqueue(vec![1; 50]).await.unwrap();
    let counts = rig.queue.snapshot().counts;
    assert_eq!((counts.n_permitted, counts.n_rejected), (3, 2));
}

#[tokio::test]
async fn a_write_that_fails_is_told_to_everybody_in_it_and_leaves_no_item_and_no_room_taken() {
    let rig = rig(&settings(Mode::Enforce));
    let held = rig.disk.hold_syncs();
    let mut enqueues = vec![rig.spawn_enqueue("a")];
    until(|| rig.disk.n_appends() == 1).await;
    enqueues.extend(["b", "c"].map(|it| rig.spawn_enqueue(it)));
    until(|| rig.queue.snapshot().n_reserved == 3).await;
    rig.disk.break_syncs();
    drop(held);
    for enqueue in enqueues {
        let error = enqueue.await.unwrap().unwrap_err();
        let folder = rig.folder.path().to_str().unwrap();
        assert!(error.to_string().contains(folder), "{error}");
    }
    let snapshot = rig.queue.snapshot();
    assert_eq!((snapshot.n_items, snapshot.n_reserved, snapshot.size_bytes), (0, 0, 0));
    assert_eq!((snapshot.n_commits, snapshot.n_failed_commits), (0, 2));
    rig.disk.repair();
    rig.queue.enqueue(&b"d"[..]).await.unwrap();
    assert_eq!(texts(&rig.queue.peek(10)), ["d"]);
}

#[tokio::test]
async fn an_advance_that_fails_shows_the_same_items_again() {
    let rig = rig(&settings(Mode::Enforce));
    rig.queue.enqueue(&b"a"[..]).await.unwrap();
    rig.disk.fill(0);
    rig.queue.advance(rig.queue.peek(1)).await.unwrap_err();
    assert_eq!(texts(&rig.queue.peek(1)), ["a"]);
    rig.disk.repair();
    rig.queue.advance(rig.queue.peek(1)).await.unwrap();
    assert!(rig.queue.peek(1).is_empty());
}

#[tokio::test]
async fn what_was_applied_and_not_advanced_comes_again_after_a_restart() {
    let mut rig = rig(&settings(Mode::Enforce));
    for text in ["a", "b", "c"] {
        rig.queue.enqueue(text.as_bytes()).await.unwrap();
    }
    let batch = rig.queue.peek(3);
    rig.queue.advance(batch.first(1)).await.unwrap();
    let recovered = rig.reopen().await;
    assert_eq!((recovered.n_items, recovered.size_bytes), (2, 2));
    rig.queue.ready().await;
    assert_eq!(texts(&rig.queue.peek(3)), ["b", "c"]);
    assert_eq!(rig.queue.snapshot().n_reserved, 2, "and takes its room");
}

// The batch goes to 3, and it comes together with items 1 and 2: they are not applied by that.
#[tokio::test]
async fn an_advance_over_a_batch_of_another_queue_loses_nothing_that_comes_with_it() {
    let (rig, other) = (rig(&settings(Mode::Enforce)), rig(&settings(Mode::Enforce)));
    for _ in 0..3 {
        other.queue.enqueue(&b"x"[..]).await.unwrap();
    }
    let held = rig.disk.hold_syncs();
    let mut enqueues = vec![rig.spawn_enqueue("a")];
    until(|| rig.disk.n_appends() == 1).await;
    enqueues.extend(["b", "c"].map(|it| rig.spawn_enqueue(it)));
    until(|| rig.queue.snapshot().n_reserved == 3).await;
    let (queue, batch) = (rig.queue.clone(), other.queue.peek(3));
    let advance = tokio::spawn(async move { queue.advance(batch).await });
    // The advance is asked for when its task has run once.
    yield_now().await;
    drop(held);
    advance.await.unwrap().unwrap();
    for enqueue in enqueues {
        enqueue.await.unwrap().unwrap();
    }
    assert_eq!(texts(&rig.queue.peek(3)), ["b", "c"]);
}

#[tokio::test]
async fn the_consumer_wakes_when_something_is_durable() {
    let rig = rig(&settings(Mode::Enforce));
    let consumer = tokio::spawn({
        let queue = rig.queue.clone();
        async move {
            queue.ready().await;
            queue.peek(1).items().len()
        }
    });
    yield_now().await;
    assert!(!consumer.is_finished());
    rig.queue.enqueue(&b"a"[..]).await.unwrap();
    until(|| consumer.is_finished()).await;
    assert_eq!(consumer.await.unwrap(), 1);
}

#[tokio::test]
async fn unless_enforced_the_caller_writes_by_itself() {
    for (mode, n_counted) in [(Mode::Off, 0), (Mode::Observe, 1)] {
        let rig = rig(&settings(mode));
        assert_eq!(rig.queue.enqueue(&b"a"[..]).await.unwrap(), Enqueued::Bypassed);
        let large = vec![0; 65 * 1024];
        assert_eq!(rig.queue.enqueue(large).await.unwrap(), Enqueued::Bypassed);
        let snapshot = rig.queue.snapshot();
        assert_eq!((snapshot.n_items, snapshot.n_reserved), (0, 0));
        let counts = (snapshot.counts.n_permitted, snapshot.counts.n_would_reject);
        assert_eq!(counts, (n_counted, n_counted), "{mode:?}");
        assert_eq!(rig.disk.n_appends(), 0);
    }
}

#[tokio::test]
async fn what_was_queued_before_switching_off_is_still_applied() {
    let rig = rig(&settings(Mode::Enforce));
    rig.queue.enqueue(&b"a"[..]).await.unwrap();
    rig.queue.set_mode(Mode::Off);
    assert_eq!(rig.queue.enqueue(&b"b"[..]).await.unwrap(), Enqueued::Bypassed);
    rig.queue.ready().await;
    rig.queue.advance(rig.queue.peek(10)).await.unwrap();
    assert_eq!(rig.queue.snapshot().n_applied, 1);
}

#[tokio::test]
async fn a_closed_queue_finishes_what_it_was_asked_and_takes_nothing_more() {
    let mut rig = rig(&settings(Mode::Enforce));
    let held = rig.disk.hold_syncs();
    let mut enqueues = vec![rig.spawn_enqueue("a")];
    until(|| rig.disk.n_appends() == 1).await;
    enqueues.push(rig.spawn_enqueue("b"));
    until(|| rig.queue.snapshot().n_reserved == 2).await;
    let closing = tokio::spawn({
        let queue = rig.queue.clone();
        async move { queue.close().await }
    });
    yield_now().await;
    drop(held);
    closing.await.unwrap();
    for enqueue in enqueues {
        enqueue.await.unwrap().unwrap();
    }
    let error = rig.queue.enqueue(&b"c"[..]).await.unwrap_err();
    assert!(matches!(error, QueueError::Closed { path } if path == rig.folder.path()));
    assert_eq!(rig.queue.snapshot().n_reserved, 2, "and holds no room for it");
    rig.queue.close().await;
    assert_eq!(rig.reopen().await.n_items, 2);
}
