//! The body that each page must have, as a hash.

use lab_core::{catalogue::Catalogue, route::Route};
use rapidhash::v3::rapidhash_v3;
use serde::Serialize;

use crate::schedule::Schedule;

/// Hashes of the bodies of every page that a schedule asks for.
///
/// A 64-bit hash is enough: a wrong body passes once in 2^64 times. Two hashes per product take
/// 32 bytes, where the bodies themselves would take several kilobytes.
#[derive(Debug)]
pub(crate) struct ExpectedBodies {
    home: u64,
    products: Vec<Option<u64>>,
    recommendations: Vec<Option<u64>>,
}

impl ExpectedBodies {
    /// Renders every page that `schedule` asks for, once.
    pub(crate) fn of(schedule: &Schedule, catalogue: &Catalogue) -> Self {
        let n_products = catalogue.spec().products.get() as usize;
        let mut expected = Self {
            home: hash_of(&catalogue.home()),
            products: vec![None; n_products],
            recommendations: vec![None; n_products],
        };
        for arrival in &schedule.arrivals {
            let (id, place) = (arrival.product, arrival.product as usize);
            match arrival.route {
                Route::Product => {
                    expected.products[place]
                        .get_or_insert_with(|| hash_of(&catalogue.product_page(id)));
                }
                Route::Recommendations => {
                    expected.recommendations[place]
                        .get_or_insert_with(|| hash_of(&catalogue.recommendations(id)));
                }
                Route::Home | Route::Views | Route::Sessions | Route::Me | Route::Orders => {}
            }
        }
        expected
    }

    /// Whether `body` is the page of `route` about `product`. `false` for what is no page of the
    /// schedule.
    pub(crate) fn matches(&self, route: Route, product: u32, body: &[u8]) -> bool {
        let expected = match route {
            Route::Home => Some(self.home),
            Route::Product => self.products[product as usize],
            Route::Recommendations => self.recommendations[product as usize],
            Route::Views | Route::Sessions | Route::Me | Route::Orders => None,
        };
        expected == Some(rapidhash_v3(body))
    }
}

fn hash_of(page: &impl Serialize) -> u64 {
    let body = serde_json::to_vec(page).expect("pages are plain structs with string keys");
    rapidhash_v3(&body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::{catalogue, plan};

    #[test]
    fn every_page_of_the_schedule_is_known_and_no_page_passes_for_another() {
        let catalogue = catalogue();
        let schedule = Schedule::generate(&plan(), &catalogue).unwrap();
        let expected = ExpectedBodies::of(&schedule, &catalogue);
        let body = |route, product| match route {
            Route::Home => serde_json::to_vec(&catalogue.home()).unwrap(),
            Route::Product => serde_json::to_vec(&catalogue.product_page(product)).unwrap(),
            _ => serde_json::to_vec(&catalogue.recommendations(product)).unwrap(),
        };
        let n_products = catalogue.spec().products.get();
        let mut n_pages = 0;
        for arrival in schedule.arrivals.iter().filter(|it| it.route.is_cached()) {
            let (route, product) = (arrival.route, arrival.product);
            assert!(expected.matches(route, product, &body(route, product)));
            assert!(!expected.matches(route, product, b""));
            if route != Route::Home {
                let other = (product + 1) % n_products;
                assert!(!expected.matches(route, product, &body(route, other)));
            }
            n_pages += 1;
        }
        assert!(100 < n_pages, "{n_pages}");
    }
}
