//! What the lab tells the load generator, as one JSON file.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    catalogue::CatalogueSpec,
    route::Route,
    seed::Seed,
    units::{PerSec, Ratio},
};

/// Everything `lab-load run --plan FILE` needs, but for the instant at which to start: the
/// generator prints `ready` when its users wait, and then reads `start <CLOCK_MONOTONIC ns>`. Each
/// line `targets <address>,<address>…` after that is the list of instances from then on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadPlan {
    /// Where the target listens.
    pub target: SocketAddr,
    /// Further instances of the target. Arrival k goes to instance k mod n of those in the list at
    /// that time, `target` first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_targets: Vec<SocketAddr>,
    /// The trial's seed: the same seed gives the same arrivals.
    pub seed: Seed,
    /// When requests are due.
    pub arrivals: Arrivals,
    /// How long the schedule lasts; requests still open then are waited for.
    #[serde(with = "humantime_serde")]
    pub duration: Duration,
    /// A success later than this after its intended time is `TimedOut`.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// The client closes the connection this long after the intended time.
    #[serde(with = "humantime_serde")]
    pub give_up_after: Duration,
    /// Goose users: requests that can be in flight at once.
    pub users: NonZeroU32,
    /// Share of each kind of request; they sum to 1.
    pub mix: Mix,
    /// Exponent of the popularity of products: weight of the k-th is k^-exponent.
    pub zipf_exponent: f64,
    /// Virtual users that log in and use their session.
    pub session_users: NonZeroU32,
    /// The data set, so that every body can be checked.
    pub catalogue: CatalogueSpec,
    /// Which part of the schedule this generator sends.
    pub shard: Shard,
    /// Where the samples go.
    pub samples_path: PathBuf,
}

impl LoadPlan {
    /// The instances in the list when the run starts.
    pub fn targets(&self) -> Vec<SocketAddr> {
        std::iter::once(self.target).chain(self.further_targets.iter().copied()).collect()
    }
}

/// When requests are due.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Open-loop: a seeded Poisson process, computed ahead.
    Poisson {
        /// Mean arrivals per second.
        rate: PerSec,
    },
    /// Closed-loop, for calibration only: every user sends its next request as soon as the last
    /// one ended, so the throughput is the capacity of the service at this concurrency.
    Saturate {
        /// Most requests per second that the schedule holds; far above any capacity.
        rate_max: PerSec,
    },
}

/// One of several generators that serve one schedule: this one sends arrival k when
/// k mod `count` = `index`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// Which one, from 0.
    pub index: u32,
    /// How many there are.
    pub count: NonZeroU32,
}

impl Shard {
    /// The only generator of its trial.
    pub const WHOLE: Self = Self { index: 0, count: NonZeroU32::MIN };
}

/// Share of each kind of request in the load. Logging in and using the session are one kind: the
/// virtual user does whichever it needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// `GET /products/{id}`.
    pub product: Ratio,
    /// `GET /products/{id}/recommendations`.
    pub recommendations: Ratio,
    /// `POST /products/{id}/views`.
    pub views: Ratio,
    /// `GET /`.
    pub home: Ratio,
    /// `POST /sessions` and `GET /me`.
    pub sessions: Ratio,
    /// `POST /orders`.
    pub orders: Ratio,
}

impl Mix {
    /// The shares in a fixed order. Sessions stand as [`Route::Me`].
    pub fn shares(&self) -> [(Route, f64); 6] {
        [
            (Route::Product, self.product.get()),
            (Route::Recommendations, self.recommendations.get()),
            (Route::Views, self.views.get()),
            (Route::Home, self.home.get()),
            (Route::Me, self.sessions.get()),
            (Route::Orders, self.orders.get()),
        ]
    }

    /// Sum of all shares; 1 in a valid mix.
    pub fn total(&self) -> f64 {
        self.shares().iter().map(|(_, share)| share).sum()
    }

    /// Share of routes that normal days serve from the cache.
    pub fn cached_ratio(&self) -> f64 {
        self.shares().iter().filter(|(route, _)| route.is_cached()).map(|(_, share)| share).sum()
    }
}

/// The idempotency key of the order that arrival `arrival` of the trial with `seed` places. The
/// generator sends it and the audit looks for it.
pub fn order_key(seed: Seed, arrival: u32) -> String {
    format!("{:016x}-{arrival}", seed.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The mix of the main job, from design section 6: 70 + 14 + 8 + 3 + 3 + 2 = 100, and
    // 70 + 14 + 3 = 87 of it is cached.
    #[test]
    fn the_main_mix_sums_to_one() {
        let share = |value| Ratio::new(value).unwrap();
        let mix = Mix {
            product: share(0.70),
            recommendations: share(0.14),
            views: share(0.08),
            home: share(0.03),
            sessions: share(0.03),
            orders: share(0.02),
        };
        assert!((mix.total() - 1.0).abs() < 1e-9);
        assert!((mix.cached_ratio() - 0.87).abs() < 1e-9);
    }

    #[test]
    fn two_arrivals_never_share_an_order_key() {
        assert_eq!(order_key(Seed(255), 3), "00000000000000ff-3");
        assert_ne!(order_key(Seed(1), 23), order_key(Seed(12), 3));
    }
}
