//! Scenarios of the tests' own: the repository's, and among them campaigns with less to wait for.

use std::{fs, path::Path, process::Command};

/// Phases of [`write_short`]'s trials, in seconds: as short as one can tell what happened in which.
const SHORT: [(&str, u32); 4] = [("warmup", 1), ("baseline", 2), ("fault", 3), ("recovery", 2)];
/// Products of [`write_short`]'s shop.
pub(crate) const N_PRODUCTS: u64 = 2_000;

/// How long requests arrive in a trial of [`write_short`], in seconds: all phases but the drain.
pub(crate) fn short_s() -> f64 {
    SHORT.iter().map(|(_, seconds)| f64::from(*seconds)).sum()
}

/// The phases of [`write_short`], as a part of a campaign.
pub(crate) fn short_phases() -> String {
    let lines: String = SHORT.iter().map(|(phase, s)| format!("{phase} = \"{s}s\"\n")).collect();
    format!("[phases]\n{lines}\n")
}

/// Copies the repository's scenarios to `root`.
pub(crate) fn copy_to(root: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let status = Command::new("cp").arg("-r").arg(from).arg(root).status().unwrap();
    assert!(status.success());
}

/// The repository's scenarios in `root`, where the main campaign has [`SHORT`] phases and a small shop.
pub(crate) fn write_short(root: &Path) {
    copy_to(root);
    edit(root, "redis-outage.toml", |text| {
        small_shop(text).replace("[slo]", &format!("{}[slo]", short_phases()))
    });
}

/// The campaign `text` with a tenth of the products, reviews and authors.
pub(crate) fn small_shop(text: &str) -> String {
    let products = format!("products = {N_PRODUCTS}");
    let small = text
        .replace("products = 20000", &products)
        .replace("reviews = 200000", "reviews = 20000")
        .replace("authors = 5000", "authors = 500");
    assert_eq!(small.len() + 3, text.len(), "the catalogue is written another way");
    small
}

/// Writes the scenario `file` in `root` anew.
pub(crate) fn edit(root: &Path, file: &str, change: impl FnOnce(&str) -> String) {
    let path = root.join("scenarios").join(file);
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, change(&text)).unwrap();
}
