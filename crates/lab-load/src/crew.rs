//! What all users share, and the way of one arrival from its request to its sample.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::{Response, body::Bytes, header::HeaderValue};
use lab_core::{
    catalogue::Catalogue,
    clock::{MonotonicNs, nanos},
    load_plan::{Arrivals, LoadPlan},
    outcome::{Outcome, ServedBy},
    route::Route,
    sample::RequestSample,
};
use tokio::sync::Barrier;

use crate::{
    classify::{Answer, classify},
    connections::ExchangeError,
    dispatch::Dispatch,
    error::LoadError,
    expected::ExpectedBodies,
    recorder::Recorder,
    schedule::{Arrival, Schedule},
    sessions::{Sessions, User},
    targets::Targets,
};

/// The header that names what produced a response.
const SERVED_BY: &str = "x-served-by";

/// The header in which the service says what a refusal counts as.
const OUTCOME: &str = "x-outcome";

/// Everything that the users and the pacer of one run share.
pub(crate) struct Crew {
    /// The arrivals of this generator.
    pub(crate) schedule: Schedule,
    /// Where due arrivals meet free users.
    pub(crate) dispatch: Dispatch,
    /// Where all users and the run meet, twice: when every user waits for its first arrival, and
    /// when every user has carried its last.
    pub(crate) gate: Barrier,
    start: OnceLock<MonotonicNs>,
    recorder: Arc<Recorder>,
    expected: ExpectedBodies,
    targets: Arc<Targets>,
    sessions: Sessions,
    arrivals: Arrivals,
    deadline_ns: u64,
    give_up_after_ns: u64,
}

/// One request on its way.
struct Attempt {
    arrival: Arrival,
    /// The route really requested.
    route: Route,
    /// The session it uses, if any.
    authorization: Option<HeaderValue>,
}

/// What came back for an attempt, the whole body included.
struct Reply {
    status: u16,
    served_by: Option<ServedBy>,
    not_permitted: bool,
    body_is_right: bool,
}

impl Crew {
    /// Computes the schedule and the bodies it must see. Connects to nothing yet.
    ///
    /// **Errors**: a plan that cannot work.
    pub(crate) fn new(
        plan: &LoadPlan,
        targets: Arc<Targets>,
        recorder: Arc<Recorder>,
    ) -> Result<Self, LoadError> {
        let catalogue = Catalogue::generate(&plan.catalogue);
        let schedule = Schedule::generate(plan, &catalogue)?;
        Ok(Self {
            expected: ExpectedBodies::of(&schedule, &catalogue),
            schedule,
            dispatch: Dispatch::default(),
            gate: Barrier::new(plan.users.get() as usize + 1),
            start: OnceLock::new(),
            recorder,
            targets,
            sessions: Sessions::new(plan.session_users.get()),
            arrivals: plan.arrivals,
            deadline_ns: nanos(plan.deadline),
            give_up_after_ns: nanos(plan.give_up_after),
        })
    }

    /// Sets the start of the schedule; called once, before the first arrival is handed out.
    pub(crate) fn start_at(&self, start: MonotonicNs) {
        self.start.set(start).expect("a run starts once");
    }

    /// Nanoseconds since the start of the schedule.
    pub(crate) fn now_ns(&self) -> u64 {
        let start = *self.start.get().expect("arrivals are handed out after the start");
        u64::try_from(MonotonicNs::now().since(start)).unwrap_or(0)
    }

    /// Sends the request of `arrival` and records exactly one outcome for it.
    ///
    /// **Cancellation**: an arrival that is dropped half way has no outcome; nobody does that.
    pub(crate) async fn carry(&self, arrival: Arrival) {
        let sent_at_ns = self.now_ns();
        let intended_at_ns = match self.arrivals {
            Arrivals::Poisson { .. } => arrival.intended_at_ns,
            Arrivals::Saturate { .. } => sent_at_ns,
        };
        let patience_ns = (intended_at_ns + self.give_up_after_ns).saturating_sub(sent_at_ns);
        if patience_ns == 0 {
            return self.record_unsent(&arrival, sent_at_ns);
        }
        let attempt = self.attempt(arrival);
        let patience = Duration::from_nanos(patience_ns);
        // Dropping the exchange closes its connection: the user has gone away.
        let reply = tokio::time::timeout(patience, self.exchange(&attempt, patience)).await;
        let completed_at_ns = self.now_ns();
        let (outcome, reply) = match reply {
            Err(_) => (Outcome::TimedOut, None),
            Ok(Err(_)) => (Outcome::DependencyFailed, None),
            Ok(Ok(reply)) => {
                let response_time_ns = completed_at_ns - intended_at_ns;
                (self.judge(&attempt, &reply, response_time_ns), Some(reply))
            }
        };
        self.recorder.record(&RequestSample {
            arrival: arrival.index,
            key: arrival.key(),
            route: attempt.route,
            outcome,
            served_by: reply.as_ref().and_then(|it| it.served_by),
            status: reply.as_ref().map_or(0, |it| it.status),
            intended_at_ns,
            sent_at_ns,
            completed_at_ns,
        });
    }

    /// Records that `arrival` was abandoned at `abandoned_at_ns` without having been sent.
    pub(crate) fn record_unsent(&self, arrival: &Arrival, abandoned_at_ns: u64) {
        self.recorder.record(&RequestSample {
            arrival: arrival.index,
            key: arrival.key(),
            route: arrival.route,
            outcome: Outcome::Unsent,
            served_by: None,
            status: 0,
            intended_at_ns: arrival.intended_at_ns,
            sent_at_ns: abandoned_at_ns,
            completed_at_ns: abandoned_at_ns,
        });
    }

    /// Decides what the arrival's user really requests: one that is not logged in logs in.
    fn attempt(&self, arrival: Arrival) -> Attempt {
        let (route, authorization) = match arrival.route {
            Route::Me => match self.sessions.authorization(arrival.user) {
                Some(authorization) => (Route::Me, Some(authorization)),
                None => (Route::Sessions, None),
            },
            route => (route, None),
        };
        Attempt { arrival, route, authorization }
    }

    async fn exchange(
        &self,
        attempt: &Attempt,
        patience: Duration,
    ) -> Result<Reply, ExchangeError> {
        let authorization = attempt.authorization.clone();
        let target = self.targets.of_arrival(attempt.arrival.index);
        let request =
            target.requests.build(attempt.route, &attempt.arrival, patience, authorization);
        let response = target.connections.exchange(request).await?;
        let status = response.status().as_u16();
        Ok(Reply {
            status,
            served_by: header(&response, SERVED_BY).and_then(ServedBy::from_name),
            not_permitted: header(&response, OUTCOME) == Some(Outcome::NotPermitted.name()),
            body_is_right: self.accept_body(attempt, status, response.body()),
        })
    }

    fn judge(&self, attempt: &Attempt, reply: &Reply, response_time_ns: u64) -> Outcome {
        if let Some(lost) = attempt.authorization.as_ref().filter(|_| reply.status == 401) {
            self.sessions.log_out(attempt.arrival.user, lost);
        }
        classify(&Answer {
            route: attempt.route,
            status: reply.status,
            served_by: reply.served_by,
            not_permitted: reply.not_permitted,
            body_is_right: reply.body_is_right,
            within_deadline: response_time_ns <= self.deadline_ns,
        })
    }

    /// Whether the body is the right one. A login's body also opens the session.
    fn accept_body(&self, attempt: &Attempt, status: u16, body: &[u8]) -> bool {
        let Arrival { product, user, .. } = attempt.arrival;
        match attempt.route {
            Route::Home | Route::Product | Route::Recommendations => {
                self.expected.matches(attempt.route, product, body)
            }
            Route::Sessions => (200..300).contains(&status) && self.sessions.log_in(user, body),
            Route::Me => serde_json::from_slice::<User>(body).is_ok_and(|it| it.user == user),
            // Nothing on them can be checked here; the audit counts orders and views afterwards.
            Route::Views | Route::Orders => true,
        }
    }
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
