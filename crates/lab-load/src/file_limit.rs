//! The limit of open files: every request in flight needs a connection.

use std::num::NonZeroU32;

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    sys::resource::{Resource, getrlimit, setrlimit},
    unistd::close,
};

use crate::error::LoadError;

/// Files beside the connections: standard streams, samples, epoll, timers, and connections that
/// the kernel has not yet taken back.
const FILES_BESIDE_USERS: u64 = 50;

/// Raises the soft limit of open files to the hard one, and has the kernel make the table of open
/// files as large as `users` can ever need it.
///
/// A table that grows while the load runs stops the generator for some 8 ms each time: the kernel
/// waits until every processor has seen the new one (`synchronize_rcu` in `expand_fdtable`).
///
/// **Errors**: the hard limit is too low for `users`, or cannot be read.
pub(crate) fn raise(users: NonZeroU32) -> Result<(), LoadError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(LoadError::FileLimit)?;
    check(users, hard)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(LoadError::FileLimit)?;
    grow_table(needed(users)).map_err(LoadError::FileLimit)
}

/// Opens the file of number `n_files` - 1, or the next free one, and closes it again: the table
/// never shrinks.
fn grow_table(n_files: u64) -> Result<(), Errno> {
    let last = i32::try_from(n_files - 1).unwrap_or(i32::MAX);
    close(fcntl(std::io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(last))?)
}

fn needed(users: NonZeroU32) -> u64 {
    u64::from(users.get()) + FILES_BESIDE_USERS
}

fn check(users: NonZeroU32, limit: u64) -> Result<(), LoadError> {
    let needed = needed(users);
    if limit < needed {
        return Err(LoadError::TooFewFiles { users: users.get(), needed, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // The kernel shows the size of the table as `FDSize`; it begins with 64.
    #[test]
    fn the_table_of_files_is_as_large_as_asked_before_the_load_begins() {
        let n_files = 900;
        grow_table(n_files).unwrap();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(n_files <= size.trim().parse().unwrap(), "FDSize {size}");
        assert!(!std::path::Path::new("/proc/self/fd/899").exists());
    }

    #[test]
    fn a_limit_that_is_one_too_low_is_refused_with_the_command_that_raises_it() {
        let users = NonZeroU32::new(974).unwrap();
        assert!(check(users, 1_024).is_ok());
        let error = check(users, 1_023).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("`ulimit -n 1024`"), "{error}");
    }
}
