//! A variant's settings as TOML, without what is as shipped.

use lab_core::{scenario::ResolvedVariant, settings::Settings};
use toml::Table;

use super::RenderError;

/// The settings of `variant` that differ from a service as commonly shipped; empty when none does.
///
/// **Errors**: [`RenderError::Settings`].
pub(super) fn own_settings(variant: &ResolvedVariant) -> Result<String, RenderError> {
    let write = || -> Result<String, toml::ser::Error> {
        let table = Table::try_from(&variant.settings)?;
        let shipped = Table::try_from(Settings::default())?;
        toml::to_string(&without_equals(&table, &shipped))
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
    use lab_core::scenario::{Topology, TopologySettings};

    use super::*;

    fn variant(settings: &str) -> ResolvedVariant {
        ResolvedVariant {
            operator: Vec::new(),
            topology: Topology::Single,
            scale_out: None,
            network: None,
            topology_settings: TopologySettings::default(),
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
    fn only_what_is_not_as_shipped_is_shown() {
        assert_eq!(own_settings(&variant("")).unwrap(), "");
        let text = own_settings(&variant(
            "page_query = \"optimized\"\n[circuit_breaker]\nmode = \"enforce\"\nfailure_threshold = 5",
        ))
        .unwrap();
        assert_eq!(text, "page_query = \"optimized\"\n\n[circuit_breaker]\nmode = \"enforce\"\n");
    }
}
