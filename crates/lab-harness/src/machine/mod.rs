//! The machine a run is on: its lock, its folders, ports, processors, limits and facts.

use std::path::Path;

pub mod cpu_quota;
pub mod cpu_time;
pub mod cpus;
pub mod disk;
pub mod facts;
pub mod limits;
pub mod lock;
pub mod ports;
pub mod run_dir;
pub(crate) mod stalls;

/// Folder of everything that a run keeps outside `results/`. It is on a real disk, unlike `/tmp`
/// on many systems, because the database must be durable.
pub const BASE: &str = "/var/tmp/outage-lab";

/// Makes `base` usable by every user of the machine, as `/var/tmp` itself is.
fn make_base(base: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if base.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(base)?;
    std::fs::set_permissions(base, std::fs::Permissions::from_mode(0o1777))
}
