//! A queue before a scarce dependency that lets the important in first, and gives up early on
//! those it could only disappoint.
//!
//! **States.** At most `max_concurrent_calls` calls are in flight. Everybody else waits in the
//! queue of their class, and a free place goes to core before auxiliary. Each class has a queue
//! of its own, in one of two states:
//!
//! | queue | who comes waits at most | a free place goes to |
//! | --- | --- | --- |
//! | was empty within the last `interval` | `interval` | who came first |
//! | standing: not empty for `interval` | `target` | who came last |
//!
//! A caller whose time is up is shed. When that is a core caller, all auxiliary callers that still
//! wait are shed before it: none of them would have been let in before it.
//!
//! **Helps** under an overload that lasts. A long queue in arrival order serves only callers that
//! have waited so long that many have left, and the place in it is worth nothing to anybody. With
//! short waits and the newest first, those who are served are served in time, and the rest know at
//! once. Core routes keep working while there is capacity for them.
//!
//! **Hurts** whoever is auxiliary: under a core overload nothing is left for them. The newest first
//! is unfair by design, and unkind to callers that retry. A `target` shorter than one call of the
//! dependency sheds nearly everybody who must wait at all. The queue is bounded in time and not in
//! number: it holds as many callers as come within an `interval`.
//!
//! **Callers that leave** give their place back, or leave the queue.
//!
//! **Source**: Maurer, "Fail at Scale", ACM Queue 2015: controlled delay with M = 5 ms and N =
//! 100 ms, and adaptive LIFO; CoDel: Nichols and Jacobson, "Controlling Queue Delay", 2012. Classes
//! as in strategy row S5.

mod error;
mod handle;
mod policy;

pub use error::Shed;
pub use handle::{PriorityPermit, PriorityShedding};
pub use policy::PriorityAdmission;
