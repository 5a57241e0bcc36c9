//! The list of children a run has started, on disk, so that `clean` can end what a killed run left.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::stat::ProcessIdentity;

/// Name of the file inside a run's folder.
pub const FILE_NAME: &str = "children.jsonl";

/// One child, as the registry keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the lab calls it.
    pub name: String,
    /// Which process it is.
    #[serde(flatten)]
    pub identity: ProcessIdentity,
    /// Number of the signal that ends it cleanly.
    pub death_signal: i32,
}

/// Appends to the list of a run's children.
#[derive(Debug, Clone)]
pub struct Registry {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

impl Registry {
    /// Opens the list in `folder`. **Errors**: the file cannot be created.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        Ok(Self { path, file: Arc::new(Mutex::new(file)) })
    }

    /// Adds one child. **Errors**: the file cannot be written.
    pub fn add(&self, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)
    }

    /// Where the list is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The children that a run with this folder has started. A last line cut short by a crash is left
/// out, and so is a missing file.
pub fn read(folder: &Path) -> Vec<Entry> {
    let text = fs::read_to_string(folder.join(FILE_NAME)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_read_back_and_a_cut_line_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let entry = Entry {
            name: "redis".into(),
            identity: ProcessIdentity { pid: 7, start_ticks: 9 },
            death_signal: 9,
        };
        let registry = Registry::open(folder.path()).unwrap();
        registry.add(&entry).unwrap();
        registry.file.lock().unwrap().write_all(b"{\"name\":\"post").unwrap();
        assert_eq!(read(folder.path()), [entry]);
    }
}
