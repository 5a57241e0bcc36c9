//! Real trials with a replica of the database and, as the control, without.

use std::{fs, path::Path};

use lab_core::{
    artifact::{
        manifest::Manifest,
        raw::{DATABASE_FILE, DatabaseLine, FinalCounts},
    },
    outcome::ServedBy,
    sample::decode_file,
};

use crate::lab::{Lab, leftovers, one_at_a_time, read, summary};

const VARIANTS: [&str; 2] = ["bounded-timeouts", "read-replica"];

fn n_served_by(trial: &Path, served_by: ServedBy) -> usize {
    let samples = decode_file(&fs::read(trial.join("samples.bin")).unwrap()).unwrap();
    samples.iter().filter(|it| it.served_by == Some(served_by)).count()
}

/// Samples of the database, and those among them that say how far a replica is behind.
fn n_database_lines(trial: &Path) -> (usize, usize) {
    let text = fs::read_to_string(trial.join(DATABASE_FILE)).unwrap();
    let lines: Vec<DatabaseLine> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (lines.len(), lines.iter().filter(|it| it.replication_lag.is_some()).count())
}

#[test]
fn pages_come_from_the_replica_of_a_trial_that_has_one_and_its_lag_is_sampled() {
    let _guard = one_at_a_time();
    let scratch = tempfile::tempdir().unwrap();
    let out = scratch.path().join("out");
    let end = Lab::short(&scratch, &out).args(&["--variant", "read-replica"]).run();
    assert!(end.code == 0 || end.code == 3, "{}: {}", end.code, end.stderr);
    for (variant, cell) in VARIANTS.into_iter().zip(summary(&out).variants) {
        assert_eq!(cell.variant, variant);
        let has_replica = variant == "read-replica";
        let trial = out.join(format!("trials/{variant}/crash/rate-60/trial-000"));
        let manifest: Manifest = read(&trial.join("manifest.json"));
        assert_eq!(manifest.target.replica_url.is_some(), has_replica, "{variant}");
        let counts: FinalCounts = read(&trial.join("raw/counts.json"));
        assert_eq!((counts.orders_lost, counts.unexpected_deaths), (0, Vec::new()), "{variant}");
        let queries = (counts.service_queries.unwrap(), counts.postgres_queries.unwrap());
        assert!(queries.0.abs_diff(queries.1) * 100 <= queries.1, "{variant}: {queries:?}");

        let n_replica = n_served_by(&trial, ServedBy::Replica);
        let (n_lines, n_with_lag) = n_database_lines(&trial);
        let lag = cell.phases.fault.db.replication_lag_bytes_max;
        eprintln!("{variant}: {n_replica} pages from a replica, at most {lag:?} bytes behind");
        if has_replica {
            assert!(0 < n_replica, "with Redis gone every page is a query");
            assert!(n_lines / 2 <= n_with_lag, "{n_with_lag} of {n_lines}");
        } else {
            assert_eq!((n_replica, n_with_lag), (0, 0));
            assert!(0 < n_served_by(&trial, ServedBy::Database));
        }
        // What a trial that a busy machine made invalid has sampled is not in the summary.
        let is_told = has_replica && cell.n_invalid == 0;
        assert_eq!(lag.is_some(), is_told, "{variant}");
    }
    assert_eq!(leftovers(&scratch), Vec::<String>::new());
}
