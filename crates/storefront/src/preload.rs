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

/// Entries of the local cache, and the age of each: what traffic as that of the trial would have
/// left in it, for as long as an entry is good for anything.
pub(crate) fn local_cache(config: &TargetConfig, catalogue: &Catalogue) -> Vec<Preloaded> {
    let n_products = config.catalogue.products.get();
    let zipf = Zipf::new(n_products, config.zipf_exponent);
    let local = &config.settings.local_cache;
    let useful = local.stale_on_error_max_age.unwrap_or(local.ttl);
    let mut rng = Seed(config.seed.0).stream("local-cache");
    let mut entries = Vec::new();
    let mut draw = |key: PageKey, ratio: f64| {
        let rate = config.cached_reads_per_sec * ratio;
        let age = entry_age(local.ttl, rate, rng.random(), rng.random());
        if let Some(age) = age.filter(|age| *age <= useful) {
            entries.push(Preloaded { key, duration: age });
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

/// Pages to be rendered ahead, the most popular first, as many as fit into the settings' bytes.
pub(crate) fn rendered_ahead(
    config: &TargetConfig,
    catalogue: &Catalogue,
) -> Vec<(String, axum::body::Bytes)> {
    let size_bytes_max = config.settings.static_snapshot.size_bytes_max;
    let ranks = 0..config.catalogue.products.get();
    let keys = ranks.flat_map(|rank| keys_of_rank(catalogue, rank));
    let mut size_bytes = 0;
    std::iter::once(PageKey::Home)
        .chain(keys)
        .map(|key| (key.to_string(), body(catalogue, key)))
        .take_while(|(key, body)| {
            size_bytes += (key.len() + body.len()) as u64;
            size_bytes <= size_bytes_max
        })
        .collect()
}

/// The age of an entry that is read `rate` times per second and replaced by the first read after
/// its `ttl`, at a moment long after the first read; `None` when it is too old to be counted in
/// time. `u` and `v` are drawn evenly from 0 to 1.
///
/// Reads are a Poisson process, so an entry lives for ttl + E, with E exponential of mean 1/rate,
/// and then is replaced. The age at a random moment of such a renewal process has the density
/// P(ttl + E > a) / (ttl + 1/rate): even up to the ttl, and exponential after it. An entry is
/// therefore fresh with probability rate · ttl / (1 + rate · ttl), the hit ratio of such a cache.
fn entry_age(ttl: Duration, rate: f64, u: f64, v: f64) -> Option<Duration> {
    let n_expected = rate * ttl.as_secs_f64();
    if u * (1.0 + n_expected) < n_expected {
        return Some(ttl.mul_f64(v));
    }
    let overdue = Duration::try_from_secs_f64(-(1.0 - v).ln() / rate).ok()?;
    ttl.checked_add(overdue)
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

    // Worked by hand: a ttl of 60 s and a read in 20 s make 3 expected reads, so an entry is fresh
    // with probability 3/4. Below that the age is even: half of 60 s. Above, v = 1 − 1/e is
    // exactly one mean of 20 s overdue.
    #[test]
    fn an_entry_is_fresh_as_often_as_its_cache_hits_and_overdue_else() {
        let ttl = Duration::from_secs(60);
        let age_s = |u, v| entry_age(ttl, 1.0 / 20.0, u, v).unwrap().as_secs_f64();
        assert!((age_s(0.0, 0.5) - 30.0).abs() < 1e-9);
        assert!((age_s(0.7499, 0.5) - 30.0).abs() < 1e-9);
        assert!((age_s(0.7501, 1.0 - (-1.0_f64).exp()) - 80.0).abs() < 1e-6);
        assert_eq!(entry_age(ttl, 0.0, 0.5, 0.5), None, "never read, never there");
    }

    // At 1,000 reads/s over 200 products every key is read at least 0.8 times per second, 48 times
    // in 60 s: fresh with probability 48/49. At one read in a thousand seconds nearly nothing is
    // there, and what is overdue counts only as long as it may stand in.
    #[test]
    fn a_local_cache_holds_what_the_traffic_would_have_left() {
        let mut config = config();
        config.zipf_exponent = 0.0;
        let catalogue = Catalogue::generate(&config.catalogue);
        let n_keys = 2 * config.catalogue.products.get() as usize + 1;
        config.cached_reads_per_sec = 1_000.0;
        let busy = local_cache(&config, &catalogue);
        let ttl = config.settings.local_cache.ttl;
        assert!(busy.iter().all(|it| it.duration <= ttl));
        assert!(9 * n_keys / 10 < busy.len() && busy.len() <= n_keys, "{}", busy.len());
        config.settings.local_cache.stale_on_error_max_age = Some(10 * ttl);
        let with_stale = local_cache(&config, &catalogue);
        assert!(busy.len() < with_stale.len(), "{}", with_stale.len());
        assert!(with_stale.iter().any(|it| ttl < it.duration));
        config.cached_reads_per_sec = 0.001;
        assert!(local_cache(&config, &catalogue).len() <= 2);
    }
}
