//! When the servers are back and when the service is: the table of campaigns in which another server
//! can take over.

use lab_core::artifact::summary::CellSummary;

use super::{
    numbers,
    ranking::group_title,
    table::{self, Column},
    view::{CampaignView, CellView},
};
use crate::analysis::{
    failover::{FailoverTimes, published},
    statistics::median_time,
};

/// What stands over the table.
pub(super) const TITLE: &str = "When the servers are back, and when the service is";

/// How to read the table, in a few sentences.
pub(super) const NOTE: &str = "Two times that are often taken for one. The servers are back when \
    another primary accepts a write: the lab asks every 20 ms as a client would. The service \
    follows when it has taken up that primary; a connection to Redis Cluster does not tell when (–). \
    The time to mitigate is what users saw of both: 0 where goodput never fell below 0.9 of baseline, \
    else the beginning of the first second that is good again, so it can be less than the other two. \
    All are medians of the valid trials, and each says in how many trials it is there where that is \
    not all. By the rule that is published a failover takes the timeout of the servers \
    (`down_after`, `node_timeout`) and 1 to 2 s. It is no bound: a node of Redis Cluster counts from \
    a ping that is not answered, and may send that ping up to half the timeout after the server is \
    gone. `docs/method.md` has the steps and their times under \"Topologies\"";

const HEAD: [&str; 7] = [
    "variant",
    "under",
    "by the rule",
    "new primary accepts writes after",
    "service follows, after that",
    "to mitigate",
    "trials",
];

/// A head, and rows.
pub(super) type Table = (Vec<String>, Vec<Vec<String>>);

/// A head, and a row for each cell whose servers can take over; `None` when there is no such cell.
pub(super) fn table(view: &CampaignView) -> Option<Table> {
    let cells = view.cells().filter(|(cell, _)| cell.topology.fails_over());
    let rows: Vec<Vec<String>> = cells.map(|(cell, trials)| row(cell, trials)).collect();
    (!rows.is_empty()).then(|| (HEAD.map(str::to_owned).to_vec(), rows))
}

fn row(cell: &CellSummary, trials: &CellView) -> Vec<String> {
    let valid = trials.trials.iter().filter(|it| it.verdict.valid);
    let times: Vec<FailoverTimes> = valid.map(|it| FailoverTimes::of(&it.events)).collect();
    let of_each = |of: fn(&FailoverTimes) -> Option<f64>| median_of(times.iter().map(of).collect());
    let figure = |column| table::entry(cell, None, column).text;
    vec![
        cell.variant.clone(),
        group_title(cell),
        rule(cell, trials),
        of_each(|it| it.servers_ms),
        of_each(|it| it.service_ms),
        figure(Column::Mitigate),
        figure(Column::Trials),
    ]
}

fn rule(cell: &CellSummary, trials: &CellView) -> String {
    let servers = trials.trials.first().map(|it| it.manifest.variant.servers());
    let Some([from, to]) = servers.and_then(|it| published(it, cell.fault)) else {
        return numbers::MISSING.into();
    };
    let [from, to] = [from, to].map(|it| numbers::three_digits(it.as_secs_f64()));
    format!("{from} to {to} s")
}

/// The median, and in how many trials there is such a time, where that is not all or none.
fn median_of(times: Vec<Option<f64>>) -> String {
    let n = times.iter().flatten().count();
    let median = median_time(&times).map_or_else(|| numbers::MISSING.into(), numbers::milliseconds);
    if n == 0 || n == times.len() {
        median
    } else {
        format!("{median} (in {n} of {})", times.len())
    }
}
