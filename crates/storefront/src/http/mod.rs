//! The two listeners: public routes, and the internal port on a thread of its own.

pub(crate) mod internal;
mod operations;
pub(crate) mod public;
mod reply;
