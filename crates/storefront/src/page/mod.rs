//! How a cached page is read: every layer, in the order in which it is asked, and why there.
//!
//! 1. **Local cache, fresh.** Costs a microsecond and needs nobody, so it comes first.
//! 2. **Redis** ([`crate::redis_client`]). A hit fills the local cache. An error of Redis is never
//!    the answer to a page: it counts as a miss.
//! 3. **Dimmer**: under pressure, auxiliary pages are left out here. What Redis has costs the
//!    database nothing and is served whatever the pressure.
//! 4. **Coalescing**: a miss joins the read of the same page that goes on. Outside of everything
//!    that guards the database, because who joins costs it nothing.
//! 5. **Miss** ([`miss`]): retry, then admission ([`crate::admission`]), then the database or its
//!    replica, then the caches are filled.
//! 6. **Stand-in**: when 5 refuses or fails, an expired local entry may stand in if the settings
//!    allow its age, or a page rendered ahead; else the refusal or the error is the answer.
//!
//! The request's deadline bounds 2, 4 and 5, each as it begins ([`crate::request`]).

mod key;
mod miss;
mod source;

use std::{collections::BTreeMap, sync::Arc};

use axum::body::Bytes;
use lab_core::{
    event::kind,
    outcome::ServedBy,
    route::RouteClass,
    settings::{CacheMode, Settings},
    target::TargetConfig,
};
use lab_mitigation::{
    coalesce::{Coalesce, FillError, Role},
    deadline::{DeadlineError, DeadlinePropagation},
    graceful_degradation::{AuxiliaryWork, GracefulDegradation},
    local_cache::{Freshness, Lookup},
    static_snapshot::StaticSnapshot,
};
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use self::{
    key::{JitteredTtl, PageKey},
    miss::{Filled, MissParts, Misses},
};
use crate::{
    database::ServerRole,
    error::ServiceError,
    events::{EventLog, QuietSecond},
    random::Random,
    redis_client::RedisClient,
    request::RequestContext,
    totals::Totals,
};

/// Reads pages through every layer.
#[derive(Debug)]
pub(crate) struct Pages {
    pub(crate) misses: Arc<Misses>,
    pub(crate) redis: RedisClient,
    pub(crate) coalesce: Coalesce<PageKey, Filled, Arc<ServiceError>>,
    pub(crate) dimmer: GracefulDegradation,
    pub(crate) rendered_ahead: StaticSnapshot<String, Bytes>,
    deadlines: DeadlinePropagation,
    cache: CacheMode,
    random: Random,
    totals: Arc<Totals>,
    events: Arc<EventLog>,
    stale_stretch: QuietSecond,
}

/// What [`Pages`] shares with the rest of the service.
#[derive(Debug)]
pub(crate) struct PageParts {
    pub(crate) misses: Misses,
    pub(crate) redis: RedisClient,
    pub(crate) dimmer: GracefulDegradation,
    pub(crate) deadlines: DeadlinePropagation,
    pub(crate) totals: Arc<Totals>,
    pub(crate) events: Arc<EventLog>,
}

/// A page and where it came from.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) body: Bytes,
    pub(crate) served_by: ServedBy,
}

/// What is said to a reader.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The page.
    Page(Page),
    /// There is no such page.
    NoSuchPage,
    /// There may be one; it was left out on purpose.
    LeftOut,
}

impl Pages {
    pub(crate) fn new(config: &TargetConfig, parts: PageParts) -> Self {
        let Settings { coalesce, static_snapshot, cache, .. } = &config.settings;
        let PageParts { misses, redis, dimmer, deadlines, totals, events } = parts;
        Self {
            misses: Arc::new(misses),
            redis,
            coalesce: Coalesce::new(coalesce),
            dimmer,
            rendered_ahead: StaticSnapshot::new(static_snapshot),
            deadlines,
            cache: *cache,
            random: Random::new(config.seed, "dimmer"),
            totals,
            events,
            stale_stretch: QuietSecond::default(),
        }
    }

    /// The page at `key`.
    ///
    /// **Errors**: nothing answered, or something refused, and nothing may stand in.
    /// **Cancellation**: nothing is written that would be wrong. A page may stay out of the caches
    /// unless its read is detached.
    pub(crate) async fn read(
        &self,
        context: RequestContext,
        key: PageKey,
    ) -> Result<Answer, Arc<ServiceError>> {
        let name = key.to_string();
        let local = self.misses.local.get(now(), &name);
        match local {
            Lookup::Fresh(body) => return Ok(Answer::page(body, ServedBy::Local)),
            Lookup::Negative => return Ok(Answer::NoSuchPage),
            Lookup::Expired(..) | Lookup::Absent => {}
        }
        if let Some(body) = self.read_redis(context, &name).await {
            self.misses.local.insert(now(), name, body.clone());
            return Ok(Answer::page(body, ServedBy::Redis));
        }
        if self.is_left_out(context.class) {
            return Ok(Answer::LeftOut);
        }
        match self.read_missed(context, key).await {
            Ok((Some(body), served_by)) => Ok(Answer::page(body, served_by)),
            Ok((None, _)) => Ok(Answer::NoSuchPage),
            Err(error) => self.stand_in(&name, local).map(Answer::Page).ok_or(error),
        }
    }

    /// Whether work of `class` is left out now.
    pub(crate) fn is_left_out(&self, class: RouteClass) -> bool {
        class == RouteClass::Auxiliary
            && self.dimmer.decide(class, self.random.next()) == AuxiliaryWork::LeaveOut
    }

    /// A miss and an error are the same to the reader: somebody else has to answer.
    async fn read_redis(&self, context: RequestContext, name: &str) -> Option<Bytes> {
        if self.cache == CacheMode::Bypass {
            return None;
        }
        let mut command = redis::cmd("GET");
        command.arg(name);
        let body = self.redis.command::<Option<Vec<u8>>>(context, &command).await.ok()?;
        match &body {
            Some(_) => self.totals.cache_hits.add_one(),
            None => self.totals.cache_misses.add_one(),
        }
        body.map(Bytes::from)
    }

    /// Reads a page that no cache has, alone or with others who want the same one.
    async fn read_missed(
        &self,
        context: RequestContext,
        key: PageKey,
    ) -> Result<(Option<Bytes>, ServedBy), Arc<ServiceError>> {
        let misses = Arc::clone(&self.misses);
        let filling = self.coalesce.run(key, move || misses.fill(context, key));
        // Who joined has a deadline of its own, which may be nearer than the leader's.
        let filled = match self.deadlines.within(context.deadline, None, filling).await {
            Ok(filled) => filled,
            Err(DeadlineError::Exceeded(exceeded)) => {
                return Err(Arc::new(ServiceError::DeadlineExceeded(exceeded)));
            }
            Err(DeadlineError::TimedOut(timeout)) => {
                return Err(Arc::new(ServiceError::FillTimedOut(timeout)));
            }
        };
        match filled.result {
            Ok(Filled { body, by }) => {
                let served_by = match (filled.role, by) {
                    (Role::Led, ServerRole::Primary) => ServedBy::Database,
                    (Role::Led, ServerRole::Replica) => ServedBy::Replica,
                    (Role::Joined, _) => ServedBy::Coalesced,
                };
                Ok((body, served_by))
            }
            Err(FillError::Failed(error)) => Err(error),
            Err(FillError::Lost) => Err(Arc::new(ServiceError::FillLost)),
        }
    }

    fn stand_in(&self, name: &str, local: Lookup<Bytes>) -> Option<Page> {
        let stale = match local {
            Lookup::Expired(body, age)
                if self.misses.local.freshness(age) == Freshness::StaleUsable =>
            {
                Some((body, age, ServedBy::Stale))
            }
            _ => None,
        };
        let ahead = || {
            let (body, age) = self.rendered_ahead.page(now(), name)?;
            Some((body, age, ServedBy::Static))
        };
        let (body, age, served_by) = stale.or_else(ahead)?;
        self.totals.stale_served.add_one();
        if self.stale_stretch.is_first(now()) {
            let age_ms = age.as_millis().to_string();
            self.events.record(kind::STALE_SERVED, BTreeMap::from([("age_ms".into(), age_ms)]));
        }
        Some(Page { body, served_by })
    }
}

impl Answer {
    fn page(body: Bytes, served_by: ServedBy) -> Self {
        Self::Page(Page { body, served_by })
    }
}

/// The bytes of a page, the same wherever it is made.
pub(crate) fn to_body(page: &impl Serialize) -> Bytes {
    serde_json::to_vec(page).expect("pages are strings and numbers").into()
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}
