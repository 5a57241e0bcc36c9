//! Where the workspace lies, and cargo as its checks call it.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// The workspace as `cargo metadata` describes it.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Folder of the root `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds.
    pub(crate) target_dir: PathBuf,
    /// The crates of the workspace, each as `cargo metadata` gives it.
    pub(crate) packages: Vec<Value>,
}

impl Workspace {
    /// Asks cargo. **Errors**: not inside a workspace, or no cargo.
    pub(crate) fn find() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .output()
            .context("start cargo metadata")?;
        ensure!(
            output.status.success(),
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let metadata: Value =
            serde_json::from_slice(&output.stdout).context("read the output of cargo metadata")?;
        let path = |key: &str| -> Result<PathBuf> {
            let value = metadata[key].as_str();
            Ok(value.with_context(|| format!("cargo metadata without {key}"))?.into())
        };
        Ok(Self {
            root: path("workspace_root")?,
            target_dir: path("target_directory")?,
            packages: metadata["packages"].as_array().cloned().unwrap_or_default(),
        })
    }

    /// Cargo, to be run at the root of the workspace.
    pub(crate) fn cargo(&self, args: &[&str]) -> Command {
        let mut command = cargo();
        command.current_dir(&self.root).args(args);
        command
    }

    /// Folders below `results/` that hold a summary, sorted by name.
    pub(crate) fn campaigns_with_results(&self) -> Vec<PathBuf> {
        let folders = subfolders(&self.root.join("results"));
        folders.into_iter().filter(|it| it.join("summary.json").is_file()).collect()
    }
}

/// Folders directly below `folder`, sorted; none when it does not exist.
pub(crate) fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|it| it.path()).filter(|it| it.is_dir()).collect();
    folders.sort();
    folders
}

/// The file `path` as JSON. **Errors**: it cannot be read, or is none.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// Runs `command` and fails when it does. The output goes where ours goes.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("start {command:?}"))?;
    ensure!(status.success(), "{} ended with {status}", describe(command));
    Ok(())
}

/// The command as one would type it, without its environment.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|it| it.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The cargo that started us, free of what it set for us: build scripts that watch these variables
/// would otherwise run again each time somebody changes between `cargo` and `cargo xtask`.
fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_knows_its_own_crates() {
        let workspace = Workspace::find().unwrap();
        assert!(workspace.root.join("xtask/Cargo.toml").is_file());
        let names: Vec<_> = workspace.packages.iter().map(|it| it["name"].as_str()).collect();
        assert!(names.contains(&Some("lab-core")) && names.contains(&Some("xtask")), "{names:?}");
    }

    #[test]
    fn a_command_that_fails_is_named_without_its_folder() {
        let error = succeed(Command::new("/bin/false").arg("--why")).unwrap_err().to_string();
        assert_eq!(error, "false --why ended with exit status: 1");
        succeed(&mut Command::new("true")).unwrap();
    }

    #[test]
    fn folders_come_in_the_order_of_their_names() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "a"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        std::fs::write(dir.path().join("c"), "a file").unwrap();
        assert_eq!(subfolders(dir.path()), [dir.path().join("a"), dir.path().join("b")]);
        assert!(subfolders(&dir.path().join("missing")).is_empty());
    }
}
