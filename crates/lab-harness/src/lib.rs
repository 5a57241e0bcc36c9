//! The `lab` binary as a library: stack, faults, phases, sampling and cleanup.
//!
//! The harness starts the target service and the load generator as processes and links neither: a
//! kill in one must not change the other. It computes no metric: `lab-report` does, from artifacts.

pub mod bench;
pub mod clean;
pub mod cli;
pub mod doctor;
pub mod exit;
pub mod failure;
pub mod faults;
pub mod gate;
pub mod list;
pub mod machine;
pub mod process;
pub mod stack;
pub mod wire;
