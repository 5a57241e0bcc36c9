//! A bounded, persisted queue: a write is acknowledged when it is in a file, and applied later.
//!
//! **States of an item.** *Held*: room is reserved, nothing is promised. *Durable*: written and
//! synced; only now does [`AsyncQueue::enqueue`] return. *Applied*: the consumer has said so with
//! [`AsyncQueue::advance`], and that is durable too. A file whose items were all applied is deleted.
//!
//! **The promise.** Nothing acknowledged is lost when the process is killed, or the machine loses
//! power, at any point. An item may be applied **twice** (the consumer dies between applying and
//! advancing), and one whose enqueue failed or was given up may be applied too, as a request whose
//! reply got lost. So every item needs a key, and the database must refuse to see it twice; items
//! are applied in the order in which they became durable.
//!
//! **Helps** when a write need not be done when its user is answered: orders are taken while the
//! database is slow or away, and are applied at its own pace. Many callers share one `fdatasync`:
//! while it runs the next batch gathers.
//!
//! **Hurts** by answering "accepted" where "done" was expected: what a user reads next may not show
//! it, and a write that turns out to be impossible has no user to tell any more. Room is bounded,
//! so a long outage ends in [`QueueFull`] after all; in a permanent overload it only adds a delay.
//! It lives on one disk: with the machine gone, so are the acknowledged writes.
//!
//! **When a disk fails.** A write or sync that fails acknowledges nothing: every caller of the
//! batch gets the error. Before anything else is written the file is cut back to what was synced,
//! so a disk that has room again needs no restart.
//!
//! **When a file is damaged.** An unfinished record at the end is what a kill leaves: it is cut
//! off, and nothing acknowledged was in it. Anything else is [`QueueError::Corrupt`] with file and
//! offset, and the queue does not open: to go on without those items is a decision for people.
//! Damage to the very last record cannot be told from a kill.
//!
//! **Modes.** *Off* queues nothing: [`Enqueued::Bypassed`] tells the caller to write by itself.
//! *Observe* queues nothing either, and counts what would have found room beside the items that
//! wait; how fast they would be applied it cannot know. What is in the queue is still applied.
//! Writes that bypass the queue overtake those in it.
//!
//! **Source**: strategy row S16. Group commit and torn tails as in every write-ahead log; a failed
//! sync is never retried on the same bytes: Rebello et al., "Can Applications Recover from fsync
//! Failures?", USENIX ATC 2020.

mod backlog;
mod disk;
mod error;
mod log;
mod policy;
mod queue;
mod record;
mod recovery;
mod writer;

pub use backlog::{Batch, QueueItem, Sequence};
pub use error::{QueueError, QueueFull};
pub use policy::Room;
pub use queue::{AsyncQueue, AsyncQueueSnapshot, Enqueued};
pub use recovery::{Recovered, TornTail};
