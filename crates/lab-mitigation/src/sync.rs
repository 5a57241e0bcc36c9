//! The types shared between threads: the standard library's, or loom's when a model is checked.
//!
//! Only what `tests/loom/breaker.rs` drives comes through here.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicU64},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{AtomicU8, AtomicU64},
};
