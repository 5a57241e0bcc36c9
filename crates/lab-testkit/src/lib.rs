//! Fakes, probes and fixtures for tests only.
//!
//! Nothing here reads a real clock after it was built, opens a socket or sleeps; [`turn`] waits for
//! other tests. A dev-dependency everywhere: no product code may link it.

pub mod clock;
pub mod recorder;
pub mod service;
pub mod skip;
pub mod turn;
