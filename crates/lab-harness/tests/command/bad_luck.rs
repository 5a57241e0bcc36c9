//! Bad luck that needs a real bench: each ends in one clear line, with its own exit code, and
//! leaves nothing behind. (`trials.rs` has the interruptions.)

use std::{fs, path::Path, process::Command};

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    lab::{End, Lab, leftovers, one_at_a_time, summary},
    scenarios,
};

/// The line with which a call ended, which must be one line and say `part`.
#[track_caller]
fn assert_says(end: &End, code: i32, part: &str) {
    assert_eq!(end.code, code, "{}", end.stderr);
    let last = end.stderr.trim().lines().last().unwrap_or_default();
    assert!(last.starts_with("lab: ") && last.contains(part), "{}", end.stderr);
}

/// A file system of its own, `megabytes` large, at `folder`; `None`, with the skip printed, where
/// the user may not mount one.
fn small_disk(folder: &Path, megabytes: u32) -> Option<SmallDisk> {
    fs::create_dir_all(folder).unwrap();
    let size = format!("size={megabytes}m");
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
    match mounted {
        Ok(output) if output.status.success() => Some(SmallDisk(folder.to_owned())),
        Ok(output) => skip(String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => skip(&error.to_string()),
    }
}

fn skip<T>(reason: &str) -> Option<T> {
    lab_testkit::skip::skip("a full disk", &format!("no file system can be mounted: {reason}"));
    None
}

struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn fill(&self) {
        let filler = self.0.join("filler");
        let status = Command::new("dd")
            .args(["if=/dev/zero", "bs=1M", "status=none"])
            .arg(format!("of={}", filler.display()))
            .stderr(std::process::Stdio::null())
            .status();
        assert!(!status.unwrap().success(), "the disk took more than it has");
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(&self.0).status().unwrap();
    }
}

#[test]
fn a_disk_without_room_is_refused_before_anything_starts() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let Some(disk) = small_disk(&scratch.path().join("disk"), 64) else { return };
    let out = disk.0.join("out");
    assert_says(&Lab::short(&scratch, &out).run(), 9, "MiB are needed");
    assert_eq!(fs::read_dir(&disk.0).unwrap().count(), 0, "something was written");
    drop(disk);
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn a_disk_that_fills_up_in_a_trial_ends_the_run_and_resume_goes_on_when_there_is_room() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let Some(disk) = small_disk(&scratch.path().join("disk"), 1_200) else { return };
    let out = disk.0.join("out");
    let mut run = Lab::short(&scratch, &out).args(&["--trials", "2"]).start();
    run.wait_for("trial 1: warmup");
    disk.fill();
    let (status, said) = run.end();
    // The generator meets it first, or the lab.
    assert!(matches!(status.code(), Some(8 | 9)), "{status:?}: {said}");
    let last = said.trim().lines().last().unwrap_or_default();
    assert!(last.starts_with("lab: ") && last.contains("No space left on device"), "{said}");
    disk.make_room();
    let resumed = Lab::short(&scratch, &out).args(&["--trials", "2", "--resume"]).run();
    assert!(matches!(resumed.code, 0 | 3), "{}", resumed.stderr);
    let whole = summary(&out);
    assert!(!whole.partial);
    assert_eq!(whole.variants[0].n_trials, 2);
    drop(disk);
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn too_few_open_files_name_the_command_that_mends_it() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    // 60 requests/s want 90 users, and as many connections.
    let end = Lab::short(&scratch, &out).after_shell("ulimit -n 150").run();
    assert_says(&end, 2, "ulimit -n ");
    assert!(!out.exists(), "something was written");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

#[test]
fn an_engine_that_does_not_answer_is_named_when_asked_for_and_passed_over_by_auto() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let broken = format!("unix://{}", scratch.path().join("no.sock").display());
    let on = |backend| {
        let args = ["bench", "--profile", "smoke", "--variant", "none", "--rate", "60"];
        let lab = Lab::new(&args).args(&["--backend", backend, "--out"]).arg(&out);
        lab.env("DOCKER_HOST", &broken)
    };
    let asked = on("docker").run();
    assert_says(&asked, 2, "--backend docker: ");
    assert!(!out.exists(), "something was written");

    let mut auto = on("auto").start();
    auto.wait_for("backend process: ");
    assert!(auto.said.contains("ocker"), "it does not say why: {}", auto.said);
    auto.signal(Signal::SIGINT);
    let (status, said) = auto.end();
    assert_eq!(status.code(), Some(130), "{said}");
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}

/// A copy of the scenarios with `text` added to one file.
fn scenarios_with(file: &str, text: &str) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    scenarios::copy_to(root.path());
    scenarios::edit(root.path(), file, |whole| format!("{whole}{text}"));
    root
}

#[test]
fn a_wrong_key_in_a_scenario_is_one_line_with_the_file_and_the_key() {
    let campaign = scenarios_with("redis-outage.toml", "\n[colour]\nred = 1\n");
    let end = Lab::new(&["bench"]).within(campaign.path()).run();
    assert_says(&end, 2, "scenarios/redis-outage.toml");
    assert!(end.stderr.contains("colour"), "{}", end.stderr);

    let variant = scenarios_with("variants/circuit-breaker.toml", "half_open_permit = 2\n");
    let end = Lab::new(&["bench"]).within(variant.path()).run();
    assert_says(&end, 2, "scenarios/variants/circuit-breaker.toml");
    assert!(end.stderr.contains("half_open_permit"), "{}", end.stderr);

    let value = scenarios_with("variants/none.toml", "[settings.redis]\ncall_timeout = \"0s\"\n");
    let end = Lab::new(&["bench"]).within(value.path()).run();
    assert_says(&end, 2, "settings.redis.call_timeout must be above 0s, got 0ns");
    let bare = scenarios_with("variants/none.toml", "[settings.redis]\ncall_timeout = 50\n");
    let end = Lab::new(&["bench"]).within(bare.path()).run();
    assert_says(&end, 2, "call_timeout");
}
