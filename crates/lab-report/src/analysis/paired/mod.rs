//! Two versions of the service in pairs of trials: is one worse?
//!
//! [`signed_rank`] and [`walsh`] are the statistics of one figure, [`judge`] applies them look by
//! look, [`resample`] asks how often that is wrong.

pub mod figures;
pub mod judge;
pub mod resample;
pub mod signed_rank;
pub mod walsh;

#[cfg(test)]
pub(crate) mod testing;
