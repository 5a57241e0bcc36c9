//! What this machine has, what is missing, and the command that mends it.

use std::path::Path;

use lab_core::artifact::manifest::Host;

use crate::{
    exit::ExitCode,
    machine::{
        BASE,
        cpus::{self, CpuPlan},
        disk, facts, limits, ports,
    },
    stack::{binaries, docker, images::Images, install},
};

/// Open files that a `full` trial at 2,500 requests per second needs: 1.5 × rate × 1 s of give-up
/// for the users, the same for the service, and some. Chosen.
const NOFILE_MIN: u64 = 8_192;

/// What the doctor found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    mark: Mark,
    what: &'static str,
    found: String,
    /// The command or the change that mends it.
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// As it should be.
    Good,
    /// A bench works, less well.
    Weak,
    /// A bench does not work.
    Missing,
}

impl Report {
    /// 0 when a bench can run here, 2 when something must be mended first.
    pub fn exit_code(&self) -> ExitCode {
        let missing = self.lines.iter().any(|it| it.mark == Mark::Missing);
        if missing { ExitCode::Usage } else { ExitCode::Done }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for line in &self.lines {
            let mark = match line.mark {
                Mark::Good => "ok     ",
                Mark::Weak => "weak   ",
                Mark::Missing => "missing",
            };
            writeln!(f, "{mark}  {:<13} {}", line.what, line.found)?;
            if let Some(remedy) = &line.remedy {
                writeln!(f, "         {:<13} -> {remedy}", "")?;
            }
        }
        Ok(())
    }
}

/// Looks at the machine. Changes nothing.
pub async fn report() -> Report {
    let host = facts::host(CpuPlan::of_this_machine().n_cpus());
    let mut lines =
        vec![processors(&host), memory(&host), clock(), open_files(), free_ports(), free_disk()];
    let (docker, docker_usable) = docker_lines().await;
    lines.extend(docker);
    lines.push(servers(docker_usable));
    Report { lines }
}

fn good(what: &'static str, found: impl Into<String>) -> Line {
    Line { mark: Mark::Good, what, found: found.into(), remedy: None }
}

fn flawed(mark: Mark, what: &'static str, found: String, remedy: impl Into<String>) -> Line {
    Line { mark, what, found, remedy: Some(remedy.into()) }
}

fn processors(host: &Host) -> Line {
    let found = format!("{} of {}", cpus::allowed().len(), host.cpu_model);
    if cpus::allowed().len() < 2 {
        let remedy = "use two or more, so that PostgreSQL has one to itself";
        return flawed(Mark::Weak, "processors", found, remedy);
    }
    good("processors", found)
}

fn memory(host: &Host) -> Line {
    let gibibytes = host.memory_bytes >> 30;
    let found = format!("{gibibytes} GiB");
    if gibibytes < 2 {
        return flawed(Mark::Weak, "memory", found, "use a machine with 2 GiB or more");
    }
    good("memory", found)
}

fn clock() -> Line {
    let source = facts::clock_source();
    if matches!(source.as_str(), "hpet" | "acpi_pm" | "jiffies") {
        let remedy = "boot with clocksource=tsc; reading this clock is slow";
        return flawed(Mark::Weak, "clock source", source, remedy);
    }
    good("clock source", source)
}

fn open_files() -> Line {
    match limits::require_nofile(NOFILE_MIN) {
        Ok(()) => good("open files", format!("{NOFILE_MIN} or more")),
        Err(error) => {
            let remedy = format!("ulimit -n {NOFILE_MIN}");
            flawed(Mark::Weak, "open files", format!("{} allowed", error.allowed), remedy)
        }
    }
}

fn free_ports() -> Line {
    match ports::pick(4) {
        Ok(_) => {
            let (first, last) = (ports::RANGE.start(), ports::RANGE.end());
            good("ports", format!("free ones between {first} and {last}"))
        }
        Err(error) => flawed(Mark::Missing, "ports", error.to_string(), "end what listens on them"),
    }
}

fn free_disk() -> Line {
    match disk::require_free(Path::new(BASE), disk::FREE_BYTES_MIN) {
        Ok(()) => good("disk", format!("1 GiB or more free at {BASE}")),
        Err(error) => flawed(Mark::Missing, "disk", error.to_string(), "make room there"),
    }
}

/// Docker is never missing: processes do as well. Returns whether `auto` would take it.
async fn docker_lines() -> (Vec<Line>, bool) {
    let docker = match docker::connect().await {
        Ok(docker) => docker,
        Err(reason) => return (vec![good("docker", format!("not used: {reason}"))], false),
    };
    let engine = good("docker", format!("engine {}", docker::version(&docker).await));
    let (found, usable) = if docker::has(&docker, &Images::official()).await {
        ("official images are there".to_owned(), true)
    } else if let Err(reason) = docker::can_pull(&docker, &Images::official()).await {
        let stand_ins = docker::has(&docker, &Images::stand_ins()).await;
        let stand_ins = if stand_ins { "stand-ins are there" } else { "no stand-ins yet" };
        (format!("official images cannot be pulled ({reason}); {stand_ins}"), false)
    } else {
        ("official images can be pulled".to_owned(), true)
    };
    (vec![engine, good("images", found)], usable)
}

fn servers(docker_usable: bool) -> Line {
    match binaries::find() {
        Ok(found) => {
            let (redis, postgres) = (found.redis_server.display(), found.postgres.display());
            good("servers", format!("{redis}, {postgres}"))
        }
        Err(missing) => {
            let names: Vec<_> = missing.iter().map(|it| it.name()).collect();
            let found = format!("no {}", names.join(", no "));
            let remedy = install::command_to_type(&missing);
            let mark = if docker_usable { Mark::Weak } else { Mark::Missing };
            flawed(mark, "servers", found, remedy)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_decides_the_exit_code_and_comes_with_its_remedy() {
        let weak = flawed(Mark::Weak, "memory", "1 GiB".into(), "add some");
        let mut report = Report { lines: vec![good("disk", "fine"), weak] };
        assert_eq!(report.exit_code(), ExitCode::Done);
        report.lines.push(flawed(Mark::Missing, "servers", "no postgres".into(), "apt-get …"));
        assert_eq!(report.exit_code(), ExitCode::Usage);
        assert!(report.to_string().contains("-> apt-get …"), "{report}");
    }
}
