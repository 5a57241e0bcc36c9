//! The folder of a comparison of two versions: what the harness ran, and the figures of its trials.

use std::path::Path;

use lab_core::{
    artifact::{
        gate::{
            GatePairs, GateRun, KNOWN_SCHEMA, KnownGates, PAIRS_FILE, PAIRS_SCHEMA, PairFigures,
            RUN_FILE, RUN_SCHEMA, RanPair, Side, SideFigures,
        },
        stored_result::{KNOWN_RESULTS_SCHEMA, KnownResults},
        verdict::{self, TrialVerdict},
    },
    scenario::{Campaign, GateSpec},
};
use serde::de::DeserializeOwned;

use super::{
    campaign_files::check_schema,
    files::{read_json, read_toml},
};
use crate::{analysis::paired::figures::side_figures, error::ArtifactError};

/// Reads `gate.json` in `folder` and the verdict of every trial that it lists.
///
/// **Errors**: a file that is missing, not JSON or of another version, or a trial that is listed
/// although it is not valid.
pub fn read_gate(folder: &Path) -> Result<GatePairs, ArtifactError> {
    let path = folder.join(RUN_FILE);
    let run: GateRun = read_json(&path)?;
    check_schema(path, &run.schema, RUN_SCHEMA)?;
    let pairs = run.pairs.iter().map(|it| read_pair(folder, *it)).collect::<Result<_, _>>()?;
    let GateRun { subject, given_up, .. } = run;
    Ok(GatePairs { schema: PAIRS_SCHEMA.into(), subject, pairs, given_up })
}

fn read_pair(folder: &Path, ran: RanPair) -> Result<PairFigures, ArtifactError> {
    let RanPair { pair, first, attempt } = ran;
    let side = |side| read_side(folder, pair, side);
    let (head, reference) = (side(Side::Head)?, side(Side::Reference)?);
    Ok(PairFigures { pair, first, attempt, head, reference })
}

fn read_side(folder: &Path, pair: u32, side: Side) -> Result<SideFigures, ArtifactError> {
    let path = folder.join(RanPair::trial_folder(pair, side)).join(verdict::FILE);
    let verdict: TrialVerdict = read_json(&path)?;
    check_schema(path.clone(), &verdict.schema, verdict::SCHEMA)?;
    if !verdict.valid {
        let cell = format!("pair {pair}, {side}");
        let what = format!("it is not valid, and {RUN_FILE} has it among the valid pairs");
        return Err(ArtifactError::DoesNotAddUp { path, cell, what });
    }
    Ok(side_figures(&verdict))
}

/// Reads a `pairs.json`, or the one of the comparison whose folder `path` is.
///
/// **Errors**: missing, not JSON, or of another version.
pub fn read_pairs(path: &Path) -> Result<GatePairs, ArtifactError> {
    let path = if path.is_dir() { path.join(PAIRS_FILE) } else { path.to_owned() };
    let pairs: GatePairs = read_json(&path)?;
    check_schema(path, &pairs.schema, PAIRS_SCHEMA)?;
    Ok(pairs)
}

/// Reads what a campaign judges, and how; `None` where it has no gate.
///
/// **Errors**: it cannot be read or is no campaign.
pub fn read_rules(campaign: &Path) -> Result<Option<GateSpec>, ArtifactError> {
    Ok(read_toml::<Campaign>(campaign)?.gate)
}

/// Reads a record of gates on a known change; `None` where there is none.
///
/// **Errors**: it stands there and is not JSON, or of another version.
pub fn read_known(path: &Path) -> Result<Option<KnownGates>, ArtifactError> {
    read_record(path, |it: &KnownGates| &it.schema, KNOWN_SCHEMA)
}

/// Reads a record of results on a known change; `None` where there is none.
///
/// **Errors**: it stands there and is not JSON, or of another version.
pub fn read_known_results(path: &Path) -> Result<Option<KnownResults>, ArtifactError> {
    read_record(path, |it: &KnownResults| &it.schema, KNOWN_RESULTS_SCHEMA)
}

fn read_record<T: DeserializeOwned>(
    path: &Path,
    schema: fn(&T) -> &str,
    want: &'static str,
) -> Result<Option<T>, ArtifactError> {
    if !path.exists() {
        return Ok(None);
    }
    let record: T = read_json(path)?;
    check_schema(path.to_owned(), schema(&record), want)?;
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lab_core::scenario::GateFigure;

    use super::*;
    use crate::{
        analysis::paired::testing::{file, pair},
        load::files::pretty_json,
    };

    #[test]
    fn what_was_written_is_read_from_the_file_and_from_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PAIRS_FILE);
        let written = file(vec![pair(0, &[(GateFigure::ResponseTimeMsP99, 4.0, 4.5)])]);
        fs::write(&path, pretty_json(&written)).unwrap();
        assert_eq!(read_pairs(&path).unwrap(), written);
        assert_eq!(read_pairs(folder.path()).unwrap(), written);
    }

    #[test]
    fn a_file_of_another_version_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PAIRS_FILE);
        let mut written = file(Vec::new());
        written.schema = "outage-lab/gate-pairs/0".into();
        fs::write(&path, pretty_json(&written)).unwrap();
        let error = read_pairs(&path).unwrap_err().to_string();
        assert!(error.contains("its schema is `outage-lab/gate-pairs/0`"), "{error}");
    }

    #[test]
    fn no_record_is_none_and_a_damaged_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        assert_eq!(read_known(&path).unwrap(), None);
        assert_eq!(read_known_results(&path).unwrap(), None);
        fs::write(&path, "{").unwrap();
        assert!(read_known(&path).unwrap_err().to_string().starts_with("parse "));
        assert!(read_known_results(&path).unwrap_err().to_string().starts_with("parse "));
    }
}
