//! Scenarios of the tests' own: the repository's, and among them campaigns with less to wait for.

use std::{fs, path::Path, process::Command};

/// Time from the first to the last phase of [`write_short`]'s trials, without the drain, in seconds.
pub(crate) const SHORT_S: f64 = 8.0;
/// Products of [`write_short`]'s shop.
pub(crate) const N_PRODUCTS: u64 = 2_000;

/// As short as one can tell what happened in which phase.
pub(crate) const SHORT_PHASES: &str = "[phases]
warmup = \"1s\"
baseline = \"2s\"
fault = \"3s\"
recovery = \"2s\"

";

/// Copies the repository's scenarios to `root`.
pub(crate) fn copy_to(root: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios");
    let status = Command::new("cp").arg("-r").arg(from).arg(root).status().unwrap();
    assert!(status.success());
}

/// The repository's scenarios in `root`, where a trial of the main campaign takes 11 s, on a shop
/// that is filled in a second.
pub(crate) fn write_short(root: &Path) {
    copy_to(root);
    edit(root, "redis-outage.toml", |text| {
        small_shop(text).replace("[slo]", &format!("{SHORT_PHASES}[slo]"))
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
