//! The command line. It selects and overrides; defaults of an experiment live in `scenarios/`.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use lab_core::{
    artifact::gate::KnownChange,
    scenario::Profile,
    units::{LoadFactor, PerSec, Ratio},
};

/// Takes Redis away from a service under load and measures what its users see.
#[derive(Debug, Parser)]
#[command(name = "lab", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a campaign, verify it, analyse it and draw it.
    Bench(BenchArgs),
    /// Judge against a stored result or another version: exit 1 when it is worse, 3 when that cannot
    /// be told.
    Gate(GateArgs),
    /// List variants, faults, topologies and campaigns, each with its one line.
    List(ListArgs),
    /// Say what this machine has, what is missing, and the command that mends it.
    Doctor,
    /// Stop and remove whatever an earlier run left.
    Clean,
    /// Install the servers where they are missing and the user may. `bench` does so by itself; this
    /// is for `cargo xtask test`, whose tests start them.
    #[command(hide = true)]
    Prepare,
}

/// `bench`: which part of the campaign to run, and how.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Name of a file under `scenarios/`, without `.toml`.
    #[arg(default_value = "redis-outage")]
    pub campaign: String,
    /// Variants to run instead of the campaign's, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub variant: Vec<String>,
    /// Faults to inject instead of the campaign's, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "F,G")]
    pub fault: Vec<String>,
    /// Repetitions of every cell: one number, or one for each load factor, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub trials: Vec<NonZeroU32>,
    /// Seed from which the seed of every trial is derived.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Where the results go; `results/<campaign>` when not given.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with a run that was cut short, instead of starting anew.
    #[arg(long)]
    pub resume: bool,
    /// Phase lengths.
    #[arg(long, value_parser = parse_profile, value_name = "smoke|quick|standard|full")]
    pub profile: Option<Profile>,
    /// Offered load as multiples of the calibrated capacity, comma-separated.
    #[arg(long, value_delimiter = ',', value_parser = parse_load_factor, value_name = "X", allow_negative_numbers = true)]
    pub load_factor: Vec<LoadFactor>,
    /// Offered load in arrivals per second, instead of a multiple of the capacity.
    #[arg(long, value_parser = parse_rate, value_name = "R", conflicts_with = "load_factor", allow_negative_numbers = true)]
    pub rate: Option<PerSec>,
    /// A success later than this is a failure, such as `1s` or `250ms`.
    #[arg(long, value_parser = parse_duration, value_name = "D")]
    pub deadline: Option<Duration>,
    /// Share of cached reads that Redis answers before the fault, from 0 to 1.
    #[arg(long, value_parser = parse_ratio, value_name = "H")]
    pub hit_ratio: Option<Ratio>,
    /// Measure the capacities again although they are known.
    #[arg(long)]
    pub recalibrate: bool,
    /// Run the servers in containers or as plain processes.
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub backend: BackendArg,
    /// Never install a missing server.
    #[arg(long)]
    pub no_install: bool,
    /// Exit with 1 when a cell misses its service level.
    #[arg(long)]
    pub require_met: bool,
    /// Print the cells and the expected time, and run nothing.
    #[arg(long)]
    pub plan: bool,
}

/// `--backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// Containers when an engine answers and the images can be had, else processes.
    Auto,
    /// Containers.
    Docker,
    /// Plain processes.
    Process,
}

/// What a gate may judge by instead of another version; flags about that version go with neither.
const NOT_AGAINST: [&str; 2] = ["baseline", "known"];
/// What a gate may judge by, but for a known change.
const BUT_KNOWN: [&str; 2] = ["baseline", "against"];

/// `gate`: what to judge, and by what.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("by").required(true).args(["baseline", "against", "known"])))]
pub struct GateArgs {
    /// The stored result: a summary.json, or the folder of a campaign.
    #[arg(long, value_name = "FILE")]
    pub baseline: Option<PathBuf>,
    /// The result to judge, in the same form; without it, the baseline's cells are run again.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["against", "known"])]
    pub result: Option<PathBuf>,
    /// The version to compare with, in pairs of trials: a git reference.
    #[arg(long, value_name = "REF")]
    pub against: Option<String>,
    /// The service of that version; `cargo xtask gate` builds it and says where.
    #[arg(long, value_name = "FILE", conflicts_with_all = NOT_AGAINST, hide = true)]
    pub against_storefront: Option<PathBuf>,
    /// The commit of that version.
    #[arg(long, value_name = "COMMIT", conflicts_with_all = NOT_AGAINST, hide = true)]
    pub against_commit: Option<String>,
    /// Judge the work tree although it has changes that are not committed.
    #[arg(long, conflicts_with_all = NOT_AGAINST)]
    pub allow_dirty: bool,
    /// Campaign that says what is compared and how, instead of `gate`.
    #[arg(long, value_name = "NAME", conflicts_with_all = NOT_AGAINST)]
    pub campaign: Option<String>,
    /// Variant to compare, instead of the campaign's.
    #[arg(long, value_name = "A", conflicts_with_all = NOT_AGAINST)]
    pub variant: Option<String>,
    /// Fault to inject, instead of the campaign's.
    #[arg(long, value_name = "F", conflicts_with_all = NOT_AGAINST)]
    pub fault: Option<String>,
    /// Arrivals per second, instead of a multiple of the other version's capacity.
    #[arg(long, value_parser = parse_rate, value_name = "R", conflicts_with_all = NOT_AGAINST, allow_negative_numbers = true)]
    pub rate: Option<PerSec>,
    /// Seed of the arrivals and of the order of the versions.
    #[arg(long, value_name = "N", conflicts_with_all = NOT_AGAINST)]
    pub seed: Option<u64>,
    /// Where the pairs go; `target/gate/<campaign>` when not given.
    #[arg(long, value_name = "DIR", conflicts_with_all = NOT_AGAINST)]
    pub out: Option<PathBuf>,
    /// Go on to the last pair also when an earlier look has decided: to measure the gate itself.
    #[arg(long, conflicts_with_all = NOT_AGAINST)]
    pub all_pairs: bool,
    /// Measure the capacities again although they are known.
    #[arg(long, conflicts_with_all = NOT_AGAINST)]
    pub recalibrate: bool,
    /// Print what would be compared and how long that takes, and run nothing.
    #[arg(long, conflicts_with_all = NOT_AGAINST)]
    pub plan: bool,
    /// Say what gates said of a change that is known: how often the gate is wrong.
    #[arg(long, value_name = "CHANGE", value_parser = KnownChange::ALL.map(KnownChange::name))]
    pub known: Option<String>,
    /// Folders of those comparisons, comma-separated.
    #[arg(long, value_delimiter = ',', value_name = "DIR,DIR", conflicts_with_all = BUT_KNOWN)]
    pub comparisons: Vec<PathBuf>,
    /// Folders of campaigns that were run on that change, comma-separated, for what `--baseline` says
    /// of it.
    #[arg(long, value_delimiter = ',', value_name = "DIR,DIR", conflicts_with_all = BUT_KNOWN)]
    pub results: Vec<PathBuf>,
    /// Add them to the record in the repository, which later gates show.
    #[arg(long, conflicts_with_all = BUT_KNOWN)]
    pub record: bool,
    /// How to write it: text, markdown, json or github.
    #[arg(long, default_value = "text", value_parser = ["text", "markdown", "json", "github"])]
    pub format: String,
    /// Run the servers in containers or as plain processes.
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub backend: BackendArg,
    /// Never install a missing server.
    #[arg(long)]
    pub no_install: bool,
}

/// What a gate judges by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateBy<'a> {
    /// A stored result.
    Baseline(&'a Path),
    /// Another version of the service.
    Version(&'a str),
    /// Nothing: earlier comparisons of a known change say how good the gate is.
    Known(KnownChange),
}

impl GateArgs {
    /// Which of the three was asked for. **Errors**: none, which the command line refuses already.
    pub fn by(&self) -> anyhow::Result<GateBy<'_>> {
        let known = self.known.as_deref().and_then(KnownChange::from_name);
        match (&self.baseline, &self.against, known) {
            (Some(baseline), ..) => Ok(GateBy::Baseline(baseline)),
            (_, Some(reference), _) => Ok(GateBy::Version(reference)),
            (.., Some(change)) => Ok(GateBy::Known(change)),
            (None, None, None) => anyhow::bail!("give --baseline, --against or --known"),
        }
    }
}

/// `list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

fn parse_profile(text: &str) -> Result<Profile, String> {
    let known = || Profile::ALL.map(Profile::name).join(", ");
    Profile::from_name(text).ok_or_else(|| format!("must be one of {}", known()))
}

fn parse_number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "must be a number".to_owned())
}

fn parse_load_factor(text: &str) -> Result<LoadFactor, String> {
    LoadFactor::new(parse_number(text)?).map_err(|error| error.to_string())
}

fn parse_rate(text: &str) -> Result<PerSec, String> {
    PerSec::new(parse_number(text)?).map_err(|error| error.to_string())
}

fn parse_ratio(text: &str) -> Result<Ratio, String> {
    Ratio::new(parse_number(text)?).map_err(|error| error.to_string())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("needs a unit, such as {text}s or {text}ms"));
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(args: &[&str]) -> String {
        let all = ["lab", "bench"].iter().chain(args);
        Cli::try_parse_from(all).map_or_else(|error| error.to_string(), |_| "ok".into())
    }

    #[test]
    fn a_bare_bench_is_the_main_campaign() {
        let Command::Bench(bench) = Cli::parse_from(["lab", "bench"]).command else {
            panic!("not a bench");
        };
        assert_eq!(bench.campaign, "redis-outage");
        assert!(bench.variant.is_empty() && bench.trials.is_empty());
    }

    #[test]
    fn a_gate_judges_by_one_thing() {
        let by = |args: &[&str]| {
            let all = ["lab", "gate"].iter().chain(args);
            match Cli::try_parse_from(all).map(|it| it.command) {
                Ok(Command::Gate(gate)) => format!("{:?}", gate.by().unwrap()),
                Ok(other) => panic!("{other:?}"),
                Err(error) => error.to_string(),
            }
        };
        assert_eq!(by(&["--baseline", "b.json"]), "Baseline(\"b.json\")");
        assert_eq!(by(&["--against", "main"]), "Version(\"main\")");
        assert_eq!(by(&["--known", "slower-pages", "--comparisons", "a,b"]), "Known(SlowerPages)");
        for (args, part) in [
            (&[][..], "--baseline <FILE>|--against <REF>|--known <CHANGE>"),
            (&["--baseline", "b", "--against", "main"], "cannot be used with"),
            (&["--against", "main", "--known", "breaker-off"], "cannot be used with"),
            (&["--known", "faster-pages"], "identical-code, slower-pages, breaker-off"),
            (&["--against", "main", "--comparisons", "a"], "--comparisons"),
            (&["--against", "main", "--result", "r"], "--result"),
            (&["--baseline", "b", "--rate", "9"], "--rate"),
            (&["--known", "identical-code", "--all-pairs"], "--all-pairs"),
            (&["--baseline", "b", "--record"], "--record"),
        ] {
            let error = by(args);
            assert!(error.contains(part), "{args:?}: {error}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_the_flag_and_the_range() {
        for (args, parts) in [
            (&["--load-factor", "0"][..], ["--load-factor", "above 0"]),
            (&["--load-factor", "1.5,nine"], ["--load-factor", "must be a number"]),
            (&["--rate", "-3"], ["--rate", "above 0"]),
            (&["--deadline", "250"], ["--deadline", "needs a unit, such as 250s or 250ms"]),
            (&["--hit-ratio", "95"], ["--hit-ratio", "from 0 to 1"]),
            (&["--profile", "quickly"], ["--profile", "smoke, quick, standard, full"]),
            (&["--trials", "0"], ["--trials", "zero"]),
            (&["--rate", "9", "--load-factor", "1"], ["--rate", "cannot be used with"]),
            (&["--backend", "podman"], ["--backend", "docker"]),
        ] {
            let error = error(args);
            for part in parts {
                assert!(error.contains(part), "{args:?}: {error}");
            }
        }
    }
}
