//! Finds the server programs that are installed on this machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Folders that hold servers although they are often not in PATH.
const USUAL_FOLDERS: [&str; 5] =
    ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];
/// Folders with one subfolder per version of PostgreSQL: the part before the version, and after.
const VERSIONED_FOLDERS: [(&str, &str, &str); 4] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/local", "pgsql", "bin"),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
];

/// The programs of the process backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    /// `redis-server`.
    pub redis_server: PathBuf,
    /// `postgres`.
    pub postgres: PathBuf,
    /// `initdb`, of the same version.
    pub initdb: PathBuf,
}

/// Something that the process backend needs and that is not installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// `redis-server`.
    Redis,
    /// `postgres` with `initdb` beside it.
    Postgres,
    /// The module `pg_stat_statements`, part of the contrib package.
    Contrib,
}

impl Missing {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Postgres => "postgres",
            Self::Contrib => "PostgreSQL's contrib modules (pg_stat_statements)",
        }
    }
}

/// Finds all programs. **Errors**: what is missing.
pub fn find() -> Result<Binaries, Vec<Missing>> {
    let redis_server = find_redis();
    let postgres = find_postgres();
    let mut missing = Vec::new();
    if redis_server.is_none() {
        missing.push(Missing::Redis);
    }
    match &postgres {
        None => missing.push(Missing::Postgres),
        Some(folder) if lacks_contrib(folder) => missing.push(Missing::Contrib),
        Some(_) => {}
    }
    match (redis_server, postgres) {
        (Some(redis_server), Some(folder)) if missing.is_empty() => Ok(Binaries {
            redis_server,
            postgres: folder.join("postgres"),
            initdb: folder.join("initdb"),
        }),
        _ => Err(missing),
    }
}

/// A program in PATH or one of the usual folders.
pub fn find_program(name: &str) -> Option<PathBuf> {
    search_folders().into_iter().map(|it| it.join(name)).find(|it| it.is_file())
}

fn find_redis() -> Option<PathBuf> {
    find_program("redis-server")
}

/// The folder of `postgres` and `initdb`, the newest version where there are several.
fn find_postgres() -> Option<PathBuf> {
    let in_path = search_folders().into_iter().filter_map(|folder| {
        // A link in PATH points into the folder where the rest is.
        let program = fs::canonicalize(folder.join("postgres")).ok()?;
        Some(program.parent()?.to_path_buf())
    });
    let versioned = VERSIONED_FOLDERS.iter().flat_map(|(base, prefix, rest)| {
        let mut found = subfolders(Path::new(base), prefix);
        found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
        found.into_iter().map(move |(_, path)| path.join(rest)).collect::<Vec<_>>()
    });
    in_path.chain(versioned).find(|it| it.join("postgres").is_file() && it.join("initdb").is_file())
}

fn search_folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).chain(USUAL_FOLDERS.map(PathBuf::from)).collect()
}

/// Subfolders of `base` whose name is `prefix` and a version, with the major version.
fn subfolders(base: &Path, prefix: &str) -> Vec<(u32, PathBuf)> {
    let Ok(entries) = fs::read_dir(base) else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.split('.').next()?.to_owned();
            let major = if version.is_empty() { 0 } else { version.parse().ok()? };
            Some((major, entry.path()))
        })
        .collect()
}

/// Whether the module folder beside this program folder is found and lacks the module. Where the
/// modules are elsewhere nothing is said, and the server itself will.
fn lacks_contrib(program_folder: &Path) -> bool {
    let modules = program_folder.with_file_name("lib");
    modules.join("plpgsql.so").is_file() && !modules.join("pg_stat_statements.so").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_and_other_folders_are_left_out() {
        let base = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "16", "common"] {
            fs::create_dir(base.path().join(name)).unwrap();
        }
        let mut majors: Vec<u32> =
            subfolders(base.path(), "").into_iter().map(|(major, _)| major).collect();
        majors.sort_unstable();
        assert_eq!(majors, [9, 15, 16]);
    }

    #[test]
    fn a_server_without_its_contrib_modules_is_noticed() {
        let base = tempfile::tempdir().unwrap();
        let (bin, lib) = (base.path().join("bin"), base.path().join("lib"));
        fs::create_dir(&lib).unwrap();
        assert!(!lacks_contrib(&bin), "the modules may be elsewhere");
        fs::write(lib.join("plpgsql.so"), "").unwrap();
        assert!(lacks_contrib(&bin));
        fs::write(lib.join("pg_stat_statements.so"), "").unwrap();
        assert!(!lacks_contrib(&bin));
    }
}
