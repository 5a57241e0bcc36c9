//! The ordered parts of a trial and how long each lasts.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// A part of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Caches, pools and JITs settle; measured, but in no figure.
    Warmup,
    /// Normal behaviour.
    Baseline,
    /// The fault is on.
    Fault,
    /// The dependency answers again.
    Recovery,
    /// No more arrivals; requests still open are waited for.
    Drain,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] =
        [Self::Warmup, Self::Baseline, Self::Fault, Self::Recovery, Self::Drain];

    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Baseline => "baseline",
            Self::Fault => "fault",
            Self::Recovery => "recovery",
            Self::Drain => "drain",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Phase lengths, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Proves that everything works.
    Smoke,
    /// A first answer.
    Quick,
    /// An answer to show.
    Standard,
    /// Long enough for slow recoveries.
    Full,
}

impl Profile {
    /// Every profile, shortest first.
    pub const ALL: [Self; 4] = [Self::Smoke, Self::Quick, Self::Standard, Self::Full];

    /// The name used on the command line and in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Quick => "quick",
            Self::Standard => "standard",
            Self::Full => "full",
        }
    }

    /// Parses the name used on the command line.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// How long each phase lasts when clients give up after `give_up_after`.
    pub fn lengths(self, give_up_after: Duration) -> PhaseLengths {
        let [warmup, baseline, fault, recovery] = match self {
            Self::Smoke => [2, 3, 4, 4],
            Self::Quick => [5, 8, 12, 12],
            Self::Standard => [10, 20, 30, 30],
            Self::Full => [10, 30, 60, 120],
        }
        .map(Duration::from_secs);
        let drain = give_up_after + Duration::from_secs(1);
        PhaseLengths { warmup, baseline, fault, recovery, drain }
    }
}

/// Phases of a campaign that last otherwise than its profile says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhaseOverrides {
    /// Length of [`Phase::Warmup`].
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub warmup: Option<Duration>,
    /// Length of [`Phase::Baseline`].
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Duration>,
    /// Length of [`Phase::Fault`].
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub fault: Option<Duration>,
    /// Length of [`Phase::Recovery`].
    #[serde(with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub recovery: Option<Duration>,
}

impl PhaseOverrides {
    /// `lengths` with what is set here in its place.
    pub fn over(&self, lengths: PhaseLengths) -> PhaseLengths {
        PhaseLengths {
            warmup: self.warmup.unwrap_or(lengths.warmup),
            baseline: self.baseline.unwrap_or(lengths.baseline),
            fault: self.fault.unwrap_or(lengths.fault),
            recovery: self.recovery.unwrap_or(lengths.recovery),
            drain: lengths.drain,
        }
    }

    /// Every override that is set, with its key.
    pub fn set(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        [
            ("phases.warmup", self.warmup),
            ("phases.baseline", self.baseline),
            ("phases.fault", self.fault),
            ("phases.recovery", self.recovery),
        ]
        .into_iter()
        .filter_map(|(key, length)| Some((key, length?)))
    }
}

/// How long each phase of a trial lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhaseLengths {
    /// Length of [`Phase::Warmup`].
    #[serde(with = "humantime_serde")]
    pub warmup: Duration,
    /// Length of [`Phase::Baseline`].
    #[serde(with = "humantime_serde")]
    pub baseline: Duration,
    /// Length of [`Phase::Fault`].
    #[serde(with = "humantime_serde")]
    pub fault: Duration,
    /// Length of [`Phase::Recovery`].
    #[serde(with = "humantime_serde")]
    pub recovery: Duration,
    /// Length of [`Phase::Drain`].
    #[serde(with = "humantime_serde")]
    pub drain: Duration,
}

impl PhaseLengths {
    /// Length of one phase.
    pub fn length(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Warmup => self.warmup,
            Phase::Baseline => self.baseline,
            Phase::Fault => self.fault,
            Phase::Recovery => self.recovery,
            Phase::Drain => self.drain,
        }
    }

    /// Offset of the start of `phase` from the start of the schedule.
    pub fn start(&self, phase: Phase) -> Duration {
        Phase::ALL.into_iter().take_while(|it| *it < phase).map(|it| self.length(it)).sum()
    }

    /// Offset of the end of `phase` from the start of the schedule.
    pub fn end(&self, phase: Phase) -> Duration {
        self.start(phase) + self.length(phase)
    }

    /// How long arrivals are scheduled: warmup to recovery.
    pub fn arrivals(&self) -> Duration {
        self.start(Phase::Drain)
    }

    /// Warmup to drain: the time that counts as measuring.
    pub fn total(&self) -> Duration {
        self.end(Phase::Drain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // From design section 6: quick is 5/8/12/12, drain is give-up time + 1 s.
    #[test]
    fn a_quick_trial_is_39_seconds_long() {
        let lengths = Profile::Quick.lengths(Duration::from_secs(1));
        assert_eq!(lengths.start(Phase::Fault), Duration::from_secs(13));
        assert_eq!(lengths.end(Phase::Fault), Duration::from_secs(25));
        assert_eq!(lengths.arrivals(), Duration::from_secs(37));
        assert_eq!(lengths.total(), Duration::from_secs(39));
    }

    #[test]
    fn every_profile_survives_its_name() {
        for profile in Profile::ALL {
            assert_eq!(Profile::from_name(profile.name()), Some(profile));
        }
        assert_eq!(Profile::from_name("quickly"), None);
    }
}
