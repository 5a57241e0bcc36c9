//! Whether there is room for a run.

use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

/// Least free space, in bytes, where a run keeps its database and where results go: a data set,
/// 1 GB of write-ahead log at the most, and raw samples. Chosen.
pub const FREE_BYTES_MIN: u64 = 1 << 30;

/// Not enough room, or no answer about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// Too little space.
    #[error(
        "only {} MiB are free at {}, {} MiB are needed",
        free_bytes >> 20, path.display(), needed_bytes >> 20
    )]
    Full {
        /// Where.
        path: PathBuf,
        /// What is there, in bytes.
        free_bytes: u64,
        /// What is needed, in bytes.
        needed_bytes: u64,
    },
    /// The file system does not answer.
    #[error("cannot ask for the free space at {}: {source}", path.display())]
    Unknown {
        /// Where.
        path: PathBuf,
        /// Why.
        source: nix::errno::Errno,
    },
}

/// Bytes that this user may still write at `path`, or at its nearest folder that exists.
pub fn free_bytes(path: &Path) -> Result<u64, DiskError> {
    let existing = path.ancestors().find(|it| it.exists()).unwrap_or(Path::new("."));
    match statvfs(existing) {
        Ok(it) => Ok(it.blocks_available() * it.fragment_size()),
        Err(source) => Err(DiskError::Unknown { path: path.to_path_buf(), source }),
    }
}

/// **Errors**: fewer than `needed_bytes` are free at `path`.
pub fn require_free(path: &Path, needed_bytes: u64) -> Result<(), DiskError> {
    let free_bytes = free_bytes(path)?;
    if free_bytes < needed_bytes {
        return Err(DiskError::Full { path: path.to_path_buf(), free_bytes, needed_bytes });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_one_clear_line() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("not/yet/there");
        assert!(require_free(&missing, 1).is_ok());
        let error = require_free(&missing, u64::MAX).unwrap_err().to_string();
        assert!(error.starts_with("only ") && error.contains("MiB are needed"), "{error}");
        assert!(!error.contains('\n'));
    }
}
