//! The shared coalescing on a paused clock: callers that come, leave, fail and panic.

use std::{
    future::pending,
    task::{Context, Wake, Waker},
    time::Duration,
};

use lab_testkit::recorder::Recorder;
use tokio::{
    task::{JoinHandle as Task, yield_now},
    time::sleep,
};

use super::*;

mod property;

const FILL_TIME: Duration = Duration::from_millis(100);

type Pages = Coalesce<&'static str, u32, &'static str>;

fn pages(mode: Mode, fill: FillLifetime) -> Pages {
    Coalesce::new(&CoalesceSettings { mode, fill })
}

fn enforced(fill: FillLifetime) -> Pages {
    pages(Mode::Enforce, fill)
}

/// Says when it is dropped, and whether the fill that held it had come to its end.
struct Work {
    log: Recorder<&'static str>,
    is_done: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.log.push(if self.is_done { "done" } else { "dropped" });
    }
}

/// Fills that take [`FILL_TIME`] and write down how they went.
#[derive(Clone, Default)]
struct Database {
    log: Recorder<&'static str>,
}

impl Database {
    fn read(
        &self,
        result: Result<u32, &'static str>,
    ) -> impl Future<Output = Result<u32, &'static str>> + Send + use<> {
        let log = self.log.clone();
        log.push("begun");
        let work = Work { log, is_done: false };
        async move {
            // All of it: a closure would else capture the one field, and drop the rest at once.
            let mut work = work;
            sleep(FILL_TIME).await;
            work.is_done = true;
            result
        }
    }

    /// A caller in a task of its own, as a server has them: aborting it is leaving.
    fn caller(
        &self,
        pages: &Pages,
        result: Result<u32, &'static str>,
    ) -> Task<Filled<u32, &'static str>> {
        let (database, pages) = (self.clone(), pages.clone());
        tokio::spawn(async move { pages.run("page", move || database.read(result)).await })
    }
}

/// Lets every task run until it waits for time.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

/// The caller leaves, and everybody who minds has noticed.
async fn leave(caller: Task<Filled<u32, &'static str>>) {
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    settle().await;
}

fn value(role: Role, value: u32) -> Filled<u32, &'static str> {
    Filled { role, result: Ok(value) }
}

#[tokio::test(start_paused = true)]
async fn callers_of_one_key_share_one_fill_and_its_value() {
    let (pages, database) = (enforced(FillLifetime::Attached), Database::default());
    let callers = [1, 2, 3].map(|n| database.caller(&pages, Ok(n)));
    settle().await;
    assert_eq!(pages.snapshot().n_filling, 1);
    let mut filled = Vec::new();
    for caller in callers {
        filled.push(caller.await.unwrap());
    }
    let want = [value(Role::Led, 1), value(Role::Joined, 1), value(Role::Joined, 1)];
    assert_eq!(filled, want);
    assert_eq!(database.log.take(), ["begun", "done"]);
    let snapshot = pages.snapshot();
    assert_eq!((snapshot.n_led, snapshot.n_joined, snapshot.n_filling), (1, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn callers_of_different_keys_do_not_wait_for_each_other() {
    let pages = enforced(FillLifetime::Attached);
    let silent = {
        let pages = pages.clone();
        tokio::spawn(async move { pages.run("silent", pending).await })
    };
    settle().await;
    assert_eq!(pages.run("page", || async { Ok(1) }).await, value(Role::Led, 1));
    assert_eq!(pages.snapshot().n_filling, 1);
    leave(silent).await;
    assert_eq!(pages.snapshot().n_filling, 0);
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_by_those_who_wait_and_not_kept_for_the_next() {
    let (pages, database) = (enforced(FillLifetime::Attached), Database::default());
    let callers = [Err("reset"), Ok(2)].map(|result| database.caller(&pages, result));
    for caller in callers {
        assert_eq!(caller.await.unwrap().result, Err(FillError::Failed("reset")));
    }
    let next = pages.run("page", || async { Ok(3) }).await;
    assert_eq!(next, value(Role::Led, 3));
}

#[tokio::test(start_paused = true)]
async fn when_the_leader_leaves_the_others_keep_the_fill_going() {
    for fill in [FillLifetime::Attached, FillLifetime::Detached] {
        let (pages, database) = (enforced(fill), Database::default());
        let leader = database.caller(&pages, Ok(1));
        settle().await;
        let other = database.caller(&pages, Ok(2));
        settle().await;
        leave(leader).await;
        assert_eq!(other.await.unwrap(), value(Role::Joined, 1), "{fill:?}");
        assert_eq!(database.log.take(), ["begun", "done"], "{fill:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_all_leave_an_attached_fill_is_dropped_and_the_key_is_free() {
    let (pages, database) = (enforced(FillLifetime::Attached), Database::default());
    let callers = [1, 2].map(|n| database.caller(&pages, Ok(n)));
    settle().await;
    for caller in callers {
        leave(caller).await;
    }
    assert_eq!(database.log.take(), ["begun", "dropped"]);
    assert_eq!(pages.snapshot().n_filling, 0);
    assert_eq!(pages.run("page", || async { Ok(3) }).await, value(Role::Led, 3));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_comes_right_after_all_have_left_begins_a_new_fill() {
    let (pages, database) = (enforced(FillLifetime::Attached), Database::default());
    // No task between the two: the fill of the first has had no chance to notice.
    let mut first = Box::pin(pages.run("page", {
        let database = database.clone();
        move || database.read(Ok(1))
    }));
    assert_eq!((&mut first).now_or_never(), None);
    settle().await;
    drop(first);
    assert_eq!(database.caller(&pages, Ok(2)).await.unwrap(), value(Role::Led, 2));
    assert_eq!(pages.snapshot().n_filling, 0, "and the end of the first did not end the second");
}

#[tokio::test(start_paused = true)]
async fn a_detached_fill_outlives_everybody_who_asked_and_can_be_joined_meanwhile() {
    let (pages, database) = (enforced(FillLifetime::Detached), Database::default());
    let leader = database.caller(&pages, Ok(1));
    settle().await;
    leave(leader).await;
    assert_eq!((database.log.take(), pages.snapshot().n_filling), (vec!["begun"], 1));
    assert_eq!(database.caller(&pages, Ok(2)).await.unwrap(), value(Role::Joined, 1));
    assert_eq!(database.log.take(), ["done"]);
    let leader = database.caller(&pages, Ok(3));
    settle().await;
    leave(leader).await;
    sleep(2 * FILL_TIME).await;
    assert_eq!(database.log.take(), ["begun", "done"], "with nobody there to see it");
    assert_eq!(pages.snapshot().n_filling, 0);
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_panics_is_an_error_for_everybody_and_the_key_is_as_good_as_new() {
    for fill in [FillLifetime::Attached, FillLifetime::Detached] {
        let (pages, database) = (enforced(fill), Database::default());
        let leader = {
            let pages = pages.clone();
            let panics = || async {
                sleep(FILL_TIME).await;
                panic!("a bug in the fill")
            };
            tokio::spawn(async move { pages.run("page", panics).await })
        };
        settle().await;
        let other = database.caller(&pages, Ok(2));
        for (caller, role) in [(leader, Role::Led), (other, Role::Joined)] {
            let filled = caller.await.unwrap();
            assert_eq!(filled, Filled { role, result: Err(FillError::Lost) }, "{fill:?}");
        }
        let snapshot = pages.snapshot();
        assert_eq!((snapshot.n_lost, snapshot.n_filling), (2, 0), "{fill:?}");
        assert_eq!(pages.run("page", || async { Ok(3) }).await, value(Role::Led, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_panics_before_its_first_await_is_an_error_too() {
    let pages = enforced(FillLifetime::Attached);
    let panics = || -> std::future::Ready<Result<u32, &'static str>> { panic!("a bug") };
    assert_eq!(pages.run("page", panics).await.result, Err(FillError::Lost));
    assert_eq!(pages.snapshot().n_filling, 0);
}

#[tokio::test(start_paused = true)]
async fn observing_lets_everybody_fill_and_counts_who_would_have_joined() {
    let (pages, database) = (pages(Mode::Observe, FillLifetime::Attached), Database::default());
    let callers = [1, 2, 3].map(|n| database.caller(&pages, Ok(n)));
    settle().await;
    for (caller, n) in callers.into_iter().zip(1..) {
        assert_eq!(caller.await.unwrap(), value(Role::Led, n), "its own");
    }
    let late = database.caller(&pages, Ok(4));
    assert_eq!(late.await.unwrap(), value(Role::Led, 4));
    let snapshot = pages.snapshot();
    assert_eq!((snapshot.n_led, snapshot.n_joined, snapshot.n_would_join), (2, 0, 2));
    assert_eq!(snapshot.n_filling, 0);
}

// Worked by hand: the first fills from 0 to 100 ms and the second from 50 to 150 ms. At 120 ms the
// fill they would have shared is over, whatever the second still does.
#[tokio::test(start_paused = true)]
async fn an_observed_fill_is_over_when_its_leader_is_done() {
    let (pages, database) = (pages(Mode::Observe, FillLifetime::Attached), Database::default());
    let first = database.caller(&pages, Ok(1));
    sleep(FILL_TIME / 2).await;
    let second = database.caller(&pages, Ok(2));
    first.await.unwrap();
    sleep(FILL_TIME / 5).await;
    assert_eq!((pages.snapshot().n_led, pages.snapshot().n_would_join), (1, 1));
    assert_eq!(pages.run("page", || async { Ok(3) }).await, value(Role::Led, 3));
    assert_eq!((pages.snapshot().n_led, pages.snapshot().n_would_join), (2, 1));
    second.await.unwrap();
}

/// Writes down how many fills go on at the moment when a caller hears of its result.
struct Hears {
    pages: Pages,
    n_filling: Recorder<u64>,
}

impl Wake for Hears {
    fn wake(self: Arc<Self>) {
        self.n_filling.push(self.pages.snapshot().n_filling);
    }
}

// Else a caller on another thread could come back at once, and be given the old result.
#[tokio::test(start_paused = true)]
async fn the_key_is_free_before_anybody_hears_of_the_result() {
    for fill in [FillLifetime::Attached, FillLifetime::Detached] {
        let (pages, database) = (enforced(fill), Database::default());
        let n_filling = Recorder::new();
        let hears = Hears { pages: pages.clone(), n_filling: n_filling.clone() };
        let waker = Waker::from(Arc::new(hears));
        let mut call = Box::pin(pages.run("page", move || database.read(Ok(1))));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        sleep(2 * FILL_TIME).await;
        assert_eq!(n_filling.take(), [0], "{fill:?}");
        assert_eq!(call.await, value(Role::Led, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn observed_callers_who_leave_leave_nothing_behind() {
    let (pages, database) = (pages(Mode::Observe, FillLifetime::Detached), Database::default());
    let callers = [1, 2].map(|n| database.caller(&pages, Ok(n)));
    settle().await;
    assert_eq!(pages.snapshot().n_filling, 1);
    for caller in callers {
        leave(caller).await;
    }
    assert_eq!(database.log.take(), ["begun", "begun", "dropped", "dropped"]);
    assert_eq!(pages.snapshot().n_filling, 0);
}

#[tokio::test(start_paused = true)]
async fn switched_off_everybody_fills_and_nothing_is_counted() {
    let (pages, database) = (pages(Mode::Off, FillLifetime::Attached), Database::default());
    let callers = [1, 2].map(|n| database.caller(&pages, Ok(n)));
    for (caller, n) in callers.into_iter().zip(1..) {
        assert_eq!(caller.await.unwrap(), value(Role::Led, n));
    }
    let snapshot = pages.snapshot();
    assert_eq!((snapshot.n_led, snapshot.n_joined, snapshot.n_would_join), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_goes_on_ends_as_it_began_when_the_mode_changes() {
    let (pages, database) = (enforced(FillLifetime::Attached), Database::default());
    let callers = [1, 2].map(|n| database.caller(&pages, Ok(n)));
    settle().await;
    pages.set_mode(Mode::Observe);
    assert_eq!(pages.run("page", || async { Ok(9) }).await, value(Role::Led, 9));
    assert_eq!(pages.snapshot().n_would_join, 1, "it would have waited for the enforced fill");
    for caller in callers {
        assert_eq!(caller.await.unwrap().result, Ok(1));
    }
    assert_eq!(pages.snapshot().n_filling, 0);
}

// Threads, not virtual time: whatever the interleaving, every call is counted once and nothing is
// left. 4 tasks with 500 calls each, over two keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_on_several_threads_are_counted_once_and_leave_no_entry() {
    let pages = Coalesce::<u64, u64, &'static str>::new(&CoalesceSettings {
        mode: Mode::Enforce,
        fill: FillLifetime::Attached,
    });
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let pages = pages.clone();
            tokio::spawn(async move {
                for n in 0..500 {
                    let key = n % 2;
                    let fill = move || async move {
                        yield_now().await;
                        Ok(key)
                    };
                    let mut call = Box::pin(pages.run(key, fill));
                    // Every third caller leaves after one look.
                    if n % 3 == 0 {
                        let _ = (&mut call).now_or_never();
                    } else {
                        assert_eq!(call.await.result, Ok(key));
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    // Abandoned fills are dropped when their task runs next.
    while 0 < pages.snapshot().n_filling {
        yield_now().await;
    }
    let snapshot = pages.snapshot();
    assert_eq!((snapshot.n_led + snapshot.n_joined, snapshot.n_lost), (2_000, 0));
}
