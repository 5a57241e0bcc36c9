//! The load generator: an arrival schedule computed ahead, carried by goose users, recorded raw.
//!
//! The way of one arrival: [`schedule`] decides its time, route and keys from the seed; the pacing
//! thread (`pacer`) hands it at that time to a parked user (`dispatch`); the user (`users`, `crew`)
//! sends the request (`requests`) to one of the instances (`targets`) over a shared connection
//! (`connections`), reads the whole body, has it judged (`classify`) and appends one sample
//! (`recorder`). `run` puts these together.
//!
//! Nothing here computes a figure: rates, percentiles and histograms are derived afterwards from
//! the samples. goose's own metrics are off.

mod classify;
pub mod command_line;
mod connections;
mod crew;
mod dispatch;
mod error;
mod expected;
mod file_limit;
mod pacer;
mod recorder;
mod requests;
mod run;
pub mod schedule;
mod sessions;
mod signals;
mod targets;
mod users;

pub use self::{error::LoadError, recorder::Recorder};
