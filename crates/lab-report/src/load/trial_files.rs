//! The folder of one trial: what the harness and the generator left there.

use std::path::Path;

use lab_core::{
    artifact::{
        manifest::{self, Manifest},
        raw::{self, CpuLine, DatabaseLine, FinalCounts, ServiceLine, StallLine},
    },
    event::Event,
    sample::{self, RequestSample},
};

use super::files::{read_bytes, read_json, read_json_lines};
use crate::error::ArtifactError;

/// The manifest's file, below the trial's folder.
pub const MANIFEST_FILE: &str = "manifest.json";
/// The file of events, below the trial's folder.
pub const EVENTS_FILE: &str = "events.jsonl";
/// The file of samples, below the trial's folder.
pub const SAMPLES_FILE: &str = "samples.bin";

/// Everything that was recorded of one trial.
#[derive(Debug, Clone)]
pub struct TrialRecord {
    /// What the trial was.
    pub manifest: Manifest,
    /// What happened, in order of time.
    pub events: Vec<Event>,
    /// Every recorded request, in order of its intended time.
    pub samples: Vec<RequestSample>,
    /// What the service said of itself, in order of time.
    pub service: Vec<ServiceLine>,
    /// What PostgreSQL said of its backends, in order of time.
    pub database: Vec<DatabaseLine>,
    /// CPU time, in order of time.
    pub cpu: Vec<CpuLine>,
    /// When the generator's processors stood still, in order of time.
    pub stalls: Vec<StallLine>,
    /// Totals of the whole trial.
    pub counts: FinalCounts,
}

impl TrialRecord {
    /// Reads the folder of a trial. **Errors**: a file is missing or does not parse.
    pub fn read(folder: &Path) -> Result<Self, ArtifactError> {
        let samples_path = folder.join(SAMPLES_FILE);
        let mut samples = sample::decode_file(&read_bytes(&samples_path)?)
            .map_err(|source| ArtifactError::Samples { path: samples_path, source })?;
        samples.sort_unstable_by_key(|it| (it.intended_at_ns, it.arrival));
        let mut record = Self {
            manifest: read_manifest(folder)?,
            events: read_events(folder)?,
            samples,
            service: read_json_lines(&folder.join(raw::SERVICE_FILE))?,
            database: read_json_lines(&folder.join(raw::DATABASE_FILE))?,
            cpu: read_json_lines(&folder.join(raw::CPU_FILE))?,
            stalls: read_json_lines(&folder.join(raw::STALLS_FILE))?,
            counts: read_json(&folder.join(raw::COUNTS_FILE))?,
        };
        record.service.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        record.database.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        record.cpu.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        record.stalls.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        Ok(record)
    }
}

/// Reads the manifest of a trial. **Errors**: missing, not JSON, or of another version.
pub fn read_manifest(folder: &Path) -> Result<Manifest, ArtifactError> {
    let path = folder.join(MANIFEST_FILE);
    let manifest: Manifest = read_json(&path)?;
    if manifest.schema == manifest::SCHEMA {
        Ok(manifest)
    } else {
        Err(ArtifactError::Schema { path, got: manifest.schema, want: manifest::SCHEMA })
    }
}

/// Reads the events of a trial in order of time. **Errors**: missing, or a line is no event.
pub fn read_events(folder: &Path) -> Result<Vec<Event>, ArtifactError> {
    let mut events: Vec<Event> = read_json_lines(&folder.join(EVENTS_FILE))?;
    events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
    Ok(events)
}
