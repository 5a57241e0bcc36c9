//! How the `lab` command ends: one number for each class of ending, and nothing else.

use std::fmt;

/// The exit code of `lab`.
///
/// A result is never a failure: a *missed* hypothesis ends with 0 unless `--require-met` asks
/// otherwise. From 4 on the harness itself failed, and the number says where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// The work is done, whatever it found.
    Done = 0,
    /// A regression, or a missed requirement under `--require-met`.
    Regression = 1,
    /// Wrong usage or configuration, or something to install first.
    Usage = 2,
    /// A requested cell is not valid, or the gate is inconclusive.
    Invalid = 3,
    /// The harness failed in a way that has no number of its own.
    Internal = 4,
    /// Another bench runs on this machine.
    Busy = 5,
    /// Redis or PostgreSQL did not start.
    Stack = 6,
    /// The target service failed outside a trial.
    Target = 7,
    /// The load generator failed.
    Generator = 8,
    /// No disk space, or a folder that cannot be written.
    Storage = 9,
    /// This machine cannot show the effect at the wanted load.
    Calibration = 10,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl ExitCode {
    /// Every code, in order.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::Regression,
        Self::Usage,
        Self::Invalid,
        Self::Internal,
        Self::Busy,
        Self::Stack,
        Self::Target,
        Self::Generator,
        Self::Storage,
        Self::Calibration,
        Self::Interrupted,
    ];

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, in one line.
    pub fn title(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Regression => "a regression, or a requirement was missed",
            Self::Usage => "wrong usage or configuration",
            Self::Invalid => "a cell is not valid, or the gate is inconclusive",
            Self::Internal => "the harness failed",
            Self::Busy => "another bench runs on this machine",
            Self::Stack => "Redis or PostgreSQL did not start",
            Self::Target => "the target service failed",
            Self::Generator => "the load generator failed",
            Self::Storage => "no disk space, or a folder that cannot be written",
            Self::Calibration => "this machine cannot show the effect at this load",
            Self::Interrupted => "interrupted",
        }
    }
}

impl fmt::Display for ExitCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.code(), self.title())
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(value: ExitCode) -> Self {
        Self::from(value.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_endings_share_a_number_and_harness_failures_start_at_four() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|it| it.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]);
        assert_eq!(ExitCode::Busy.to_string(), "5 (another bench runs on this machine)");
    }
}
