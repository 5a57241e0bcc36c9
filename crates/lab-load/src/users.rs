//! The goose users: each waits for an arrival, carries it, and waits again.
//!
//! goose decides nothing here: it starts the users, all at once, and each runs one transaction
//! that lasts for the whole run. Its metrics, logs, throttle and controllers are off.

use std::{num::NonZeroU32, sync::Arc};

use goose::{client::GooseClientBuilder, config::GooseConfiguration, prelude::*};

use crate::{crew::Crew, error::LoadError};

/// A goose attack whose users carry the arrivals of `crew`. It does not end by itself: the run drops
/// it when all users have met at the gate for the second time.
///
/// **Errors**: goose refuses its settings.
pub(crate) fn attack(
    crew: Arc<Crew>,
    users: NonZeroU32,
    host: &str,
) -> Result<GooseAttack, LoadError> {
    let users = users.to_string();
    let configuration = GooseConfiguration::parse_args_default(&[
        "--users",
        &users,
        // Users per second: as fast as goose can.
        "--increase-rate",
        "1000000",
        "--quiet",
        "--no-metrics",
        "--no-print-metrics",
        "--no-telnet",
    ])?;
    let transaction = Transaction::new(Arc::new(move |_user| {
        let crew = Arc::clone(&crew);
        Box::pin(async move { carry_arrivals(&crew).await })
    }));
    let scenario = Scenario::new("Arrivals").set_host(host).register_transaction(transaction);
    // Never used, see `connections`; but one for each user would take milliseconds of CPU to build.
    let shared_client = GooseClientBuilder::new().without_cookies();
    Ok(GooseAttack::initialize_with_config(configuration)?
        .set_client_builder_without_cookies(shared_client)?
        .register_scenario(scenario))
}

/// One user's whole life: carries arrivals until the dispatch is closed.
async fn carry_arrivals(crew: &Crew) -> TransactionResult {
    let mut turn = crew.dispatch.park();
    crew.gate.wait().await;
    while let Ok(arrival) = turn.await {
        crew.carry(arrival).await;
        turn = crew.dispatch.park();
    }
    crew.gate.wait().await;
    // goose would have its user begin again. (`--iterations 1` would end it, but then goose writes
    // to standard output, where the lab listens.)
    std::future::pending().await
}
