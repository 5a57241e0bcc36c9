//! The first-run rule: where no servers are installed and the user may, two packages are.

use std::process::{Command, Stdio};

use nix::unistd::{User, geteuid};

use super::binaries::{self, Binaries, Missing, find_program};

/// Installs the packages given as arguments, without letting them start a service or make a
/// cluster. A `policy-rc.d` that was not there before does not stay.
const SCRIPT: &str = r#"
set -eu
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
clusters=/etc/postgresql-common/createcluster.conf
if [ ! -e "$clusters" ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >"$clusters"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install -y --no-install-recommends -o Dpkg::Options::=--force-confold "$@"
"#;

/// Whether missing servers may be installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstallPolicy {
    /// On Debian and Ubuntu, with root's rights.
    Allowed,
    /// Never (`--no-install`).
    Forbidden,
}

/// Servers are missing and were not installed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InstallError {
    /// The user has to.
    #[error("{missing} not found; install with: {command}")]
    NotInstalled {
        /// What is missing.
        missing: String,
        /// The one command to type.
        command: String,
    },
    /// The package tool failed.
    #[error("apt-get could not install {packages}: {last_line}")]
    Failed {
        /// What was wanted.
        packages: String,
        /// Its last line.
        last_line: String,
    },
}

/// The user that servers run as when the lab is root, because PostgreSQL refuses to be root:
/// `postgres`, else `nobody`. `None` when the lab is not root.
pub fn server_user() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let find = |name| User::from_name(name).ok().flatten();
    let user = find("postgres").or_else(|| find("nobody"));
    // 65534 is nobody wherever the user data base does not say so.
    Some(user.map_or((65_534, 65_534), |it| (it.uid.as_raw(), it.gid.as_raw())))
}

/// Finds the servers, and installs them first where they are missing and the rule allows it.
///
/// **Errors**: they are missing and cannot be installed here; the message is the command to type.
pub async fn find_or_install(policy: InstallPolicy) -> Result<Binaries, InstallError> {
    let missing = match binaries::find() {
        Ok(binaries) => return Ok(binaries),
        Err(missing) => missing,
    };
    let not_installed = || InstallError::NotInstalled {
        missing: missing.iter().map(|it| it.name()).collect::<Vec<_>>().join(" and "),
        command: command_to_type(&missing),
    };
    let rights = rights().filter(|_| policy == InstallPolicy::Allowed);
    let (Some(rights), Some(_)) = (rights, find_program("apt-get")) else {
        return Err(not_installed());
    };
    let packages = apt_packages(&missing);
    tracing::warn!(
        packages = packages.join(" "),
        "installing with apt-get; --no-install forbids it"
    );
    let run = tokio::task::spawn_blocking(move || install(rights, &packages));
    run.await.unwrap_or_else(|_| Err(not_installed()))?;
    binaries::find().map_err(|_| not_installed())
}

/// How to become root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rights {
    Root,
    PasswordlessSudo,
}

fn rights() -> Option<Rights> {
    if geteuid().is_root() {
        return Some(Rights::Root);
    }
    let sudo = Command::new("sudo")
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    sudo.is_ok_and(|it| it.success()).then_some(Rights::PasswordlessSudo)
}

fn install(rights: Rights, packages: &[&str]) -> Result<(), InstallError> {
    let shell = ["sh", "-c", SCRIPT, "install"];
    let mut command = match rights {
        Rights::Root => Command::new(shell[0]),
        Rights::PasswordlessSudo => {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", shell[0]]);
            sudo
        }
    };
    let output = command.args(&shell[1..]).args(packages).stdin(Stdio::null()).output();
    let last_line = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            text.lines().rfind(|it| !it.trim().is_empty()).unwrap_or("no output").to_owned()
        }
        Err(error) => error.to_string(),
    };
    Err(InstallError::Failed { packages: packages.join(" "), last_line })
}

fn apt_packages(missing: &[Missing]) -> Vec<&'static str> {
    let package = |it: &Missing| match it {
        Missing::Redis => "redis-server",
        Missing::Postgres => "postgresql",
        Missing::Contrib => "postgresql-contrib",
    };
    missing.iter().map(package).collect()
}

/// The one command that installs what is missing on this kind of system.
pub fn command_to_type(missing: &[Missing]) -> String {
    let manager = ["apt-get", "dnf", "brew"].into_iter().find(|it| find_program(it).is_some());
    command_for(manager.unwrap_or("apt-get"), missing)
}

fn command_for(manager: &str, missing: &[Missing]) -> String {
    let package = |it: &Missing| match (manager, it) {
        ("dnf", Missing::Redis) => "redis",
        ("dnf", Missing::Postgres) => "postgresql-server postgresql-contrib",
        ("brew", Missing::Redis) => "redis",
        ("brew", Missing::Postgres | Missing::Contrib) => "postgresql@16",
        ("dnf", Missing::Contrib) => "postgresql-contrib",
        (_, it) => apt_packages(&[*it])[0],
    };
    let packages: Vec<&str> = missing.iter().map(package).collect();
    let prefix = if manager == "brew" { "" } else { "sudo " };
    format!("{prefix}{manager} install {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_gets_its_one_command() {
        let both = [Missing::Redis, Missing::Postgres];
        for (manager, expected) in [
            ("apt-get", "sudo apt-get install redis-server postgresql"),
            ("dnf", "sudo dnf install redis postgresql-server postgresql-contrib"),
            ("brew", "brew install redis postgresql@16"),
        ] {
            assert_eq!(command_for(manager, &both), expected);
        }
        let contrib = command_for("apt-get", &[Missing::Contrib]);
        assert_eq!(contrib, "sudo apt-get install postgresql-contrib");
    }

    #[test]
    fn root_never_runs_postgres_as_root() {
        assert!(server_user().is_none_or(|(user, group)| user != 0 && group != 0));
    }

    #[test]
    fn the_script_is_sound_shell() {
        let checked = Command::new("sh").args(["-n", "-c", SCRIPT]).status().unwrap();
        assert!(checked.success());
    }
}
