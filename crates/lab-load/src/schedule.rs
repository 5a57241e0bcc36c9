//! The arrival schedule: when each request is due and what it asks for, computed from the seed.
//!
//! Arrival k draws once from every stream, whatever it turns out to be, so that another mix
//! changes routes and nothing else, and a longer schedule begins with the shorter one. Pure: no
//! clock, no I/O.

use std::time::Duration;

use lab_core::{
    catalogue::Catalogue,
    clock::nanos,
    load_plan::{Arrivals, LoadPlan, Mix},
    route::Route,
    zipf::Zipf,
};
use rand::{Rng, RngExt};

use crate::error::LoadError;

/// One request of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the schedule of the whole trial, from 0, counted over all shards.
    pub index: u32,
    /// When it is due, in nanoseconds from the start.
    pub intended_at_ns: u64,
    /// What it asks for. Logging in and using the session are both [`Route::Me`] here.
    pub route: Route,
    /// Product that it is about, for routes that are about one.
    pub product: u32,
    /// Virtual user that makes it, for routes that know their user.
    pub user: u32,
}

impl Arrival {
    /// Product or virtual user that the sample is filed under; 0 for the home page.
    pub fn key(&self) -> u32 {
        match self.route {
            Route::Home => 0,
            Route::Sessions | Route::Me => self.user,
            Route::Product | Route::Recommendations | Route::Views | Route::Orders => self.product,
        }
    }
}

/// The arrivals that this generator sends, sorted by intended time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Sorted by intended time, and so by index.
    pub arrivals: Vec<Arrival>,
}

impl Schedule {
    /// Computes the schedule of `plan`, this generator's shard of it.
    ///
    /// **Errors**: a mix that does not sum to 1, an exponent that is no number of at least 0, an
    /// empty duration, a shard that does not exist, more arrivals than a 32-bit index can count.
    pub fn generate(plan: &LoadPlan, catalogue: &Catalogue) -> Result<Self, LoadError> {
        validate(plan)?;
        let popularity = Zipf::new(plan.catalogue.products.get(), plan.zipf_exponent);
        let mut next_time = times(plan);
        let mut routes = plan.seed.stream("routes");
        let mut products = plan.seed.stream("products");
        let mut users = plan.seed.stream("users");
        let duration_ns = nanos(plan.duration);
        let mut arrivals = Vec::with_capacity(expected(plan));
        for index in 0..u32::MAX {
            let intended_at_ns = next_time();
            if duration_ns <= intended_at_ns {
                return Ok(Self { arrivals });
            }
            let arrival = Arrival {
                index,
                intended_at_ns,
                route: draw_route(&plan.mix, &mut routes),
                product: catalogue.product_of_rank(popularity.draw(&mut products)),
                user: users.random_range(0..plan.session_users.get()),
            };
            if index % plan.shard.count == plan.shard.index {
                arrivals.push(arrival);
            }
        }
        Err(LoadError::TooManyArrivals)
    }

    /// Arrivals of each kind, in the order of [`Route::ALL`]; kinds that never occur are left out.
    pub fn count_by_route(&self) -> Vec<(Route, usize)> {
        let count = |route| self.arrivals.iter().filter(|it| it.route == route).count();
        Route::ALL.map(|route| (route, count(route))).into_iter().filter(|it| 0 < it.1).collect()
    }

    /// A number that differs when any arrival differs.
    pub fn fingerprint(&self) -> u64 {
        let bytes: Vec<u8> = self.arrivals.iter().flat_map(encode).collect();
        rapidhash::v3::rapidhash_v3(&bytes)
    }
}

fn encode(arrival: &Arrival) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[0..8].copy_from_slice(&arrival.intended_at_ns.to_le_bytes());
    bytes[8..12].copy_from_slice(&arrival.index.to_le_bytes());
    bytes[12..16].copy_from_slice(&arrival.product.to_le_bytes());
    bytes[16..20].copy_from_slice(&arrival.user.to_le_bytes());
    bytes[20] = arrival.route.code();
    bytes
}

/// How far the shares of a mix may be from 1 in sum: room for decimal fractions, not for mistakes.
const MIX_TOLERANCE: f64 = 1e-6;

fn validate(plan: &LoadPlan) -> Result<(), LoadError> {
    let total = plan.mix.total();
    if MIX_TOLERANCE < (total - 1.0).abs() {
        return Err(LoadError::MixTotal { total });
    }
    if !(plan.zipf_exponent.is_finite() && 0.0 <= plan.zipf_exponent) {
        return Err(LoadError::ZipfExponent { got: plan.zipf_exponent });
    }
    for (key, value) in [
        ("duration", plan.duration),
        ("deadline", plan.deadline),
        ("give_up_after", plan.give_up_after),
    ] {
        if value.is_zero() {
            return Err(LoadError::ZeroDuration { key });
        }
    }
    if plan.shard.count.get() <= plan.shard.index {
        return Err(LoadError::Shard { index: plan.shard.index, count: plan.shard.count.get() });
    }
    Ok(())
}

/// Room for more arrivals than this is taken when they are there: a plan may ask for any number.
const RESERVED_MAX: f64 = 4e6;

/// How many arrivals of `plan` this generator sends on average, and a little more.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a room of about the right size"
)]
fn expected(plan: &LoadPlan) -> usize {
    let (Arrivals::Poisson { rate } | Arrivals::Saturate { rate_max: rate }) = plan.arrivals;
    let mean = rate.get() * plan.duration.as_secs_f64() / f64::from(plan.shard.count.get());
    // A Poisson count is above its mean by three standard deviations once in a thousand times.
    (mean + 3.0 * mean.sqrt()).min(RESERVED_MAX) as usize
}

/// Times of successive arrivals, in nanoseconds from the start.
///
/// Poisson: the gaps between arrivals are exponential, −ln(1 − u) / rate with u uniform in [0, 1).
/// Saturating load has no times of its own; arrivals are evenly spaced so that the schedule ends.
fn times(plan: &LoadPlan) -> impl FnMut() -> u64 {
    let mut gaps = plan.seed.stream("arrivals");
    let arrivals = plan.arrivals;
    let mut at_s = 0.0;
    move || {
        at_s += match arrivals {
            Arrivals::Poisson { rate } => -(1.0 - gaps.random::<f64>()).ln() / rate.get(),
            Arrivals::Saturate { rate_max } => rate_max.get().recip(),
        };
        nanos(Duration::from_secs_f64(at_s))
    }
}

/// Draws the route of one arrival.
fn draw_route(mix: &Mix, rng: &mut impl Rng) -> Route {
    let point: f64 = rng.random();
    let mut cumulative = 0.0;
    let mut last = Route::Product;
    for (route, share) in mix.shares() {
        if 0.0 < share {
            last = route;
        }
        cumulative += share;
        if point < cumulative {
            return route;
        }
    }
    // The shares sum to a hair less than 1 and the point fell between.
    last
}

#[cfg(test)]
pub(crate) mod tests;
