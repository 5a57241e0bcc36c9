//! System calls that nix does not wrap. This is the only module with `unsafe`.

use std::{io, os::unix::process::CommandExt, process::Command};

/// Real-time level of the load generator.
pub(crate) const REAL_TIME_GENERATOR: i32 = 1;
/// Real-time level of the witness of stalls: above the generator, whose work is no stall.
pub(crate) const REAL_TIME_WITNESS: i32 = 2;
/// The shortest time slice that the kernel grants.
const SHORT_SLICE_NS: u64 = 100_000;

/// Has `prepare` run in the child, between fork and exec.
///
/// `prepare` may only make system calls: it may neither allocate nor take a lock.
pub(super) fn before_exec(
    command: &mut Command,
    prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static,
) {
    #[expect(unsafe_code, reason = "the parent-death signal can only be set in the child")]
    // SAFETY: the one caller's closure makes a few async-signal-safe calls and nothing else.
    unsafe {
        command.pre_exec(prepare);
    }
}

/// Adds `nice` to the nice value of this process. Everybody may do so.
pub(super) fn step_back(nice: i32) -> io::Result<()> {
    #[expect(unsafe_code, reason = "nix has no wrapper for it")]
    // SAFETY: `nice` takes and returns an integer.
    let result = unsafe { libc::nice(nice) };
    // -1 is also a nice value, but one that only a lab with a raised priority can end up with.
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the calling thread, and all that it starts, run before everybody who is not in real time,
/// in turns (`SCHED_RR`). **Errors**: the user may not; root and `CAP_SYS_NICE` may.
pub(crate) fn run_in_real_time(level: i32) -> io::Result<()> {
    let parameter = libc::sched_param { sched_priority: level };
    #[expect(unsafe_code, reason = "nix has no wrapper for it")]
    // SAFETY: the pointer is to a local that outlives the call, which only reads it.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const parameter) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Asks for the shortest time slice, at the same nice value: from Linux 6.12 on, whoever has a
/// longer one is interrupted when this process wakes. Earlier kernels ignore it. Everybody may ask.
pub(super) fn take_short_slices() {
    #[expect(unsafe_code, reason = "nix has no wrapper for it, and its struct has no constructor")]
    // SAFETY: all zeroes is a valid `sched_attr`; the kernel reads and writes no more than its size.
    unsafe {
        let mut attributes: libc::sched_attr = std::mem::zeroed();
        let size = size_of::<libc::sched_attr>();
        if libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size, 0) == 0 {
            attributes.sched_runtime = SHORT_SLICE_NS;
            libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
        }
    }
}
