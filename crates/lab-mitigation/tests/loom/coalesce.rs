//! Every interleaving of a few threads at the flights of one key, as far as a bounded number of
//! preemptions reaches: callers who come and leave, the fill's end, and its result.
//!
//! `Flights` is the one that `Coalesce` has behind its lock. What is around it there belongs to
//! tokio and the standard library, which loom does not see, and is modelled here: the fill's task
//! (a thread), the one result that it sends, and whether anybody still waits for it. The model is
//! known to fail when the end of a flight takes a later one of the same key with it, when a flight
//! ends after its result was sent, and when one can be joined whose callers have all left.

use lab_core::settings::FillLifetime;
use lab_mitigation::coalesce::{Arrival, FlightId, Flights};
use loom::{
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::model;

const KEY: &str = "page";

/// What all callers of one fill share: its result, and how many they are.
struct Filling {
    number: u32,
    state: Mutex<State>,
    sent: Condvar,
}

struct State {
    n_callers: u32,
    result: Option<u32>,
}

/// One who waits for a fill. Dropping it leaves.
struct Caller(Arc<Filling>);

impl Caller {
    /// The number of the fill, once it is over.
    fn wait(self) -> u32 {
        let mut state = self.0.state.lock().unwrap();
        loop {
            match state.result {
                Some(result) => return result,
                None => state = self.0.sent.wait(state).unwrap(),
            }
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.state.lock() {
            state.n_callers -= 1;
        }
    }
}

/// The fills of one key.
#[derive(Clone)]
struct Fills {
    lifetime: FillLifetime,
    flights: Arc<Mutex<Flights<&'static str, Arc<Filling>>>>,
    n_begun: Arc<AtomicU32>,
    n_running: Arc<AtomicU32>,
}

impl Fills {
    fn new(lifetime: FillLifetime) -> Self {
        let flights = Arc::new(Mutex::new(Flights::new()));
        let [n_begun, n_running] = [(); 2].map(|()| Arc::new(AtomicU32::new(0)));
        Self { lifetime, flights, n_begun, n_running }
    }

    /// Joins the fill that goes on, or begins one; then the thread that fills comes too.
    fn ask(&self) -> (Caller, Option<JoinHandle<()>>) {
        let begin = || {
            let number = self.n_begun.fetch_add(1, Ordering::AcqRel) + 1;
            let state = Mutex::new(State { n_callers: 1, result: None });
            let filling = Arc::new(Filling { number, state, sent: Condvar::new() });
            (Arc::clone(&filling), Caller(filling))
        };
        let arrival =
            self.flights.lock().unwrap().arrive(&KEY, |filling| self.join(filling), begin);
        match arrival {
            Arrival::Joins(caller) => (caller, None),
            Arrival::Leads(id, caller) => {
                let (fills, filling) = (self.clone(), Arc::clone(&caller.0));
                (caller, Some(thread::spawn(move || fills.fill(id, &filling))))
            }
        }
    }

    /// Attached, only while somebody waits, as a weak reference is good only while a strong one is.
    fn join(&self, filling: &Arc<Filling>) -> Option<Caller> {
        let mut state = filling.state.lock().unwrap();
        if self.lifetime == FillLifetime::Attached && state.n_callers == 0 {
            return None;
        }
        state.n_callers += 1;
        Some(Caller(Arc::clone(filling)))
    }

    /// Ends the flight, and only then hands over the result: the order of `fill_for_all`.
    fn fill(&self, id: FlightId, filling: &Arc<Filling>) {
        let n_running = self.n_running.fetch_add(1, Ordering::AcqRel) + 1;
        let abandoned =
            self.lifetime == FillLifetime::Attached && filling.state.lock().unwrap().n_callers == 0;
        if self.lifetime == FillLifetime::Detached {
            assert_eq!(n_running, 1, "one fill of a key at a time");
        }
        self.n_running.fetch_sub(1, Ordering::AcqRel);
        let ended = self.flights.lock().unwrap().end(&KEY, id);
        let is_awaited = 0 < filling.state.lock().unwrap().n_callers;
        assert!(ended.is_some() || !is_awaited, "another fill ended its flight");
        if !abandoned {
            filling.state.lock().unwrap().result = Some(filling.number);
            filling.sent.notify_all();
        }
    }

    /// Asks and waits for the answer, which is the number of the fill that gave it.
    fn ask_and_wait(&self) -> u32 {
        let (caller, filler) = self.ask();
        let answer = caller.wait();
        join(filler);
        answer
    }

    fn assert_idle(&self) {
        assert!(self.flights.lock().unwrap().is_empty(), "a flight is left without a fill");
    }
}

fn join(filler: Option<JoinHandle<()>>) {
    if let Some(filler) = filler {
        filler.join().unwrap();
    }
}

#[test]
fn two_callers_are_answered_by_one_fill_or_by_two_after_one_another() {
    for lifetime in [FillLifetime::Attached, FillLifetime::Detached] {
        model(move || {
            let fills = Fills::new(lifetime);
            let other = {
                let fills = fills.clone();
                thread::spawn(move || fills.ask_and_wait())
            };
            let mine = fills.ask_and_wait();
            let theirs = other.join().unwrap();
            let n_begun = fills.n_begun.load(Ordering::Acquire);
            assert!(mine.max(theirs) == n_begun && mine.min(theirs) == 1, "{mine}, {theirs}");
            fills.assert_idle();
        });
    }
}

#[test]
fn who_leaves_takes_no_answer_away_from_who_stays() {
    for lifetime in [FillLifetime::Attached, FillLifetime::Detached] {
        model(move || {
            let fills = Fills::new(lifetime);
            let leaver = {
                let fills = fills.clone();
                thread::spawn(move || {
                    let (caller, filler) = fills.ask();
                    drop(caller);
                    join(filler);
                })
            };
            // An answer that never comes is a deadlock, which loom tells.
            fills.ask_and_wait();
            leaver.join().unwrap();
            fills.assert_idle();
        });
    }
}

#[test]
fn who_asks_again_after_an_answer_gets_a_newer_one() {
    for lifetime in [FillLifetime::Attached, FillLifetime::Detached] {
        model(move || {
            let fills = Fills::new(lifetime);
            let (caller, filler) = fills.ask();
            let first = caller.wait();
            // The first fill's thread may still be at its end.
            let second = fills.ask_and_wait();
            assert_eq!((first, second), (1, 2));
            join(filler);
            fills.assert_idle();
        });
    }
}
