//! Waiting for several servers that come to know each other.

use std::{future::Future, time::Duration};

use lab_core::{clock::MonotonicNs, scenario::Topology};
use tokio::time::sleep;

use super::error::StackError;

/// Longest time from the start of the servers until each knows the others. It takes some 5 s.
const HEALTHY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks at servers that get to know each other.
pub(super) const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `look` is content. **Errors**: it is not, for 30 s; with what it saw.
pub(super) async fn until_healthy<F>(
    topology: Topology,
    look: impl Fn() -> F,
) -> Result<(), StackError>
where
    F: Future<Output = Result<(), String>>,
{
    let deadline = MonotonicNs::now().plus(HEALTHY_TIMEOUT);
    loop {
        let Err(saw) = look().await else { return Ok(()) };
        if deadline <= MonotonicNs::now() {
            let waited_s = HEALTHY_TIMEOUT.as_secs();
            return Err(StackError::NotReady { name: topology.name(), waited_s, saw });
        }
        sleep(LOOK_INTERVAL).await;
    }
}
