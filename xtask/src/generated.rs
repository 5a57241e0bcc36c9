//! Generated parts of documents: the results that README.md and README.ko.md open with, how often the
//! gate is wrong in docs/gate.md, and the whole of docs/playbook.md.
//!
//! No number in README is typed by hand: the block between the markers comes from
//! `results/redis-outage/summary.json` through `lab-report readme-table`, and the pictures are the
//! PNG files beside it.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;

/// The campaign that README shows.
const CAMPAIGN: &str = "results/redis-outage";
/// The page that is generated as a whole.
const PLAYBOOK: &str = "docs/playbook.md";
/// The page that says how often the gate is wrong.
const GATE: &str = "docs/gate.md";
/// Where results stand in a document.
const RESULTS: (&str, &str) =
    ("<!-- results:begin (cargo xtask gen) -->\n", "<!-- results:end -->");
/// Where the page about the gate says how often comparisons with a stored result are wrong.
const STORED: (&str, &str) = ("<!-- stored:begin (cargo xtask gen) -->\n", "<!-- stored:end -->");

/// Whether generated files are written or compared with what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Generated {
    Write,
    Check,
}

/// A document with a results block.
struct Document {
    path: &'static str,
    /// What stands there before there are results.
    without_results: &'static str,
    /// What a picture shows, for readers who do not see it.
    picture: &'static str,
}

const DOCUMENTS: [Document; 2] = [
    Document {
        path: "README.md",
        without_results: "*There are no committed results yet. `cargo xtask bench` makes them on \
                          your machine.*\n",
        picture: "plot of the campaign's results",
    },
    Document {
        path: "README.ko.md",
        without_results: "*아직 커밋된 결과가 없습니다. `cargo xtask bench`를 실행하면 여러분의 \
                          머신에서 결과가 만들어집니다.*\n",
        picture: "캠페인 결과 그래프",
    },
];

/// Writes or checks every generated block.
///
/// **Errors**: a block that differs under [`Generated::Check`], a document without markers, or a
/// table that cannot be made.
pub(crate) fn run(lab: &Lab<'_>, generated: Generated) -> Result<()> {
    let root = &lab.workspace.root;
    let campaign = root.join(CAMPAIGN);
    let table = campaign.join("summary.json").is_file().then(|| lab.readme_table(&campaign));
    let table = table.transpose()?;
    let pictures = pictures(&campaign)?;
    for document in &DOCUMENTS {
        let block = block(document, table.as_deref(), &pictures);
        update(&root.join(document.path), RESULTS, &block, generated)?;
    }
    for (markers, said) in [(RESULTS, lab.known_gates()?), (STORED, lab.known_results()?)] {
        let block = format!("{}\n", said.trim_end());
        update(&root.join(GATE), markers, &block, generated)?;
    }
    let campaigns = lab.workspace.campaigns_with_results();
    if campaigns.is_empty() {
        return Ok(());
    }
    write_or_check(&root.join(PLAYBOOK), &lab.playbook(&campaigns)?, generated)
}

/// What stands between the markers of `document`.
fn block(document: &Document, table: Option<&str>, pictures: &[String]) -> String {
    let Some(table) = table else { return document.without_results.to_owned() };
    let pictures: String = pictures
        .iter()
        .map(|it| format!("![{}: {it}]({CAMPAIGN}/plots/{it}.png)\n\n", document.picture))
        .collect();
    format!("{pictures}{}\n", table.trim_end())
}

/// Names of the PNG files of a campaign without their ending: comparisons first, then by name.
fn pictures(campaign: &Path) -> Result<Vec<String>> {
    let plots = campaign.join("plots");
    if !plots.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in plots.read_dir().with_context(|| format!("list {}", plots.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".png").map(str::to_owned));
    }
    names.sort_by_key(|it| (!it.starts_with("comparison"), it.clone()));
    Ok(names)
}

fn update(path: &Path, markers: (&str, &str), block: &str, generated: Generated) -> Result<()> {
    let before = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let after = replace_block(&before, markers, block).with_context(|| {
        let (begin, end) = markers;
        format!("{}: needs `{}` and `{end}`", path.display(), begin.trim_end())
    })?;
    write_or_check(path, &after, generated)
}

/// Makes a whole file what it should be, or says that it is not. A missing one differs.
fn write_or_check(path: &Path, after: &str, generated: Generated) -> Result<()> {
    let before = fs::read_to_string(path).unwrap_or_default();
    match generated {
        Generated::Write if before != after => {
            fs::write(path, after).with_context(|| format!("write {}", path.display()))
        }
        Generated::Write => Ok(()),
        Generated::Check => {
            ensure!(before == after, "{} is out of date: run `cargo xtask gen`", path.display());
            Ok(())
        }
    }
}

/// `text` with what stands between two markers replaced; `None` without both in order.
pub(crate) fn replace_block(text: &str, (begin, end): (&str, &str), block: &str) -> Option<String> {
    let (before, rest) = text.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}{block}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let (begin, end) = RESULTS;
        let text = format!("top\n{begin}old\n{end}\nbottom\n");
        let replaced = replace_block(&text, RESULTS, "new\n").unwrap();
        assert_eq!(replaced, format!("top\n{begin}new\n{end}\nbottom\n"));
        assert_eq!(replace_block(&replaced, RESULTS, "new\n").unwrap(), replaced);
        assert_eq!(replace_block("no markers", RESULTS, "new\n"), None);
        assert_eq!(replace_block(&format!("{end}{begin}"), RESULTS, "new\n"), None);
    }

    #[test]
    fn a_stale_block_fails_the_check_and_is_left_alone() {
        let (begin, end) = RESULTS;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("README.md");
        fs::write(&path, format!("{begin}old\n{end}")).unwrap();
        let error = update(&path, RESULTS, "new\n", Generated::Check).unwrap_err().to_string();
        assert!(error.contains("cargo xtask gen"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{begin}old\n{end}"));
        update(&path, RESULTS, "new\n", Generated::Write).unwrap();
        update(&path, RESULTS, "new\n", Generated::Check).unwrap();
    }

    #[test]
    fn the_block_shows_comparisons_first_and_then_the_table() {
        let dir = tempfile::tempdir().unwrap();
        let plots = dir.path().join("plots");
        fs::create_dir(&plots).unwrap();
        for name in ["b.png", "comparison-crash.png", "a.png", "a.svg"] {
            fs::write(plots.join(name), "").unwrap();
        }
        let pictures = pictures(dir.path()).unwrap();
        assert_eq!(pictures, ["comparison-crash", "a", "b"]);
        let block = block(&DOCUMENTS[0], Some("| table |\n\n"), &pictures[..1]);
        assert_eq!(
            block,
            "![plot of the campaign's results: comparison-crash]\
             (results/redis-outage/plots/comparison-crash.png)\n\n| table |\n"
        );
    }

    #[test]
    fn without_results_the_block_says_so() {
        let block = block(&DOCUMENTS[0], None, &[]);
        assert!(block.contains("no committed results yet"), "{block}");
    }
}
