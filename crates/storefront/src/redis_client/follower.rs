//! Follows the primary that sentinels name.
//!
//! What is the library's: the look-up (`Sentinel::async_master_for`, which also asks the server
//! whether it is a primary), and the connection manager, which reconnects to one address for ever.
//! What is ours, because redis-rs 1.8 has nothing that joins the two: whenever a call gets no plain
//! answer (an error of any kind, such as `READONLY` or a lost connection, or a caller that stopped
//! waiting), the sentinels are asked again, by one task, at most ten times per second; and when they
//! name another server, later calls go there, through a new connection manager. Until then calls do
//! what they would do with a single Redis.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use lab_core::event::kind;
use redis::{
    Client, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    sentinel::Sentinel,
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::events::EventLog;

/// Longest time for one look-up. The library bounds its parts: 1 s for a connection, 0.5 s for an
/// answer; this is one of each to a sentinel, and to the primary as long as it answers. Chosen.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(2);
/// Time from one look-up to the next, so that an outage is no storm on the sentinels. Chosen.
const LOOK_UP_INTERVAL: Duration = Duration::from_millis(100);
/// Longest wait of a call for the first primary: a call without a bound of its own must end.
const FIRST_LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to whichever primary the sentinels named last. Cloning gives the same connection.
#[derive(Clone)]
pub(super) struct Follower {
    primary: watch::Receiver<Option<ConnectionManager>>,
    doubt: Arc<Notify>,
    _following: Arc<Following>,
}

/// The task, which ends with the last follower.
struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Follower {
    /// Asks the sentinels for the primary called `master`, from now on and in the background.
    ///
    /// **Errors**: there is no sentinel to ask.
    pub(super) fn new(
        sentinels: &[SocketAddr],
        master: &str,
        manager: ConnectionManagerConfig,
        events: Arc<EventLog>,
    ) -> RedisResult<Self> {
        let urls = sentinels.iter().map(|it| format!("redis://{it}/")).collect();
        let sentinel = Sentinel::build(urls)?;
        let (published, primary) = watch::channel(None);
        let doubt = Arc::new(Notify::new());
        let search = Search { sentinel, master: master.to_owned(), manager, published, events };
        let following = Following(tokio::spawn(search.run(Arc::clone(&doubt))));
        Ok(Self { primary, doubt, _following: Arc::new(following) })
    }

    /// **Errors**: none was ever found.
    async fn primary(&self) -> RedisResult<ConnectionManager> {
        if let Some(primary) = self.primary.borrow().as_ref() {
            return Ok(primary.clone());
        }
        let mut primary = self.primary.clone();
        let found = timeout(FIRST_LOOK_UP_TIMEOUT, primary.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(Result::ok).and_then(|it| it.clone());
        let none = "no sentinel named a primary yet";
        found.ok_or_else(|| RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, none)))
    }
}

impl ConnectionLike for Follower {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let unanswered = Unanswered(&self.doubt);
            let result = self.primary().await?.req_packed_command(command).await;
            if result.as_ref().is_ok_and(is_plain) {
                unanswered.answered();
            }
            result
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(async move {
            let unanswered = Unanswered(&self.doubt);
            let mut primary = self.primary().await?;
            let result = primary.req_packed_commands(pipeline, offset, count).await;
            if result.as_ref().is_ok_and(|it| it.iter().all(is_plain)) {
                unanswered.answered();
            }
            result
        })
    }

    fn get_db(&self) -> i64 {
        0
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::ServerError(_))
}

/// A call on its way. Dropped without an answer, it raises the doubt whether the server is still
/// the primary: so do callers that stop waiting, who are the only sign of a server that is silent.
struct Unanswered<'a>(&'a Notify);

impl Unanswered<'_> {
    fn answered(self) {
        std::mem::forget(self);
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The search for the primary.
struct Search {
    sentinel: Sentinel,
    master: String,
    manager: ConnectionManagerConfig,
    published: watch::Sender<Option<ConnectionManager>>,
    events: Arc<EventLog>,
}

impl Search {
    /// Asks until there is a first answer, and then again whenever there is a doubt.
    async fn run(mut self, doubt: Arc<Notify>) {
        let mut current = None;
        loop {
            let looked_up = self.sentinel.async_master_for(&self.master, None);
            match timeout(LOOK_UP_TIMEOUT, looked_up).await {
                Ok(Ok(client)) => self.follow(client, &mut current),
                Ok(Err(error)) => tracing::debug!(%error, "the sentinels name no primary"),
                Err(_) => tracing::debug!("the sentinels take longer than {LOOK_UP_TIMEOUT:?}"),
            }
            sleep(LOOK_UP_INTERVAL).await;
            if current.is_some() {
                doubt.notified().await;
            }
        }
    }

    /// Has later calls go to where `client` leads, unless they do already.
    fn follow(&self, client: Client, current: &mut Option<String>) {
        let address = client.get_connection_info().addr().to_string();
        if current.as_ref() == Some(&address) {
            return;
        }
        match ConnectionManager::new_lazy_with_config(client, self.manager.clone()) {
            Ok(manager) => {
                self.published.send_replace(Some(manager));
                if current.replace(address.clone()).is_some() {
                    let detail = BTreeMap::from([("primary".into(), address)]);
                    self.events.record(kind::PRIMARY_FOLLOWED, detail);
                }
            }
            Err(error) => tracing::error!(%error, "no connection to the primary can be made"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_call_without_a_plain_answer_raises_a_doubt() {
        let doubt = Notify::new();
        let is_raised = || async {
            // Ready at once or not at all: nobody else is there to raise one.
            tokio::select! {
                biased;
                () = doubt.notified() => true,
                () = std::future::ready(()) => false,
            }
        };
        Unanswered(&doubt).answered();
        assert!(!is_raised().await);
        drop(Unanswered(&doubt));
        assert!(is_raised().await, "a caller that left");
        assert!(!is_raised().await, "one look-up is enough");
        assert!(is_plain(&Value::Nil) && is_plain(&Value::Okay));
        let refused = redis::parse_redis_value(b"-READONLY You can't write\r\n").unwrap();
        assert!(!is_plain(&refused));
    }
}
