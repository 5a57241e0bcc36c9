//! What a service makes of an offered load, measured by what its database carries.

use lab_core::{artifact::verdict::TrialFigures, load_plan::Mix, route::Route};

use super::statistics::{float, ratio};

/// Requests to the routes that `counts` names, answered rightly and in time while the fault was on,
/// as a share of those that the database carries: (n_success / length of the fault window) / (C ×
/// share of these routes in the mix). 1 is the database's capacity. Above 1 pages came from
/// elsewhere or cost less than they did in the calibration.
///
/// `None` for a trial without a fault window, and where C or the share is 0.
pub fn share_of_capacity(
    figures: &TrialFigures,
    mix: &Mix,
    db_capacity_per_sec: f64,
    counts: impl Fn(Route) -> bool,
) -> Option<f64> {
    let fault = &figures.phases.fault;
    let of_routes = fault.routes.iter().filter(|(route, _)| counts(**route));
    let n_success = of_routes.map(|(_, of)| of.n_success).sum();
    let shares = mix.shares().into_iter().filter(|(route, _)| counts(*route));
    let share: f64 = shares.map(|(_, share)| share).sum();
    let goodput_per_sec = ratio(float(n_success), fault.duration_s)?;
    ratio(goodput_per_sec, db_capacity_per_sec * share)
}

/// The most that a service with nothing but the database can reach at a load factor f: min(f, 1).
/// Over the offered load that is the yardstick f_sat / f of overload control.
///
/// **Source**: Zhou et al., *Overload Control for Scaling WeChat Microservices* (DAGOR), 2018.
pub fn ideal_share(load_factor: f64) -> f64 {
    load_factor.min(1.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lab_core::{
        artifact::verdict::{PhaseCounts, RouteCounts},
        units::Ratio,
    };

    use super::*;
    use crate::analysis::testing::trial_figures;

    fn mix() -> Mix {
        let share = |it| Ratio::new(it).unwrap();
        Mix {
            product: share(0.7),
            recommendations: share(0.3),
            views: share(0.0),
            home: share(0.0),
            sessions: share(0.0),
            orders: share(0.0),
        }
    }

    fn trial(n_success: u64, duration_s: f64) -> TrialFigures {
        let product = RouteCounts { n_scheduled: 5_000, n_success, n_served: 4_000 };
        let others = RouteCounts { n_scheduled: 900, n_success: 900, n_served: 900 };
        let mut figures = trial_figures();
        figures.phases.fault = PhaseCounts {
            duration_s,
            routes: BTreeMap::from([(Route::Product, product), (Route::Home, others)]),
            ..PhaseCounts::default()
        };
        figures
    }

    fn share(trial: &TrialFigures, db_capacity_per_sec: f64) -> Option<f64> {
        share_of_capacity(trial, &mix(), db_capacity_per_sec, |it| it == Route::Product)
    }

    // C = 200/s, 70 % of them product pages: the database carries 140 of those a second. 1,260 in
    // 10 s are 126 a second, 0.9 of it; other routes and degraded answers do not count.
    #[test]
    fn one_is_what_the_database_carries_of_product_pages() {
        let share = share(&trial(1_260, 10.0), 200.0).unwrap();
        assert!((share - 0.9).abs() < 1e-12, "{share}");
    }

    // The mix has no home page, so its 900 are pages beyond what the database was asked for:
    // (1,260 + 900) in 10 s are 216 a second, of 200.
    #[test]
    fn several_routes_are_measured_together() {
        let all = share_of_capacity(&trial(1_260, 10.0), &mix(), 200.0, Route::is_cached).unwrap();
        assert!((all - 1.08).abs() < 1e-12, "{all}");
    }

    #[test]
    fn nothing_to_measure_by_is_no_share() {
        assert_eq!(share(&trial(0, 0.0), 200.0), None);
        assert_eq!(share(&trial(0, 10.0), 0.0), None);
        assert_eq!(share(&trial_figures(), 200.0), None);
        assert_eq!(share(&trial(0, 10.0), 200.0), Some(0.0));
    }

    #[test]
    fn the_ideal_follows_the_load_up_to_the_capacity_and_stays_there() {
        let shares = [0.7, 1.0, 10.0].map(|it| Some(ideal_share(it)));
        assert_eq!(shares, [Some(0.7), Some(1.0), Some(1.0)]);
    }
}
