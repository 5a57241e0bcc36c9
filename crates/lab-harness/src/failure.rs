//! Errors that carry the exit code of the part that failed.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
};

use crate::exit::ExitCode;

/// An error and the exit code that says which part of the lab it came from. It reads as the error
/// itself.
#[derive(Debug)]
struct Failure {
    code: ExitCode,
    error: anyhow::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.error)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// Gives an error its exit code.
pub trait AtExit<T> {
    /// The same result; an error without an exit code gets this one.
    ///
    /// # Errors
    /// Those of the result itself.
    fn at_exit(self, code: ExitCode) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> AtExit<T> for Result<T, E> {
    fn at_exit(self, code: ExitCode) -> anyhow::Result<T> {
        self.map_err(|error| {
            let error = error.into();
            match error.downcast_ref::<Failure>() {
                Some(_) => error,
                None => anyhow::Error::new(Failure { code, error }),
            }
        })
    }
}

/// The exit code of an error; 4 when nobody gave it one. A full disk has its own, whatever was being
/// written.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_full = |kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let mut causes = error.chain().filter_map(|it| it.downcast_ref::<io::Error>());
    if causes.any(|it| is_full(it.kind())) {
        return ExitCode::Storage;
    }
    error.downcast_ref::<Failure>().map_or(ExitCode::Internal, |failure| failure.code)
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_full_disk_is_a_full_disk_wherever_it_is_met() {
        let error = |kind: ErrorKind| {
            let failed: anyhow::Result<()> = Err(io::Error::from(kind).into());
            failed.context("write events").at_exit(ExitCode::Target).unwrap_err()
        };
        assert_eq!(exit_code(&error(ErrorKind::StorageFull)), ExitCode::Storage);
        assert_eq!(exit_code(&error(ErrorKind::PermissionDenied)), ExitCode::Target);
    }

    #[test]
    fn the_innermost_exit_code_counts_and_the_words_stay() {
        let failed: anyhow::Result<()> = Err(anyhow!("port 1 is taken"));
        let failed = failed
            .context("start Redis")
            .at_exit(ExitCode::Stack)
            .context("run the campaign")
            .at_exit(ExitCode::Internal);
        let error = failed.unwrap_err();
        assert_eq!(exit_code(&error), ExitCode::Stack);
        assert_eq!(format!("{error:#}"), "run the campaign: start Redis: port 1 is taken");
        assert_eq!(exit_code(&anyhow!("anything")), ExitCode::Internal);
    }
}
