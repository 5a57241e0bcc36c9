//! Why a rendering is not taken.

/// The pages have more bytes than they may. The snapshot before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("snapshot of more than {size_bytes_max} bytes: {size_bytes} after {n_pages} pages")]
pub struct SnapshotTooLarge {
    /// Bytes of keys and pages up to the one that was too much.
    pub size_bytes: u64,
    /// Pages up to that one.
    pub n_pages: u64,
    /// Most bytes.
    pub size_bytes_max: u64,
}
