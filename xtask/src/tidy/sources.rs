//! Which files the rules look at.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result};

/// Folders that hold no sources.
const SKIPPED_FOLDERS: [&str; 2] = [".git", "target"];

/// Paths from `root`, sorted: what git tracks or would take in. Without git, or outside a checkout,
/// every file, so that the rules hold in an unpacked archive too.
pub(crate) fn paths(root: &Path) -> Result<Vec<String>> {
    let mut paths = match git_files(root, &["--cached", "--others", "--exclude-standard"]) {
        Some(paths) => paths.into_iter().filter(|it| root.join(it).is_file()).collect(),
        None => {
            let mut paths = Vec::new();
            walk(root, "", &mut paths)?;
            paths
        }
    };
    paths.sort();
    paths.dedup();
    Ok(paths)
}

/// Paths from `root` that git tracks; none where git cannot say.
pub(crate) fn tracked(root: &Path) -> Vec<String> {
    git_files(root, &["--cached"]).unwrap_or_default()
}

/// The text of a file; `None` for what is not text.
pub(crate) fn text(path: &Path) -> Option<String> {
    String::from_utf8(fs::read(path).ok()?).ok()
}

fn git_files(root: &Path, which: &[&str]) -> Option<Vec<String>> {
    let mut command = Command::new("git");
    command.current_dir(root).args(["ls-files", "-z"]).args(which).stderr(Stdio::null());
    let output = command.output().ok().filter(|it| it.status.success())?;
    let names = String::from_utf8(output.stdout).ok()?;
    Some(names.split_terminator('\0').map(str::to_owned).collect())
}

fn walk(root: &Path, folder: &str, paths: &mut Vec<String>) -> Result<()> {
    let here = root.join(folder);
    for entry in here.read_dir().with_context(|| format!("list {}", here.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        if kind.is_file() {
            paths.push(path);
        } else if kind.is_dir() && !SKIPPED_FOLDERS.contains(&name.as_str()) {
            walk(root, &path, paths)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_git_every_file_but_what_was_built_is_a_source() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.rs", "b/c.md", "target/d.rs", ".ci/run"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        assert_eq!(paths(dir.path()).unwrap(), [".ci/run", "a.rs", "b/c.md"]);
        assert!(tracked(dir.path()).is_empty());
    }

    #[test]
    fn what_is_not_text_is_not_read_as_text() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("font.ttf");
        fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        assert_eq!(text(&path), None);
    }
}
