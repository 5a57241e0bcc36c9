//! What a gate owes its callers when the policy behind it, or a thread beside it, does not behave.

use super::*;
use crate::{admission::Enqueued, clock::SystemClock};

const WAIT: Duration = Duration::from_millis(10);

/// Lets everybody wait and decides about nobody, or about somebody who is not there.
#[derive(Debug, Default)]
struct Nonsense {
    verdicts: Vec<(WaiterId, Verdict)>,
    n_released: u32,
    n_left: u32,
}

impl AdmissionPolicy for Nonsense {
    type Class = ();

    fn try_admit(&mut self) -> bool {
        false
    }

    fn enqueue(&mut self, now: Instant, _class: ()) -> Option<Enqueued> {
        Some(Enqueued { id: WaiterId(1), until: now + WAIT })
    }

    fn leave(&mut self, _id: WaiterId) {
        self.n_left += 1;
    }

    fn release(&mut self) {
        self.n_released += 1;
    }

    fn settle(&mut self, _now: Instant) {}

    fn pop_verdict(&mut self) -> Option<(WaiterId, Verdict)> {
        self.verdicts.pop()
    }

    fn occupancy(&self) -> Occupancy {
        Occupancy { in_flight: 7, max_concurrent_calls: 7, queue_depth: 1 }
    }
}

fn wait<P: AdmissionPolicy>(begun: Begun<P>) -> Wait<P> {
    match begun {
        Begun::Waits(wait) => wait,
        Begun::Admitted(_) | Begun::Refused(_) => panic!("a full gate lets callers wait"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_never_decides_means_no_when_the_time_is_up() {
    let gate = Gate::new(Mode::Enforce, Nonsense::default(), SystemClock);
    let refusal = wait(gate.begin(())).verdict().await.unwrap_err();
    assert!(WAIT <= refusal.waited);
    assert_eq!((gate.snapshot().counts.n_rejected, gate.lock().policy.n_left), (1, 1));
    assert!(gate.lock().waiters.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_place_given_to_nobody_is_given_back() {
    let gate = Gate::new(Mode::Enforce, Nonsense::default(), SystemClock);
    gate.adjust(|policy| policy.verdicts.push((WaiterId(99), Verdict::Admitted)));
    assert_eq!(gate.lock().policy.n_released, 1);
}

#[tokio::test(start_paused = true)]
async fn a_thread_that_panics_with_the_lock_does_not_lock_everybody_out() {
    let gate = Gate::new(Mode::Enforce, Nonsense::default(), SystemClock);
    let poisoned = Arc::clone(&gate);
    let thread = std::thread::spawn(move || {
        let _state = poisoned.lock();
        panic!("on purpose");
    });
    assert!(thread.join().is_err());
    assert!(wait(gate.begin(())).verdict().await.is_err());
}
