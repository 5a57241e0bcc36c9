//! Where arrivals that are due meet users that are free.
//!
//! Users that wait are taken last in, first out: the one that was busy last has the warmest
//! connection. Arrivals that find no free user wait first in, first out. One of the two lists is
//! always empty. Nothing is dropped: every arrival offered is handed out, taken back or discarded,
//! once.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::oneshot;

use crate::schedule::Arrival;

/// The two lists. Shared by the pacing thread and all users.
#[derive(Debug, Default)]
pub(crate) struct Dispatch {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parked: Vec<oneshot::Sender<Arrival>>,
    backlog: VecDeque<Arrival>,
    closed: bool,
}

impl Dispatch {
    /// Waits for an arrival. The receiver fails once the dispatch is closed and nothing waits.
    ///
    /// **Cancellation**: a receiver that is dropped before it was sent an arrival is passed over.
    pub(crate) fn park(&self) -> oneshot::Receiver<Arrival> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.lock();
        match state.backlog.pop_front() {
            Some(arrival) => sender.send(arrival).expect("the receiver is here"),
            None if state.closed => {}
            None => state.parked.push(sender),
        }
        receiver
    }

    /// Hands `arrival` to a free user, or lets it wait for the next one.
    pub(crate) fn offer(&self, mut arrival: Arrival) {
        loop {
            // The lock is not held while the user is woken: that is a system call.
            let user = {
                let mut state = self.lock();
                match state.parked.pop() {
                    Some(user) => user,
                    None => return state.backlog.push_back(arrival),
                }
            };
            match user.send(arrival) {
                Ok(()) => return,
                Err(returned) => arrival = returned,
            }
        }
    }

    /// When the arrival that has waited longest was due, in nanoseconds from the start.
    pub(crate) fn oldest_intended_at_ns(&self) -> Option<u64> {
        self.lock().backlog.front().map(|arrival| arrival.intended_at_ns)
    }

    /// Takes back the arrival that has waited longest, if it was due at `limit_ns` or before.
    pub(crate) fn take_back(&self, limit_ns: u64) -> Option<Arrival> {
        self.lock().backlog.pop_front_if(|arrival| arrival.intended_at_ns <= limit_ns)
    }

    /// Ends the run: users that wait, and those that come back later, are told to leave. Returns
    /// how many arrivals still waited; they are discarded.
    pub(crate) fn close(&self) -> u64 {
        let mut state = self.lock();
        state.closed = true;
        state.parked.clear();
        let n_discarded = state.backlog.len();
        state.backlog.clear();
        n_discarded as u64
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use lab_core::route::Route;
    use oneshot::error::TryRecvError;

    use super::*;

    fn arrival(index: u32) -> Arrival {
        let intended_at_ns = u64::from(index) * 100;
        Arrival { index, intended_at_ns, route: Route::Home, product: 0, user: 0 }
    }

    #[test]
    fn the_user_that_parked_last_is_taken_first() {
        let dispatch = Dispatch::default();
        let mut first = dispatch.park();
        let mut second = dispatch.park();
        dispatch.offer(arrival(1));
        assert_eq!(second.try_recv(), Ok(arrival(1)));
        assert_eq!(first.try_recv(), Err(TryRecvError::Empty));
        dispatch.offer(arrival(2));
        assert_eq!(first.try_recv(), Ok(arrival(2)));
    }

    #[test]
    fn arrivals_without_a_free_user_wait_in_order() {
        let dispatch = Dispatch::default();
        dispatch.offer(arrival(1));
        dispatch.offer(arrival(2));
        assert_eq!(dispatch.park().try_recv(), Ok(arrival(1)));
        assert_eq!(dispatch.oldest_intended_at_ns(), Some(200));
        assert_eq!(dispatch.park().try_recv(), Ok(arrival(2)));
        assert_eq!(dispatch.oldest_intended_at_ns(), None);
    }

    #[test]
    fn only_arrivals_due_by_the_limit_are_taken_back() {
        let dispatch = Dispatch::default();
        dispatch.offer(arrival(1));
        dispatch.offer(arrival(2));
        assert_eq!(dispatch.take_back(99), None);
        assert_eq!(dispatch.take_back(100), Some(arrival(1)));
        assert_eq!(dispatch.take_back(100), None);
    }

    #[test]
    fn a_user_that_left_is_passed_over() {
        let dispatch = Dispatch::default();
        let mut stays = dispatch.park();
        drop(dispatch.park());
        dispatch.offer(arrival(1));
        assert_eq!(stays.try_recv(), Ok(arrival(1)));
    }

    #[test]
    fn closing_sends_everybody_home_and_counts_what_waited() {
        let dispatch = Dispatch::default();
        let mut parked = dispatch.park();
        assert_eq!(dispatch.close(), 0);
        assert_eq!(parked.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(dispatch.park().try_recv(), Err(TryRecvError::Closed));

        let busy = Dispatch::default();
        busy.offer(arrival(1));
        busy.offer(arrival(2));
        assert_eq!(busy.close(), 2);
        assert_eq!(busy.park().try_recv(), Err(TryRecvError::Closed));
    }
}
