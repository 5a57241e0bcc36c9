//! What people read, as snapshots; and what every page and plot must have.

use std::{collections::BTreeMap, path::PathBuf};

use lab_core::artifact::summary::Summary;

use super::{
    RenderError, playbook, questions::Question, readme_table, render_campaign, terminal_table,
    testing,
};

fn files() -> BTreeMap<PathBuf, Vec<u8>> {
    render_campaign(&testing::campaign()).unwrap()
}

fn text(files: &BTreeMap<PathBuf, Vec<u8>>, path: &str) -> String {
    String::from_utf8(files[&PathBuf::from(path)].clone()).unwrap()
}

fn svgs(files: &BTreeMap<PathBuf, Vec<u8>>) -> impl Iterator<Item = (&PathBuf, &str)> {
    files
        .iter()
        .filter(|(path, _)| path.extension().is_some_and(|it| it == "svg"))
        .map(|(path, bytes)| (path, str::from_utf8(bytes).unwrap()))
}

#[test]
fn the_terminal_shows_a_ranked_table_with_reasons_for_what_is_missing() {
    insta::assert_snapshot!(terminal_table(&testing::campaign()), @r"
    Redis goes away (crash, load factor 1.5): of every 1,000 product pages that the service normally delivers in time, `none` still delivers 2, `playbook-one-minute` 1,000.
    Partial: the run ended before its last planned trial.

    crash, load factor 1.5
      variant              goodput ratio  over base  served ratio  p99 ratio  connection demand  to mitigate  to recover  verdict  trials
      playbook-one-minute          1.000     +0.384         0.980      1.82×         0.62 → 3.2         0 ms      300 ms  met           3
      circuit-breaker              0.667     +0.051         0.667     ≥ 194×         0.62 → 412            –       2.1 s  missed        3
      bounded-timeouts             0.616     +0.611         0.616     ≥ 194×         0.62 → 412            –       2.1 s  missed        3
      none                         0.002          –         0.002     ≥ 161×         0.62 → 0.1            –      7.43 s  missed   2 of 3
      – to mitigate: in most trials not while the fault was on

    pause, load factor 1.5
      variant  goodput ratio  over base  served ratio  p99 ratio  connection demand  to mitigate  to recover  verdict  trials
      none                 –          –             –          –                  –            –           –  invalid       0
      – none: no valid trial
    ");
}

#[test]
fn readme_shows_the_hardest_load_of_the_first_fault() {
    insta::assert_snapshot!(readme_table(&testing::campaign().summary), @r"
    Redis is killed (SIGKILL) and restarts empty (crash, load factor 1.5):

    | variant | goodput ratio | served ratio | p99 ratio | connection demand | to mitigate | to recover | trials |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | `playbook-one-minute` | 1.000 | 0.980 | 1.82× | 0.62 → 3.2 | 0 ms | 300 ms | 3 |
    | `circuit-breaker` | 0.667 | 0.667 | ≥ 194× | 0.62 → 412 | – | 2.1 s | 3 |
    | `bounded-timeouts` | 0.616 | 0.616 | ≥ 194× | 0.62 → 412 | – | 2.1 s | 3 |
    | `none` | 0.002 | 0.002 | ≥ 161× | 0.62 → 0.1 | – | 7.43 s | 2 of 3 |

    – to mitigate: in most trials not while the fault was on.
    ");
}

#[test]
fn the_pull_request_text_has_headline_table_plots_and_machine() {
    insta::assert_snapshot!("report.md", text(&files(), "report.md"));
}

#[test]
fn the_same_view_gives_the_same_bytes() {
    assert_eq!(files(), files());
}

#[test]
fn every_cell_with_a_trial_has_its_plots_and_one_without_has_none() {
    let names: Vec<String> = files().keys().map(|it| it.display().to_string()).collect();
    insta::assert_snapshot!(names.join("\n"), @r"
    plots/bounded-timeouts-crash-load-factor-1.5-distribution.svg
    plots/bounded-timeouts-crash-load-factor-1.5-timeline.svg
    plots/circuit-breaker-crash-load-factor-1.5-distribution.svg
    plots/circuit-breaker-crash-load-factor-1.5-timeline.svg
    plots/comparison-crash-load-factor-1.5.png
    plots/comparison-crash-load-factor-1.5.svg
    plots/comparison-pause-load-factor-1.5.svg
    plots/none-crash-load-factor-1.5-distribution.svg
    plots/none-crash-load-factor-1.5-timeline.png
    plots/none-crash-load-factor-1.5-timeline.svg
    plots/playbook-one-minute-crash-load-factor-1.5-distribution.svg
    plots/playbook-one-minute-crash-load-factor-1.5-timeline.png
    plots/playbook-one-minute-crash-load-factor-1.5-timeline.svg
    report.html
    report.md
    ");
}

#[test]
fn the_page_asks_the_network_for_nothing() {
    let page = text(&files(), "report.html");
    for part in page.split(['<', ';', '{']).filter(|it| !it.starts_with("svg ")) {
        for address in ["http://", "https://", "//cdn", "@import", "url("] {
            assert!(!part.contains(address), "{part}");
        }
    }
    assert!(!page.contains("<link") && !page.contains("<img"));
}

#[test]
fn the_page_holds_every_plot_and_a_table_that_can_be_sorted() {
    let files = files();
    let page = text(&files, "report.html");
    for (path, svg) in svgs(&files) {
        assert!(page.contains(svg), "{} is not in the page", path.display());
    }
    assert_eq!(page.matches("<table class=\"sortable\">").count(), 2 * 2);
    assert_eq!(page.matches("aria-sort=\"none\"").count(), 2 * (12 + 8));
    assert!(page.contains("<td data-sort=\"0.002\">0.002</td>"), "numbers sort as numbers");
    assert!(page.contains("<td title=\"in most trials not while the fault was on\">–</td>"));
    assert!(page.contains("Example CPU &lt;2.0 GHz&gt;"), "facts are escaped");
    assert!(page.contains("wait_duration_in_open = &quot;1s&quot;"), "settings are shown");
}

/// Where each question stands in `text`, as a heading that begins with `before`.
fn places(text: &str, before: &str) -> Vec<usize> {
    let place = |it: Question| {
        let heading = format!("{before}{}", it.text());
        text.find(&heading).unwrap_or_else(|| panic!("`{heading}` is missing"))
    };
    Question::ALL.map(place).into()
}

#[test]
fn page_and_text_answer_the_questions_in_order_and_then_show_each_variant() {
    let files = files();
    let (page, report) = (text(&files, "report.html"), text(&files, "report.md"));
    let (on_page, in_text) = (places(&page, "<h2>"), places(&report, "\n## "));
    assert!(on_page.is_sorted() && in_text.is_sorted(), "{on_page:?} {in_text:?}");
    assert!(on_page[5] < page.find("<section class=\"variant\"").unwrap());
    assert!(in_text[5] < report.find("\n## Each variant").unwrap());
    assert_eq!(page.matches("<p class=\"answer\">").count(), 6);
    for question in Question::ALL {
        assert!(page.contains(&format!("<li><a href=\"#{}\">", question.anchor())));
    }
}

#[test]
fn the_page_says_why_a_trial_is_not_valid() {
    let page = text(&files(), "report.html");
    assert!(page.contains("send lag p99 in fault is 4.10 ms (allowed are 1.55 ms)"));
    assert_eq!(page.matches("<span class=\"valid\">yes</span>").count(), 11);
    assert_eq!(page.matches("<span class=\"invalid\">no</span>").count(), 1);
}

#[test]
fn a_timeline_names_its_axes_and_every_event() {
    let files = files();
    let svg = text(&files, "plots/playbook-one-minute-crash-load-factor-1.5-timeline.svg");
    let lines: Vec<&str> = svg.lines().collect();
    for want in [
        "playbook-one-minute under crash, load factor 1.5: one trial, second by second",
        "Requests/s by outcome",
        "Product response time, log scale",
        "Connection demand (in use + pending)",
        "seconds since the start (grey: warmup, shaded: fault on)",
        "deadline 1 s",
        "pool size 20",
        "injected",
        "detected (circuit open)",
        "half-open ×12",
        "circuit closed",
        "dependency ready",
        "recovered",
        "success",
        "degraded",
    ] {
        assert!(lines.contains(&want), "`{want}` is missing");
    }
    assert!(!lines.contains(&"timed out"), "an outcome that never happened has no legend");
}

#[test]
fn a_comparison_marks_a_tail_that_is_only_a_lower_bound() {
    let svg = text(&files(), "plots/comparison-crash-load-factor-1.5.svg");
    assert!(svg.contains("≥ 161×") && svg.contains("\n1.82×\n"));
    assert_eq!(svg.matches("<circle").count(), 11 + 11 + 2 * 4, "a dot for every valid trial");
}

#[test]
fn every_plot_is_well_formed_and_has_a_title() {
    for (path, svg) in svgs(&files()) {
        assert!(svg.starts_with("<svg role=\"img\" "), "{}", path.display());
        assert!(svg.trim_end().ends_with("</svg>") && svg.contains("<title>"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{}", path.display());
    }
}

#[test]
fn a_campaign_without_cells_is_still_a_report() {
    let mut view = testing::campaign();
    view.summary = Summary { variants: Vec::new(), ..view.summary };
    view.cells.clear();
    let files = render_campaign(&view).unwrap();
    assert!(text(&files, "report.md").contains("No cell was measured."));
    assert_eq!(files.len(), 2);
}

#[test]
fn a_view_that_does_not_match_its_summary_is_refused() {
    let mut view = testing::campaign();
    view.cells.pop();
    let error = render_campaign(&view).unwrap_err();
    assert!(matches!(error, RenderError::CellsDoNotMatch { n_summaries: 5, n_views: 4 }));
}

#[test]
fn a_campaign_with_two_loads_has_a_plot_of_goodput_against_them() {
    let files = render_campaign(&testing::campaign_at_two_loads()).unwrap();
    let svg = text(&files, "plots/goodput-by-load-crash.svg");
    let lines: Vec<&str> = svg.lines().collect();
    for want in [
        "Goodput against offered load: crash",
        "offered load, multiples of C, log scale",
        "ideal: the dashed line",
        "0.750 playbook-one-minute",
        "0.000 none",
    ] {
        assert!(lines.contains(&want), "`{want}` is missing");
    }
    assert_eq!(svg.matches("<circle").count(), 2 * 11 + 4, "every valid trial, and every name");
    assert!(!files.contains_key(&PathBuf::from("plots/goodput-by-load-pause.svg")));
    let page = text(&files, "report.html");
    assert!(page.contains(&svg) && page.contains("<a href=\"#goodput-by-load\">"));
    let table = "| crash, share of C | at 1.5 | at 10 | all requests at 1.5 | all requests at 10 |\n\
                 | --- | ---: | ---: | ---: | ---: |\n\
                 | [`playbook-one-minute`](#playbook-one-minute) | 1.500 | 0.750 | ";
    assert!(text(&files, "report.md").contains(table));
}

#[test]
fn a_campaign_with_several_faults_has_maps_of_variants_and_faults() {
    let files = render_campaign(&testing::campaign_under_faults()).unwrap();
    let lines = |figure: &str| -> Vec<String> {
        let svg = text(&files, &format!("plots/faults-{figure}-load-factor-1.5.svg"));
        assert!(text(&files, "report.html").contains(&svg));
        svg.lines().map(str::to_owned).collect()
    };
    let served = lines("served-ratio");
    let count = |text: &str| served.iter().filter(|it| *it == text).count();
    for fault in ["crash", "pause", "database-connections"] {
        assert_eq!(count(fault), 1, "{fault}");
    }
    // Of three faults: `none` was measured under two, `playbook-one-minute` as well.
    assert_eq!((count("0.00"), count("0.98"), count("0.62")), (2, 2, 3));
    assert_eq!((count("×"), count("–")), (1, 1));
    let place = |variant: &str| served.iter().position(|it| it == variant).unwrap();
    assert!(place("playbook-one-minute") < place("circuit-breaker"));
    assert!(place("bounded-timeouts") < place("none"));
    assert_eq!(lines("connection-demand").iter().filter(|it| *it == "412").count(), 6);
    let report = text(&files, "report.md");
    assert!(report.contains("](plots/faults-served-ratio-load-factor-1.5.svg)"));
}

#[test]
fn two_faults_are_told_by_the_tables_alone() {
    let files = render_campaign(&testing::campaign()).unwrap();
    assert!(!text(&files, "report.html").contains("Every variant under every fault"));
    assert!(!text(&files, "report.md").contains("Every variant under every fault"));
}

#[test]
fn one_load_or_a_rate_that_is_no_multiple_of_c_has_no_such_plot() {
    let has_plot = |view: &super::CampaignView| {
        let files = render_campaign(view).unwrap();
        let has = |page: &str| text(&files, page).contains("Goodput against offered load");
        assert_eq!(has("report.md"), has("report.html"));
        has("report.md")
    };
    assert!(!has_plot(&testing::campaign()));
    let mut view = testing::campaign_at_two_loads();
    assert!(has_plot(&view));
    view.summary.calibration.db_capacity_per_sec = None;
    assert!(!has_plot(&view));
}

#[test]
fn a_campaign_with_several_numbers_of_instances_answers_why_not_just_add_servers() {
    let files = render_campaign(&testing::campaign_with_instances(3.1)).unwrap();
    let svg = text(&files, "plots/instances-crash-load-factor-1.5.svg");
    let lines: Vec<&str> = svg.lines().collect();
    for want in [
        "Why not just add servers? crash, load factor 1.5",
        "Redis up: capacity of the service, requests/s",
        "Redis gone: goodput, requests/s",
        "2,790 measured",
        "3,600 in proportion",
        "PostgreSQL has 100",
        "instances of the service",
    ] {
        assert!(lines.contains(&want), "`{want}` is missing");
    }
    assert!(!files.contains_key(&PathBuf::from("plots/instances-pause-load-factor-1.5.svg")));
    let passed =
        "Positive control passed: with Redis up 4 instances carry 3.1 times what 1 carries";
    let (page, report) = (text(&files, "report.html"), text(&files, "report.md"));
    assert!(page.contains(&svg) && page.contains("<a href=\"#instances\">"));
    assert!(page.contains(passed) && report.contains(passed));
    assert!(report.contains("| [`none`](#none) | 4 | "));
    assert!(report.contains("- capacity by instances, requests/s: 900 with 1, 408 without"));
}

#[test]
fn where_more_instances_do_not_carry_more_with_redis_up_the_report_says_so() {
    let files = render_campaign(&testing::campaign_with_instances(2.4)).unwrap();
    let says = "Cannot be shown on this machine: with Redis up 4 instances carry only 2.4 times";
    assert!(text(&files, "report.md").contains(says) && text(&files, "report.html").contains(says));
    let mut view = testing::campaign_with_instances(2.4);
    view.summary.calibration.control.clear();
    let report = text(&render_campaign(&view).unwrap(), "report.md");
    assert!(report.contains("No positive control was measured"));
    let report = text(&render_campaign(&testing::campaign()).unwrap(), "report.md");
    assert!(!report.contains("Why not just add servers?"));
}

#[test]
fn where_another_server_can_take_over_the_report_tells_servers_from_service() {
    let files = render_campaign(&testing::campaign_with_failovers()).unwrap();
    let (page, report) = (text(&files, "report.html"), text(&files, "report.md"));
    let start = report.find("## When the servers are back, and when the service is").unwrap();
    let rows: Vec<&str> =
        report[start..].lines().filter(|it| it.starts_with('|')).take(4).collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    | variant | under | by the rule | new primary accepts writes after | service follows, after that | to mitigate | trials |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | [`bounded-timeouts`](#bounded-timeouts) | crash, load factor 1.5 | 31 to 32 s | 3.1 s (in 2 of 3) | 300 ms (in 2 of 3) | – | 3 |
    | [`circuit-breaker`](#circuit-breaker) | crash, load factor 1.5 | 16 to 17 s | 6.1 s | – | – | 3 |
    ");
    assert!(page.contains("<a href=\"#servers-back\">"));
    assert!(page.contains("<section id=\"servers-back\">") && page.contains("<td>31 to 32 s</td>"));
    assert!(report.contains("`docs/method.md`") && page.contains("<code>docs/method.md</code>"));
    let alone = render_campaign(&testing::campaign()).unwrap();
    assert!(!text(&alone, "report.md").contains("When the servers are back"));
    assert!(!text(&alone, "report.html").contains("servers-back"));
}

#[test]
fn a_variant_that_restores_a_snapshot_says_how_much_and_how_long() {
    let files = render_campaign(&testing::campaign_with_snapshots()).unwrap();
    // Worked by hand: 61 ms for 20,012 keys are 3.048 s for a million.
    let says = "Restored: 20,000 keys, 12 more had expired; read in 61 ms, which is 3.05 s per \
                million, and 96 ms from the order to start to the first answer (medians of 3 trials).";
    for path in ["report.md", "report.html"] {
        assert_eq!(text(&files, path).matches(says).count(), 1, "{path}");
    }
    assert!(text(&files, "report.html").contains("restore = &quot;snapshot&quot;"));
    let alone = text(&render_campaign(&testing::campaign()).unwrap(), "report.md");
    assert!(!alone.contains("Restored:"));
}

#[test]
fn a_variant_with_a_replica_says_whether_it_carries_more_and_how_far_it_was_behind() {
    let files = render_campaign(&testing::campaign_with_replica(1.8)).unwrap();
    let (page, report) = (text(&files, "report.html"), text(&files, "report.md"));
    for want in [
        "Positive control passed: with the cache bypassed a primary and its replica carry 1.8 times",
        "while the fault was on at most 12.3 KB and 6.7 ms under crash at 1.5",
        "400 with single, 720 with replica",
    ] {
        assert_eq!((page.matches(want).count(), report.matches(want).count()), (1, 1), "{want}");
    }
    let files = render_campaign(&testing::campaign_with_replica(1.1)).unwrap();
    let says = "Cannot be shown on this machine: with the cache bypassed a primary and its replica";
    assert!(text(&files, "report.md").contains(says) && text(&files, "report.html").contains(says));
    let mut view = testing::campaign_with_replica(1.1);
    view.summary.calibration.topologies.clear();
    let report = text(&render_campaign(&view).unwrap(), "report.md");
    assert!(report.contains("No positive control was measured: whether a primary and its replica"));
    let report = text(&render_campaign(&testing::campaign()).unwrap(), "report.md");
    assert!(!report.contains("and its replica") && !report.contains("Replication lag"));
}

/// What follows each `before` in `text`, up to `after`.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|it| it.split(after).next()).collect()
}

#[test]
fn every_link_within_a_page_leads_to_a_place_of_its_own() {
    let files = render_campaign(&testing::campaign_at_two_loads()).unwrap();
    let page = text(&files, "report.html");
    let mut ids = between(&page, " id=\"", '"');
    let n_ids = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), n_ids, "an id stands twice");
    let links = between(&page, "href=\"#", '"');
    assert!(30 < links.len());
    for link in links {
        assert!(ids.contains(&link), "#{link} leads nowhere");
    }
    let document = text(&files, "report.md");
    let anchors: Vec<String> = document
        .lines()
        .filter(|it| it.starts_with('#'))
        .map(|it| it.trim_start_matches(['#', ' ']).to_lowercase().replace(' ', "-"))
        .collect();
    let links = between(&document, "](#", ')');
    assert!(10 < links.len(), "{links:?}");
    for link in links {
        assert!(anchors.iter().any(|it| it == link), "#{link} leads nowhere");
    }
}

#[test]
fn the_page_says_what_was_claimed_expected_and_found() {
    let page = text(&files(), "report.html");
    let start = page.find("<section class=\"variant\" id=\"variant-circuit-breaker\">").unwrap();
    let end = page[start..].find("<p>Settings").unwrap();
    insta::assert_snapshot!("variant-section", &page[start..start + end]);
    let start = page.find("<section id=\"claims\">").unwrap();
    let end = page[start..].find("<th scope=\"row\" rowspan=\"1\">S14").unwrap();
    insta::assert_snapshot!("claims-section", &page[start..start + end]);
}

#[test]
fn what_was_found_under_many_faults_is_condensed_everywhere() {
    let view = testing::campaign_under_five_faults();
    let files = render_campaign(&view).unwrap();
    let (page, report) = (text(&files, "report.html"), text(&files, "report.md"));
    let found = "**helped** under 5 of 5 faults at 1.5: crash (goodput 0.616 → 0.667), pause, \
                 cold, loading, flap (goodput 0.616 → 0.667)";
    assert!(report.contains(&format!("| {found} |\n")));
    assert!(playbook(&[view]).contains(&format!("campaign `redis-outage`: {found}.\n")));
    let found = "<span class=\"helped\">helped</span> under 5 of 5 faults at 1.5: \
                 <span class=\"item\">crash (goodput 0.616 → 0.667)</span>, \
                 <span class=\"item\">pause</span>, <span class=\"item\">cold</span>, ";
    assert!(page.contains(found));
    let note = "Where a variant met more than 4 faults and loads";
    assert_eq!((page.matches(note).count(), report.matches(note).count()), (1, 1));
    assert!(!text(&render_campaign(&testing::campaign()).unwrap(), "report.md").contains(note));
}

// Twice as many cells as variants, as the committed campaign with the most of both has.
#[test]
fn a_page_of_40_variants_has_at_most_3_mb() {
    let view = testing::campaign_of(40);
    assert_eq!((view.variants().len(), view.cells.len()), (40, 80));
    let page = &render_campaign(&view).unwrap()[&PathBuf::from("report.html")];
    assert!(page.len() <= 3_000_000, "{} bytes", page.len());
    assert!(2_000_000 < page.len(), "{} bytes: are the plots as large as real ones?", page.len());
}
