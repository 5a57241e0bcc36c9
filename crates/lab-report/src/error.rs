//! Why artifacts cannot be read or written. Each error names the file.

use std::path::PathBuf;

use lab_core::sample::SampleError;

/// A file of a trial or a campaign that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// It is not the JSON that it should be.
    #[error("parse {}{}", path.display(), line.map_or_else(String::new, |it| format!(", line {it}")))]
    Json {
        /// The file.
        path: PathBuf,
        /// The line of a file of JSON lines, from 1.
        line: Option<usize>,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It is not the TOML that it should be.
    #[error("parse {}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: toml::de::Error,
    },
    /// It was written by another version of the lab.
    #[error("use {}: its schema is `{got}`, this version reads `{want}`", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What it says of itself.
        got: String,
        /// What this version reads.
        want: &'static str,
    },
    /// Its figures contradict each other: somebody edited it.
    #[error("use {}: {cell}: {what}; it was edited, or written by another program", path.display())]
    DoesNotAddUp {
        /// The file.
        path: PathBuf,
        /// The cell.
        cell: String,
        /// What does not add up.
        what: String,
    },
    /// Its samples do not decode.
    #[error("decode {}", path.display())]
    Samples {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: SampleError,
    },
    /// Its histograms do not decode.
    #[error("decode {}", path.display())]
    Histograms {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: HistogramLogError,
    },
}

/// An interval log that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum HistogramLogError {
    /// A line is neither a comment, a header nor an interval.
    #[error("a line is no part of an interval log")]
    Syntax,
    /// A histogram without a tag, or with an unknown one.
    #[error("unknown tag `{tag}`")]
    UnknownTag {
        /// The tag.
        tag: String,
    },
    /// Two histograms of one tag.
    #[error("tag `{tag}` stands twice")]
    Repeated {
        /// The tag.
        tag: String,
    },
    /// The text of a histogram is no base64.
    #[error("tag `{tag}`: not base64")]
    Base64 {
        /// The tag.
        tag: String,
        /// What is wrong.
        #[source]
        source: base64::DecodeError,
    },
    /// The bytes of a histogram are none of HdrHistogram's.
    #[error("tag `{tag}`: not an HdrHistogram")]
    Histogram {
        /// The tag.
        tag: String,
        /// What is wrong.
        #[source]
        source: hdrhistogram::serialization::DeserializeError,
    },
}
