//! The files of a trial and of a campaign: what the harness writes and the analysis reads.
//!
//! `results/<campaign>/trials/<variant>/<fault>/<params>/trial-000/` holds, per trial:
//!
//! | file | written by | committed |
//! | --- | --- | --- |
//! | `manifest.json` | harness ([`manifest::Manifest`]) | yes |
//! | `events.jsonl` | harness ([`crate::event::Event`]) | yes |
//! | `timeline.json`, `phases.hlog`, `verdict.json` | analysis ([`timeline`], [`verdict`]) | yes |
//! | `samples.bin` | generator ([`crate::sample`]) | no |
//! | `raw/*.jsonl` | harness ([`raw`]) | no |
//! | `*.log` | the processes | no |
//!
//! The campaign's own folder holds `campaign.json`, written by the harness ([`campaign_run`]), and
//! `summary.json`, written by the analysis ([`summary`]), beside the plots and pages. The folder of a
//! comparison of two versions holds `gate.json`, written by the harness, and `pairs.json` and
//! `judgement.json`, written by the analysis ([`gate`]). What is judged of a stored `summary.json` is
//! [`stored_result`].

pub mod campaign_run;
pub mod gate;
pub mod manifest;
pub mod raw;
pub mod stored_result;
pub mod summary;
pub mod timeline;
pub mod verdict;
