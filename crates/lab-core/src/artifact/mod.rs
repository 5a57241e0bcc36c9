//! The files of a trial and of a campaign: what the harness writes and the analysis reads.
//!
//! `results/<campaign>/trials/<variant>/<fault>/<params>/trial-000/` holds, per trial:
//!
//! | file | written by | committed |
//! | --- | --- | --- |
//! | `manifest.json` | harness ([`manifest::Manifest`]) | yes |
//! | `events.jsonl` | harness ([`crate::event::Event`]) | yes |
//! | `timeline.json`, `phases.hlog`, `verdict.json` | analysis | yes |
//! | `samples.bin` | generator ([`crate::sample`]) | no |
//! | `raw/*.jsonl` | harness ([`raw`]) | no |
//! | `*.log` | the processes | no |

pub mod manifest;
pub mod raw;
