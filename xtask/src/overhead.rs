//! `cargo xtask overhead`: what the mitigations cost a call, beside their peers, and what the lab
//! itself costs, as tables in `docs/overhead.md`.
//!
//! The benches are criterion's; here their medians are read and put side by side. A bench of a
//! mitigation is `<group>/<who>`, and a group that ends in `_2_threads` is the same call on two
//! threads at once; one of the lab is `<group>/<size of the input>`, and is in [`own_cost`].

mod own_cost;

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{
    generated::replace_block,
    workspace::{Workspace, read_json, subfolders, succeed},
};

const DOCUMENT: &str = "docs/overhead.md";

/// What is measured apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// What the mitigations cost a call.
    Mitigations,
    /// What the lab itself costs.
    Lab,
}

impl Part {
    /// Package and name of every bench.
    fn benches(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Mitigations => &[("lab-mitigation", "circuit_breaker")],
            Self::Lab => &[("lab-load", "generator"), ("lab-report", "campaign")],
        }
    }

    /// Between which lines of the document its figures stand.
    fn markers(self) -> (&'static str, &'static str) {
        match self {
            Self::Mitigations => {
                ("<!-- overhead:begin (cargo xtask overhead) -->\n", "<!-- overhead:end -->")
            }
            Self::Lab => {
                ("<!-- own-cost:begin (cargo xtask overhead) -->\n", "<!-- own-cost:end -->")
            }
        }
    }

    /// What the document says of it. **Errors**: a bench left no result.
    fn text(self, medians: &Medians) -> Result<String> {
        let machine = machine();
        Ok(match self {
            Self::Mitigations => {
                format!("Medians in nanoseconds per call, {machine}.\n\n{}", tables(medians))
            }
            Self::Lab => format!("Medians, {machine}.\n\n{}", own_cost::text(medians)?),
        })
    }
}

/// How a group on two threads is called.
const TWO_THREADS: &str = "_2_threads";
/// Who is compared with everybody else.
const OURS: &str = "ours";

/// What a call may cost, in nanoseconds: the goals that were set for it.
const LIMITS_NS: [(&str, f64); 5] = [
    ("closed_success", 10.0),
    ("closed_success_2_threads", 20.0),
    ("rejected", 30.0),
    ("slow_call_success", 80.0),
    ("time_window_success", 80.0),
];

/// Medians in nanoseconds per call, by group and then by who.
type Medians = BTreeMap<String, BTreeMap<String, f64>>;

/// Runs the benches of `only` or of both parts and writes their figures.
///
/// **Errors**: they do not build or run.
pub(crate) fn run(workspace: &Workspace, only: Option<Part>) -> Result<()> {
    for part in
        [Part::Mitigations, Part::Lab].into_iter().filter(|it| only.is_none_or(|o| o == *it))
    {
        let medians = measure(workspace, part)?;
        let path = workspace.root.join(DOCUMENT);
        let before = fs::read_to_string(&path).with_context(|| format!("read {DOCUMENT}"))?;
        let (begin, end) = part.markers();
        let after = replace_block(&before, (begin, end), &part.text(&medians)?)
            .with_context(|| format!("{DOCUMENT} needs `{}` and `{end}`", begin.trim_end()))?;
        fs::write(&path, after).with_context(|| format!("write {DOCUMENT}"))?;
    }
    eprintln!("written: {DOCUMENT}");
    Ok(())
}

/// Runs the benches of one part. **Errors**: they do not build or run, or leave nothing.
fn measure(workspace: &Workspace, part: Part) -> Result<Medians> {
    let criterion = workspace.target_dir.join("criterion");
    // What an earlier run left would stand in the table as if it had been measured now.
    if criterion.exists() {
        fs::remove_dir_all(&criterion)
            .with_context(|| format!("remove {}", criterion.display()))?;
    }
    for (package, bench) in part.benches() {
        let args = ["bench", "--package", package, "--features", "overhead", "--bench", bench];
        succeed(workspace.cargo(&args).args(["--", "--noplot"]))?;
    }
    let medians = read(&criterion)?;
    ensure!(!medians.is_empty(), "no bench left a result below {}", criterion.display());
    Ok(medians)
}

fn read(criterion: &Path) -> Result<Medians> {
    let mut medians = Medians::new();
    for group in subfolders(criterion) {
        for who in subfolders(&group) {
            let path = who.join("new/estimates.json");
            if path.is_file() {
                let median = median_ns(&path)?;
                medians.entry(name(&group)).or_default().insert(name(&who), median);
            }
        }
    }
    Ok(medians)
}

fn name(folder: &Path) -> String {
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn median_ns(path: &Path) -> Result<f64> {
    let estimates = read_json(path)?;
    let median = estimates["median"]["point_estimate"].as_f64();
    median.with_context(|| format!("{}: no median", path.display()))
}

/// The machine that the figures are of, in a few words.
fn machine() -> String {
    let cpu_info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models: Vec<_> = cpu_info
        .lines()
        .filter_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map(|(_, model)| model)
        .collect();
    let model = models.first().copied().unwrap_or("an unknown processor");
    format!("{} CPUs of {model}", models.len().max(1))
}

/// One table for each group, those with us in it first.
fn tables(medians: &Medians) -> String {
    let single = |it: &&String| !it.ends_with(TWO_THREADS);
    let mut groups: Vec<_> = medians.keys().filter(single).collect();
    groups.sort_by_key(|it| (!medians[*it].contains_key(OURS), (*it).clone()));
    groups.iter().map(|group| table(medians, group)).collect::<Vec<_>>().join("\n")
}

fn table(medians: &Medians, group: &str) -> String {
    let (one, two) = (&medians[group], medians.get(&format!("{group}{TWO_THREADS}")));
    let (title, goal) = (group.replace('_', " "), goal(medians, group));
    let mut text = format!("### {title}\n\n{goal}| | 1 thread | × ours | 2 threads | × ours |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: |\n");
    let mut names: Vec<_> = one.keys().collect();
    names
        .sort_by(|a, b| (*a != OURS, one[*a]).partial_cmp(&(*b != OURS, one[*b])).expect("no NaN"));
    for who in names {
        let cells = [Some(one), two].map(|side| {
            let side_ours = side.and_then(|it| it.get(OURS));
            let own = side.and_then(|it| it.get(who));
            let ratio = own.zip(side_ours).map(|(own, ours)| format!("{:.1}", own / ours));
            let own = own.map(|it| format!("{it:.1}"));
            [own, ratio].map(|it| it.unwrap_or_else(|| "–".to_owned())).join(" | ")
        });
        text.push_str(&format!("| {who} | {} |\n", cells.join(" | ")));
    }
    text
}

/// What the group's call may cost, and whether it kept to that; empty for a group without a goal.
fn goal(medians: &Medians, group: &str) -> String {
    let said: Vec<_> = LIMITS_NS
        .iter()
        .filter(|(limited, _)| {
            *limited == group || limited.strip_suffix(TWO_THREADS) == Some(group)
        })
        .filter_map(|(limited, limit_ns)| {
            let ours = medians.get(*limited)?.get(OURS)?;
            let threads = if limited.ends_with(TWO_THREADS) { "two threads" } else { "one thread" };
            let kept = if ours <= limit_ns { "kept" } else { "missed" };
            Some(format!("at most {limit_ns:.0} ns on {threads}: {kept}"))
        })
        .collect();
    if said.is_empty() { String::new() } else { format!("Goal {}.\n\n", said.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_a_place_for_each_part() {
        let document = include_str!("../../docs/overhead.md");
        for part in [Part::Mitigations, Part::Lab] {
            assert!(replace_block(document, part.markers(), "").is_some(), "{part:?}");
        }
    }

    fn medians(entries: &[(&str, &str, f64)]) -> Medians {
        let mut medians = Medians::new();
        for (group, who, ns) in entries {
            medians.entry((*group).to_owned()).or_default().insert((*who).to_owned(), *ns);
        }
        medians
    }

    // Worked by hand: 14 / 8 = 1.75 and 36 / 24 = 1.5.
    #[test]
    fn peers_stand_below_us_with_their_ratio_and_a_missed_goal_says_so() {
        let medians = medians(&[
            ("closed_success", "ours", 8.0),
            ("closed_success", "peer", 14.0),
            ("closed_success_2_threads", "ours", 24.0),
            ("closed_success_2_threads", "peer", 36.0),
            ("clock", "std", 24.0),
        ]);
        let text = tables(&medians);
        assert!(
            text.contains("| ours | 8.0 | 1.0 | 24.0 | 1.0 |\n| peer | 14.0 | 1.8 | 36.0 | 1.5 |")
        );
        assert!(text.contains("at most 10 ns on one thread: kept"), "{text}");
        assert!(text.contains("at most 20 ns on two threads: missed"), "{text}");
        assert!(text.find("### closed success").unwrap() < text.find("### clock").unwrap());
        assert!(text.contains("| std | 24.0 | – | – | – |"), "{text}");
    }

    #[test]
    fn medians_are_read_from_where_criterion_leaves_them() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("closed_success/ours/new");
        fs::create_dir_all(&new).unwrap();
        fs::create_dir_all(folder.path().join("closed_success/report")).unwrap();
        let estimates = r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":8.5}}"#;
        fs::write(new.join("estimates.json"), estimates).unwrap();
        let medians = read(folder.path()).unwrap();
        assert_eq!(medians, self::medians(&[("closed_success", "ours", 8.5)]));
        fs::write(new.join("estimates.json"), "{}").unwrap();
        assert!(read(folder.path()).is_err(), "a result without a median is no result");
    }
}
