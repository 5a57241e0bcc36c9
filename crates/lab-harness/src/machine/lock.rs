//! One bench at a time per machine: two would measure each other.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::fcntl::{Flock, FlockArg};

/// The lock was not given.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another bench holds it.
    #[error("another bench runs on this machine{}", pid.map(|it| format!(" (pid {it})")).unwrap_or_default())]
    Busy {
        /// Its process; `None` in the instant before it has written its pid.
        pid: Option<u32>,
    },
    /// The lock file cannot be used.
    #[error("cannot use the lock file {}: {source}", path.display())]
    File {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Held by the one bench of the machine. Dropping it, or dying, gives it back.
#[derive(Debug)]
pub struct MachineLock {
    _file: Flock<File>,
}

impl MachineLock {
    /// Takes the machine's lock. **Errors**: another bench has it.
    pub fn acquire() -> Result<Self, LockError> {
        Self::acquire_in(Path::new(super::BASE))
    }

    /// Takes the lock kept in `base`. **Errors**: another process has it.
    pub fn acquire_in(base: &Path) -> Result<Self, LockError> {
        let path = base.join("lock");
        let file_error = |source| LockError::File { path: path.clone(), source };
        super::make_base(base).map_err(file_error)?;
        let file = open(&path).map_err(file_error)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut file) => {
                write_pid(&mut file).map_err(file_error)?;
                Ok(Self { _file: file })
            }
            Err((mut file, nix::errno::Errno::EWOULDBLOCK)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).map_err(file_error)?;
                Err(LockError::Busy { pid: text.trim().parse().ok() })
            }
            Err((_, errno)) => Err(file_error(errno.into())),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    // Not created where it exists: the kernel refuses O_CREAT on another user's file in a sticky
    // folder (fs.protected_regular).
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = options.create(true).mode(0o666).open(path)?;
            // Every user of the machine shares the lock, whatever the umask.
            file.set_permissions(std::fs::Permissions::from_mode(0o666))?;
            Ok(file)
        }
        other => other,
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_bench_is_told_the_pid_of_the_first() {
        let base = tempfile::tempdir().unwrap();
        let first = MachineLock::acquire_in(base.path()).unwrap();
        let second = MachineLock::acquire_in(base.path()).unwrap_err();
        let expected = format!("another bench runs on this machine (pid {})", std::process::id());
        assert_eq!(second.to_string(), expected);
        drop(first);
        assert!(MachineLock::acquire_in(base.path()).is_ok());
    }

    #[test]
    fn a_lock_file_that_cannot_be_made_is_named() {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("lock")).unwrap();
        let error = MachineLock::acquire_in(base.path()).unwrap_err().to_string();
        assert!(error.contains("cannot use the lock file"), "{error}");
    }
}
