//! A variant's settings as TOML, without what is as shipped.

use lab_core::{
    scenario::{ResolvedVariant, Topology},
    settings::Settings,
};
use toml::Table;

use super::RenderError;

/// What a variant file says beside its settings about what the service runs on.
const AROUND: [&str; 5] = ["topology", "topology_settings", "restore", "scale_out", "network"];

/// What `variant` runs on, where that is not the usual, and its settings that differ from a service
/// as commonly shipped; empty when nothing does.
///
/// **Errors**: [`RenderError::Settings`].
pub(super) fn own_settings(variant: &ResolvedVariant) -> Result<String, RenderError> {
    let write = || -> Result<String, toml::ser::Error> {
        let variant_table = Table::try_from(variant)?.into_iter();
        let mut around: Table =
            variant_table.filter(|(key, _)| AROUND.contains(&key.as_str())).collect();
        if variant.topology == Topology::default() {
            around.remove("topology");
        }
        let table = Table::try_from(&variant.settings)?;
        let shipped = Table::try_from(Settings::default())?;
        around.extend(without_equals(&table, &shipped));
        toml::to_string(&around)
    };
    write().map_err(|source| RenderError::Settings { variant: variant.name.clone(), source })
}

/// `table` without every entry that is the same in `other`.
fn without_equals(table: &Table, other: &Table) -> Table {
    table
        .iter()
        .filter(|(key, value)| other.get(*key) != Some(*value))
        .map(|(key, value)| match (value, other.get(key)) {
            (toml::Value::Table(mine), Some(toml::Value::Table(theirs))) => {
                (key.clone(), toml::Value::Table(without_equals(mine, theirs)))
            }
            _ => (key.clone(), value.clone()),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use lab_core::{
        scenario::{Network, Restore, TopologySettings},
        units::PerSec,
    };

    use super::*;

    fn variant(settings: &str) -> ResolvedVariant {
        ResolvedVariant {
            operator: Vec::new(),
            topology: Topology::Single,
            scale_out: None,
            network: None,
            topology_settings: TopologySettings::default(),
            restore: Restore::Empty,
            least_fault_phase: None,
            name: "x".into(),
            title: "t".into(),
            base: None,
            strategy: vec![],
            hypothesis: "h".into(),
            settings: toml::from_str(settings).unwrap(),
        }
    }

    #[test]
    fn what_a_variant_runs_on_stands_beside_its_settings() {
        let base = variant("page_query = \"optimized\"");
        let network = Some(Network {
            capacity_ratio: None,
            database_bytes_per_sec: PerSec::new(300_000.0).ok(),
        });
        let variant = ResolvedVariant { topology: Topology::Sentinel, network, ..base };
        assert_eq!(
            own_settings(&variant).unwrap(),
            "page_query = \"optimized\"\ntopology = \"sentinel\"\n\n\
             [network]\ndatabase_bytes_per_sec = 300000.0\n"
        );
    }

    #[test]
    fn a_variant_that_restores_a_snapshot_says_so() {
        let variant = ResolvedVariant { restore: Restore::Snapshot, ..variant("") };
        assert_eq!(own_settings(&variant).unwrap(), "restore = \"snapshot\"\n");
    }

    #[test]
    fn only_what_is_not_as_shipped_is_shown() {
        assert_eq!(own_settings(&variant("")).unwrap(), "");
        let text = own_settings(&variant(
            "page_query = \"optimized\"\n[circuit_breaker]\nmode = \"enforce\"\nfailure_threshold = 5",
        ))
        .unwrap();
        assert_eq!(text, "page_query = \"optimized\"\n\n[circuit_breaker]\nmode = \"enforce\"\n");
    }
}
