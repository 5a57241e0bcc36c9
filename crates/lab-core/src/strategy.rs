//! The strategy under test: one claim for each of its rows, in one sentence.
//!
//! The rows are those that variant files name in `strategy`, such as `S10`; a row keeps its id for
//! good. What is found of a claim is measured, and stands in a campaign's report.

/// One row of the strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// `S1` to `S35`.
    pub id: &'static str,
    /// What the strategy says, in one sentence without its full stop.
    pub text: &'static str,
}

const fn row(id: &'static str, text: &'static str) -> Claim {
    Claim { id, text }
}

/// Every row, in the order of the strategy: diagnosis (S1 to S6), emergency measures (S7 to S17),
/// the circuit breaker (S18), infrastructure (S19 to S23), the long term (S24 to S31), and its
/// answers (S32 to S35).
pub const CLAIMS: [Claim; 35] = [
    row("S1", "Within 30 s, CPU, memory, network and response times show what is wrong"),
    row("S2", "Error patterns and the failure rate in the logs show what is failing"),
    row("S3", "Checking Redis, the database and external APIs finds the dependency that is gone"),
    row("S4", "Concurrent users and a surge of requests show how many are affected"),
    row("S5", "Core or auxiliary features: which of them are hit shows what it costs the business"),
    row("S6", "A total or a partial outage: its scope decides what to do"),
    row("S7", "Keep only the core features and accept a reduced service: graceful degradation"),
    row("S8", "Rate limiting lowers the load on the database"),
    row("S9", "Enlarge the database connection pool, so that more calls run at once"),
    row("S10", "Switch on a circuit breaker: failing calls are bypassed at once"),
    row("S11", "Process in batches instead of in real time"),
    row("S12", "Read replicas spread the read load"),
    row("S13", "Denormalise: what is often used is computed ahead"),
    row("S14", "Use the application's own memory as a cache"),
    row("S15", "Optimise queries: no N+1, no needless SELECT"),
    row("S16", "Queue the work that needs no immediate answer"),
    row("S17", "Serve static content in place of dynamic content"),
    row(
        "S18",
        "A breaker protects the service: closed passes calls, open fails fast, half-open tests \
         recovery with a limited number",
    ),
    row(
        "S19",
        "New servers take minutes in a cloud, seconds to minutes as containers, days as hardware",
    ),
    row("S20", "More servers do not help when the list of servers is itself in Redis"),
    row("S21", "More servers do not help when the sessions are in Redis"),
    row("S22", "More servers do not help when the database is the real bottleneck"),
    row("S23", "More servers do not help when the network's bandwidth is the limit"),
    row("S24", "Redis Cluster makes the cache highly available"),
    row("S25", "Sentinel fails over automatically"),
    row("S26", "Spreading over several zones survives the loss of one"),
    row("S27", "Regular backups and restore tests make recovery quick"),
    row("S28", "Microservices isolate a failure"),
    row("S29", "An event-driven design works asynchronously"),
    row("S30", "CQRS keeps reads and writes apart"),
    row("S31", "Bulkheads isolate resources"),
    row("S32", "More servers leave the cause in place, and more of them attack the database"),
    row(
        "S33",
        "Within a minute: a circuit breaker cuts Redis off, a cache in memory takes over, \
         optimised queries and rate limiting relieve the database",
    ),
    row("S34", "Cluster and Sentinel prevent it; breakers and bulkheads keep it from spreading"),
    row("S35", "Isolation and bypass recover quickly; high availability then prevents the next"),
];

/// What the row `id` claims, in one sentence without its full stop; `None` for an unknown id.
///
/// ```
/// use lab_core::strategy::claim;
///
/// assert_eq!(claim("S8"), Some("Rate limiting lowers the load on the database"));
/// assert_eq!(claim("S36"), None);
/// ```
pub fn claim(id: &str) -> Option<&'static str> {
    CLAIMS.iter().find(|it| it.id == id).map(|it| it.text)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::scenario::VariantFile;

    #[test]
    fn the_rows_are_numbered_from_1_to_35_without_a_gap() {
        let ids: Vec<&str> = CLAIMS.iter().map(|it| it.id).collect();
        let want: Vec<String> = (1..=35).map(|n| format!("S{n}")).collect();
        assert_eq!(ids, want);
    }

    #[test]
    fn a_claim_is_one_short_sentence_and_no_two_are_the_same() {
        for (k, Claim { id, text }) in CLAIMS.iter().enumerate() {
            assert!((10..=150).contains(&text.len()), "{id} has {} characters", text.len());
            assert!(text.starts_with(|it: char| it.is_ascii_uppercase()), "{id}");
            assert!(!text.contains(". ") && !text.ends_with('.'), "{id} is more than a sentence");
            assert!(CLAIMS[..k].iter().all(|it| it.text != *text), "{id} stands twice");
        }
    }

    #[test]
    fn every_id_that_a_variant_names_is_a_row() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/variants");
        let mut n_named = 0;
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file: VariantFile = toml::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
            for id in &file.strategy {
                assert!(claim(id).is_some(), "{}: no row `{id}`", path.display());
                n_named += 1;
            }
        }
        assert!(0 < n_named, "no variant names a row");
        assert_eq!(claim("s10"), None);
        assert_eq!(claim(""), None);
    }
}
