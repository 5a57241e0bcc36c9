//! SIGTERM and SIGINT: what is recorded is written out, then the process ends.
//!
//! The signals are blocked in every thread and taken by one that waits for them, so that no
//! handler (goose brings one) can run in between.

use std::{process, sync::Arc, thread};

use nix::sys::signal::{SigSet, Signal};

use crate::{error::LoadError, recorder::Recorder};

/// Blocks SIGTERM and SIGINT in this thread and in all that it starts. Called first in `main`.
///
/// **Errors**: the system refuses.
pub(crate) fn block() -> Result<SigSet, LoadError> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().map_err(LoadError::Signals)?;
    Ok(signals)
}

/// Starts the thread that waits for one of `signals`, writes out the samples and exits with 128 +
/// the number of the signal, as a shell reports it.
///
/// **Errors**: no thread can be started.
pub(crate) fn flush_and_exit_on(signals: SigSet, recorder: Arc<Recorder>) -> Result<(), LoadError> {
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let signal = signals.wait().expect("waiting for blocked signals cannot fail");
            match recorder.flush() {
                Ok(n_samples) => {
                    eprintln!("lab-load: stopped by {signal} after {n_samples} samples")
                }
                Err(error) => eprintln!("lab-load: stopped by {signal}: {error}"),
            }
            process::exit(128 + signal as i32);
        })
        .map(drop)
        .map_err(|source| LoadError::Spawn { what: "the signal thread", source })
}
