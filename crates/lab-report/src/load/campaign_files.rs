//! The folder of a campaign: reading what is committed of its trials, writing its report.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use lab_core::artifact::{
    campaign_run::{self, CampaignRun, PlannedCell},
    timeline::{self, Timeline},
    verdict::{self, TrialVerdict},
};

use super::{
    files::{read_bytes, read_json, write_whole},
    trial_files::{read_events, read_manifest},
};
use crate::{
    analysis::histograms::{self, PhaseHistograms},
    error::ArtifactError,
    render::TrialView,
};

/// One trial as it is committed.
#[derive(Debug, Clone)]
pub struct CommittedTrial {
    /// What the report shows of it.
    pub view: TrialView,
    /// Its distributions.
    pub histograms: PhaseHistograms,
}

/// Reads `campaign.json`. **Errors**: missing, not JSON, or of another version.
pub fn read_run(campaign: &Path) -> Result<CampaignRun, ArtifactError> {
    let path = campaign.join(campaign_run::FILE);
    let run: CampaignRun = read_json(&path)?;
    check_schema(path, &run.schema, campaign_run::SCHEMA)?;
    Ok(run)
}

/// Reads the committed files of every trial of a cell, in order. A folder without a verdict is of a
/// trial that was cut short and is passed over.
///
/// **Errors**: a file that stands there and cannot be read.
pub fn read_trials(
    campaign: &Path,
    cell: &PlannedCell,
) -> Result<Vec<CommittedTrial>, ArtifactError> {
    trial_folders(&campaign.join(cell.folder()))?
        .iter()
        .filter(|it| it.join(verdict::FILE).exists())
        .map(|it| read_trial(it))
        .collect()
}

fn read_trial(folder: &Path) -> Result<CommittedTrial, ArtifactError> {
    let verdict_path = folder.join(verdict::FILE);
    let verdict: TrialVerdict = read_json(&verdict_path)?;
    check_schema(verdict_path, &verdict.schema, verdict::SCHEMA)?;
    let timeline_path = folder.join(timeline::FILE);
    let timeline: Timeline = read_json(&timeline_path)?;
    check_schema(timeline_path, &timeline.schema, timeline::SCHEMA)?;
    let log_path = folder.join(histograms::FILE);
    let histograms = PhaseHistograms::decode(&read_bytes(&log_path)?)
        .map_err(|source| ArtifactError::Histograms { path: log_path, source })?;
    let manifest = read_manifest(folder)?;
    let events = read_events(folder)?;
    Ok(CommittedTrial { view: TrialView { manifest, verdict, timeline, events }, histograms })
}

/// **Errors**: the file at `path` was written by another version.
pub(super) fn check_schema(
    path: PathBuf,
    got: &str,
    want: &'static str,
) -> Result<(), ArtifactError> {
    if got == want {
        Ok(())
    } else {
        Err(ArtifactError::Schema { path, got: got.to_owned(), want })
    }
}

/// The folders `trial-000`, `trial-001` and so on of a cell, in order. Anything else that stands
/// there, such as an attempt that was repeated, is passed over.
fn trial_folders(cell: &Path) -> Result<Vec<PathBuf>, ArtifactError> {
    let failed = |source| ArtifactError::Read { path: cell.to_owned(), source };
    if !cell.exists() {
        return Ok(vec![]);
    }
    let mut folders = Vec::new();
    for entry in fs::read_dir(cell).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path.file_name().and_then(|it| it.to_str()).and_then(trial_number);
        if number.is_some() {
            folders.push((number, path));
        }
    }
    folders.sort();
    Ok(folders.into_iter().map(|(_, path)| path).collect())
}

fn trial_number(name: &str) -> Option<u32> {
    name.strip_prefix("trial-")?.parse().ok()
}

/// Writes the files of a report and removes plots of cells that are no longer in it. The summary is
/// written last, so that where it stands the rest stands too.
///
/// **Errors**: a file that cannot be written or removed.
pub fn write_report(
    campaign: &Path,
    files: &BTreeMap<PathBuf, Vec<u8>>,
    summary: &Path,
) -> Result<(), ArtifactError> {
    for stale in stale_plots(campaign, files)? {
        fs::remove_file(&stale)
            .map_err(|source| ArtifactError::Write { path: stale.clone(), source })?;
    }
    let (last, first): (Vec<_>, Vec<_>) = files.iter().partition(|(path, _)| *path == summary);
    for (path, bytes) in first.into_iter().chain(last) {
        write_whole(&campaign.join(path), bytes)?;
    }
    Ok(())
}

/// The first file that differs from what stands in the campaign's folder, or that stands there and
/// should not; `None` when all agree. **Errors**: a file that stands there and cannot be read.
pub fn first_difference(
    campaign: &Path,
    files: &BTreeMap<PathBuf, Vec<u8>>,
) -> Result<Option<PathBuf>, ArtifactError> {
    for (path, bytes) in files {
        let stands = campaign.join(path);
        if !stands.exists() || read_bytes(&stands)? != *bytes {
            return Ok(Some(path.clone()));
        }
    }
    Ok(stale_plots(campaign, files)?.into_iter().next())
}

/// Plots that stand in the campaign's folder and are not in `files`, in order.
fn stale_plots(
    campaign: &Path,
    files: &BTreeMap<PathBuf, Vec<u8>>,
) -> Result<Vec<PathBuf>, ArtifactError> {
    let folder = campaign.join("plots");
    if !folder.exists() {
        return Ok(vec![]);
    }
    let failed = |source| ArtifactError::Read { path: folder.clone(), source };
    let mut stale = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_plot = path.extension().is_some_and(|it| it == "svg" || it == "png");
        let relative = Path::new("plots").join(path.file_name().unwrap_or_default());
        if is_plot && !files.contains_key(&relative) {
            stale.push(path);
        }
    }
    stale.sort();
    Ok(stale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(entries: &[(&str, &str)]) -> BTreeMap<PathBuf, Vec<u8>> {
        entries.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_report_that_was_written_does_not_differ_and_any_change_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let report = files(&[("report.md", "a"), ("plots/x.svg", "b"), ("summary.json", "c")]);
        write_report(folder.path(), &report, Path::new("summary.json")).unwrap();
        let differs = |files| first_difference(folder.path(), &files).unwrap();
        assert_eq!(differs(report), None);
        let changed = files(&[("report.md", "A"), ("plots/x.svg", "b"), ("summary.json", "c")]);
        assert_eq!(differs(changed), Some("report.md".into()));
        let more = files(&[("plots/x.svg", "b"), ("plots/y.svg", "b")]);
        assert_eq!(differs(more), Some("plots/y.svg".into()));
        let fewer = files(&[("report.md", "a"), ("summary.json", "c")]);
        assert_eq!(differs(fewer), Some(folder.path().join("plots/x.svg")));
    }

    #[test]
    fn plots_of_cells_that_are_gone_are_removed_and_other_files_kept() {
        let folder = tempfile::tempdir().unwrap();
        let summary = Path::new("summary.json");
        write_report(folder.path(), &files(&[("plots/old.svg", "a")]), summary).unwrap();
        fs::write(folder.path().join("plots/notes.txt"), "mine").unwrap();
        write_report(folder.path(), &files(&[("plots/new.svg", "a")]), summary).unwrap();
        assert!(!folder.path().join("plots/old.svg").exists());
        assert!(folder.path().join("plots/new.svg").exists());
        assert!(folder.path().join("plots/notes.txt").exists());
    }

    #[test]
    fn trials_are_read_in_the_order_of_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["trial-010", "trial-002", "trial-000.attempt-1", "notes"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let folders = trial_folders(folder.path()).unwrap();
        let names: Vec<_> = folders.iter().map(|it| it.file_name().unwrap()).collect();
        assert_eq!(names, ["trial-002", "trial-010"]);
        assert_eq!(trial_folders(&folder.path().join("nowhere")).unwrap(), [] as [PathBuf; 0]);
    }
}
