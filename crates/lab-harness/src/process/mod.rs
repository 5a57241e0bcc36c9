//! Child processes: how they are started, watched, signalled and recognised again.
//!
//! Nothing here knows what the children are.

pub mod child;
pub(crate) mod kernel;
pub mod registry;
pub mod spawn;
pub mod spec;
pub mod stat;
pub mod tree;

pub use registry::Registry;
pub use spawn::{Child, ChildSpec, Spawner};
pub use stat::ProcessIdentity;
