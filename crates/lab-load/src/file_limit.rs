//! The limit of open files: every request in flight needs a connection.

use std::num::NonZeroU32;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::error::LoadError;

/// Files beside the connections: standard streams, samples, epoll, timers, and connections that
/// the kernel has not yet taken back.
const FILES_BESIDE_USERS: u64 = 50;

/// Raises the soft limit of open files to the hard one.
///
/// **Errors**: the hard limit is too low for `users`, or cannot be read.
pub(crate) fn raise(users: NonZeroU32) -> Result<(), LoadError> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(LoadError::FileLimit)?;
    check(users, hard)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(LoadError::FileLimit)
}

fn check(users: NonZeroU32, limit: u64) -> Result<(), LoadError> {
    let needed = u64::from(users.get()) + FILES_BESIDE_USERS;
    if limit < needed {
        return Err(LoadError::TooFewFiles { users: users.get(), needed, limit });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_one_too_low_is_refused_with_the_command_that_raises_it() {
        let users = NonZeroU32::new(974).unwrap();
        assert!(check(users, 1_024).is_ok());
        let error = check(users, 1_023).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("`ulimit -n 1024`"), "{error}");
    }
}
