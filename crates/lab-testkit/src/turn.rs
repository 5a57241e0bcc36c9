//! Tests that need the machine for themselves take turns, whichever process runs them.

use std::{fs::File, io, path::Path};

use nix::fcntl::{Flock, FlockArg};

/// The machine, until it is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "held, not read")] Flock<File>);

/// Waits until no other test has the machine for itself. For tests that start benches, of which a
/// machine runs one at a time, and for those that leave behind on purpose what such a test would
/// take for a leftover of its own. `folder` is the `CARGO_TARGET_TMPDIR` of the test.
///
/// **Errors**: `folder` is not writable.
pub fn take(folder: &str) -> io::Result<Turn> {
    let file = File::create(Path::new(folder).join("turn"))?;
    Ok(Turn(Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?))
}
