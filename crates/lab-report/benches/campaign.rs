//! What it costs to analyse and to draw a whole campaign, of 30 cells and of twice as many.
//!
//! The trials are made up, on disk, and as long as those of the profile quick: 14,800 requests each.
//! Three trials a cell. *Analysing* is what the lab does after each trial, for all of them: from raw
//! samples to verdict, timeline and histograms. *Drawing* is the rest: summary, plots and pages.
//!
//! `cargo bench -p lab-report --features overhead --bench campaign`; with `cargo xtask overhead` the
//! figures go to `docs/overhead.md`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

#[path = "../tests/synthetic/mod.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod synthetic;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use lab_core::artifact::campaign_run::PlannedCell;
use lab_report::commands::{Completeness, analyse_trial, report_files, view_campaign};
use synthetic::{Defect, Shape, cell, write_campaign_of, write_trial_of};
use tempfile::TempDir;

/// How many cells: the smaller number, and twice it.
const N_CELLS: [usize; 2] = [30, 60];
const N_TRIALS: u32 = 3;

/// A campaign on disk, not yet analysed, and the folders of its trials.
fn campaign(n_cells: usize) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let control = cell();
    let others = (1..n_cells).map(|k| PlannedCell {
        variant: format!("variant-{k:02}"),
        base: Some(control.variant.clone()),
        ..cell()
    });
    let cells: Vec<PlannedCell> = std::iter::once(cell()).chain(others).collect();
    let mut trials = Vec::new();
    for cell in &cells {
        for trial in 0..N_TRIALS {
            let at = folder.path().join(cell.folder()).join(format!("trial-{trial:03}"));
            write_trial_of(&at, (cell, trial), Shape::QUICK, Defect::None);
            trials.push(at);
        }
    }
    write_campaign_of(folder.path(), cells, N_TRIALS, Shape::QUICK);
    (folder, trials)
}

fn analyse(trials: &[PathBuf]) {
    for trial in trials {
        let verdict = analyse_trial(trial).unwrap();
        assert!(verdict.valid, "{:?}", verdict.reasons);
    }
}

fn draw(folder: &Path) {
    let view = view_campaign(folder, Completeness::AsRecorded).unwrap();
    assert!(!view.summary.partial);
    std::hint::black_box(report_files(&view).unwrap());
}

fn campaigns(criterion: &mut Criterion) {
    for n_cells in N_CELLS {
        let (folder, trials) = campaign(n_cells);
        let mut group = criterion.benchmark_group("analysing");
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::from_parameter(n_cells), |it| {
            it.iter(|| analyse(&trials));
        });
        group.finish();
        let mut group = criterion.benchmark_group("drawing");
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::from_parameter(n_cells), |it| {
            it.iter(|| draw(folder.path()));
        });
        group.finish();
    }
}

// An iteration takes seconds: ten of them are what there is time for.
fn config() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(5))
        .sample_size(10)
}

criterion_group! {
    name = benches;
    config = config();
    targets = campaigns
}
criterion_main!(benches);
