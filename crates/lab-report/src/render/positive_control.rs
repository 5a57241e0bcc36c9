//! Whether this machine can show what a campaign is about, in words.

use lab_core::{artifact::manifest::TopologyPoint, scenario::Topology};

use super::numbers;
use crate::analysis::positive_control::PositiveControl;

/// The parts of the sentence that differ between controls.
pub(super) struct Words {
    /// `with Redis up 4 instances carry`.
    pub(super) many: String,
    /// `1 carries`.
    pub(super) few: String,
    /// What follows where the control fails.
    pub(super) otherwise: &'static str,
}

/// Whether this machine can show it, in one sentence; `None`: nobody measured whether what `carry`
/// names carries more.
pub(super) fn sentence<T>(
    control: Option<&PositiveControl<T>>,
    words: impl Fn(&PositiveControl<T>) -> Words,
    carry: &str,
) -> String {
    let Some(control) = control else {
        return format!(
            "No positive control was measured: whether {carry} more on this machine is not known"
        );
    };
    let Words { many, few, otherwise } = words(control);
    let ratio = numbers::three_digits(control.ratio);
    let needed = format!("at least {} are needed", numbers::three_digits(control.ratio_min));
    if control.passed() {
        format!("Positive control passed: {many} {ratio} times what {few} ({needed})")
    } else {
        format!(
            "Cannot be shown on this machine: {many} only {ratio} times what {few} ({needed}), \
             {otherwise}"
        )
    }
}

/// The same of a replica of the database.
pub(super) fn replica_sentence(points: &[TopologyPoint]) -> String {
    let control = PositiveControl::of_replica(points);
    let words = |_: &PositiveControl<Topology>| Words {
        many: "with the cache bypassed a primary and its replica carry".into(),
        few: "the primary alone carries".into(),
        otherwise: "so what the replica does not bring may be the machine's doing",
    };
    sentence(control.as_ref(), words, "a primary and its replica carry")
}
