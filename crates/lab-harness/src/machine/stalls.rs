//! Tells when a processor stood still: a witness of what the hypervisor took away.
//!
//! A generator that sends late is either at fault itself, or the processor was not there: on a
//! virtual machine the host takes it away for some milliseconds (steal). From inside, both look the
//! same. The witness is a thread per processor that does nothing but sleep for a millisecond and see
//! how late it woke, after Tene's jHiccup. Where the user may (root), it runs in real time, above
//! the generator: nobody on this machine can make it late. Elsewhere the time that it stood in the
//! kernel's run queue is taken off, because somebody here was running then; that also takes off a
//! stall that began just after its wake-up, so fewer stalls are seen than there are.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use lab_core::clock::{MonotonicNs, nanos};
use nix::sys::prctl;

use super::cpus::pin_this_thread_to;
use crate::process::kernel::{self, REAL_TIME_WITNESS};

/// How long the witness sleeps at a time.
const PERIOD: Duration = Duration::from_millis(1);
/// A witness that wakes less late than this was not kept waiting. Chosen: on a quiet virtual machine
/// one to three wake-ups of a thousand are later.
const STALL_NS_MIN: u64 = 250_000;

/// A stretch of time in which a processor ran nothing, although the witness was due, or next to
/// nothing: stalls from one wake-up to the next are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stall {
    /// Which processor; `None` when the witness was not bound to one.
    pub(crate) cpu: Option<usize>,
    /// When the witness ran again.
    pub(crate) until: MonotonicNs,
    /// For how long, in nanoseconds.
    pub(crate) length_ns: u64,
}

/// The witnesses of a trial. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct StallWatch {
    stop: Arc<AtomicBool>,
    witnesses: Vec<JoinHandle<Vec<Stall>>>,
}

impl StallWatch {
    /// Starts one witness on each of `cpus`; a single one, bound to none, when there are none.
    ///
    /// A kernel that does not tell the time in its run queue (`/proc/thread-self/schedstat`) leaves
    /// nothing to tell a stall by: then none is reported, and nobody is excused.
    /// **Errors**: the system has no thread to give.
    pub(crate) fn start(cpus: &[usize]) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let places = match cpus {
            [] => vec![None],
            cpus => cpus.iter().copied().map(Some).collect(),
        };
        let start = |cpu: Option<usize>| {
            let stop = Arc::clone(&stop);
            thread::Builder::new().name("stall-witness".into()).spawn(move || watch(cpu, &stop))
        };
        let witnesses = places.into_iter().map(start).collect::<io::Result<_>>()?;
        Ok(Self { stop, witnesses })
    }

    /// Ends the watch and returns what was seen, in order of time for each processor. Blocks for
    /// a millisecond or so.
    pub(crate) fn finish(mut self) -> Vec<Stall> {
        self.stop.store(true, Ordering::Relaxed);
        let seen = self.witnesses.drain(..).map(|it| it.join().expect("a witness does not panic"));
        seen.flatten().collect()
    }
}

impl Drop for StallWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What one witness has seen.
#[derive(Debug)]
struct Seen {
    cpu: Option<usize>,
    stalls: Vec<Stall>,
    late_before: bool,
}

impl Seen {
    /// The witness woke at `until`, `late_ns` later than it should have.
    ///
    /// A processor that is taken away in pieces, each shorter than the witness sleeps, does in a
    /// millisecond between two of them what it else does in some microseconds: of a thread that
    /// computes for 0.03 ms at a time, 3 ms were counted. So late wake-ups in a row are one stall.
    fn woke(&mut self, until: MonotonicNs, late_ns: u64) {
        let late = STALL_NS_MIN <= late_ns;
        match self.stalls.last_mut() {
            Some(stall) if late && self.late_before => {
                stall.length_ns += until.since(stall.until).unsigned_abs();
                stall.until = until;
            }
            _ if late => self.stalls.push(Stall { cpu: self.cpu, until, length_ns: late_ns }),
            _ => {}
        }
        self.late_before = late;
    }
}

fn watch(cpu: Option<usize>, stop: &AtomicBool) -> Vec<Stall> {
    let mut seen = Seen { cpu, stalls: Vec::new(), late_before: false };
    wake_again_and_again(&mut seen, stop);
    seen.stalls
}

/// Until told to `stop`, or until the kernel does not tell how long a thread was queued.
fn wake_again_and_again(seen: &mut Seen, stop: &AtomicBool) -> Option<()> {
    let queue = prepare(seen.cpu)?;
    let mut queued_before = queue.waited_ns()?;
    let mut slept_at = MonotonicNs::now();
    while !stop.load(Ordering::Relaxed) {
        #[expect(
            clippy::disallowed_methods,
            reason = "how late the sleep ends is what is measured"
        )]
        thread::sleep(PERIOD);
        let until = MonotonicNs::now();
        let queued = queue.waited_ns()?;
        let late_ns = until.since(slept_at).unsigned_abs().saturating_sub(nanos(PERIOD));
        seen.woke(until, late_ns.saturating_sub(queued - queued_before));
        // The next sleep starts now, not when the clock was read: the reads are no stall.
        (slept_at, queued_before) = (MonotonicNs::now(), queued);
    }
    Some(())
}

/// Binds this thread to its processor. `None`: it cannot be, or the kernel does not tell its queue.
fn prepare(cpu: Option<usize>) -> Option<RunQueue> {
    // A kernel that refuses only wakes the witness some 50 µs late, far below what is kept.
    let _ = prctl::set_timerslack(1);
    if let Some(cpu) = cpu {
        pin_this_thread_to(&[cpu]).ok()?;
    }
    if kernel::run_in_real_time(REAL_TIME_WITNESS).is_ok() {
        return Some(RunQueue::First);
    }
    Some(RunQueue::Shared(File::open("/proc/thread-self/schedstat").ok()?))
}

/// What the calling thread has to wait for when it wakes.
enum RunQueue {
    /// Nobody: it runs first.
    First,
    /// Others; the file is its account with the scheduler.
    Shared(File),
}

impl RunQueue {
    /// Nanoseconds, in all, that the thread was ready to run and another one ran.
    fn waited_ns(&self) -> Option<u64> {
        match self {
            Self::First => Some(0),
            Self::Shared(schedstat) => {
                let mut buffer = [0; 96];
                let n = schedstat.read_at(&mut buffer, 0).ok()?;
                waited_ns(str::from_utf8(&buffer[..n]).ok()?)
            }
        }
    }
}

/// The second field of `schedstat`: time on a processor, time in the queue, number of turns.
fn waited_ns(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_wake_ups_in_a_row_are_one_stall_and_short_ones_are_none() {
        let mut seen = Seen { cpu: Some(0), stalls: Vec::new(), late_before: false };
        let mut woke = |at_us: u64, late_us: u64| {
            seen.woke(MonotonicNs(1_000 * at_us), 1_000 * late_us);
        };
        woke(1_249, 249);
        woke(3_000, 750);
        woke(5_000, 1_000);
        woke(6_500, 500);
        woke(7_500, 0);
        woke(12_000, 3_500);
        let stall = |until_us: u64, length_us: u64| Stall {
            cpu: Some(0),
            until: MonotonicNs(1_000 * until_us),
            length_ns: 1_000 * length_us,
        };
        // The first of the row began at 2.25 ms and the last ended at 6.5 ms.
        assert_eq!(seen.stalls, [stall(6_500, 4_250), stall(12_000, 3_500)]);
    }

    #[test]
    fn the_time_in_the_queue_is_the_second_field() {
        assert_eq!(waited_ns("599690 66399 2\n"), Some(66_399));
        assert_eq!(waited_ns("599690\n"), None);
        assert_eq!(waited_ns(""), None);
    }
}
