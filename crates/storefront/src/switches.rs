//! Every mitigation by the name that an operator knows it by: what it tells, and how it is switched.

use lab_core::{settings::Mode, target::SWITCHES};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::shop::Shop;

/// A switch that was not turned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SwitchError {
    /// No mitigation has this name.
    #[error("unknown mitigation `{name}`; there are: {}", SWITCHES.join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// Its settings do not allow the mode.
    #[error("{reason}")]
    Refused {
        /// Why not.
        reason: String,
    },
}

/// Switches the mitigation `name` to `mode`. Takes effect with the next call.
///
/// **Errors**: there is no such mitigation, or its settings do not allow the mode.
pub(crate) fn set_mode(shop: &Shop, name: &str, mode: Mode) -> Result<(), SwitchError> {
    let (pages, misses, views) = (&shop.pages, &shop.pages.misses, &shop.views);
    let guards = shop.pages.redis.guards();
    let admission = &misses.admission;
    match name {
        "adaptive_concurrency" => admission.adaptive_concurrency.set_mode(mode),
        "async_queue" => views.queue.set_mode(mode),
        "batch_writes" => views.batch.set_mode(mode),
        "bulkhead" => admission.bulkheads.set_mode(mode),
        "circuit_breaker" => guards.breaker.set_mode(mode),
        "coalesce" => pages.coalesce.set_mode(mode),
        "deadline_propagation" => guards.deadlines.set_mode(mode),
        "graceful_degradation" => pages.dimmer.set_mode(mode),
        "local_cache" => misses.local.set_mode(mode),
        "optimized_query" => misses.set_optimized(mode),
        "paced_refill" => admission.paced_refill.set_mode(mode).map_err(refused)?,
        "pool_raise" => shop.databases().set_pool_raise(&shop.config, mode),
        "priority_shedding" => admission.priority_shedding.set_mode(mode),
        "rate_limit" => admission.rate_limit.set_mode(mode).map_err(refused)?,
        "retry" => {
            guards.retry.set_mode(mode);
            misses.retry.set_mode(mode);
        }
        "static_snapshot" => pages.rendered_ahead.set_mode(mode),
        unknown => return Err(SwitchError::Unknown { name: unknown.to_owned() }),
    }
    Ok(())
}

/// What every mitigation tells about itself.
pub(crate) fn snapshots(shop: &Shop) -> Map<String, Value> {
    let (pages, misses, views) = (&shop.pages, &shop.pages.misses, &shop.views);
    let guards = shop.pages.redis.guards();
    let admission = &misses.admission;
    let now = Instant::now().into_std();
    let all = json!({
        "adaptive_concurrency": admission.adaptive_concurrency.snapshot(),
        "async_queue": views.queue.snapshot(),
        "batch_writes": views.batch.snapshot(),
        "bulkhead": admission.bulkheads.snapshot(),
        "circuit_breaker": guards.breaker.snapshot(),
        "coalesce": pages.coalesce.snapshot(),
        "deadline_propagation": guards.deadlines.snapshot(),
        "graceful_degradation": pages.dimmer.snapshot(),
        "local_cache": misses.local.snapshot(),
        "paced_refill": admission.paced_refill.snapshot(),
        "priority_shedding": admission.priority_shedding.snapshot(),
        "rate_limit": admission.rate_limit.snapshot(),
        "retry": { "redis": guards.retry.snapshot(), "database": misses.retry.snapshot() },
        "session_tokens": shop.sessions.snapshot(),
        "static_snapshot": pages.rendered_ahead.snapshot(now),
    });
    match all {
        Value::Object(all) => all,
        _ => unreachable!("it is written as an object above"),
    }
}

fn refused(error: impl std::fmt::Display) -> SwitchError {
    SwitchError::Refused { reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    #[tokio::test]
    async fn every_name_of_the_contract_is_a_switch_and_no_other_is() {
        let scratch = tempfile::tempdir().unwrap();
        let mut config = config();
        config.events_path = scratch.path().join("events.jsonl");
        config.state_path = scratch.path().join("state");
        config.settings.rate_limit.permits_per_sec = Some(rate(9.0));
        config.settings.paced_refill.fills_per_sec = Some(rate(9.0));
        let shop = Shop::new(config).unwrap();
        for name in SWITCHES {
            for mode in [Mode::Enforce, Mode::Observe, Mode::Off] {
                assert_eq!(set_mode(&shop, name, mode), Ok(()), "{name}");
                let Some(snapshot) = snapshots(&shop).remove(name) else {
                    // These switch something that has no mode of its own to tell.
                    assert!(["optimized_query", "pool_raise"].contains(&name), "{name}");
                    continue;
                };
                let text = snapshot.to_string();
                let says = format!("\"mode\":\"{}\"", mode.name());
                let n_modes = text.matches("\"mode\":").count();
                assert_ne!(n_modes, 0, "{name}: {text}");
                assert_eq!(text.matches(&says).count(), n_modes, "{name}: {text}");
            }
        }
        let error = set_mode(&shop, "breaker", Mode::Off).unwrap_err().to_string();
        assert!(error.contains("`breaker`") && error.contains("circuit_breaker"), "{error}");
    }

    fn rate(per_sec: f64) -> lab_core::units::PerSec {
        lab_core::units::PerSec::new(per_sec).unwrap()
    }
}
