//! `lab gate --against`: two versions of the service, in pairs of trials on the same arrivals.
//!
//! Only the service differs. Lab, load, scenario and data set are this version's; the load is a
//! multiple of what the database carries under the *other* version, so that a version that asks more
//! of it does not get less to do. One stack serves all trials, which [`super::comparison`] runs.

use std::{
    env,
    path::{Path, PathBuf},
    pin::pin,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use lab_core::{artifact::gate::Version, scenario::GateSpec};

use super::{
    bench_args,
    comparison::{Comparison, judge_command},
    exit_code, run_folder,
};
use crate::{
    bench::{
        self, ScenarioFiles,
        plan::expected_time,
        progress::Progress,
        results::{Ending, ResultsFolder},
        selection::{OfferedLoad, Selection},
    },
    cli::{BenchArgs, GateArgs},
    exit::ExitCode,
    failure::{self, AtExit},
    machine::cpus::CpuPlan,
};

/// The campaign that says what is compared.
pub(super) const CAMPAIGN: &str = "gate";

/// What is compared, and how: everything that is known before anything runs.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    pub(super) args: &'a GateArgs,
    /// The same for what a bench does too.
    pub(super) bench: BenchArgs,
    pub(super) selection: Selection,
    pub(super) files: ScenarioFiles,
    pub(super) spec: GateSpec,
}

/// The version that the work tree is judged against.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) version: Version,
    /// Its service.
    pub(super) storefront: PathBuf,
}

/// Compares and prints; the exit code is the judgement.
///
/// **Errors**: something that cannot be compared, before anything is run; a run that fails.
/// **Cancellation**: on `SIGINT` or `SIGTERM` everything is taken down and nothing is judged.
pub(super) async fn run(args: &GateArgs, reference: &str, cpus: CpuPlan) -> Result<ExitCode> {
    let plan = Plan::new(args).at_exit(ExitCode::Usage)?;
    if args.plan {
        plan.print(reference);
        return Ok(ExitCode::Done);
    }
    let other = Other::of(args, reference).at_exit(ExitCode::Usage)?;
    let out = &plan.selection.out;
    let _lock = bench::take_machine(out).await?;
    let folder = ResultsFolder::create(out).at_exit(ExitCode::Storage)?;
    if let Err(error) = compare(&plan, &other, &folder, cpus).await {
        discard(&folder, &error);
        return Err(error);
    }
    let stands = folder.finish(Ending::Complete, |_| false).at_exit(ExitCode::Storage)?;
    let mut judge = judge_command(&stands, &plan.files.root)?;
    let status = judge.args(["--format", &args.format]).status().await.context("run lab-report")?;
    print(&format!("pairs: {}\n", stands.display()), args);
    Ok(exit_code(status))
}

/// Brings up the stack, runs the pairs and takes everything down again.
async fn compare(
    plan: &Plan<'_>,
    other: &Other,
    folder: &ResultsFolder,
    cpus: CpuPlan,
) -> Result<()> {
    let mut interrupt = pin!(bench::interrupted());
    let interrupted =
        || Err(anyhow!("interrupted; nothing is judged")).at_exit(ExitCode::Interrupted);
    let root = &plan.files.root;
    let session = tokio::select! {
        session = bench::start_session(&plan.selection, &plan.bench, cpus, root) => session?,
        () = &mut interrupt => return interrupted(),
    };
    let progress = Progress::new(Duration::ZERO);
    progress.say(&bench::backend_line(&session));
    let mut comparison = Comparison::new(plan, session, folder, progress);
    let ran = tokio::select! {
        ran = comparison.run(other) => ran,
        () = &mut interrupt => interrupted(),
    };
    let stopped = comparison.stop().await.at_exit(ExitCode::Stack);
    ran.and(stopped)
}

/// Removes the working folder where no trial was finished, but for the logs of one that failed.
fn discard(folder: &ResultsFolder, error: &anyhow::Error) {
    let is_interrupted = failure::exit_code(error) == ExitCode::Interrupted;
    if is_interrupted || !folder.work().join("trials").exists() {
        folder.discard_if_empty();
    }
}

impl<'a> Plan<'a> {
    /// **Errors**: unknown names, values that cannot work, a campaign that compares nothing or more
    /// than one cell, a work tree with changes.
    fn new(args: &'a GateArgs) -> Result<Self> {
        let here = env::current_dir().context("find the current folder")?;
        let files = ScenarioFiles::open(&here)?;
        let bench = bench_of(args)?;
        let selection = Selection::new(&files, &bench)?;
        let spec = one_cell(&selection)?;
        if !args.allow_dirty {
            check_clean(&files.root)?;
        }
        Ok(Self { args, bench, selection, files, spec })
    }

    #[expect(clippy::print_stdout, reason = "the plan is what was asked for")]
    fn print(&self, reference: &str) {
        let campaign = &self.selection.campaign;
        println!(
            "the work tree against {reference}: {} under {}, profile {}",
            self.selection.variants[0].name,
            campaign.faults[0],
            campaign.profile.name()
        );
        for n_pairs in &self.spec.looks {
            let n_trials = usize::try_from(2 * n_pairs).unwrap_or(usize::MAX);
            let time = humantime::format_duration(expected_time(n_trials, &campaign.lengths()));
            println!("look after {n_pairs} pairs, about {time}");
        }
    }
}

impl Other {
    /// **Errors**: it was not built.
    fn of(args: &GateArgs, reference: &str) -> Result<Self> {
        let Some(storefront) = &args.against_storefront else {
            bail!(
                "--against: start it as `cargo xtask gate --against {reference}`, which builds it"
            );
        };
        ensure!(storefront.is_file(), "--against-storefront: no file {}", storefront.display());
        let version = Version { label: reference.to_owned(), commit: args.against_commit.clone() };
        Ok(Self { version, storefront: storefront.clone() })
    }
}

/// The command line of a bench of the same cell.
fn bench_of(args: &GateArgs) -> Result<BenchArgs> {
    let campaign = args.campaign.clone().unwrap_or_else(|| CAMPAIGN.to_owned());
    let out = args.out.clone().map_or_else(|| run_folder(&campaign), Ok)?;
    Ok(BenchArgs {
        variant: args.variant.iter().cloned().collect(),
        fault: args.fault.iter().cloned().collect(),
        seed: args.seed,
        rate: args.rate,
        recalibrate: args.recalibrate,
        ..bench_args(args, campaign, out)
    })
}

/// What the campaign says of the comparison. **Errors**: nothing, or it has more than one cell.
fn one_cell(selection: &Selection) -> Result<GateSpec> {
    let (name, campaign) = (&selection.name, &selection.campaign);
    let Some(spec) = &campaign.gate else {
        bail!("--campaign {name}: it has no [gate], which says what is judged");
    };
    let n_loads = match selection.load {
        OfferedLoad::Factors => campaign.load_factors.len(),
        OfferedLoad::Rate(_) => 1,
    };
    for (key, n) in [
        ("variants", campaign.variants.len()),
        ("faults", campaign.faults.len()),
        ("load_factors", n_loads),
        ("instances", campaign.instances.len()),
    ] {
        ensure!(n == 1, "--campaign {name}: {key} has {n} entries; one cell is compared");
    }
    Ok(spec.clone())
}

/// **Errors**: the work tree at `root` has changes that no commit has. Outside a checkout there is
/// none to ask.
fn check_clean(root: &Path) -> Result<()> {
    let output = Command::new("git").args(["status", "--porcelain"]).current_dir(root).output();
    let Some(output) = output.ok().filter(|it| it.status.success()) else { return Ok(()) };
    let changes = String::from_utf8_lossy(&output.stdout);
    if let Some(first) = changes.lines().next() {
        let first = first.get(3..).unwrap_or(first);
        bail!(
            "the work tree has changes that are not committed, such as {first}: commit or stash them, \
             or say --allow-dirty"
        );
    }
    Ok(())
}

/// Says where the result stands, where that is not in the way of another program.
#[expect(clippy::print_stdout, reason = "the result is what was asked for")]
fn print(text: &str, args: &GateArgs) {
    if args.format == "text" {
        print!("{text}");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command as Verb};

    fn args(more: &[&str]) -> GateArgs {
        let all = ["lab", "gate", "--against", "main"].iter().chain(more);
        let Verb::Gate(args) = Cli::parse_from(all).command else { panic!("not a gate") };
        args
    }

    fn spec(more: &[&str]) -> Result<GateSpec> {
        let files = ScenarioFiles::open(Path::new(env!("CARGO_MANIFEST_DIR")))?;
        one_cell(&Selection::new(&files, &bench_of(&args(more))?)?)
    }

    #[test]
    fn the_gate_compares_one_cell_and_another_can_be_asked_for() {
        assert_eq!(spec(&[]).unwrap().looks, [8, 12, 16]);
        let other = ["--variant", "circuit-breaker", "--fault", "pause", "--rate", "60"];
        assert_eq!(spec(&other).unwrap().looks, [8, 12, 16]);
    }

    #[test]
    fn a_campaign_that_compares_nothing_is_refused() {
        let error = spec(&["--campaign", "redis-outage"]).unwrap_err().to_string();
        assert_eq!(error, "--campaign redis-outage: it has no [gate], which says what is judged");
        let error = spec(&["--campaign", "nightly"]).unwrap_err().to_string();
        assert!(error.contains("unknown campaign `nightly`"), "{error}");
    }

    #[test]
    fn more_than_one_cell_is_refused() {
        let files = ScenarioFiles::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let bench = bench_of(&args(&[])).unwrap();
        let mut selection = Selection::new(&files, &bench).unwrap();
        selection.campaign.faults.push(lab_core::scenario::Fault::Pause);
        let error = one_cell(&selection).unwrap_err().to_string();
        assert_eq!(error, "--campaign gate: faults has 2 entries; one cell is compared");
    }

    #[test]
    fn a_version_that_was_not_built_names_the_command_that_builds_it() {
        let error = Other::of(&args(&[]), "main").unwrap_err().to_string();
        assert!(error.contains("cargo xtask gate --against main"), "{error}");
        let missing = args(&["--against-storefront", "/nowhere/storefront"]);
        let error = Other::of(&missing, "main").unwrap_err().to_string();
        assert!(error.contains("no file /nowhere/storefront"), "{error}");
    }

    #[test]
    fn changes_that_are_not_committed_are_refused() {
        let scratch = tempfile::tempdir().unwrap();
        assert!(check_clean(scratch.path()).is_ok(), "no checkout");
        let init =
            Command::new("git").args(["init", "--quiet"]).current_dir(scratch.path()).status();
        assert!(init.unwrap().success());
        assert!(check_clean(scratch.path()).is_ok());
        fs::write(scratch.path().join("new.rs"), "").unwrap();
        let error = check_clean(scratch.path()).unwrap_err().to_string();
        assert!(error.contains("not committed, such as new.rs"), "{error}");
        assert!(error.contains("--allow-dirty"), "{error}");
    }
}
