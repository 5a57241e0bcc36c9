//! The results folder of a campaign: an earlier result is never lost to a failed run.
//!
//! A run works in `<out>.partial`. When it is complete the folder takes the place of `<out>` by
//! renaming. A run that was cut short leaves `<out>.partial` for `--resume`, or takes the place of
//! `<out>` when that holds no complete result.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use lab_core::{
    artifact::{manifest::Params, verdict},
    scenario::Fault,
};
use serde::{Serialize, de::DeserializeOwned};

/// Where a run works and where its result will stand.
#[derive(Debug)]
pub(crate) struct ResultsFolder {
    /// Where the finished result stands.
    out: PathBuf,
    /// Where the run works.
    work: PathBuf,
}

/// How a run ended, for its results folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Every planned cell has its trials.
    Complete,
    /// Cut short.
    Partial,
}

impl ResultsFolder {
    /// Starts a new run. What an earlier run left unfinished is kept as `<out>.abandoned`.
    ///
    /// **Errors**: the folder cannot be made or written.
    pub(crate) fn create(out: &Path) -> Result<Self> {
        let folder = Self::at(out);
        if folder.work.exists() {
            let abandoned = with_suffix(out, "abandoned");
            remove_if_there(&abandoned)?;
            fs::rename(&folder.work, &abandoned).with_context(|| {
                format!("move {} to {}", folder.work.display(), abandoned.display())
            })?;
        }
        fs::create_dir_all(&folder.work)
            .with_context(|| format!("create results folder {} (--out)", folder.work.display()))?;
        folder.check_writable()?;
        Ok(folder)
    }

    /// Goes on with a run that was cut short. `is_partial` says whether the result at `<out>` is
    /// itself unfinished.
    ///
    /// **Errors**: nothing to resume, or the folder cannot be written.
    pub(crate) fn resume(out: &Path, is_partial: impl Fn(&Path) -> bool) -> Result<Self> {
        let folder = Self::at(out);
        if !folder.work.exists() {
            if !out.exists() || !is_partial(out) {
                bail!(
                    "--resume: no unfinished run at {} or {}",
                    folder.work.display(),
                    out.display()
                );
            }
            fs::rename(out, &folder.work)
                .with_context(|| format!("move {} aside to go on with it", out.display()))?;
        }
        folder.check_writable()?;
        Ok(folder)
    }

    fn at(out: &Path) -> Self {
        Self { out: out.to_owned(), work: with_suffix(out, "partial") }
    }

    fn check_writable(&self) -> Result<()> {
        let probe = self.work.join("writable.tmp");
        fs::write(&probe, b"probe")
            .and_then(|()| fs::remove_file(&probe))
            .with_context(|| format!("write into results folder {} (--out)", self.work.display()))
    }

    /// Where the run works.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// The folder of one trial.
    pub(crate) fn trial(
        &self,
        variant: &str,
        fault: Fault,
        params: &Params,
        trial: u32,
    ) -> PathBuf {
        let cell = self.work.join("trials").join(variant).join(fault.name()).join(params.folder());
        cell.join(format!("trial-{trial:03}"))
    }

    /// Whether a trial has finished; what was begun stands in a folder `trial-….tmp`.
    pub(crate) fn has_finished_trial(&self) -> bool {
        holds_verdict(&self.work.join("trials"))
    }

    /// Removes the working folder of a run that did not finish a single trial.
    pub(crate) fn discard_if_empty(&self) {
        if !self.has_finished_trial() {
            // Only a courtesy: what cannot be removed is in nobody's way.
            fs::remove_dir_all(&self.work).ok();
        }
    }

    /// Puts the result where it belongs and says where that is. `holds_complete` says whether a
    /// folder holds a complete result.
    ///
    /// **Errors**: a rename that fails; the result then still stands in the working folder.
    pub(crate) fn finish(
        self,
        ending: Ending,
        holds_complete: impl Fn(&Path) -> bool,
    ) -> Result<PathBuf> {
        if ending == Ending::Partial && holds_complete(&self.out) {
            return Ok(self.work);
        }
        let earlier = with_suffix(&self.out, "earlier");
        remove_if_there(&earlier)?;
        if self.out.exists() {
            fs::rename(&self.out, &earlier)
                .with_context(|| format!("move the earlier {} aside", self.out.display()))?;
        }
        fs::rename(&self.work, &self.out)
            .with_context(|| format!("move the result to {}", self.out.display()))?;
        remove_if_there(&earlier)?;
        Ok(self.out)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// Removes a folder that may not be there.
pub(crate) fn remove_if_there(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a JSON file beside its place and renames it, so that a reader finds all of it or none.
pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(value).context("encode JSON")?;
    text.push(b'\n');
    write_whole(path, &text)
}

/// Writes a file beside its place and renames it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let beside = path.with_extension("tmp");
    fs::write(&beside, bytes)
        .and_then(|()| fs::rename(&beside, path))
        .with_context(|| format!("write {}", path.display()))
}

/// Whether `folder` or a folder below it, unfinished trials apart, holds a verdict.
fn holds_verdict(folder: &Path) -> bool {
    if folder.extension().is_some_and(|it| it == "tmp") {
        return false;
    }
    let below = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    folder.join(verdict::FILE).exists()
        || below.filter(|path| path.is_dir()).any(|path| holds_verdict(&path))
}

/// Reads a JSON file.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("parse {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for each test, removed when the test is over.
    struct Scratch(tempfile::TempDir);

    impl Scratch {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> &Path {
            self.0.path()
        }

        fn out(&self) -> PathBuf {
            self.path().join("out")
        }
    }

    fn is_complete(folder: &Path) -> bool {
        folder.join("complete").exists()
    }

    #[test]
    fn a_complete_run_takes_the_place_of_the_earlier_one() {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.out()).unwrap();
        fs::write(scratch.out().join("complete"), "old").unwrap();
        let folder = ResultsFolder::create(&scratch.out()).unwrap();
        fs::write(folder.work().join("complete"), "new").unwrap();
        folder.finish(Ending::Complete, is_complete).unwrap();
        assert_eq!(fs::read_to_string(scratch.out().join("complete")).unwrap(), "new");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_run_cut_short_leaves_a_complete_result_alone() {
        let scratch = Scratch::new();
        fs::create_dir_all(scratch.out()).unwrap();
        fs::write(scratch.out().join("complete"), "old").unwrap();
        let folder = ResultsFolder::create(&scratch.out()).unwrap();
        fs::write(folder.work().join("some"), "new").unwrap();
        let stands = folder.finish(Ending::Partial, is_complete).unwrap();
        assert_eq!(fs::read_to_string(scratch.out().join("complete")).unwrap(), "old");
        assert_eq!(fs::read_to_string(stands.join("some")).unwrap(), "new");
    }

    #[test]
    fn a_run_cut_short_where_nothing_stood_leaves_its_report_there_and_can_be_resumed() {
        let scratch = Scratch::new();
        let folder = ResultsFolder::create(&scratch.out()).unwrap();
        fs::write(folder.work().join("some"), "new").unwrap();
        assert_eq!(folder.finish(Ending::Partial, is_complete).unwrap(), scratch.out());
        let again = ResultsFolder::resume(&scratch.out(), |it| !is_complete(it)).unwrap();
        assert!(again.work().join("some").exists());
    }

    #[test]
    fn a_new_run_keeps_what_a_killed_one_left() {
        let scratch = Scratch::new();
        let killed = ResultsFolder::create(&scratch.out()).unwrap();
        fs::write(killed.work().join("some"), "left").unwrap();
        ResultsFolder::create(&scratch.out()).unwrap();
        assert!(scratch.path().join("out.abandoned/some").exists());
    }

    #[test]
    fn nothing_to_resume_is_one_clear_line() {
        let scratch = Scratch::new();
        let error = ResultsFolder::resume(&scratch.out(), |_| true).unwrap_err().to_string();
        assert!(error.starts_with("--resume: no unfinished run at"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_made_names_the_flag() {
        let scratch = Scratch::new();
        fs::write(scratch.path().join("file"), "").unwrap();
        let error =
            ResultsFolder::create(&scratch.path().join("file/out")).unwrap_err().to_string();
        assert!(error.contains("--out"), "{error}");
    }
}
