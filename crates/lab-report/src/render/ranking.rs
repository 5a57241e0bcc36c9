//! Which cells stand side by side, and in which order.

use lab_core::{
    artifact::summary::{CellSummary, Summary},
    scenario::{CONTROL, Fault},
};

use super::numbers;

/// The cells that differ in nothing but the variant.
#[derive(Debug, Clone)]
pub(super) struct Group<'a> {
    /// What was done to Redis.
    pub(super) fault: Fault,
    /// `crash-load-factor-1.5`, for file names and anchors.
    pub(super) key: String,
    /// `crash, load factor 1.5`, for people.
    pub(super) title: String,
    /// From the best to the worst: by goodput ratio, then by p99 ratio, then as planned.
    pub(super) cells: Vec<&'a CellSummary>,
}

/// Fault and parameters of a cell, for file names and anchors.
pub(super) fn group_key(cell: &CellSummary) -> String {
    format!("{}-{}", cell.fault, cell.params.folder())
}

/// Fault and parameters of a cell, for people.
pub(super) fn group_title(cell: &CellSummary) -> String {
    format!("{}, {}", cell.fault, load_title(cell))
}

/// Parameters of a cell, for people.
pub(super) fn load_title(cell: &CellSummary) -> String {
    format!("{}{}", offered_title(cell), servers(cell, ", "))
}

/// The load of a cell, for people.
pub(super) fn offered_title(cell: &CellSummary) -> String {
    match cell.params.load_factor {
        Some(load_factor) => format!("load factor {load_factor}"),
        None => format!("{} requests/s", numbers::three_digits(cell.arrival_rate_per_sec)),
    }
}

/// Fault and parameters of a cell in a list of many: `crash at 1.5`.
pub(super) fn group_label(cell: &CellSummary) -> String {
    format!("{} {}", cell.fault, load_label(cell))
}

/// Parameters of a cell in a list of many: `at 1.5`.
pub(super) fn load_label(cell: &CellSummary) -> String {
    let load = match cell.params.load_factor {
        Some(load_factor) => load_factor.to_string(),
        None => format!("{} requests/s", numbers::three_digits(cell.arrival_rate_per_sec)),
    };
    format!("at {load}{}", servers(cell, " on "))
}

/// The number of instances after a separator, where it is not one. The topology is not told: it is
/// the variant's, and cells stand side by side whatever it is.
pub(super) fn servers(cell: &CellSummary, separator: &str) -> String {
    let mut text = String::new();
    if 1 < cell.params.n_instances {
        text.push_str(&format!("{separator}{} instances", cell.params.n_instances));
    }
    text
}

/// A cell in words.
pub(super) fn cell_title(cell: &CellSummary) -> String {
    format!("{} under {}", cell.variant, group_title(cell))
}

/// Name of the files of a cell's plots, without their ending.
pub(super) fn cell_key(cell: &CellSummary) -> String {
    format!("{}-{}", cell.variant, group_key(cell))
}

/// All groups, in the order of the plan.
pub(super) fn groups(summary: &Summary) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for cell in &summary.variants {
        let key = group_key(cell);
        match groups.iter_mut().find(|it| it.key == key) {
            Some(group) => group.cells.push(cell),
            None => groups.push(Group {
                fault: cell.fault,
                key,
                title: group_title(cell),
                cells: vec![cell],
            }),
        }
    }
    for group in &mut groups {
        group.cells.sort_by(|a, b| {
            let goodput = |it: &CellSummary| it.goodput_ratio_fault.unwrap_or(-1.0);
            let p99 = |it: &CellSummary| it.response_time_p99_ratio_fault.unwrap_or(f64::MAX);
            goodput(b).total_cmp(&goodput(a)).then_with(|| p99(a).total_cmp(&p99(b)))
        });
    }
    groups
}

/// The group that the headline and the README are about: of the first fault, the one with the
/// highest load.
pub(super) fn headline_group<'a, 'b>(groups: &'b [Group<'a>]) -> Option<&'b Group<'a>> {
    let fault = groups.first()?.fault;
    let load = |group: &Group<'_>| group.cells[0].arrival_rate_per_sec;
    groups
        .iter()
        .filter(|it| it.fault == fault)
        .reduce(|best, it| if load(best) < load(it) { it } else { best })
}

/// The result in one sentence, computed from the figures.
pub(super) fn headline(summary: &Summary) -> String {
    let groups = groups(summary);
    let Some(group) = headline_group(&groups) else {
        return "No cell was measured.".into();
    };
    let measured: Vec<(&str, f64)> = group
        .cells
        .iter()
        .filter_map(|it| Some((it.variant.as_str(), it.goodput_ratio_fault?)))
        .collect();
    let Some((best, best_ratio)) = measured.first().copied() else {
        return format!("No valid trial under {}.", group.title);
    };
    let pages = |ratio: f64| numbers::three_digits((ratio * 1_000.0).round());
    let control = measured.iter().find(|(variant, _)| *variant == CONTROL);
    match control {
        Some((_, ratio)) if best != CONTROL => format!(
            "Redis goes away ({}): of every 1,000 product pages that the service normally \
             delivers in time, `{CONTROL}` still delivers {}, `{best}` {}.",
            group.title,
            pages(*ratio),
            pages(best_ratio),
        ),
        _ => format!(
            "Redis goes away ({}): of every 1,000 product pages that the service normally \
             delivers in time, `{best}` still delivers {}.",
            group.title,
            pages(best_ratio),
        ),
    }
}
