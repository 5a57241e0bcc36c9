//! Metrics as Prometheus text, with the names of OpenTelemetry's database client conventions.
//! Prometheus has no dots in names, so `db.client.connection.count` reads
//! `db_client_connection_count`.
//!
//! **Source**: OpenTelemetry semantic conventions, "Database client metrics".

use std::{fmt, time::Duration};

use metrics::{Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusRecorder};

use crate::{shop::Shop, totals::Counter};

/// Upper edges of the histogram of waits, in seconds: 0.1 ms to 10 s, about three per decade.
const WAIT_BUCKETS: [f64; 14] =
    [0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 10.0];

const WAIT_TIME: &str = "db.client.connection.wait_time";

/// Collects what is scraped.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
}

/// Records how long callers waited for a connection.
#[derive(Clone)]
pub(crate) struct AcquireWaits(Histogram);

impl AcquireWaits {
    pub(crate) fn record(&self, waited: Duration) {
        self.0.record(waited.as_secs_f64());
    }
}

impl Metrics {
    /// **Errors**: the list of buckets is empty, which it is not.
    pub(crate) fn new() -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(WAIT_TIME.into()), &WAIT_BUCKETS)?
            .build_recorder();
        Ok(Self { recorder })
    }

    /// Where the pool records its waits.
    pub(crate) fn acquire_waits(&self) -> AcquireWaits {
        AcquireWaits(with_local_recorder(&self.recorder, || histogram!(WAIT_TIME)))
    }

    /// Folds recorded waits into their buckets; without it they pile up until the next scrape.
    pub(crate) fn run_upkeep(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// The text of `/metrics`.
    pub(crate) fn render(&self, shop: &Shop) -> String {
        with_local_recorder(&self.recorder, || record(shop));
        self.recorder.handle().render()
    }
}

/// Figures that the service keeps anyway are copied when they are scraped. Those of the pools are of
/// all pools together.
fn record(shop: &Shop) {
    let database = shop.databases().totals();
    let (pending, in_use) = shop.databases().pending_and_in_use();
    let idle = database.pool_size.saturating_sub(in_use);
    gauge!("db.client.connection.count", "state" => "used").set(f64::from(in_use));
    gauge!("db.client.connection.count", "state" => "idle").set(f64::from(idle));
    gauge!("db.client.connection.max").set(f64::from(database.pool_size_max));
    gauge!("db.client.connection.pending_requests").set(f64::from(pending));
    counter!("db.client.connection.timeouts").absolute(database.acquire_timeouts);
    counter!("db.client.connections_refused").absolute(database.connections_refused);
    counter!("db.client.statements").absolute(database.statements_sent);
    counter!("db.client.statements_failed").absolute(database.statements_failed);
    counter!("db.client.statements_cancelled").absolute(database.statements_cancelled);
    let totals = &shop.totals;
    let copied: [(&'static str, &Counter); 5] = [
        ("storefront.requests", &totals.requests),
        ("storefront.cache.hits", &totals.cache_hits),
        ("storefront.cache.misses", &totals.cache_misses),
        ("storefront.redis.errors", &totals.redis_errors),
        ("storefront.stale_served", &totals.stale_served),
    ];
    for (name, total) in copied {
        counter!(name).absolute(total.get());
    }
    let pending_requests = u32::try_from(totals.pending_requests()).unwrap_or(u32::MAX);
    gauge!("storefront.pending_requests").set(f64::from(pending_requests));
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

impl fmt::Debug for AcquireWaits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AcquireWaits")
    }
}
