//! The folder of one run, and the folders that dead runs left.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use lab_core::clock::MonotonicNs;
use nix::unistd::{Gid, Uid, chown};

use super::disk::{self, DiskError};
use crate::process::{ProcessIdentity, Registry, registry};

/// File that says which process a folder belongs to.
const OWNER_FILE: &str = "owner.json";
const PREFIX: &str = "run-";

/// A folder that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RunDirectoryError {
    /// No room.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Not writable.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The folder of one run: data of the servers, their logs, sockets and the list of children.
/// Everybody may read it, because PostgreSQL runs as another user when the lab is root.
/// Dropping it removes it.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    id: String,
}

impl RunDirectory {
    /// Makes the folder of this run. **Errors**: less than 1 GiB is free, or it is not writable.
    pub fn create() -> Result<Self, RunDirectoryError> {
        Self::create_in(Path::new(super::BASE))
    }

    /// Makes the folder inside `base`. **Errors**: as [`Self::create`].
    pub fn create_in(base: &Path) -> Result<Self, RunDirectoryError> {
        static N_CREATED: AtomicU32 = AtomicU32::new(0);
        let owner = ProcessIdentity::this_process();
        let n_created = N_CREATED.fetch_add(1, Ordering::Relaxed);
        let id = format!("{}-{}-{n_created}", owner.pid, MonotonicNs::now().0 / 1_000_000);
        disk::require_free(base, disk::FREE_BYTES_MIN)?;
        let path = base.join(format!("{PREFIX}{id}"));
        // Written beside and renamed, so that no folder is ever seen without its owner.
        let unfinished = base.join(format!("new-{id}"));
        let make = || -> io::Result<()> {
            super::make_base(base)?;
            fs::create_dir(&unfinished)?;
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o755))?;
            fs::write(unfinished.join(OWNER_FILE), serde_json::to_vec(&owner)?)?;
            fs::rename(&unfinished, &path)
        };
        make().map_err(|source| RunDirectoryError::Write { path: path.clone(), source })?;
        Ok(Self { path, id })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Unique on this machine since it booted.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The list of children, for the run's spawner. **Errors**: it cannot be written.
    pub fn registry(&self) -> Result<Registry, RunDirectoryError> {
        Registry::open(&self.path).map_err(|source| self.write_error(registry::FILE_NAME, source))
    }

    /// Makes a folder inside that belongs to `owner`, or to the lab's user.
    /// **Errors**: it cannot be made.
    pub fn subfolder(
        &self,
        name: &str,
        owner: Option<(u32, u32)>,
    ) -> Result<PathBuf, RunDirectoryError> {
        let path = self.path.join(name);
        let make = || -> io::Result<()> {
            fs::create_dir(&path)?;
            if let Some((user, group)) = owner {
                chown(&path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
            }
            Ok(())
        };
        make().map_err(|source| self.write_error(name, source))?;
        Ok(path)
    }

    /// Removes it. **Errors**: something inside cannot be removed.
    pub fn remove(self) -> Result<(), RunDirectoryError> {
        fs::remove_dir_all(&self.path).map_err(|source| self.write_error("", source))
    }

    fn write_error(&self, name: &str, source: io::Error) -> RunDirectoryError {
        RunDirectoryError::Write { path: self.path.join(name), source }
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.path.display(), %error, "the run's folder stays behind");
        }
    }
}

/// A run's folder whose process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadRun {
    /// The folder.
    pub path: PathBuf,
    /// Children it had started; those that still run are leftovers.
    pub children: Vec<registry::Entry>,
}

/// The folders in `base` whose process is gone. A folder that was never finished counts as dead
/// when its process, the first number of its name, is gone.
pub fn dead_runs(base: &Path) -> Vec<DeadRun> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_dead(path))
        .map(|path| DeadRun { children: registry::read(&path), path })
        .collect()
}

/// Whether the run `id`, whose folder is in `base`, still goes on.
pub fn is_alive(base: &Path, id: &str) -> bool {
    let folder = base.join(format!("{PREFIX}{id}"));
    folder.is_dir() && !is_dead(&folder)
}

fn is_dead(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.starts_with(PREFIX) {
        let owner = fs::read(folder.join(OWNER_FILE)).unwrap_or_default();
        return serde_json::from_slice::<ProcessIdentity>(&owner).is_ok_and(|it| !it.is_alive());
    }
    let unfinished = name.strip_prefix("new-").and_then(|id| id.split('-').next()?.parse().ok());
    unfinished.is_some_and(|pid| ProcessIdentity::of(pid).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_directory_goes_away_with_its_run() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDirectory::create_in(base.path()).unwrap();
        let path = run.path().to_path_buf();
        run.subfolder("redis", None).unwrap();
        assert!(path.join("redis").is_dir());
        assert_eq!(dead_runs(base.path()), [], "a living run is no leftover");
        drop(run);
        assert!(!path.exists());
    }

    #[test]
    fn a_folder_whose_process_is_gone_is_a_leftover() {
        let base = tempfile::tempdir().unwrap();
        let run = RunDirectory::create_in(base.path()).unwrap();
        let mut owner = ProcessIdentity::this_process();
        owner.start_ticks += 1;
        let text = serde_json::to_vec(&owner).unwrap();
        fs::write(run.path().join(OWNER_FILE), text).unwrap();
        let dead = dead_runs(base.path());
        assert_eq!(dead, [DeadRun { path: run.path().to_path_buf(), children: vec![] }]);
    }

    #[test]
    fn two_runs_of_one_process_have_two_folders() {
        let base = tempfile::tempdir().unwrap();
        let one = RunDirectory::create_in(base.path()).unwrap();
        let two = RunDirectory::create_in(base.path()).unwrap();
        assert_ne!(one.path(), two.path());
    }
}
