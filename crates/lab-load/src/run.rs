//! One run, from the plan to the last sample.

use std::{sync::Arc, time::Duration};

use lab_core::{clock::MonotonicNs, load_plan::LoadPlan};

use crate::{
    crew::Crew, error::LoadError, file_limit, pacer::Pacer, recorder::Recorder, targets::Targets,
    users,
};

/// How long after the last request must have been given up the run is declared stuck. Chosen: far
/// above any delay of a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// Carries out `plan` and records one sample for each of its arrivals, whose number it returns. Each
/// goes to one of `targets`, which may change meanwhile.
///
/// `start` is called once, when every user waits, and returns the instant at which the schedule
/// starts. It may block: until then nothing else has to run.
///
/// Runs on a single-threaded tokio runtime; goose's state is global, so one run at a time and
/// process. It ends when every arrival has its outcome, at the latest `give_up_after` after the
/// last one was due.
///
/// **Errors**: the plan cannot work, the machine does not allow it, or the run cannot be trusted.
/// **Cancellation**: arrivals not yet carried have no outcome; the samples written stay decodable.
pub(crate) async fn run(
    plan: &LoadPlan,
    targets: Arc<Targets>,
    recorder: Arc<Recorder>,
    start: impl FnOnce() -> Result<MonotonicNs, LoadError>,
) -> Result<u64, LoadError> {
    file_limit::raise(plan.users)?;
    let crew = Arc::new(Crew::new(plan, targets, Arc::clone(&recorder))?);
    let host = format!("http://{}", plan.target);
    let attack = users::attack(Arc::clone(&crew), plan.users, &host)?.execute();
    let carried = carry_out(plan, &crew, &recorder, start);
    // goose only looks every 500 ms whether its users have left, so it is not waited for.
    let scheduled = tokio::select! {
        stopped = attack => return Err(stopped.map_or_else(Into::into, |_| LoadError::GooseStopped)),
        scheduled = carried => scheduled?,
    };
    let recorded = recorder.finish()?;
    if recorded != scheduled {
        return Err(LoadError::NotConserved { scheduled, recorded });
    }
    Ok(scheduled)
}

/// Starts the schedule when all users wait; returns the number of its arrivals when all have left.
async fn carry_out(
    plan: &LoadPlan,
    crew: &Arc<Crew>,
    recorder: &Recorder,
    start: impl FnOnce() -> Result<MonotonicNs, LoadError>,
) -> Result<u64, LoadError> {
    crew.gate.wait().await;
    let start = start()?;
    crew.start_at(start);
    let pacer = Pacer::start(Arc::clone(crew), plan, start)?;
    let until_start = start.saturating_since(MonotonicNs::now());
    let longest = until_start + plan.duration + plan.give_up_after + SLACK;
    tokio::select! {
        _ = crew.gate.wait() => {}
        error = recorder.failed() => return Err(error),
        () = tokio::time::sleep(longest) => return Err(LoadError::Unfinished),
    }
    Ok(pacer.join().expect("the pacer ends before the users do, and a panic ends the process"))
}
