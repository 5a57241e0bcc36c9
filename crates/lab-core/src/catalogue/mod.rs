//! The data set of the storefront, generated from a seed, and the pages it must show.
//!
//! Pure: the same [`CatalogueSpec`] gives the same rows and the same page bytes everywhere, so the
//! generator knows the body that each page must have and checks it always.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::seed::Seed;

/// How large the data set is, and the seed it is generated from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CatalogueSpec {
    /// Products.
    pub products: NonZeroU32,
    /// Reviews over all products.
    pub reviews: NonZeroU32,
    /// Authors of reviews.
    pub authors: NonZeroU32,
    /// Categories of products.
    pub categories: NonZeroU32,
    /// Seed of the data set, apart from the seed of a trial.
    pub seed: Seed,
}
