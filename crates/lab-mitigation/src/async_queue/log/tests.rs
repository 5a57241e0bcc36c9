//! The files after a kill, a loss of power, damage and a disk that refuses.

use std::fmt::Write as _;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::async_queue::disk::{SystemDisk, fake::FakeDisk};

/// Small, so that a handful of records fill it.
const SEGMENT_BYTES: u64 = 200;

fn payload(text: &str) -> Arc<[u8]> {
    text.as_bytes().into()
}

fn payloads(texts: &[&str]) -> Vec<Arc<[u8]>> {
    texts.iter().map(|it| payload(it)).collect()
}

fn try_open(folder: &Path) -> Result<(Log, Vec<String>, Recovered), QueueError> {
    let (log, items, recovered) = Log::open(folder, SEGMENT_BYTES, Box::new(SystemDisk))?;
    let text = |it: &QueueItem| String::from_utf8(it.payload.to_vec()).unwrap();
    Ok((log, items.iter().map(text).collect(), recovered))
}

fn open(folder: &Path) -> (Log, Vec<String>, Recovered) {
    try_open(folder).unwrap()
}

/// What a queue that is opened there now would give its consumer.
fn items(folder: &Path) -> Vec<String> {
    open(folder).1
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
    paths.retain(|it| it.extension().is_some_and(|it| it == "segment"));
    paths.sort();
    paths
}

/// What a kill leaves: the files as they are now, and no lock.
fn copy(from: &Path) -> TempDir {
    let to = folder();
    for path in segments(from) {
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

fn corrupt(error: QueueError) -> (PathBuf, u64) {
    match error {
        QueueError::Corrupt { path, offset, .. } => (path, offset),
        other => panic!("{other}"),
    }
}

#[test]
fn what_was_appended_is_there_after_a_restart_and_goes_on() {
    let folder = folder();
    let (mut log, found, recovered) = open(folder.path());
    assert_eq!((found.len(), recovered.n_items, recovered.torn_tail), (0, 0, None));
    assert_eq!(log.append(&payloads(&["a", "b"]), 0).unwrap(), 0);
    drop(log);
    let (mut log, found, recovered) = open(folder.path());
    assert_eq!(
        (found, recovered.n_items, recovered.size_bytes),
        (vec!["a".into(), "b".into()], 2, 2)
    );
    assert_eq!(log.append(&payloads(&["c"]), 1).unwrap(), 2);
    drop(log);
    assert_eq!(items(folder.path()), ["b", "c"]);
}

// A record is 36 bytes and 4 more for each item, so each of these has its end in the table; what a
// cut leaves is the records that end at or before it.
#[test]
fn a_kill_at_any_byte_of_the_file_leaves_every_whole_record_and_nothing_else() {
    let original = folder();
    let (mut log, ..) = open(original.path());
    let mut whole = vec![(0, vec![])];
    let mut all = Vec::new();
    for (texts, applied) in
        [(&["a", "bb"][..], 0), (&["ccc"], 0), (&[], 1), (&["", "d", "e"], 1), (&["f"], 3)]
    {
        log.append(&payloads(texts), applied).unwrap();
        all.extend(texts.iter().map(|it| (*it).to_owned()));
        whole.push((log.file_bytes, all[usize::try_from(applied).unwrap()..].to_vec()));
    }
    let [path] = &segments(original.path())[..] else { panic!("one file is enough here") };
    let bytes = fs::read(path).unwrap();
    assert_eq!(whole.last().unwrap().0, bytes.len() as u64);
    for cut in 0..=bytes.len() {
        let killed = copy(original.path());
        let path = &segments(killed.path())[0];
        fs::write(path, &bytes[..cut]).unwrap();
        let (end, want) = whole.iter().rfind(|(end, _)| *end <= cut as u64).unwrap();
        let (mut log, found, recovered) = open(killed.path());
        assert_eq!(&found, want, "cut at {cut}");
        let n_torn = cut as u64 - end;
        let torn = recovered.torn_tail.map(|it| (it.offset, it.n_bytes));
        assert_eq!(torn, (n_torn != 0).then_some((*end, n_torn)), "cut at {cut}");
        // And the queue goes on as if the record had never been begun.
        log.append(&payloads(&["after"]), 0).unwrap();
        drop(log);
        let found = items(killed.path());
        assert_eq!(found.split_last().unwrap(), (&"after".to_owned(), &want[..]), "cut at {cut}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize, usize),
    Apply(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..4_usize, 0..60_usize).prop_map(|(n, size)| Step::Append(n, size)),
        3 => (0..6_usize).prop_map(Step::Apply),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // The model: a list of everything acknowledged, and how much of it was applied. Segments come
    // and go meanwhile. In the end a record that nobody acknowledged is on its way when the
    // process is killed, or power is lost: any part of it may be missing.
    #[test]
    fn everything_acknowledged_and_not_applied_survives_any_history(
        steps in prop::collection::vec(step(), 0..40),
        lost in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        is_kill in any::<bool>(),
    ) {
        let folder = folder();
        let (mut log, ..) = open(folder.path());
        let (mut all, mut applied) = (Vec::new(), 0);
        for step in steps {
            match step {
                Step::Append(n, size) => {
                    let texts: Vec<_> =
                        (0..n).map(|it| format!("{:0size$}", all.len() + it)).collect();
                    let batch: Vec<_> = texts.iter().map(|it| payload(it)).collect();
                    prop_assert_eq!(log.append(&batch, applied).unwrap(), all.len() as u64);
                    all.extend(texts);
                }
                Step::Apply(n) => {
                    applied = (applied + n as u64).min(all.len() as u64);
                    log.delete_applied(applied).unwrap();
                    log.append(&[], applied).unwrap();
                }
                Step::Reopen => {
                    drop(log);
                    log = open(folder.path()).0;
                }
            }
        }
        let mut want = all[usize::try_from(applied).unwrap()..].to_vec();
        let n_bytes = usize::try_from(log.file_bytes).unwrap();
        log.append(&payloads(&["never", "acknowledged"]), applied).unwrap();
        let last = segments(folder.path()).pop().unwrap();
        drop(log);

        let mut bytes = fs::read(&last).unwrap();
        let began = if bytes.len() < n_bytes { 0 } else { n_bytes };
        let tail = &mut bytes[began..];
        let (one, other) = (lost.0.index(tail.len() + 1), lost.1.index(tail.len() + 1));
        if is_kill {
            bytes.truncate(began + one);
        } else {
            tail[one.min(other)..one.max(other)].fill(0);
        }
        fs::write(&last, &bytes).unwrap();
        let found = items(folder.path());
        if found.len() != want.len() {
            want.extend(["never".into(), "acknowledged".into()]);
        }
        prop_assert_eq!(found, want);
    }
}

#[test]
fn a_damaged_byte_before_the_last_record_is_reported_with_its_place() {
    let original = folder();
    let (mut log, ..) = open(original.path());
    let mut begins = Vec::new();
    for text in ["first", "second", "third"] {
        begins.push(log.file_bytes);
        log.append(&payloads(&[text]), 0).unwrap();
    }
    let path = segments(original.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    let last = usize::try_from(begins[2]).unwrap();
    for at in 0..last {
        let damaged = copy(original.path());
        let path = segments(damaged.path()).remove(0);
        let mut bytes = bytes.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        let want = *begins.iter().rfind(|it| **it <= at as u64).unwrap();
        assert_eq!(corrupt(try_open(damaged.path()).err().unwrap()), (path.clone(), want));
        assert_eq!(fs::read(&path).unwrap(), bytes, "and nothing was repaired on its own");
    }
}

#[test]
fn segments_are_begun_when_full_and_deleted_when_applied() {
    let folder = folder();
    let (mut log, ..) = open(folder.path());
    let text = "x".repeat(60);
    for n in 0..10 {
        assert_eq!(log.append(&payloads(&[&text]), 0).unwrap(), n);
    }
    // Worked by hand: a record has 100 bytes, so each file takes two.
    let names = |folder: &Path| -> String {
        segments(folder).iter().fold(String::new(), |mut all, it| {
            let stem = it.file_stem().unwrap().to_str().unwrap();
            write!(all, "{} ", stem.trim_start_matches('0')).unwrap();
            all
        })
    };
    assert_eq!(names(folder.path()), " 2 4 6 8 ");
    // The first of these records has no item and finds the fifth file full.
    for (applied, want) in [(1, " 2 4 6 8 10 "), (5, "4 6 8 10 "), (10, "10 ")] {
        log.delete_applied(applied).unwrap();
        log.append(&[], applied).unwrap();
        assert_eq!(names(folder.path()), want, "applied below {applied}");
    }
    drop(log);
    let (mut log, found, _) = open(folder.path());
    assert_eq!(found.len(), 0);
    assert_eq!(log.append(&payloads(&["on"]), 0).unwrap(), 10, "numbers go on");
}

#[test]
fn a_segment_that_is_missing_cut_short_or_not_ours_is_reported() {
    let original = folder();
    let (mut log, ..) = open(original.path());
    for _ in 0..6 {
        log.append(&payloads(&[&"x".repeat(60)]), 0).unwrap();
    }
    let missing = copy(original.path());
    fs::remove_file(&segments(missing.path())[1]).unwrap();
    let after = segments(missing.path()).remove(1);
    assert_eq!(corrupt(try_open(missing.path()).err().unwrap()), (after, 0));

    let short = copy(original.path());
    let path = segments(short.path()).remove(1);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..150]).unwrap();
    assert_eq!(corrupt(try_open(short.path()).err().unwrap()), (path, 100));

    let foreign = copy(original.path());
    let path = foreign.path().join("7.segment");
    fs::write(&path, "").unwrap();
    assert_eq!(corrupt(try_open(foreign.path()).err().unwrap()), (path, 0));

    let beside = copy(original.path());
    fs::write(beside.path().join("notes.txt"), "left alone").unwrap();
    assert_eq!(items(beside.path()).len(), 6);
}

#[test]
fn a_folder_is_for_one_queue_at_a_time() {
    let folder = folder();
    let (log, ..) = open(folder.path());
    let error = try_open(folder.path()).err().unwrap();
    assert!(matches!(error, QueueError::InUse { path } if path == folder.path()));
    // What a child has of the lock that was forked a moment ago.
    let _of_a_child = log.lock.0.try_clone().unwrap();
    drop(log);
    open(folder.path());
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [&file, &file.join("below"), &folder.path().join("no").join("parent")] {
        let error = try_open(path).err().unwrap();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(matches!(error, QueueError::Io { .. }), "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"");
}

fn faulty(folder: &Path) -> (Log, FakeDisk) {
    let disk = FakeDisk::default();
    (Log::open(folder, SEGMENT_BYTES, Box::new(disk.clone())).unwrap().0, disk)
}

#[test]
fn a_full_disk_acknowledges_nothing_and_needs_no_restart_when_it_has_room_again() {
    for n_bytes_left in 0..41 {
        let folder = folder();
        let (mut log, disk) = faulty(folder.path());
        log.append(&payloads(&["kept"]), 0).unwrap();
        disk.fill(n_bytes_left);
        for _ in 0..2 {
            let error = log.append(&payloads(&["x"]), 0).unwrap_err();
            assert!(matches!(error, QueueError::Io { operation: "write", .. }), "{error}");
        }
        assert_eq!(items(copy(folder.path()).path()), ["kept"], "a kill now");
        disk.repair();
        assert_eq!(log.append(&payloads(&["new"]), 0).unwrap(), 1);
        drop(log);
        assert_eq!(items(folder.path()), ["kept", "new"], "{n_bytes_left} bytes got through");
    }
}

#[test]
fn what_could_not_be_synced_is_cut_off_before_anything_else_is_written() {
    let folder = folder();
    let (mut log, disk) = faulty(folder.path());
    log.append(&payloads(&["kept"]), 0).unwrap();
    disk.break_syncs();
    let mut operations = Vec::new();
    for _ in 0..3 {
        match log.append(&payloads(&["lost"]), 0).unwrap_err() {
            QueueError::Io { operation, .. } => operations.push(operation),
            other => panic!("{other}"),
        }
    }
    assert_eq!(operations, ["sync", "cut back", "cut back"]);
    assert_eq!(disk.n_appends(), 2, "nothing was written behind bytes that may be lost");
    disk.repair();
    log.append(&payloads(&["new"]), 0).unwrap();
    drop(log);
    assert_eq!(items(folder.path()), ["kept", "new"]);
}

#[test]
fn an_item_that_got_an_error_may_be_there_after_a_kill_and_never_in_the_place_of_another() {
    let folder = folder();
    let (mut log, disk) = faulty(folder.path());
    log.append(&payloads(&["kept"]), 0).unwrap();
    disk.break_syncs();
    log.append(&payloads(&["unsure"]), 0).unwrap_err();
    assert_eq!(items(copy(folder.path()).path()), ["kept", "unsure"]);
}

#[test]
fn a_file_that_cannot_be_cut_back_takes_nothing_more() {
    let folder = folder();
    let (mut log, disk) = faulty(folder.path());
    disk.fill(20);
    log.append(&payloads(&["lost"]), 0).unwrap_err();
    disk.repair();
    disk.break_truncates();
    let error = log.append(&payloads(&["refused"]), 0).unwrap_err();
    assert!(matches!(error, QueueError::Io { operation: "cut back", .. }), "{error}");
    drop(log);
    assert_eq!(items(folder.path()), Vec::<String>::new());
}

#[test]
fn applied_segments_make_room_on_a_full_disk_before_it_can_be_written_that_they_were() {
    let folder = folder();
    let (mut log, disk) = faulty(folder.path());
    for _ in 0..6 {
        log.append(&payloads(&[&"x".repeat(60)]), 0).unwrap();
    }
    assert_eq!(log.n_segments(), 3);
    disk.fill(0);
    log.delete_applied(5).unwrap();
    log.append(&[], 5).unwrap_err();
    assert_eq!(log.n_segments(), 1);
    // That 0 to 3 were applied is what their absence says; that 4 was, nothing says.
    assert_eq!(items(copy(folder.path()).path()).len(), 2);
}
