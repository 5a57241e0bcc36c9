//! Facts about the machine for the manifest.

use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

use lab_core::artifact::manifest::Host;
use nix::{
    sys::utsname::uname,
    time::{ClockId, clock_gettime},
};

/// The machine with `n_cpus` processors, as the manifest records it: the lab has pinned itself to
/// some of them by the time anybody asks. Facts that the system does not tell are `unknown` or 0.
pub fn host(n_cpus: usize) -> Host {
    Host {
        n_cpus: u32::try_from(n_cpus).unwrap_or(u32::MAX),
        cpu_model: colon_value(&read("/proc/cpuinfo"), "model name")
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        memory_bytes: memory_bytes(&read("/proc/meminfo")),
        os: os_name(&read("/etc/os-release")),
        kernel: uname().map_or_else(|_| unknown(), |it| it.release().to_string_lossy().into()),
    }
}

/// The kernel's clock source: reading the clock is slow with anything but `tsc` or `kvm-clock`.
pub fn clock_source() -> String {
    let text = read("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if text.trim().is_empty() { unknown() } else { text.trim().to_owned() }
}

/// The wall time, RFC 3339 to the second, for people; never subtracted.
pub fn utc_now() -> String {
    let since_epoch = clock_gettime(ClockId::CLOCK_REALTIME).map_or(Duration::ZERO, Duration::from);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since_epoch).to_string()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn colon_value(text: &str, key: &str) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn memory_bytes(meminfo: &str) -> u64 {
    let total = colon_value(meminfo, "MemTotal").unwrap_or_default();
    total.trim_end_matches(" kB").parse::<u64>().map_or(0, |kilobytes| kilobytes * 1024)
}

fn os_name(os_release: &str) -> String {
    let name = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or_else(unknown, |it| it.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_from_the_kernels_own_words() {
        assert_eq!(memory_bytes("MemTotal:       24682640 kB\nMemFree: 1 kB"), 25_275_023_360);
        assert_eq!(os_name("NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
        assert_eq!(colon_value("model name\t: Xeon @ 2:1\n", "model name").unwrap(), "Xeon @ 2:1");
        let host = host(2);
        assert!(host.n_cpus == 2 && 0 < host.memory_bytes && host.kernel != "unknown");
    }
}
