//! What the binary does: analyse a trial, rebuild a campaign's report, compare it with what stands.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lab_core::{
    artifact::{
        gate::{GateJudgement, GatePairs, JUDGEMENT_FILE, KnownChange, KnownGates, PAIRS_FILE},
        stored_result::{KnownResult, KnownResults},
        summary, timeline,
        verdict::{self, PerPhase, TrialVerdict},
    },
    route::Route,
    scenario::GateSpec,
    seed::Seed,
};

use crate::{
    analysis::{
        effect::{Effect, effects},
        histograms::{self, Distribution, PhaseHistograms, empty_histogram},
        known_results::{self, KnownComparisons, KnownResultsError, known_comparisons},
        paired::{
            judge::judge,
            resample::{ResampleError, known_gates},
        },
        summary::{TrialResult, summarise},
        trial::analyse,
    },
    error::ArtifactError,
    load::{
        campaign_files::{CommittedTrial, read_run, read_trials, write_report},
        files::{compact_json, pretty_json, write_whole},
        gate_files::{read_gate, read_known, read_known_results, read_pairs},
        trial_files::TrialRecord,
    },
    render::{CampaignView, CellView, RenderError, paired_files, render_campaign},
};

/// A report that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// A page or a plot cannot be drawn.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Comparisons of a known change cannot be put together.
    #[error(transparent)]
    Resample(#[from] ResampleError),
    /// Results of a known change cannot be put together.
    #[error(transparent)]
    KnownResults(#[from] KnownResultsError),
    /// A record is of something else.
    #[error("use {}: it is a record of {of}, no record of {wanted}", path.display())]
    OtherRecord {
        /// The record.
        path: PathBuf,
        /// What it is a record of.
        of: &'static str,
        /// What it should be a record of.
        wanted: &'static str,
    },
    /// A record says what other rules say than those that are asked for.
    #[error(
        "use {}: it was judged by other rules than the gate has now; type `cargo xtask gate --known \
         {change} --record` to judge its pairs anew",
        path.display()
    )]
    OtherRules {
        /// The record.
        path: PathBuf,
        /// What it is a record of.
        change: &'static str,
    },
}

/// Whether a campaign counts as cut short even when nothing of its plan is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// As `campaign.json` says.
    AsRecorded,
    /// Cut short.
    Partial,
}

/// Analyses the trial in `folder` and writes `timeline.json`, `phases.hlog` and, last,
/// `verdict.json`.
///
/// **Errors**: a file that cannot be read or written; an invalid trial is no error.
pub fn analyse_trial(folder: &Path) -> Result<TrialVerdict, ArtifactError> {
    let analysis = analyse(&TrialRecord::read(folder)?);
    let log = analysis.histograms.encode(&analysis.windows.phases);
    write_whole(&folder.join(timeline::FILE), &compact_json(&analysis.timeline))?;
    write_whole(&folder.join(histograms::FILE), &log)?;
    write_whole(&folder.join(verdict::FILE), &pretty_json(&analysis.verdict))?;
    Ok(analysis.verdict)
}

/// One line about a trial: `valid`, or `invalid:` and its reasons.
pub fn verdict_line(verdict: &TrialVerdict) -> String {
    if verdict.valid {
        return "valid".to_owned();
    }
    let reasons: Vec<String> = verdict.reasons.iter().map(ToString::to_string).collect();
    format!("invalid: {}", reasons.join("; "))
}

/// Reads the committed files of the campaign in `folder` and sums them up.
///
/// **Errors**: a file that cannot be read.
pub fn view_campaign(
    folder: &Path,
    completeness: Completeness,
) -> Result<CampaignView, ArtifactError> {
    let mut run = read_run(folder)?;
    run.partial |= completeness == Completeness::Partial;
    let cells: Vec<Vec<CommittedTrial>> =
        run.cells.iter().map(|it| read_trials(folder, it)).collect::<Result<_, _>>()?;
    let results: Vec<Vec<TrialResult<'_>>> =
        cells.iter().map(|trials| trials.iter().map(result).collect()).collect();
    let summary = summarise(&run, &results);
    let verdicts: Vec<Vec<&TrialVerdict>> =
        results.iter().map(|trials| trials.iter().map(|it| it.verdict).collect()).collect();
    let effects = effects(&summary.variants, &verdicts);
    let cells = cells.into_iter().zip(effects).map(|(trials, it)| cell_view(trials, it)).collect();
    Ok(CampaignView { run, summary, cells })
}

fn result(trial: &CommittedTrial) -> TrialResult<'_> {
    TrialResult { verdict: &trial.view.verdict, histograms: &trial.histograms }
}

fn cell_view(trials: Vec<CommittedTrial>, effect: Effect) -> CellView {
    let mut merged = PhaseHistograms::default();
    for trial in trials.iter().filter(|it| it.view.verdict.valid) {
        merged.merge(&trial.histograms);
    }
    let product = Distribution::ResponseTime(Route::Product);
    CellView {
        response_times_us: PerPhase::from_fn(|phase| {
            merged.get(phase, product).cloned().unwrap_or_else(empty_histogram)
        }),
        trials: trials.into_iter().map(|it| it.view).collect(),
        effect,
    }
}

/// Every file of a campaign's report by its path below the campaign's folder, `summary.json`
/// included. Pure: the same view gives the same bytes.
///
/// **Errors**: a page or a plot that cannot be drawn.
pub fn report_files(view: &CampaignView) -> Result<BTreeMap<PathBuf, Vec<u8>>, RenderError> {
    let mut files = render_campaign(view)?;
    files.insert(summary::FILE.into(), pretty_json(&view.summary));
    Ok(files)
}

/// Judges the comparison of two versions in `folder` by the pairs that there are so far, and writes
/// `pairs.json`, the comment, the plots and, last, `judgement.json` there.
///
/// **Errors**: a file that cannot be read or written, a plot that cannot be drawn.
pub fn judge_pairs(
    folder: &Path,
    identical: Option<&KnownGates>,
) -> Result<(GatePairs, GateJudgement), ReportError> {
    let pairs = read_gate(folder)?;
    let judgement = judge(&pairs);
    let mut files = paired_files(&pairs, &judgement, identical)?;
    files.insert(PAIRS_FILE.into(), pretty_json(&pairs));
    files.insert(JUDGEMENT_FILE.into(), pretty_json(&judgement));
    write_report(folder, &files, Path::new(JUDGEMENT_FILE))?;
    Ok((pairs, judgement))
}

/// What gates on `change` say by the rules of `gate`: those of `record`, where it stands, and those in
/// `paths`, the `pairs.json` or folder of each; and what `n_gates` made up from their pairs say. A
/// comparison that is given again counts once.
///
/// **Errors**: a file that cannot be read, no pair, a record of another change, or comparisons that
/// are not of `change` or not alike.
pub fn add_known_gates(
    (change, gate): (KnownChange, &GateSpec),
    record: &Path,
    paths: &[PathBuf],
    (n_gates, seed): (u32, Seed),
) -> Result<KnownGates, ReportError> {
    let new: Vec<GatePairs> = paths.iter().map(|it| read_pairs(it)).collect::<Result<_, _>>()?;
    let before = match read_known(record)? {
        Some(before) if before.change != change => {
            return Err(other_record(record, before.change, change));
        }
        before => before.map_or_else(Vec::new, |it| it.comparisons),
    };
    let is_new = |it: &GatePairs| new.iter().any(|new| is_same_run(new, it));
    let mut comparisons: Vec<GatePairs> = before.into_iter().filter(|it| !is_new(it)).collect();
    comparisons.extend(new);
    Ok(known_gates((change, gate), comparisons, (n_gates, seed))?)
}

fn other_record(path: &Path, of: KnownChange, wanted: KnownChange) -> ReportError {
    ReportError::OtherRecord { path: path.to_owned(), of: of.name(), wanted: wanted.name() }
}

/// A machine runs one comparison at a time.
fn is_same_run(one: &GatePairs, other: &GatePairs) -> bool {
    one.subject.started_at == other.subject.started_at && one.subject.host == other.subject.host
}

/// The results on `change`: those of `record`, where it stands, and those of the campaigns in
/// `folders`, summed up anew from their trials; and what comparisons of them with those in
/// `identical`, the record of results on identical code, say. A result that is given again counts once.
///
/// **Errors**: a file that cannot be read, a record of another change, or results that are cut short, not
/// of `change`, or have nothing that they can be compared with.
pub fn add_known_results(
    change: KnownChange,
    (record, identical): (&Path, &Path),
    folders: &[PathBuf],
) -> Result<(KnownResults, Vec<KnownComparisons>), ReportError> {
    let new: Vec<KnownResult> =
        folders.iter().map(|it| known_result(it, change)).collect::<Result<_, _>>()?;
    let before = read_known_results(record)?;
    if let Some(before) = before.as_ref().filter(|it| it.change != change) {
        return Err(other_record(record, before.change, change));
    }
    let is_new = |it: &KnownResult| new.iter().any(|new| known_results::is_same_run(new, it));
    let mut results = before.map_or_else(Vec::new, |it| it.results);
    results.retain(|it| !is_new(it));
    results.extend(new);
    results.sort_by(|a, b| a.result.started_at.cmp(&b.result.started_at));
    let known = KnownResults::new(change, results);
    let comparisons = match change {
        KnownChange::IdenticalCode => known_comparisons(&known, &known)?,
        KnownChange::SlowerPages | KnownChange::BreakerOff | KnownChange::LocalCacheOff => {
            let none = || KnownResults::new(KnownChange::IdenticalCode, Vec::new());
            let identical = read_known_results(identical)?.unwrap_or_else(none);
            known_comparisons(&known, &identical)?
        }
    };
    Ok((known, comparisons))
}

/// The result in the folder of a campaign.
fn known_result(folder: &Path, change: KnownChange) -> Result<KnownResult, ReportError> {
    let run = || folder.display().to_string();
    let view = view_campaign(folder, Completeness::AsRecorded)?;
    if view.summary.partial {
        return Err(KnownResultsError::Partial { run: run() }.into());
    }
    let trials = view.cells.iter().flat_map(|it| &it.trials);
    let mut commits: Vec<&str> = trials
        .map(|it| it.manifest.environment.commit.as_deref().unwrap_or("no known commit"))
        .collect();
    commits.sort_unstable();
    commits.dedup();
    let [commit] = commits.as_slice() else {
        return Err(KnownResultsError::NoCommit { run: run(), commits: commits.join(", ") }.into());
    };
    known_results::check_version(change, commit, run)?;
    Ok(KnownResult { commit: (*commit).to_owned(), result: (&view.summary).into() })
}

/// What comparisons of the results in the record at `identical` say; none where there is no record.
///
/// **Errors**: it cannot be read, or its results mean nothing side by side.
pub fn compare_identical(identical: &Path) -> Result<Vec<KnownComparisons>, ReportError> {
    let Some(record) = read_known_results(identical)? else { return Ok(Vec::new()) };
    Ok(known_comparisons(&record, &record)?)
}

/// What the comparisons of each record of results say, and the record on identical code. A missing one
/// is left out.
///
/// **Errors**: a file that cannot be read, or records that mean nothing side by side.
pub fn compare_known_results(
    root: &Path,
) -> Result<(Vec<KnownComparisons>, Option<KnownResults>), ReportError> {
    let read = |it: KnownChange| read_known_results(&root.join(it.results_file()));
    let Some(identical) = read(KnownChange::IdenticalCode)? else { return Ok((Vec::new(), None)) };
    let mut seen = Vec::new();
    for change in KnownChange::ALL {
        let Some(record) = read(change)? else { continue };
        seen.extend(known_comparisons(&record, &identical)?);
    }
    Ok((seen, Some(identical)))
}

/// The records in `paths`, each proved to follow from the pairs that it holds by the rules of `gate`.
/// A missing one is left out.
///
/// **Errors**: a file that cannot be read, a record that was edited by hand, or one of other rules.
pub fn prove_known_gates(
    paths: &[PathBuf],
    gate: &GateSpec,
) -> Result<Vec<KnownGates>, ReportError> {
    let mut records = Vec::new();
    for path in paths {
        let Some(record) = read_known(path)? else { continue };
        if record.gate != *gate {
            let (path, change) = (path.clone(), record.change.name());
            return Err(ReportError::OtherRules { path, change });
        }
        let n_gates = record.resampled.first().map_or(0, |it| it.n_gates);
        let comparisons = record.comparisons.clone();
        if known_gates((record.change, gate), comparisons, (n_gates, record.seed))? != record {
            return Err(ArtifactError::DoesNotAddUp {
                path: path.clone(),
                cell: record.change.name().into(),
                what: "its gates do not follow from its pairs".into(),
            }
            .into());
        }
        records.push(record);
    }
    Ok(records)
}
