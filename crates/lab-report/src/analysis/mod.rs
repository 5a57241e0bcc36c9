//! From artifacts to figures. Pure: no file is read or written below this line, and the same
//! artifacts give the same figures.
//!
//! Formulas stand beside the code that computes them; `docs/method.md` has them with their sources.

pub mod amplification;
pub mod effect;
pub mod failover;
pub mod gate;
pub mod histograms;
pub mod instances;
pub mod known_results;
pub mod load_sweep;
pub mod merge;
pub mod pages;
pub mod paired;
pub mod positive_control;
pub mod recovery;
pub mod requests;
pub mod restore;
pub mod scaling;
pub mod series;
pub mod service;
pub mod stalls;
pub mod statistics;
pub mod summary;
pub mod timeline;
pub mod trial;
pub mod validity;
pub mod windows;
pub mod wire_cost;

#[cfg(test)]
pub(crate) mod testing;
