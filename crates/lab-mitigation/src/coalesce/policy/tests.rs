//! The flights by hand and against a model: who leads, who joins, and what a late end may do.

use proptest::prelude::*;

use super::*;

type Names = Flights<&'static str, u32>;

/// Arrives with a handle that can still be joined.
fn arrive(flights: &mut Names, key: &'static str, handle: u32) -> Arrival<u32, ()> {
    flights.arrive(&key, |handle| Some(*handle), || (handle, ()))
}

fn leads(arrival: Arrival<u32, ()>) -> FlightId {
    match arrival {
        Arrival::Leads(id, ()) => id,
        Arrival::Joins(handle) => panic!("joins {handle}"),
    }
}

#[test]
fn the_first_leads_the_others_join_and_after_the_end_the_next_one_leads() {
    let mut flights = Names::new();
    let id = leads(arrive(&mut flights, "page", 1));
    assert_eq!(arrive(&mut flights, "page", 2), Arrival::Joins(1));
    leads(arrive(&mut flights, "other page", 3));
    assert_eq!(flights.end(&"page", id), Some(1));
    leads(arrive(&mut flights, "page", 4));
}

#[test]
fn the_late_end_of_an_abandoned_flight_does_not_end_its_successor() {
    let mut flights = Names::new();
    let old = leads(arrive(&mut flights, "page", 1));
    // All callers of the first have left, and its task has not noticed yet.
    let new = leads(flights.arrive(&"page", |_| None, || (2, ())));
    assert_eq!(flights.end(&"page", old), None);
    assert_eq!(arrive(&mut flights, "page", 3), Arrival::Joins(2));
    assert_eq!(flights.end(&"page", new), Some(2));
    assert!(flights.is_empty());
}

#[test]
fn an_observed_flight_ends_with_its_leader() {
    let mut flights = Names::new();
    let leader = flights.observe(&"page", |_| true);
    let other = flights.observe(&"page", |_| true);
    assert!(matches!(leader, ObservedArrival::WouldLead(_)));
    assert!(matches!(other, ObservedArrival::WouldJoin(_)));
    flights.leave(&"page", other, Seat::Filled);
    assert_eq!(flights.len(), 1, "enforced, the other would still be waiting");
    flights.leave(&"page", leader, Seat::Filled);
    assert!(flights.is_empty());
}

#[test]
fn when_the_observed_leader_left_the_first_of_the_others_who_is_done_ends_the_flight() {
    let mut flights = Names::new();
    let [leader, second, third] = [(); 3].map(|()| flights.observe(&"page", |_| true));
    flights.leave(&"page", leader, Seat::Left);
    assert!(matches!(flights.observe(&"page", |_| true), ObservedArrival::WouldJoin(_)));
    flights.leave(&"page", second, Seat::Filled);
    assert!(flights.is_empty());
    let next = flights.observe(&"page", |_| true);
    flights.leave(&"page", third, Seat::Filled);
    assert_eq!(flights.len(), 1, "the third was of the flight before");
    flights.leave(&"page", next, Seat::Left);
    assert!(flights.is_empty());
}

#[test]
fn a_switch_to_observe_joins_what_is_enforced_and_a_switch_back_begins_anew() {
    let mut flights = Names::new();
    let id = leads(arrive(&mut flights, "page", 1));
    let seen = flights.observe(&"page", |_| true);
    assert_eq!(seen, ObservedArrival::WouldJoinEnforced);
    flights.leave(&"page", seen, Seat::Filled);
    assert_eq!(flights.end(&"page", id), Some(1), "which leaving did not touch");
    let observed = flights.observe(&"page", |_| true);
    let id = leads(arrive(&mut flights, "page", 2));
    flights.leave(&"page", observed, Seat::Filled);
    assert_eq!(flights.end(&"page", id), Some(2));
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Somebody comes; `true`: the flight that goes on, if any, still has callers.
    Arrive(usize, bool),
    /// The fill of the n-th flight ever begun ends; again, if it ended before.
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3_usize, any::<bool>()).prop_map(|(key, has_callers)| Step::Arrive(key, has_callers)),
        (0..20_usize).prop_map(Step::End),
    ]
}

proptest! {
    // The reference: per key the number of the one flight that goes on, if any.
    #[test]
    fn in_any_order_of_arrivals_and_ends_a_key_has_at_most_one_flight(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut flights = Flights::<usize, usize>::new();
        let mut model = [None; 3];
        let mut begun: Vec<(usize, FlightId)> = Vec::new();
        for step in steps {
            match step {
                Step::Arrive(key, has_callers) => {
                    let number = begun.len();
                    let join = |handle: &usize| has_callers.then_some(*handle);
                    match flights.arrive(&key, join, || (number, ())) {
                        Arrival::Joins(handle) => {
                            prop_assert!(has_callers);
                            prop_assert_eq!(model[key], Some(handle));
                        }
                        Arrival::Leads(id, ()) => {
                            prop_assert!(!has_callers || model[key].is_none());
                            begun.push((key, id));
                            model[key] = Some(number);
                        }
                    }
                }
                Step::End(number) => {
                    let Some(&(key, id)) = begun.get(number) else { continue };
                    let goes_on = model[key] == Some(number);
                    prop_assert_eq!(flights.end(&key, id), goes_on.then_some(number));
                    if goes_on {
                        model[key] = None;
                    }
                }
            }
            prop_assert_eq!(flights.len(), model.iter().flatten().count());
        }
    }
}
