//! A stored `summary.json`, checked before anything is judged by it.

use std::path::Path;

use lab_core::artifact::summary::{self, Summary};
use serde_json::Value;

use super::{campaign_files::check_schema, files::read_json};
use crate::{
    analysis::gate::{Inconsistent, check_sums},
    error::ArtifactError,
};

/// Reads a `summary.json`, or the one of the campaign whose folder `path` is.
///
/// **Errors**: missing, cut short, of another version, or with figures that contradict each other.
pub fn read_summary(path: &Path) -> Result<Summary, ArtifactError> {
    let path = if path.is_dir() { path.join(summary::FILE) } else { path.to_owned() };
    let value: Value = read_json(&path)?;
    let got = value.get("schema").and_then(Value::as_str).unwrap_or("none");
    check_schema(path.clone(), got, summary::SCHEMA)?;
    let summary: Summary = serde_json::from_value(value).map_err(|source| ArtifactError::Json {
        path: path.clone(),
        line: None,
        source,
    })?;
    match check_sums(&summary) {
        Ok(()) => Ok(summary),
        Err(Inconsistent { cell, what }) => Err(ArtifactError::DoesNotAddUp { path, cell, what }),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What reading says of the committed main result after `change`.
    fn read(change: impl FnOnce(&str) -> String) -> Result<Summary, String> {
        let committed = "../../results/redis-outage/summary.json";
        let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join(committed);
        let text = change(&fs::read_to_string(committed).unwrap());
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(summary::FILE), text).unwrap();
        read_summary(folder.path()).map_err(|it| format!("{:#}", anyhow::Error::from(it)))
    }

    #[test]
    fn a_committed_summary_can_be_read_and_adds_up() {
        assert_eq!(read(str::to_owned).unwrap().campaign, "redis-outage");
    }

    #[test]
    fn a_summary_that_cannot_be_used_says_why_in_one_line() {
        let error = read(|it| it[..it.len() / 2].to_owned()).unwrap_err();
        assert!(error.starts_with("parse ") && error.contains("summary.json"), "{error}");
        let error = read(|it| it.replace(summary::SCHEMA, "outage-lab/summary/0")).unwrap_err();
        assert!(error.contains("schema is `outage-lab/summary/0`"), "{error}");
        let error = read(|_| "{}".to_owned()).unwrap_err();
        assert!(error.contains("schema is `none`"), "{error}");
        // The first figure of the first cell, whatever was measured.
        let mut measured = f64::NAN;
        let edited = |it: &str| {
            let key = "\"goodput_ratio_fault\": ";
            let value = it.split_once(key).unwrap().1.split_once(',').unwrap().0;
            measured = value.parse().unwrap();
            it.replacen(&format!("{key}{value}"), &format!("{key}0.5"), 1)
        };
        let error = read(edited).unwrap_err();
        let expected = format!("goodput_ratio_fault is 0.5, the median of its trials {measured};");
        assert!(error.contains(&expected), "{error}");
        let missing = read_summary(Path::new("/nowhere/summary.json")).unwrap_err().to_string();
        assert_eq!(missing, "read /nowhere/summary.json");
    }
}
