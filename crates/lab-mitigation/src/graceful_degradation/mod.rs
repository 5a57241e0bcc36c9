//! A dimmer: under pressure a growing share of the auxiliary work is left out, so that the core
//! work keeps its time.
//!
//! **States.** The *level* is the share of auxiliary work that is done, 0 to 1. Once per `period`
//! it is moved so that the measured pressure comes to its target: down when the pressure is above,
//! up again, by `recovery_step` at most, when it is below. Each piece of auxiliary work is then
//! served or left out by lot. Core work is always served.
//!
//! **Helps** when the service is asked for more than it can do and part of that is worth less:
//! recommendations on a product page, view counters. Only as much goes as must, and users who keep
//! it see no difference.
//!
//! **Hurts** when auxiliary work is not what presses: then all of it goes and nothing gets better.
//! The lot falls anew for each request, so a page may come with its extras and without them a
//! second later. And it reacts only after some periods; a burst that is over by then has passed
//! undimmed.
//!
//! **What to measure.** Connection demand (in use and waiting, per connection in the pool) is there
//! even when no call ends; response times are missing just when everything hangs. [`Dimmer`] holds
//! its level when there is nothing to go by, so pass `None` for "nothing ended, and calls are in
//! flight" and `Some(0.0)` for "nothing to do".
//!
//! **Source**: Klein, Maggio, Årzén, Hernández-Rodriguez, "Brownout: Building More Robust Cloud
//! Applications", ICSE 2014: an adaptive deadbeat-like controller with one pole. From its published
//! implementation: recovering more slowly than dimming. Different here: the gain does not vanish
//! at level 0, where the original divides by it.

mod event;
mod handle;
mod policy;
mod pressure;

pub use event::DegradationEvent;
pub use handle::{GracefulDegradation, GracefulDegradationSnapshot};
pub use policy::{AuxiliaryWork, Dimmer};
pub use pressure::PoolDemand;
