//! Counter increments added up in memory and written together.
//!
//! **States of an increment.** *Buffered*: added to the sum of its key. *Being written*: taken out
//! together with everything else that was buffered. Then *written*, when the write is committed,
//! or buffered again, when it is restored. A flush is due when the oldest increment has waited
//! `flush_interval`, or at once when `flush_count` have come together.
//!
//! **Helps** when many requests change few rows: a hundred views of one product in a second are
//! one statement and one row lock instead of a hundred. The request is answered from memory, so it
//! does not fail when the database is slow, or away for as long as the buffer has room.
//!
//! **Hurts** by acknowledging what is in memory only. When the process dies, exactly what
//! [`BatchWrites::buffered`] says is lost; what a graceful stop loses is nothing, if the service
//! flushes once more. The count that others read lags by `flush_interval`. Writes that must not be
//! lost belong in [`async_queue`](crate::async_queue).
//!
//! **Not known whether it was written.** A write that ran into a timeout may have happened.
//! Restoring it may count it twice, committing it may lose it; a [`Taken`] that is dropped, as when
//! the future that writes it is cancelled, is restored. To be exact, write under a key of your own
//! that the database refuses to see twice.
//!
//! **Modes.** *Off* buffers nothing: [`Added::Bypassed`] tells the caller to write by itself.
//! *Observe* buffers nothing either. It counts the adds, and would refuse only one that no empty
//! buffer could hold: how full the buffer would be depends on writes that do not happen. What was
//! buffered before a switch is still flushed.
//!
//! **Source**: strategy row S11.

mod buffer;
mod error;
mod policy;
mod writes;

pub use error::BufferFull;
pub use policy::{FlushPolicy, FlushReason};
pub use writes::{Added, BatchWrites, BatchWritesSnapshot, Taken};
