//! Models of concurrent code: every interleaving of a few threads, as far as a bounded number of
//! preemptions reaches.
//!
//! Compiled and run with
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p lab-mitigation --test loom --release
//! ```

#![cfg(loom)]

mod breaker;
mod coalesce;

const PREEMPTIONS_MAX: usize = 3;

fn model(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    builder.check(check);
}
