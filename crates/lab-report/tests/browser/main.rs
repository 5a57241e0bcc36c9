//! The report page in a headless Chromium: it asks for nothing, complains of nothing, can be seen,
//! sorted, printed and used with the keyboard. And each of these checks finds a page that does not.
//!
//! The pages are those of committed campaigns, drawn anew.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod devtools;
mod page;

use std::{collections::BTreeSet, fs, path::Path};

use devtools::Browser;
use lab_report::commands::{Completeness, report_files, view_campaign};
use lab_testkit::skip::skip;
use page::{Sorted, complaints};

/// The campaign whose page is looked at: it has several faults, loads and trials.
const LARGE: &str = "redis-outage";
/// The one whose page mistakes are made in.
const SMALL: &str = "read-replica";

fn report(campaign: &str) -> String {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../results");
    let view = view_campaign(&results.join(campaign), Completeness::AsRecorded).unwrap();
    let mut files = report_files(&view).unwrap();
    String::from_utf8(files.remove(Path::new("report.html")).unwrap()).unwrap()
}

fn browser() -> Option<Browser> {
    let browser = Browser::start();
    if browser.is_none() {
        skip("browser", "no Chromium in PATH (on Debian: apt-get install chromium)");
    }
    browser
}

/// What is wrong with `html` as a file of its own.
fn complaints_of(browser: &mut Browser, html: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("report.html");
    fs::write(&path, html).unwrap();
    complaints(browser, &path)
}

#[test]
fn the_page_works_offline_with_the_keyboard_and_on_paper() {
    let Some(mut browser) = browser() else { return };
    assert_eq!(complaints_of(&mut browser, &report(LARGE)), [""; 0]);
}

/// A mistake: its name, what of the page is replaced by what, and which kinds of complaint follow.
type Mistake = (&'static str, (&'static str, &'static str), &'static [&'static str]);

const MISTAKES: [Mistake; 9] = [
    (
        "an image from elsewhere",
        ("</main>", "<img src=\"http://127.0.0.1:9999/x.png\" alt=\"\"></main>"),
        &["console", "network"],
    ),
    (
        "a script from elsewhere",
        ("</main>", "<script src=\"http://127.0.0.1:9999/x.js\"></script></main>"),
        &["console", "network"],
    ),
    (
        "an error in the console",
        ("</main>", "<script>console.error('x')</script></main>"),
        &["console"],
    ),
    ("an exception", ("</main>", "<script>nothing.there()</script></main>"), &["console"]),
    (
        "a plot that is not shown",
        ("</style>", "figure[id^=comparison] svg { display: none }</style>"),
        &["plot"],
    ),
    (
        "a table that cannot be sorted",
        ("addEventListener(\"click\"", "addEventListener(\"dblclick\""),
        &["sort"],
    ),
    ("something too wide", ("</main>", "<p style=\"width: 2000px\">x</p></main>"), &["width"]),
    (
        "a choice that cannot be seen",
        ("</style>", "*:focus { outline: none !important }</style>"),
        &["keyboard"],
    ),
    ("a page that is not made for paper", ("@media print", "@media speech"), &["print"]),
];

#[test]
fn each_mistake_is_found_and_is_the_only_one() {
    let Some(mut browser) = browser() else { return };
    let page = report(SMALL);
    for (mistake, (right, wrong), kinds) in MISTAKES {
        assert_eq!(page.matches(right).count(), 1, "{mistake}: `{right}` is there once");
        let found = complaints_of(&mut browser, &page.replace(right, wrong));
        let kind = |it: &String| it.split(':').next().unwrap().to_owned();
        let found_kinds: BTreeSet<String> = found.iter().map(kind).collect();
        assert!(found_kinds.iter().eq(kinds), "{mistake}: {found:?}");
    }
}

#[test]
fn rows_are_in_order_by_number_or_by_name_and_those_without_a_key_are_last() {
    let in_order = |order: &str, keys: &[Option<&str>]| {
        let keys = keys.iter().map(|it| it.map(str::to_owned)).collect();
        Sorted { order: order.to_owned(), keys }.is_in_order()
    };
    assert!(in_order("ascending", &[Some("2"), Some("10"), None, None]));
    assert!(in_order("descending", &[Some("10"), Some("2"), None]));
    assert!(in_order("ascending", &[Some("10 a"), Some("2 b")]));
    assert!(!in_order("ascending", &[Some("10"), Some("2")]));
    assert!(!in_order("descending", &[Some("2"), Some("10")]));
    assert!(!in_order("ascending", &[None, Some("2")]));
}
