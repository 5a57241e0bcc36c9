//! What the caches hold when a trial starts. Pure: which entries, and how old.

use std::time::Duration;

use lab_core::{catalogue::Catalogue, seed::Seed, target::TargetConfig, zipf::Zipf};
use rand::RngExt;

use crate::page::{PageKey, to_body};

/// Shares of the cached routes among cached reads in the main mix: 70, 14 and 3 of 87 requests.
/// How full a local cache starts depends on them only weakly.
const PRODUCT_RATIO: f64 = 70.0 / 87.0;
const RECOMMENDATIONS_RATIO: f64 = 14.0 / 87.0;

/// An entry of a cache that is loaded ahead.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Preloaded {
    pub(crate) key: PageKey,
    /// Time it has left in the shared cache, or its age in the local one.
    pub(crate) duration: Duration,
}

/// Entries of the shared cache, and the time each has left: the home page and the pages of the
/// most popular products, as many as make the configured share of reads hit, with half to all of
/// the time to live left.
pub(crate) fn shared_cache(config: &TargetConfig, catalogue: &Catalogue) -> Vec<Preloaded> {
    let zipf = Zipf::new(config.catalogue.products.get(), config.zipf_exponent);
    let n_ranks = ranks_for(&zipf, config.catalogue.products.get(), config.cache.hit_ratio.get());
    let mut rng = config.seed.stream("shared-cache");
    let mut keys = vec![PageKey::Home];
    keys.extend((0..n_ranks).flat_map(|rank| keys_of_rank(catalogue, rank)));
    keys.into_iter()
        .map(|key| {
            let left: f64 = 0.5 + 0.5 * rng.random::<f64>();
            Preloaded { key, duration: config.cache.ttl.mul_f64(left) }
        })
        .collect()
}

/// Fewest most popular ranks that `hit_ratio` of all reads fall on.
fn ranks_for(zipf: &Zipf, n_products: u32, hit_ratio: f64) -> u32 {
    let (mut too_few, mut enough) = (0, n_products);
    if hit_ratio <= 0.0 {
        return 0;
    }
    while too_few + 1 < enough {
        let middle = too_few.midpoint(enough);
        if zipf.share_of_top(middle) < hit_ratio {
            too_few = middle;
        } else {
            enough = middle;
        }
    }
    enough
}

/// Entries of the local cache, and the age of each: what the last `ttl` of traffic would have left
/// in it. A key that is read `rate` times per second is there with probability
/// 1 − exp(−rate × ttl), which is the chance of at least one arrival of a Poisson process; its age
/// is spread evenly over the time to live.
pub(crate) fn local_cache(config: &TargetConfig, catalogue: &Catalogue) -> Vec<Preloaded> {
    let n_products = config.catalogue.products.get();
    let zipf = Zipf::new(n_products, config.zipf_exponent);
    let ttl = config.settings.local_cache.ttl;
    let mut rng = Seed(config.seed.0).stream("local-cache");
    let mut entries = Vec::new();
    let mut draw = |key: PageKey, ratio: f64| {
        let n_expected = config.cached_reads_per_sec * ratio * ttl.as_secs_f64();
        let (chance, age): (f64, f64) = (rng.random(), rng.random());
        if chance < 1.0 - (-n_expected).exp() {
            entries.push(Preloaded { key, duration: ttl.mul_f64(age) });
        }
    };
    draw(PageKey::Home, 1.0 - PRODUCT_RATIO - RECOMMENDATIONS_RATIO);
    for rank in 0..n_products {
        let [product, recommendations] = keys_of_rank(catalogue, rank);
        draw(product, PRODUCT_RATIO * zipf.share_of(rank));
        draw(recommendations, RECOMMENDATIONS_RATIO * zipf.share_of(rank));
    }
    entries
}

/// The body of a page, computed without a database.
pub(crate) fn body(catalogue: &Catalogue, key: PageKey) -> axum::body::Bytes {
    let id = |id: i32| u32::try_from(id).expect("ids of the catalogue are not negative");
    match key {
        PageKey::Home => to_body(&catalogue.home()),
        PageKey::Product(product) => to_body(&catalogue.product_page(id(product))),
        PageKey::Recommendations(product) => to_body(&catalogue.recommendations(id(product))),
    }
}

fn keys_of_rank(catalogue: &Catalogue, rank: u32) -> [PageKey; 2] {
    let id = i32::try_from(catalogue.product_of_rank(rank)).expect("ids fit an integer column");
    [PageKey::Product(id), PageKey::Recommendations(id)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    // Worked by hand: weights 1, 1/2, 1/3, 1/4 give shares 0.48, 0.72, 0.88 and 1.
    #[test]
    fn as_many_ranks_as_the_hit_ratio_needs_and_no_more() {
        let zipf = Zipf::new(4, 1.0);
        for (hit_ratio, want) in [(0.0, 0), (0.1, 1), (0.48, 1), (0.5, 2), (0.73, 3), (1.0, 4)] {
            assert_eq!(ranks_for(&zipf, 4, hit_ratio), want, "{hit_ratio}");
        }
    }

    #[test]
    fn shared_entries_have_half_to_all_of_their_time_left() {
        let config = config();
        let catalogue = Catalogue::generate(&config.catalogue);
        let entries = shared_cache(&config, &catalogue);
        let ttl = config.cache.ttl;
        assert!(entries.iter().all(|it| ttl / 2 <= it.duration && it.duration <= ttl));
        assert_eq!(entries, shared_cache(&config, &catalogue), "the same seed, the same entries");
        assert!(entries.iter().any(|it| it.key == PageKey::Home));
    }

    // At 1,000 reads/s over 60 s a key of share 1/2,000 is expected 24 times: always there. At
    // one read in a thousand seconds nearly nothing is.
    #[test]
    fn a_local_cache_holds_what_the_traffic_would_have_left() {
        let mut config = config();
        config.zipf_exponent = 0.0;
        let catalogue = Catalogue::generate(&config.catalogue);
        let n_products = config.catalogue.products.get() as usize;
        config.cached_reads_per_sec = 1_000.0;
        let busy = local_cache(&config, &catalogue);
        assert!(busy.iter().all(|it| it.duration < config.settings.local_cache.ttl));
        assert_eq!(busy.len(), 2 * n_products + 1);
        config.cached_reads_per_sec = 0.001;
        assert!(local_cache(&config, &catalogue).len() <= 2);
    }
}
