//! The shared coalescing against a model: any order of callers who come and leave and fills that
//! end, one at a time.

use proptest::prelude::*;
use tokio::sync::oneshot::{Receiver, Sender, channel};

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A new caller of a key comes and waits.
    Come(usize),
    /// The n-th caller ever leaves, if it is still there.
    Leave(usize),
    /// The fill of a key that goes on, if any, ends with a value or an error.
    End(usize, Result<u32, u32>),
    /// The fill of a key that goes on, if any, panics.
    Panic(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let result = any::<u32>().prop_flat_map(|n| prop_oneof![Just(Ok(n)), Just(Err(n))]);
    prop_oneof![
        4 => (0..2_usize).prop_map(Step::Come),
        2 => (0..15_usize).prop_map(Step::Leave),
        2 => (0..2_usize, result).prop_map(|(key, result)| Step::End(key, result)),
        1 => (0..2_usize).prop_map(Step::Panic),
    ]
}

/// What ends a fill: its result, or an order to panic.
type Order = Result<Result<u32, u32>, Panics>;

#[derive(Debug)]
struct Panics;

/// A fill that the test ends. The model's copy of a flight.
struct Flight {
    order: Sender<Order>,
    callers: Vec<usize>,
}

type Call = Task<Filled<u32, u32>>;

struct Run {
    coalesce: Coalesce<usize, u32, u32>,
    fill: FillLifetime,
    begun: Recorder<(usize, Sender<Order>)>,
    calls: Vec<Option<Call>>,
    roles: Vec<Role>,
    /// Per key the one flight that goes on, if any.
    model: [Option<Flight>; 2],
}

impl Run {
    fn new(fill: FillLifetime) -> Self {
        Self {
            coalesce: Coalesce::new(&CoalesceSettings { mode: Mode::Enforce, fill }),
            fill,
            begun: Recorder::new(),
            calls: Vec::new(),
            roles: Vec::new(),
            model: [None, None],
        }
    }

    async fn play(&mut self, step: Step) {
        match step {
            Step::Come(key) => self.come(key).await,
            Step::Leave(caller) => self.leave(caller).await,
            Step::End(key, result) => self.end(key, Ok(result)).await,
            Step::Panic(key) => self.end(key, Err(Panics)).await,
        }
        let n_flights = self.model.iter().flatten().count() as u64;
        assert_eq!(self.coalesce.snapshot().n_filling, n_flights);
    }

    async fn come(&mut self, key: usize) {
        let (coalesce, begun) = (self.coalesce.clone(), self.begun.clone());
        let fill = move || {
            let (order, orders) = channel();
            begun.push((key, order));
            obey(orders)
        };
        let caller = self.calls.len();
        self.calls.push(Some(tokio::spawn(async move { coalesce.run(key, fill).await })));
        settle().await;
        let begun = self.begun.take();
        let role = match &mut self.model[key] {
            Some(flight) => {
                assert!(begun.is_empty(), "a second fill of one key");
                flight.callers.push(caller);
                Role::Joined
            }
            free @ None => {
                let [(of, order)] = <[_; 1]>::try_from(begun).expect("one fill was begun");
                assert_eq!(of, key);
                *free = Some(Flight { order, callers: vec![caller] });
                Role::Led
            }
        };
        self.roles.push(role);
    }

    async fn leave(&mut self, caller: usize) {
        let Some(call) = self.calls.get_mut(caller).and_then(Option::take) else { return };
        call.abort();
        settle().await;
        for place in &mut self.model {
            let Some(flight) = place else { continue };
            flight.callers.retain(|it| *it != caller);
            let is_over = self.fill == FillLifetime::Attached && flight.callers.is_empty();
            assert_eq!(flight.order.is_closed(), is_over, "whether the fill was dropped");
            if is_over {
                *place = None;
            }
        }
    }

    async fn end(&mut self, key: usize, order: Order) {
        let Some(flight) = self.model[key].take() else { return };
        let want = match &order {
            Ok(result) => result.map_err(FillError::Failed),
            Err(Panics) => Err(FillError::Lost),
        };
        assert!(flight.order.send(order).is_ok(), "the fill goes on");
        settle().await;
        for caller in flight.callers {
            let call = self.calls[caller].take().expect("it has not left");
            assert!(call.is_finished(), "everybody hears of it at once");
            let filled = call.await.expect("a caller does not panic");
            assert_eq!(filled, Filled { result: want, role: self.roles[caller] });
        }
    }
}

async fn obey(orders: Receiver<Order>) -> Result<u32, u32> {
    match orders.await.expect("the model drops no order of a fill that goes on") {
        Ok(result) => result,
        // Unwinds as a panic does, without its message on the terminal for every case.
        Err(Panics) => std::panic::resume_unwind(Box::new("as ordered")),
    }
}

proptest! {
    #[test]
    fn callers_and_fills_go_as_in_the_model(
        is_detached in any::<bool>(),
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let fill = if is_detached { FillLifetime::Detached } else { FillLifetime::Attached };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new(fill);
            for step in steps {
                run.play(step).await;
            }
            // Whatever goes on is ended, and then nothing is kept.
            for key in 0..2 {
                run.play(Step::End(key, Ok(0))).await;
            }
            assert_eq!(run.coalesce.snapshot().n_filling, 0);
        });
    }
}
