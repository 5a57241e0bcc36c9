//! Slow server: somebody's scripts hold Redis, one after the other.

use std::time::Duration;

use lab_core::clock::MonotonicNs;
use redis::{RedisError, RedisResult, aio::MultiplexedConnection};

use super::{Background, FaultError, Injection, admin, since, timed};
use crate::stack::{
    Stack,
    probe::{Seen, ping},
};

/// How long one script holds Redis, which runs one command at a time. A call on an open connection
/// waits for up to that, and longer where Redis shares its processor; a new connection waits for
/// two: one before Redis takes it and one before its first command. Chosen: the call timeout of
/// `bounded-timeouts`, so that calls fail and succeed in about equal parts.
const SCRIPT: Duration = Duration::from_millis(50);
/// Counts, because no clock runs while a script does.
const COUNT: &str = "local n = 0 for i = 1, tonumber(ARGV[1]) do n = n + i % 7 end return 1";
/// How far the script counts when its speed is measured: some 10 ms of a processor.
const N_MEASURED: u32 = 1_000_000;
/// How often that is done; the fastest counts.
const MEASUREMENTS: usize = 3;
/// A PING that took as long waited for a script: half of one. A healthy one takes a tenth of a
/// millisecond, and one that is sent right after an answer mostly meets the next script at its
/// beginning.
const LATE: Duration = Duration::from_millis(25);
/// How long a PING waits: several scripts.
const PATIENCE: Duration = Duration::from_secs(1);

/// Scripts of 50 ms, back to back. Every connection stays open and every call is answered, late.
#[derive(Debug, Default)]
pub(super) struct SlowServer {
    /// How far a script must count to take [`SCRIPT`].
    count: u32,
    /// Sends script after script.
    scripts: Option<Background<RedisResult<()>>>,
}

impl Injection for SlowServer {
    async fn arm(&mut self, stack: &Stack) -> Result<(), FaultError> {
        let mut connection = admin::connect(stack).await?;
        let mut fastest = Duration::MAX;
        for _ in 0..MEASUREMENTS {
            let sent_at = MonotonicNs::now();
            let answered = run_script(&mut connection, N_MEASURED).await;
            answered.map_err(failed)?;
            fastest = fastest.min(since(sent_at));
        }
        let scripts = SCRIPT.as_secs_f64() / fastest.as_secs_f64().max(1e-6);
        self.count = whole(scripts * f64::from(N_MEASURED));
        Ok(())
    }

    async fn inject(&mut self, stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let connection = admin::connect(stack).await?;
        let at = MonotonicNs::now();
        self.scripts = Some(Background(tokio::spawn(hold(connection, self.count))));
        Ok(at)
    }

    fn is_effect(&self, seen: &Seen) -> bool {
        matches!(seen, Seen::Late { .. })
    }

    async fn look(&mut self, stack: &Stack) -> Seen {
        timed(LATE, async || ping(stack.redis_addr(), PATIENCE).await).await
    }

    /// **Errors**: the scripts ended before: Redis was not slow all the time.
    async fn heal(&mut self, _stack: &Stack) -> Result<MonotonicNs, FaultError> {
        let Some(mut scripts) = self.scripts.take() else { return Ok(MonotonicNs::now()) };
        if scripts.0.is_finished()
            && let Ok(Err(source)) = (&mut scripts.0).await
        {
            return Err(failed(source));
        }
        Ok(MonotonicNs::now())
    }
}

async fn hold(mut connection: MultiplexedConnection, count: u32) -> RedisResult<()> {
    loop {
        run_script(&mut connection, count).await?;
    }
}

async fn run_script(connection: &mut MultiplexedConnection, count: u32) -> RedisResult<()> {
    redis::cmd("EVAL").arg(COUNT).arg(0).arg(count).query_async(connection).await
}

fn failed(source: RedisError) -> FaultError {
    FaultError::Command { command: "EVAL".into(), source }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float becomes the nearest number that there is"
)]
fn whole(count: f64) -> u32 {
    count as u32
}
