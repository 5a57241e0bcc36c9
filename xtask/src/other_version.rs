//! Another version of the service: checked out in a git worktree of its own, and built there.
//!
//! The worktree is there only while it is built. It goes away when the build ends, fails or is
//! interrupted; what a kill leaves, the next gate or `cargo xtask clean` removes.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
    sys::{
        signal::{Signal, kill},
        statvfs::statvfs,
    },
    unistd::Pid,
};
use tokio::{
    process::Child,
    runtime,
    signal::unix::{SignalKind, signal},
};

use crate::{
    lab::Tool,
    workspace::{Workspace, describe},
};

/// Least free space, in bytes, for a checkout and a release build of the service. Chosen: they take
/// half of it on Linux.
const FREE_BYTES_MIN: u64 = 1 << 30;
/// Digits of a commit that reports show.
const SHORT: usize = 12;

/// A version that cannot be compared with: one line that names what to change.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// Not a version.
    #[error("--against {reference}: no such commit: {why}")]
    NoCommit {
        /// What was asked for.
        reference: String,
        /// What git says.
        why: String,
    },
    /// A version that does not build.
    #[error("--against {reference}: that version does not build: {why}")]
    DoesNotBuild {
        /// What was asked for.
        reference: String,
        /// How cargo ended.
        why: String,
    },
    /// No room.
    #[error("only {free_mib} MiB are free at {}, {needed_mib} MiB are needed for --against", path.display())]
    NoRoom {
        /// Where.
        path: PathBuf,
        /// What is there.
        free_mib: u64,
        /// What is needed.
        needed_mib: u64,
    },
    /// Another gate builds in the same place.
    #[error("another gate is building in {}: wait until it has begun its trials", path.display())]
    Busy {
        /// Where.
        path: PathBuf,
    },
    /// `SIGINT` or `SIGTERM`.
    #[error("interrupted; nothing is judged")]
    Interrupted,
}

impl Refused {
    /// The lab's own numbers: usage, busy, storage, interrupted.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::NoCommit { .. } | Self::DoesNotBuild { .. } => 2,
            Self::Busy { .. } => 5,
            Self::NoRoom { .. } => 9,
            Self::Interrupted => 130,
        }
    }
}

/// A version to build.
#[derive(Debug)]
pub(crate) struct OtherVersion<'a> {
    workspace: &'a Workspace,
    reference: String,
    commit: String,
}

impl<'a> OtherVersion<'a> {
    /// Looks it up. **Errors**: [`Refused::NoCommit`].
    pub(crate) fn find(workspace: &'a Workspace, reference: &OsStr) -> Result<Self> {
        let reference = reference.to_string_lossy().into_owned();
        let no_commit = |why: String| Refused::NoCommit { reference: reference.clone(), why };
        if reference.is_empty() || reference.starts_with('-') {
            return Err(no_commit("give a branch, a tag or a commit".into()).into());
        }
        let object = format!("{reference}^{{commit}}");
        let output = git(&workspace.root, &["rev-parse", "--verify", &object])?;
        if !output.status.success() {
            return Err(no_commit(last_line(&output.stderr)).into());
        }
        let commit = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { workspace, reference, commit })
    }

    /// Its commit, as reports show it.
    pub(crate) fn short_commit(&self) -> &str {
        self.commit.get(..SHORT).unwrap_or(&self.commit)
    }

    /// Builds its service and says where it is. What it shares with the build before it is not built
    /// again. The worktree is gone afterwards, however that ends.
    ///
    /// **Errors**: [`Refused`]; git or cargo cannot be started.
    pub(crate) fn build(&self) -> Result<PathBuf> {
        let target_dir = self.workspace.target_dir.join("gate-build");
        fs::create_dir_all(&target_dir)
            .with_context(|| format!("create {}", target_dir.display()))?;
        let _lock = lock(&self.workspace.target_dir)?;
        require_room(&target_dir, FREE_BYTES_MIN)?;
        eprintln!("building {} ({})", self.reference, self.short_commit());
        // Signals are caught from here on, so that the worktree goes away with whatever is done in it.
        runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start a runtime")?
            .block_on(async {
                tokio::select! {
                    built = self.build_in_worktree(&target_dir) => built,
                    interrupted = interrupted() => {
                        interrupted?;
                        Err(Refused::Interrupted.into())
                    }
                }
            })
    }

    async fn build_in_worktree(&self, target_dir: &Path) -> Result<PathBuf> {
        let worktree = Worktree::add(self.workspace, &self.commit)?;
        let tool = Tool::Storefront.name();
        // As this version is built: what is selected decides which features dependencies have.
        let mut command =
            self.workspace.cargo(&["build", "--release", "--workspace", "--bin", tool]);
        command.arg("--target-dir").arg(target_dir).current_dir(&worktree.path);
        let described = describe(&command);
        let mut cargo = Cargo::start(command)?;
        let status = cargo.0.wait().await.context("wait for cargo")?;
        if !status.success() {
            let why = format!("{described} ended with {status}");
            return Err(Refused::DoesNotBuild { reference: self.reference.clone(), why }.into());
        }
        Ok(target_dir.join("release").join(tool))
    }
}

/// A cargo that is asked to end when nobody waits for it any more.
struct Cargo(Child);

impl Cargo {
    fn start(command: Command) -> Result<Self> {
        let described = describe(&command);
        let child = tokio::process::Command::from(command).spawn();
        Ok(Self(child.with_context(|| format!("start {described}"))?))
    }
}

impl Drop for Cargo {
    fn drop(&mut self) {
        // `None` when it has ended and was waited for.
        if let Some(pid) = self.0.id().and_then(|it| i32::try_from(it).ok()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
    }
}

/// A git worktree; dropping it removes it.
struct Worktree<'a> {
    root: &'a Path,
    path: PathBuf,
}

impl<'a> Worktree<'a> {
    /// Checks `commit` out, in place of what an earlier gate left.
    fn add(workspace: &'a Workspace, commit: &str) -> Result<Self> {
        let path = worktree_path(&workspace.target_dir);
        remove_worktree(&workspace.root, &path)?;
        let worktree = Self { root: &workspace.root, path };
        let output = git(
            worktree.root,
            &[
                OsStr::new("worktree"),
                OsStr::new("add"),
                OsStr::new("--quiet"),
                OsStr::new("--detach"),
                worktree.path.as_os_str(),
                OsStr::new(commit),
            ],
        )?;
        if !output.status.success() {
            bail!("git worktree add: {}", last_line(&output.stderr));
        }
        Ok(worktree)
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        if let Err(error) = remove_worktree(self.root, &self.path) {
            eprintln!("cargo xtask: {error:#}; `cargo xtask clean` removes it");
        }
    }
}

/// Removes the worktree that a gate left which was killed. Says so. A gate that builds keeps its own.
pub(crate) fn remove_leftover(workspace: &Workspace) -> Result<()> {
    let path = worktree_path(&workspace.target_dir);
    if !path.exists() || lock(&workspace.target_dir).is_err() {
        return Ok(());
    }
    remove_worktree(&workspace.root, &path)?;
    eprintln!("removed {}", path.display());
    Ok(())
}

fn worktree_path(target_dir: &Path) -> PathBuf {
    target_dir.join("gate-worktree")
}

/// Removes what there is of a worktree: git's record of it, and its files.
fn remove_worktree(root: &Path, path: &Path) -> Result<()> {
    // Fails where git knows of none; whether anything is left is seen below.
    git(
        root,
        &[
            OsStr::new("worktree"),
            OsStr::new("remove"),
            OsStr::new("--force"),
            OsStr::new("--force"),
            path.as_os_str(),
        ],
    )?;
    if path.exists() {
        fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// Held while a worktree is there. Given back when it is dropped or its process ends, however.
/// Closing the file would not do: a child that another thread has just forked shares it.
fn lock(target_dir: &Path) -> Result<Flock<File>> {
    let path = target_dir.join("gate-worktree.lock");
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(held) => Ok(held),
        Err((_, Errno::EWOULDBLOCK)) => {
            Err(Refused::Busy { path: worktree_path(target_dir) }.into())
        }
        Err((_, errno)) => Err(errno).with_context(|| format!("lock {}", path.display())),
    }
}

fn require_room(path: &Path, needed: u64) -> Result<()> {
    let room = statvfs(path).with_context(|| format!("ask for the room at {}", path.display()))?;
    let free = room.blocks_available() * room.fragment_size();
    if free < needed {
        let (free_mib, needed_mib) = (free >> 20, needed >> 20);
        return Err(Refused::NoRoom { path: path.to_owned(), free_mib, needed_mib }.into());
    }
    Ok(())
}

/// Waits for `SIGINT` or `SIGTERM`.
async fn interrupted() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("watch for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

fn git(root: &Path, args: &[impl AsRef<OsStr>]) -> Result<Output> {
    Command::new("git").args(args).current_dir(root).output().context("start git")
}

fn last_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.lines().rfind(|it| !it.trim().is_empty()).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests;
