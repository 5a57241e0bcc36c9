//! A cap on the processor time of a process and all its children, by a control group.
//!
//! It makes a machine whose database is smaller than a core, so that load far above the database's
//! capacity can be offered from the cores that are left. The share is granted in periods of 10 ms
//! and not the kernel's usual 100 ms, so that a server out of time stands still for milliseconds.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use lab_core::units::Ratio;

/// Length of a period in which the share is granted, in microseconds.
pub(crate) const PERIOD_US: u64 = 10_000;
/// The kernel grants no less than this in a period, in microseconds.
const QUOTA_US_MIN: f64 = 1_000.0;
/// Where control groups are mounted, on every distribution.
const MOUNT: &str = "/sys/fs/cgroup";
/// Names of this lab's groups begin so.
const PREFIX: &str = "outage-lab-";

/// The campaign's key for PostgreSQL's cap.
pub const DATABASE_KEY: &str = "database.cpu_quota";
/// The campaign's key for the cap of each instance of the service.
pub const SERVICE_KEY: &str = "service.cpu_quota";
/// Between a run's id and what a group is for.
const SEPARATOR: char = '.';

/// No cap can be set on this machine, or not for this user.
#[derive(Debug, thiserror::Error)]
#[error(
    "{key}: cannot cap processor time with a control group at {}: {source}; run as root{}",
    path.display(),
    if *key == DATABASE_KEY { ", or use --backend docker" } else { "" }
)]
pub struct CpuQuotaError {
    /// The key of the campaign that asks for it.
    pub key: &'static str,
    /// The file or folder that refused.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// A control group with a cap. Dropping it removes the group, once its processes are gone.
#[derive(Debug)]
pub struct CpuGroup {
    folder: PathBuf,
}

impl CpuGroup {
    /// Makes a group for `member` of run `run_id` whose processes have `share` of one core together,
    /// as `key` of the campaign says.
    ///
    /// **Errors**: control groups are not there, or this user may not make one.
    pub fn create(
        key: &'static str,
        (run_id, member): (&str, &str),
        share: Ratio,
    ) -> Result<Self, CpuQuotaError> {
        let failed = |(path, source)| CpuQuotaError { key, path, source };
        let (hierarchy, version) = hierarchy().map_err(failed)?;
        let folder = hierarchy.join(format!("{PREFIX}{run_id}{SEPARATOR}{member}"));
        if version == Version::V2 {
            let enabled = hierarchy.join("cgroup.subtree_control");
            fs::write(&enabled, "+cpu").map_err(|source| failed((enabled, source)))?;
        }
        fs::create_dir(&folder).map_err(|source| failed((folder.clone(), source)))?;
        let group = Self { folder };
        for (file, text) in version.settings(quota_us(share)) {
            let path = group.folder.join(file);
            fs::write(&path, text).map_err(|source| failed((path, source)))?;
        }
        Ok(group)
    }

    /// The file to which a process writes `0` to join.
    pub fn procs_file(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }
}

impl Drop for CpuGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            tracing::warn!(path = %self.folder.display(), %error, "a control group stays behind");
        }
    }
}

/// Removes the groups of runs that are gone: those whose id `is_alive` does not know. Returns the
/// folders of those removed, and of those that could not be, each with the reason.
pub fn remove_leftovers(
    is_alive: impl Fn(&str) -> bool,
) -> (Vec<PathBuf>, Vec<(PathBuf, io::Error)>) {
    let (mut removed, mut failures) = (Vec::new(), Vec::new());
    let Ok((hierarchy, _)) = hierarchy() else { return (removed, failures) };
    for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(of_run) = name.strip_prefix(PREFIX) else { continue };
        if of_run.split(SEPARATOR).next().is_some_and(&is_alive) {
            continue;
        }
        match fs::remove_dir(entry.path()) {
            Ok(()) => removed.push(entry.path()),
            Err(source) => failures.push((entry.path(), source)),
        }
    }
    (removed, failures)
}

/// The two interfaces of the kernel, which distributions mount one or both of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Version {
    /// What to write into which file, in this order.
    fn settings(self, quota_us: u64) -> Vec<(&'static str, String)> {
        match self {
            Self::V1 => vec![
                ("cpu.cfs_period_us", PERIOD_US.to_string()),
                ("cpu.cfs_quota_us", quota_us.to_string()),
            ],
            Self::V2 => vec![("cpu.max", format!("{quota_us} {PERIOD_US}"))],
        }
    }
}

/// Where the processor controller is: the older interface is used where it has the controller.
fn hierarchy() -> Result<(PathBuf, Version), (PathBuf, io::Error)> {
    let mount = Path::new(MOUNT);
    let v1 = mount.join("cpu");
    if v1.join("cpu.cfs_quota_us").exists() || v1.join("tasks").exists() {
        return Ok((v1, Version::V1));
    }
    let offered = mount.join("cgroup.controllers");
    let controllers = fs::read_to_string(&offered).map_err(|source| (offered.clone(), source))?;
    if !controllers.split_whitespace().any(|it| it == "cpu") {
        return Err((offered, io::Error::other("no cpu controller")));
    }
    Ok((mount.to_path_buf(), Version::V2))
}

/// A share of one core in microseconds of each period.
pub(crate) fn quota_us(share: Ratio) -> u64 {
    #[expect(clippy::cast_precision_loss, reason = "a period is 10,000 µs")]
    let quota = (share.get() * PERIOD_US as f64).max(QUOTA_US_MIN);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1,000 to 10,000")]
    let quota = quota.round() as u64;
    quota
}

#[cfg(test)]
mod tests {
    use super::*;

    // Worked by hand: 0.4 of 10,000 µs is 4,000; 0.01 would be 100, below what the kernel grants.
    #[test]
    fn a_share_becomes_microseconds_of_a_period() {
        let quota = |share| quota_us(Ratio::new(share).unwrap());
        assert_eq!([quota(0.4), quota(1.0), quota(0.01)], [4_000, 10_000, 1_000]);
        assert_eq!(Version::V2.settings(4_000), [("cpu.max", "4000 10000".to_owned())]);
        let v1 = Version::V1.settings(4_000);
        assert_eq!(v1[1], ("cpu.cfs_quota_us", "4000".to_owned()));
    }
}
