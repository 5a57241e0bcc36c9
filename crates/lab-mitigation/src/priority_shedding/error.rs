//! What a caller gets instead of a place.

use std::time::Duration;

use lab_core::route::RouteClass;

/// The caller waited as long as the state of the queue allows, or had to make way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} call shed after {waited:?}", class.name())]
pub struct Shed {
    /// The class of the caller.
    pub class: RouteClass,
    /// How long it waited.
    pub waited: Duration,
}
