//! Known answers and invariants of the generated data set.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn spec(products: u32, reviews: u32, authors: u32, categories: u32) -> CatalogueSpec {
    let count = |n| NonZeroU32::new(n).unwrap();
    CatalogueSpec {
        products: count(products),
        reviews: count(reviews),
        authors: count(authors),
        categories: count(categories),
        seed: Seed(1),
    }
}

fn small() -> Catalogue {
    Catalogue::generate(&spec(200, 2_000, 50, 4))
}

#[test]
fn the_same_spec_gives_the_same_bytes_and_another_seed_others() {
    let other = CatalogueSpec { seed: Seed(2), ..spec(200, 2_000, 50, 4) };
    let body = |catalogue: &Catalogue| serde_json::to_vec(&catalogue.product_page(7)).unwrap();
    assert_eq!(body(&small()), body(&small()));
    assert_ne!(body(&small()), body(&Catalogue::generate(&other)));
}

#[test]
fn ranks_are_a_permutation_of_ids() {
    let catalogue = small();
    let ids: BTreeSet<u32> = (0..200).map(|rank| catalogue.product_of_rank(rank)).collect();
    assert_eq!(ids, (0..200).collect());
    assert!((0..200).any(|rank| catalogue.product_of_rank(rank) != rank));
}

// Recomputed from the rows alone, the way the queries do it.
#[test]
fn a_product_page_says_what_the_rows_say() {
    let catalogue = small();
    let products: Vec<ProductRow> = catalogue.products().collect();
    let reviews: Vec<ReviewRow> = catalogue.reviews().collect();
    let authors: Vec<AuthorRow> = catalogue.authors().collect();
    for id in [0, 3, 199] {
        let page = catalogue.product_page(id);
        let row = &products[id as usize];
        let of_category: Vec<&ProductRow> =
            products.iter().filter(|it| it.category_id == row.category_id).collect();
        let mut of_product: Vec<&ReviewRow> =
            reviews.iter().filter(|it| it.product_id == row.id).collect();
        of_product.sort_by_key(|it| Reverse(it.created_at));

        assert_eq!(page.category.n_products, of_category.len() as i64);
        let total: i64 = of_category.iter().map(|it| i64::from(it.price_cents)).sum();
        assert_eq!(page.category.price_cents_mean, total / of_category.len() as i64);
        let n_cheaper = of_category.iter().filter(|it| it.price_cents < row.price_cents).count();
        assert_eq!(page.category.n_cheaper, n_cheaper as i64);

        assert_eq!(page.rating.n_reviews, of_product.len() as i64);
        let stars: i64 = of_product.iter().map(|it| i64::from(it.rating)).sum();
        assert_eq!(page.rating.mean_hundredths, stars * 100 / of_product.len().max(1) as i64);

        let newest: Vec<i32> = of_product.iter().take(8).map(|it| it.id).collect();
        assert_eq!(page.latest_reviews.iter().map(|it| it.id).collect::<Vec<_>>(), newest);
        for (entry, review) in page.latest_reviews.iter().zip(&of_product) {
            assert_eq!(entry.author, authors[review.author_id as usize].name);
        }

        let mut others: Vec<&ProductRow> =
            of_category.into_iter().filter(|it| it.id != row.id).collect();
        others.sort_by_key(|it| (Reverse(it.units_sold), it.id));
        let related: Vec<i32> = others.iter().take(6).map(|it| it.id).collect();
        assert_eq!(page.related.iter().map(|it| it.id).collect::<Vec<_>>(), related);
    }
}

// Recomputed from the rows with sets and maps.
#[test]
fn recommendations_are_what_its_reviewers_reviewed_most() {
    let catalogue = small();
    let reviews: Vec<ReviewRow> = catalogue.reviews().collect();
    let id = 5;
    let authors: BTreeSet<i32> =
        reviews.iter().filter(|it| it.product_id == id).map(|it| it.author_id).collect();
    let mut scores: BTreeMap<i32, (i64, i64)> = BTreeMap::new();
    for review in reviews.iter().filter(|it| it.product_id != id) {
        if authors.contains(&review.author_id) {
            let score = scores.entry(review.product_id).or_default();
            *score = (score.0 + 1, score.1 + i64::from(review.rating));
        }
    }
    let mut want: Vec<(Reverse<(i64, i64)>, i32)> =
        scores.into_iter().map(|(product, score)| (Reverse(score), product)).collect();
    want.sort_unstable();
    want.truncate(RECOMMENDATIONS_MAX);
    let got: Vec<(Reverse<(i64, i64)>, i32)> = catalogue
        .recommendations(5)
        .items
        .iter()
        .map(|it| (Reverse((it.n_reviews, it.rating_total)), it.id))
        .collect();
    assert!(!want.is_empty());
    assert_eq!(got, want);
}

// Worked by hand: 1 + 2·2 + 4·4 + 3·5 = 36 stars over 10 reviews are 3.60.
#[test]
fn a_mean_rating_is_in_whole_hundredths() {
    let rating = RatingSummary::from_histogram([1, 2, 0, 4, 3]);
    assert_eq!((rating.n_reviews, rating.mean_hundredths), (10, 360));
    assert_eq!(RatingSummary::from_histogram([0; 5]).mean_hundredths, 0);
    assert_eq!(RatingSummary::from_histogram([0, 0, 1, 2, 0]).mean_hundredths, 366);
}

// 0.42 to 3.3 times the mean of 10, give or take the noise of counting.
#[test]
fn reviews_are_skewed_and_bounded() {
    let catalogue = Catalogue::generate(&spec(20_000, 200_000, 5_000, 40));
    let mut counts: Vec<usize> =
        (0..20_000).map(|id| catalogue.reviews_by_product.of(id).len()).collect();
    counts.sort_unstable();
    assert_eq!(counts.iter().sum::<usize>(), 200_000);
    assert!(counts[19_999] <= 70, "{}", counts[19_999]);
    assert!((3..=7).contains(&counts[10_000]), "{}", counts[10_000]);
    assert!(25 <= counts[19_800], "{}", counts[19_800]);
}

#[test]
fn pages_have_the_size_of_real_ones() {
    let catalogue = Catalogue::generate(&spec(20_000, 200_000, 5_000, 40));
    let total: usize =
        (0..200).map(|id| serde_json::to_vec(&catalogue.product_page(id)).unwrap().len()).sum();
    assert!((2_000..5_000).contains(&(total / 200)), "{}", total / 200);
    assert_eq!(catalogue.home().categories.len(), 40);
    assert_eq!(catalogue.home().bestsellers.len(), BESTSELLERS_MAX);
}

// The bytes are what two processes agree on: a change here makes old results incomparable.
#[test]
fn the_generated_bytes_are_those_of_the_first_release() {
    let catalogue = Catalogue::generate(&spec(3, 6, 2, 1));
    let link = serde_json::to_string(&catalogue.product_page(0).related[0]).unwrap();
    assert_eq!(link, r#"{"id":2,"name":"Clever linen light 2","price_cents":38308}"#);
}

#[test]
fn texts_need_no_escaping() {
    let catalogue = small();
    let plain =
        |text: &str| text.bytes().all(|it| matches!(it, b' ' | b'.') || it.is_ascii_alphanumeric());
    assert!(catalogue.reviews().take(100).all(|it| plain(&it.title) && plain(&it.body)));
    assert!(catalogue.products().all(|it| plain(&it.name) && plain(&it.description)));
    assert!(catalogue.authors().all(|it| plain(&it.name) && plain(&it.biography)));
    assert!(catalogue.categories().all(|it| plain(&it.name)));
}
