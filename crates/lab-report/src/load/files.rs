//! JSON, JSON lines and whole-file writes.

use std::{fs, path::Path};

use serde::{Serialize, de::DeserializeOwned};

use crate::error::ArtifactError;

/// Reads a whole file. **Errors**: it cannot be read.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, ArtifactError> {
    fs::read(path).map_err(|source| ArtifactError::Read { path: path.to_owned(), source })
}

/// Reads a JSON file. **Errors**: it cannot be read or is not the JSON that it should be.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, ArtifactError> {
    serde_json::from_slice(&read_bytes(path)?).map_err(|source| ArtifactError::Json {
        path: path.to_owned(),
        line: None,
        source,
    })
}

/// Reads a TOML file. **Errors**: it cannot be read or is not the TOML that it should be.
pub fn read_toml<T: DeserializeOwned>(path: &Path) -> Result<T, ArtifactError> {
    toml::from_slice(&read_bytes(path)?)
        .map_err(|source| ArtifactError::Toml { path: path.to_owned(), source })
}

/// Reads a file of JSON lines. A last line without its end was cut short by a kill and is dropped.
///
/// **Errors**: it cannot be read, or a whole line is not the JSON that it should be.
pub fn read_json_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, ArtifactError> {
    let bytes = read_bytes(path)?;
    bytes
        .split_inclusive(|it| *it == b'\n')
        .enumerate()
        .filter(|(_, line)| line.ends_with(b"\n") && !line.trim_ascii().is_empty())
        .map(|(index, line)| {
            serde_json::from_slice(line).map_err(|source| ArtifactError::Json {
                path: path.to_owned(),
                line: Some(index + 1),
                source,
            })
        })
        .collect()
}

/// A value as the bytes of a committed JSON file: indented, one end of line at its end.
pub fn pretty_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).expect("artifact types have string keys only");
    bytes.push(b'\n');
    bytes
}

/// A value as the bytes of a large JSON file: on one line.
pub fn compact_json(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(value).expect("artifact types have string keys only");
    bytes.push(b'\n');
    bytes
}

/// Writes a file beside its place and renames it, so that a reader finds all of it or none. Makes
/// the folder when it is missing. **Errors**: the folder or the file cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let beside = path.with_file_name(name);
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&beside, bytes))
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|source| ArtifactError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cut_short_is_dropped_and_a_broken_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines.jsonl");
        fs::write(&path, "[1]\n\n[2]\n[3").unwrap();
        assert_eq!(read_json_lines::<Vec<u8>>(&path).unwrap(), [vec![1], vec![2]]);
        fs::write(&path, "[1]\n[2\n").unwrap();
        let error = read_json_lines::<Vec<u8>>(&path).unwrap_err().to_string();
        assert!(error.ends_with("lines.jsonl, line 2"), "{error}");
    }

    #[test]
    fn a_written_file_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plots/a.svg");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path().join("plots")).unwrap().count(), 1);
    }
}
