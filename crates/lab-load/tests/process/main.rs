//! The generator as a process, against a target inside the test, on loopback and in real time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod refusals;
mod run;
mod support;
