//! How many files a process may have open: every connection is one.

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit, setrlimit},
};

/// Too few file descriptors for the wanted load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} open files are needed and {allowed} are allowed; raise it with: ulimit -n {needed}"
)]
pub struct TooFewFiles {
    /// What the run needs.
    pub needed: u64,
    /// The hard limit.
    pub allowed: u64,
}

/// Raises the soft limit of this process to its hard limit, which children inherit, and returns
/// it. **Errors**: the kernel refused.
pub fn raise_nofile() -> Result<u64, Errno> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// **Errors**: the hard limit is below `needed`.
pub fn require_nofile(needed: u64) -> Result<(), TooFewFiles> {
    let allowed = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(_, hard)| hard);
    if allowed < needed { Err(TooFewFiles { needed, allowed }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_files_names_the_command_that_mends_it() {
        assert!(require_nofile(3).is_ok());
        let error = TooFewFiles { needed: 9_000, allowed: 1_024 }.to_string();
        assert!(error.ends_with("ulimit -n 9000"), "{error}");
    }
}
