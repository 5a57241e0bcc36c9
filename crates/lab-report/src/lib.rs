//! Pure analysis of artifacts, then tables, plots and pages. Opens no socket, starts no process and
//! reads no clock: the same artifacts give the same report, byte for byte.
//!
//! [`analysis`] turns what was recorded of a trial into figures, [`render`] turns figures into what
//! people look at, [`load`] reads and writes the files, [`commands`] puts them together.

pub mod analysis;
pub mod commands;
pub mod error;
pub mod load;
pub mod render;
