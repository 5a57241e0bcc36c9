//! Reading and writing of artifacts. Everything below [`crate::analysis`] is pure and gets what it
//! needs from here.

pub mod campaign_files;
pub mod files;
pub mod gate_files;
pub mod summary_file;
pub mod trial_files;
