//! The time axis of one trial, in bins, for the plots.

use std::{collections::BTreeMap, time::Duration};

use lab_core::{
    artifact::{
        timeline::{CpuColumn, DatabaseColumns, PoolColumns, RequestColumns, SCHEMA, Timeline},
        verdict::Window,
    },
    clock::nanos,
    outcome::Outcome,
    sample::RequestSample,
};

use super::{
    pages::{Page, n_success, response_time_quantile, within},
    service::{
        backends_max, connection_demand_mean, cpu_seconds, high_water, is_active, queries_in,
        refused_in,
    },
    statistics::{count, ratio},
};
use crate::load::trial_files::TrialRecord;

/// Width of a bin in milliseconds.
const BIN_MS: u32 = 250;

/// Lays a trial on its time axis. `pages` are its product pages.
pub fn timeline(record: &TrialRecord, pages: &[Page]) -> Timeline {
    let bins = bins(record.manifest.phases.total());
    Timeline {
        schema: SCHEMA.to_owned(),
        bin_ms: BIN_MS,
        n_bins: bins.len(),
        requests: request_columns(&record.samples, pages, &bins),
        pool: pool_columns(record, &bins),
        database: database_columns(record, &bins),
        cpu_cores: cpu_columns(record, &bins),
    }
}

fn bins(total: Duration) -> Vec<Window> {
    let width = f64::from(BIN_MS);
    let n_bins = total.as_millis().div_ceil(u128::from(BIN_MS));
    (0..usize::try_from(n_bins).expect("a trial is far shorter than 2^32 bins"))
        .map(|k| Window { start_ms: width * count(k), end_ms: width * count(k + 1) })
        .collect()
}

fn request_columns(samples: &[RequestSample], pages: &[Page], bins: &[Window]) -> RequestColumns {
    let zeros = vec![0_u32; bins.len()];
    let mut columns = RequestColumns {
        scheduled: zeros.clone(),
        outcomes: BTreeMap::from(Outcome::ALL.map(|it| (it, zeros.clone()))),
        ..RequestColumns::default()
    };
    let bin_ns = nanos(Duration::from_millis(u64::from(BIN_MS)));
    for sample in samples {
        let bin = usize::try_from(sample.intended_at_ns / bin_ns).unwrap_or(usize::MAX);
        if bins.len() <= bin {
            continue;
        }
        columns.scheduled[bin] += 1;
        columns.outcomes.entry(sample.outcome).or_insert_with(|| zeros.clone())[bin] += 1;
        if let Some(served_by) = sample.served_by {
            columns.served_by.entry(served_by).or_insert_with(|| zeros.clone())[bin] += 1;
        }
    }
    for bin in bins {
        let pages = within(pages, *bin);
        columns.product_scheduled.push(narrow(pages.len() as u64));
        columns.product_success.push(narrow(n_success(pages)));
        columns.product_response_time_us_p50.push(response_time_quantile(pages, 0.5));
        columns.product_response_time_us_p99.push(response_time_quantile(pages, 0.99));
    }
    columns
}

fn pool_columns(record: &TrialRecord, bins: &[Window]) -> PoolColumns {
    let service = &record.service;
    let whole = Window { start_ms: f64::NEG_INFINITY, end_ms: f64::INFINITY };
    PoolColumns {
        size_max: high_water(service, whole, |it| it.sample.pool_size_max),
        connection_demand_mean: column(bins, |bin| {
            connection_demand_mean(service, bin).map(thousandths)
        }),
        connection_demand_high_water: column(bins, |bin| {
            high_water(service, bin, |it| it.sample.connection_demand_high_water)
        }),
        in_use: column(bins, |bin| high_water(service, bin, |it| it.sample.pool_in_use_high_water)),
        pending: column(bins, |bin| {
            high_water(service, bin, |it| it.sample.pool_pending_high_water)
        }),
    }
}

fn database_columns(record: &TrialRecord, bins: &[Window]) -> DatabaseColumns {
    DatabaseColumns {
        queries_per_sec: column(bins, |bin| {
            queries_in(&record.service, bin).and_then(|it| ratio(it, bin.length_s())).map(tenths)
        }),
        backends_active: column(bins, |bin| backends_max(&record.database, bin, is_active)),
        backends_total: column(bins, |bin| backends_max(&record.database, bin, |_| true)),
        connections_refused_per_sec: column(bins, |bin| {
            refused_in(&record.service, bin).and_then(|it| ratio(it, bin.length_s())).map(tenths)
        }),
    }
}

fn cpu_columns(record: &TrialRecord, bins: &[Window]) -> CpuColumn<Vec<Option<f64>>> {
    let used = column(bins, |bin| cpu_seconds(&record.cpu, bin));
    let cores = |of: fn(&CpuColumn<Option<f64>>) -> Option<f64>| {
        used.iter()
            .zip(bins)
            .map(|(it, bin)| of(it).and_then(|it| ratio(it, bin.length_s())).map(thousandths))
            .collect()
    };
    CpuColumn {
        storefront: cores(|it| it.storefront),
        postgres: cores(|it| it.postgres),
        redis: cores(|it| it.redis),
        load: cores(|it| it.load),
    }
}

fn column<T>(bins: &[Window], of: impl Fn(Window) -> T) -> Vec<T> {
    bins.iter().map(|bin| of(*bin)).collect()
}

fn narrow(n: u64) -> u32 {
    u32::try_from(n).expect("a bin holds far fewer than 2^32 requests")
}

/// Three decimals are more than a plot shows, and keep the file small.
fn thousandths(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use lab_core::{outcome::ServedBy, route::Route};

    use super::*;
    use crate::analysis::{pages::product_pages, testing::request};

    // Two in the first bin (3 ms and, not served, the deadline of 1 s), none in the second, one in
    // the third.
    #[test]
    fn a_request_is_in_the_bin_in_which_it_was_due() {
        let mut samples = vec![
            request(Route::Product, 0, Outcome::Success),
            request(Route::Product, 249, Outcome::Shed),
            request(Route::Home, 500, Outcome::Success),
            request(Route::Home, 99_999, Outcome::Success),
        ];
        samples[0].completed_at_ns = 3_000_000;
        samples[0].served_by = Some(ServedBy::Redis);
        let pages = product_pages(&samples, Duration::from_secs(1));
        let columns = request_columns(&samples, &pages, &bins(Duration::from_millis(750)));
        assert_eq!(columns.scheduled, [2, 0, 1]);
        assert_eq!(columns.outcomes[&Outcome::Success], [1, 0, 1]);
        assert_eq!(columns.outcomes[&Outcome::Unsent], [0, 0, 0]);
        assert_eq!(columns.served_by, BTreeMap::from([(ServedBy::Redis, vec![1, 0, 0])]));
        assert_eq!(columns.product_scheduled, [2, 0, 0]);
        assert_eq!(columns.product_success, [1, 0, 0]);
        assert_eq!(columns.product_response_time_us_p50, [Some(3_000), None, None]);
        assert_eq!(columns.product_response_time_us_p99, [Some(1_000_000), None, None]);
    }

    #[test]
    fn the_last_bin_holds_what_is_left() {
        let bins = bins(Duration::from_millis(1_100));
        assert_eq!(bins.len(), 5);
        assert_eq!(bins[4], Window { start_ms: 1_000.0, end_ms: 1_250.0 });
    }
}
