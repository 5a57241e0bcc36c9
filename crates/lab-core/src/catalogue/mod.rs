//! The data set of the storefront, generated from a seed, and the pages it must show.
//!
//! Pure: the same [`CatalogueSpec`] gives the same rows and the same page bytes everywhere, so the
//! generator knows the body that each page must have and checks it always. Pages are computed here
//! from the generated rows, and in the storefront by SQL from the stored ones; nothing on a page
//! changes while a trial runs, and every number is whole, so that both give the same bytes.

mod pages;
mod rows;
mod text;

use std::{cmp::Reverse, num::NonZeroU32};

use serde::{Deserialize, Serialize};

use self::text::Draws;
pub use self::{
    pages::{
        BESTSELLERS_MAX, CategoryEntry, CategorySummary, HomePage, LATEST_REVIEWS_MAX, ProductLink,
        ProductPage, RECOMMENDATIONS_MAX, RELATED_MAX, RatingSummary, Recommendation,
        Recommendations, ReviewEntry,
    },
    rows::{AuthorRow, CategoryRow, ProductRow, ReviewRow},
};
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

/// The numbers of every row. Texts are derived from the id of their row when they are asked for,
/// so a catalogue of the usual size takes a few megabytes.
#[derive(Debug, Clone)]
pub struct Catalogue {
    spec: CatalogueSpec,
    products: Vec<Product>,
    reviews: Vec<Review>,
    reviews_by_product: Groups,
    reviews_by_author: Groups,
    categories: Vec<Category>,
    bestsellers: Vec<u32>,
    product_of_rank: Vec<u32>,
}

#[derive(Debug, Clone)]
struct Product {
    category_id: u32,
    price_cents: u32,
    units_sold: u32,
    stock: u32,
}

#[derive(Debug, Clone)]
struct Review {
    product_id: u32,
    author_id: u32,
    rating: u8,
}

/// What pages say about a whole category.
#[derive(Debug, Clone, Default)]
struct Category {
    /// Its products, most sold first.
    by_units_sold: Vec<u32>,
    /// The prices of its products, lowest first.
    prices_cents: Vec<u32>,
}

impl Catalogue {
    /// Generates the data set. Deterministic, and well below a second at the usual size.
    pub fn generate(spec: &CatalogueSpec) -> Self {
        let seed = spec.seed;
        let n_products = spec.products.get();
        let products: Vec<Product> =
            (0..n_products).map(|id| product(seed, id, spec.categories.get())).collect();
        let by_reviews = shuffled(seed.derive("products-by-reviews"), n_products);
        let reviews: Vec<Review> = (0..spec.reviews.get())
            .map(|id| review(seed, id, &by_reviews, spec.authors.get()))
            .collect();
        let mut by_units_sold: Vec<u32> = (0..n_products).collect();
        by_units_sold.sort_by_key(|id| (Reverse(products[*id as usize].units_sold), *id));
        Self {
            reviews_by_product: Groups::new(n_products, reviews.iter().map(|it| it.product_id)),
            reviews_by_author: Groups::new(
                spec.authors.get(),
                reviews.iter().map(|it| it.author_id),
            ),
            categories: categories(spec.categories.get(), &products, &by_units_sold),
            bestsellers: by_units_sold.into_iter().take(BESTSELLERS_MAX).collect(),
            product_of_rank: shuffled(seed.derive("product-of-rank"), n_products),
            spec: spec.clone(),
            products,
            reviews,
        }
    }

    /// What it was generated from.
    pub fn spec(&self) -> &CatalogueSpec {
        &self.spec
    }

    /// The product at a rank of popularity: a fixed permutation, so that neighbours in popularity
    /// are not neighbours in the tables. **Range**: `rank` below the number of products.
    pub fn product_of_rank(&self, rank: u32) -> u32 {
        self.product_of_rank[rank as usize]
    }
}

fn product(seed: Seed, id: u32, n_categories: u32) -> Product {
    let mut draws = Draws::new(seed, "product", id);
    Product {
        category_id: draws.below(n_categories),
        price_cents: 199 + draws.below(40_000),
        units_sold: draws.below(250_000),
        stock: draws.below(500),
    }
}

/// Reviews are skewed and bounded: with u uniform, the review goes to the product at the share
/// 0.3 u + 0.7 u³ of a shuffled list. The density of that is 1 / (0.3 + 2.1 u²), so products have
/// from 0.42 to 3.3 times the mean number of reviews. The list is not that of popularity: a page
/// must cost the same whoever is popular, or variants that query other keys would not compare.
fn review(seed: Seed, id: u32, by_reviews: &[u32], n_authors: u32) -> Review {
    let mut draws = Draws::new(seed, "review", id);
    let point = draws.share();
    let share = 0.3 * point + 0.7 * point * point * point;
    let n_products = by_reviews.len();
    let position = text::floor(share * n_products as f64).min(n_products - 1);
    // 1 to 5 stars in the shares 5, 5, 15, 30 and 45 %.
    let rating = match draws.below(100) {
        0..5 => 1,
        5..10 => 2,
        10..25 => 3,
        25..55 => 4,
        _ => 5,
    };
    Review { product_id: by_reviews[position], author_id: draws.below(n_authors), rating }
}

fn categories(n: u32, products: &[Product], by_units_sold: &[u32]) -> Vec<Category> {
    let mut categories = vec![Category::default(); n as usize];
    for id in by_units_sold {
        let product = &products[*id as usize];
        let category = &mut categories[product.category_id as usize];
        category.by_units_sold.push(*id);
        category.prices_cents.push(product.price_cents);
    }
    for category in &mut categories {
        category.prices_cents.sort_unstable();
    }
    categories
}

/// The numbers 0 to n − 1 in an order drawn from `seed` (Fisher and Yates).
fn shuffled(seed: Seed, n: u32) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n).collect();
    let mut draws = Draws::new(seed, "shuffle", 0);
    for last in (1..n).rev() {
        order.swap(last as usize, draws.below(last + 1) as usize);
    }
    order
}

/// Item ids grouped by owner, ascending within an owner: one flat list and where each part begins.
#[derive(Debug, Clone)]
struct Groups {
    begins: Vec<u32>,
    items: Vec<u32>,
}

impl Groups {
    /// `owners` names the owner (0 to `n_owners` − 1) of item 0, 1, 2 and so on.
    fn new(n_owners: u32, owners: impl Iterator<Item = u32> + Clone) -> Self {
        let mut begins = vec![0_u32; n_owners as usize + 1];
        let mut n_items = 0;
        for owner in owners.clone() {
            begins[owner as usize + 1] += 1;
            n_items += 1;
        }
        for owner in 1..begins.len() {
            begins[owner] += begins[owner - 1];
        }
        let mut next = begins.clone();
        let mut items = vec![0; n_items];
        for (item, owner) in (0_u32..).zip(owners) {
            items[next[owner as usize] as usize] = item;
            next[owner as usize] += 1;
        }
        Self { begins, items }
    }

    fn of(&self, owner: u32) -> &[u32] {
        let owner = owner as usize;
        &self.items[self.begins[owner] as usize..self.begins[owner + 1] as usize]
    }
}

#[cfg(test)]
mod tests;
