//! What the queue asks of a file system, so that a test can refuse it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
};

/// Makes and deletes files. Both are durable when the call returns.
pub(super) trait Disk: Send + 'static {
    /// A new, empty file. **Errors**: there is one already, or the system refused; nothing is
    /// left behind then, if that can be helped.
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// An existing file, to be continued at its end.
    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>>;

    /// Deletes a file, unless it is gone already.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A file that grows at its end.
pub(super) trait SegmentFile: Send {
    /// Writes at the end. **Errors**: any part of `bytes` may have been written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when what was appended survives a loss of power. **Errors**: it may or may not;
    /// asking again does not tell.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file off after `n_bytes`, durably.
    fn truncate(&mut self, n_bytes: u64) -> io::Result<()>;
}

/// The machine's own.
#[derive(Debug)]
pub(super) struct SystemDisk;

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        sync_folder_of(path).inspect_err(|_error| drop(std::fs::remove_file(path)))?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            // Gone already: an earlier try deleted it, and then could not sync the folder.
            Ok(()) | Err(_) => sync_folder_of(path),
        }
    }
}

impl SegmentFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, n_bytes: u64) -> io::Result<()> {
        self.set_len(n_bytes)?;
        self.sync_all()
    }
}

/// A file's name is durable when its folder is synced; syncing the file does not do that.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder != Path::new("") => File::open(folder)?.sync_all(),
        Some(_) | None => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
pub(super) mod fake;
