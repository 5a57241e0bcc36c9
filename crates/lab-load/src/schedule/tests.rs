//! The schedule is sorted, reproducible, and the same whatever part of it one generator sends.

use std::num::NonZeroU32;

use lab_core::{
    catalogue::CatalogueSpec,
    load_plan::Shard,
    seed::Seed,
    units::{PerSec, Ratio},
};
use proptest::prelude::*;

use super::*;

fn share(value: f64) -> Ratio {
    Ratio::new(value).unwrap()
}

fn mix() -> Mix {
    Mix {
        product: share(0.70),
        recommendations: share(0.14),
        views: share(0.08),
        home: share(0.03),
        sessions: share(0.03),
        orders: share(0.02),
    }
}

fn count(value: u32) -> NonZeroU32 {
    NonZeroU32::new(value).unwrap()
}

pub(crate) fn plan() -> LoadPlan {
    LoadPlan {
        target: "127.0.0.1:1".parse().unwrap(),
        further_targets: Vec::new(),
        seed: Seed(1),
        arrivals: Arrivals::Poisson { rate: PerSec::new(1_000.0).unwrap() },
        duration: Duration::from_secs(2),
        deadline: Duration::from_secs(1),
        give_up_after: Duration::from_secs(1),
        users: count(10),
        mix: mix(),
        zipf_exponent: 0.9,
        session_users: count(20),
        catalogue: CatalogueSpec {
            products: count(200),
            reviews: count(1_000),
            authors: count(50),
            categories: count(5),
            seed: Seed(7),
        },
        shard: Shard::WHOLE,
        samples_path: "samples.bin".into(),
    }
}

pub(crate) fn catalogue() -> Catalogue {
    Catalogue::generate(&plan().catalogue)
}

fn generate(plan: &LoadPlan) -> Schedule {
    Schedule::generate(plan, &catalogue()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_schedule_is_sorted_numbered_and_in_range(seed: u64, rate in 1.0..2_000.0_f64) {
        let rate = PerSec::new(rate).unwrap();
        let plan =
            LoadPlan { seed: Seed(seed), arrivals: Arrivals::Poisson { rate }, ..plan() };
        let schedule = generate(&plan);
        for (index, arrival) in (0..).zip(&schedule.arrivals) {
            prop_assert_eq!(arrival.index, index);
            prop_assert!(arrival.intended_at_ns < nanos(plan.duration));
            prop_assert!(arrival.product < plan.catalogue.products.get());
            prop_assert!(arrival.user < plan.session_users.get());
            prop_assert!(arrival.route != Route::Sessions);
        }
        prop_assert!(schedule.arrivals.is_sorted_by_key(|it| it.intended_at_ns));
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others(seed: u64) {
        let with = |seed| generate(&LoadPlan { seed: Seed(seed), ..plan() }).fingerprint();
        prop_assert_eq!(with(seed), with(seed));
        prop_assert_ne!(with(seed), with(seed.wrapping_add(1)));
    }

    #[test]
    fn the_shards_together_are_the_whole(seed: u64, n_shards in 1..5_u32) {
        let whole = LoadPlan { seed: Seed(seed), ..plan() };
        let mut merged: Vec<Arrival> = (0..n_shards)
            .map(|index| Shard { index, count: count(n_shards) })
            .flat_map(|shard| generate(&LoadPlan { shard, ..whole.clone() }).arrivals)
            .collect();
        merged.sort_by_key(|it| it.index);
        prop_assert_eq!(merged, generate(&whole).arrivals);
    }
}

// A Poisson count with mean 20,000 has a standard deviation of 141, so 5 of them are 707.
// Gaps are exponential, so their standard deviation equals their mean: at n = 20,000 their ratio
// is within 0.05 of 1 (its standard error is 1/sqrt(n) = 0.007).
#[test]
fn arrivals_are_poisson_at_the_rate_asked_for() {
    let schedule = generate(&LoadPlan { duration: Duration::from_secs(20), ..plan() });
    let n = schedule.arrivals.len();
    assert!(n.abs_diff(20_000) < 707, "{n}");
    let gaps: Vec<f64> = schedule
        .arrivals
        .windows(2)
        .map(|pair| (pair[1].intended_at_ns - pair[0].intended_at_ns) as f64)
        .collect();
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{}", variance.sqrt() / mean);
}

// Shares of 20,000 arrivals: the standard error of a share p is sqrt(p (1 - p) / 20,000), at most
// 0.0033, so 0.017 is five of them.
#[test]
fn routes_follow_the_mix() {
    let schedule = generate(&LoadPlan { duration: Duration::from_secs(20), ..plan() });
    for (route, expected) in mix().shares() {
        let n = schedule.arrivals.iter().filter(|it| it.route == route).count();
        let share = n as f64 / schedule.arrivals.len() as f64;
        assert!((share - expected).abs() < 0.017, "{}: {share}", route.name());
    }
}

#[test]
fn another_mix_changes_routes_and_nothing_else() {
    let without_pages = Mix { product: share(0.0), views: share(0.78), ..mix() };
    let other = generate(&LoadPlan { mix: without_pages, ..plan() });
    let strip = |arrivals: Vec<Arrival>| -> Vec<Arrival> {
        arrivals.into_iter().map(|it| Arrival { route: Route::Home, ..it }).collect()
    };
    assert!(other.arrivals.iter().all(|it| it.route != Route::Product));
    assert_eq!(strip(other.arrivals), strip(generate(&plan()).arrivals));
}

#[test]
fn a_longer_schedule_begins_with_the_shorter_one() {
    let longer = generate(&LoadPlan { duration: Duration::from_secs(3), ..plan() }).arrivals;
    let shorter = generate(&plan()).arrivals;
    assert!(shorter.len() < longer.len());
    assert_eq!(longer[..shorter.len()], shorter);
}

#[test]
fn a_saturating_schedule_holds_as_many_arrivals_as_its_highest_rate() {
    let arrivals = Arrivals::Saturate { rate_max: PerSec::new(500.0).unwrap() };
    let n = generate(&LoadPlan { arrivals, ..plan() }).arrivals.len();
    assert!(n.abs_diff(1_000) <= 1, "{n}");
}

#[test]
fn a_plan_that_cannot_work_is_refused_by_the_name_of_its_key() {
    let shard = Shard { index: 2, count: count(2) };
    for (plan, key) in [
        (LoadPlan { mix: Mix { product: share(0.5), ..mix() }, ..plan() }, "`mix`"),
        (LoadPlan { zipf_exponent: f64::NAN, ..plan() }, "`zipf_exponent`"),
        (LoadPlan { zipf_exponent: -0.1, ..plan() }, "`zipf_exponent`"),
        (LoadPlan { duration: Duration::ZERO, ..plan() }, "`duration`"),
        (LoadPlan { deadline: Duration::ZERO, ..plan() }, "`deadline`"),
        (LoadPlan { give_up_after: Duration::ZERO, ..plan() }, "`give_up_after`"),
        (LoadPlan { shard, ..plan() }, "`shard.index`"),
    ] {
        let error = Schedule::generate(&plan, &catalogue()).unwrap_err();
        assert!(error.to_string().contains(key), "{error}");
        assert_eq!(error.exit_code(), 2);
    }
}

#[test]
fn a_sample_is_filed_under_the_product_or_the_user_it_is_about() {
    let arrival = Arrival { index: 0, intended_at_ns: 0, route: Route::Home, product: 5, user: 9 };
    assert_eq!(arrival.key(), 0);
    assert_eq!(Arrival { route: Route::Me, ..arrival }.key(), 9);
    assert_eq!(Arrival { route: Route::Orders, ..arrival }.key(), 5);
}
