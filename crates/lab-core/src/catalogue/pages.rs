//! The three pages, and how each follows from the rows.
//!
//! The body of a page is exactly `serde_json::to_vec(&page)`; the order of fields is part of it.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::{Catalogue, rows::integer};

/// Reviews on a product page, newest first.
pub const LATEST_REVIEWS_MAX: usize = 8;
/// Products of the same category on a product page, most sold first.
pub const RELATED_MAX: usize = 6;
/// Products on a page of recommendations.
pub const RECOMMENDATIONS_MAX: usize = 12;
/// Products on the home page, most sold first.
pub const BESTSELLERS_MAX: usize = 12;

/// `GET /products/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductPage {
    /// The product.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its price in hundredths of the currency.
    pub price_cents: i32,
    /// Units left.
    pub stock: i32,
    /// Where it stands among the products of its category.
    pub category: CategorySummary,
    /// What all its reviews say.
    pub rating: RatingSummary,
    /// Its newest reviews, newest first.
    pub latest_reviews: Vec<ReviewEntry>,
    /// Other products of its category, most sold first.
    pub related: Vec<ProductLink>,
}

/// A category, seen from one of its products.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategorySummary {
    /// The category.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Products in it.
    pub n_products: i64,
    /// Mean price of them, rounded down.
    pub price_cents_mean: i64,
    /// Products in it that cost less than this one.
    pub n_cheaper: i64,
}

/// What all reviews of a product say together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatingSummary {
    /// Reviews.
    pub n_reviews: i64,
    /// Mean rating in hundredths of a star, rounded down; 0 without reviews.
    pub mean_hundredths: i64,
    /// Reviews with 1, 2, 3, 4 and 5 stars.
    pub histogram: [i64; 5],
}

/// A review on a product page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewEntry {
    /// The review.
    pub id: i32,
    /// Name of its author.
    pub author: String,
    /// Country of its author.
    pub country: String,
    /// 1 to 5.
    pub rating: i32,
    /// A few words.
    pub title: String,
    /// A few sentences.
    pub body: String,
    /// Seconds since 1970.
    pub created_at: i64,
}

/// A link to a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductLink {
    /// The product.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Its price in hundredths of the currency.
    pub price_cents: i32,
}

/// `GET /products/{id}/recommendations`: what those who reviewed this product reviewed as well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendations {
    /// The product that they stand beside.
    pub product_id: i32,
    /// Most reviews by this product's reviewers first, then higher ratings, then lower ids.
    pub items: Vec<Recommendation>,
}

/// One recommended product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recommendation {
    /// The product.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// Its price in hundredths of the currency.
    pub price_cents: i32,
    /// Reviews of it by authors who reviewed the product that it is recommended beside.
    pub n_reviews: i64,
    /// Sum of the ratings of those.
    pub rating_total: i64,
}

/// `GET /`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HomePage {
    /// The most sold products.
    pub bestsellers: Vec<ProductLink>,
    /// Every category, by id.
    pub categories: Vec<CategoryEntry>,
}

/// A category on the home page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryEntry {
    /// The category.
    pub id: i32,
    /// Its name.
    pub name: String,
}

impl RatingSummary {
    /// From the number of reviews with 1, 2, 3, 4 and 5 stars.
    pub fn from_histogram(histogram: [i64; 5]) -> Self {
        let n_reviews = histogram.iter().sum();
        let stars: i64 = (1..).zip(histogram).map(|(rating, count)| rating * count).sum();
        let mean_hundredths = if n_reviews == 0 { 0 } else { stars * 100 / n_reviews };
        Self { n_reviews, mean_hundredths, histogram }
    }
}

impl Catalogue {
    /// The page of a product. **Range**: `id` below the number of products.
    pub fn product_page(&self, id: u32) -> ProductPage {
        let row = self.product(id);
        ProductPage {
            id: row.id,
            name: row.name,
            description: row.description,
            price_cents: row.price_cents,
            stock: row.stock,
            category: self.category_summary(id),
            rating: self.rating_summary(id),
            latest_reviews: self.latest_reviews(id),
            related: self.related(id),
        }
    }

    /// The recommendations beside a product. **Range**: `id` below the number of products.
    pub fn recommendations(&self, id: u32) -> Recommendations {
        let mut authors: Vec<u32> = self
            .reviews_by_product
            .of(id)
            .iter()
            .map(|review| self.reviews[*review as usize].author_id)
            .collect();
        authors.sort_unstable();
        authors.dedup();
        let mut reviewed: Vec<(u32, u8)> = authors
            .iter()
            .flat_map(|author| self.reviews_by_author.of(*author))
            .map(|review| &self.reviews[*review as usize])
            .filter(|review| review.product_id != id)
            .map(|review| (review.product_id, review.rating))
            .collect();
        reviewed.sort_unstable_by_key(|(product, _)| *product);
        let mut scores: Vec<(Reverse<i64>, Reverse<i64>, u32)> = reviewed
            .chunk_by(|left, right| left.0 == right.0)
            .map(|same| {
                let n_reviews = i64::try_from(same.len()).expect("a length fits");
                let rating_total = same.iter().map(|(_, rating)| i64::from(*rating)).sum();
                (Reverse(n_reviews), Reverse(rating_total), same[0].0)
            })
            .collect();
        if RECOMMENDATIONS_MAX < scores.len() {
            scores.select_nth_unstable(RECOMMENDATIONS_MAX - 1);
            scores.truncate(RECOMMENDATIONS_MAX);
        }
        scores.sort_unstable();
        let items = scores
            .into_iter()
            .map(|(n_reviews, rating_total, product)| Recommendation {
                id: integer(product),
                name: self.product_name(product),
                price_cents: integer(self.products[product as usize].price_cents),
                n_reviews: n_reviews.0,
                rating_total: rating_total.0,
            })
            .collect();
        Recommendations { product_id: integer(id), items }
    }

    /// The home page.
    pub fn home(&self) -> HomePage {
        let bestsellers = self.bestsellers.iter().map(|id| self.link(*id)).collect();
        let categories =
            self.categories().map(|row| CategoryEntry { id: row.id, name: row.name }).collect();
        HomePage { bestsellers, categories }
    }

    fn link(&self, id: u32) -> ProductLink {
        ProductLink {
            id: integer(id),
            name: self.product_name(id),
            price_cents: integer(self.products[id as usize].price_cents),
        }
    }

    fn category_summary(&self, product_id: u32) -> CategorySummary {
        let product = &self.products[product_id as usize];
        let category = &self.categories[product.category_id as usize];
        let n_products = length(&category.prices_cents);
        let total: i64 = category.prices_cents.iter().map(|price| i64::from(*price)).sum();
        let n_cheaper = category.prices_cents.partition_point(|price| *price < product.price_cents);
        CategorySummary {
            id: integer(product.category_id),
            name: self.category_name(product.category_id),
            n_products,
            price_cents_mean: total / n_products,
            n_cheaper: i64::try_from(n_cheaper).expect("a length fits"),
        }
    }

    fn rating_summary(&self, product_id: u32) -> RatingSummary {
        let mut histogram = [0; 5];
        for review in self.reviews_by_product.of(product_id) {
            histogram[usize::from(self.reviews[*review as usize].rating) - 1] += 1;
        }
        RatingSummary::from_histogram(histogram)
    }

    fn latest_reviews(&self, product_id: u32) -> Vec<ReviewEntry> {
        let newest_first = self.reviews_by_product.of(product_id).iter().rev();
        newest_first
            .take(LATEST_REVIEWS_MAX)
            .map(|review_id| {
                let row = self.review(*review_id);
                let author = self.author(self.reviews[*review_id as usize].author_id);
                ReviewEntry {
                    id: row.id,
                    author: author.name,
                    country: author.country,
                    rating: row.rating,
                    title: row.title,
                    body: row.body,
                    created_at: row.created_at,
                }
            })
            .collect()
    }

    fn related(&self, product_id: u32) -> Vec<ProductLink> {
        let category = self.products[product_id as usize].category_id as usize;
        let by_units_sold = self.categories[category].by_units_sold.iter();
        let others = by_units_sold.filter(|id| **id != product_id);
        others.take(RELATED_MAX).map(|id| self.link(*id)).collect()
    }
}

fn length<T>(list: &[T]) -> i64 {
    i64::try_from(list.len()).expect("a length fits")
}
