//! `lab list`: what there is to run.

use std::{env, fmt::Write};

use anyhow::{Context, Result};
use lab_core::scenario::{Fault, Topology};
use serde::Serialize;

use crate::bench::ScenarioFiles;

/// Everything there is to run, in the form of `list --json`.
#[derive(Debug, Serialize)]
pub struct Listing {
    variants: Vec<Entry>,
    faults: Vec<Entry>,
    topologies: Vec<Entry>,
    campaigns: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    title: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    strategy: Option<Vec<String>>,
}

impl Entry {
    fn new(name: &str, title: &str) -> Self {
        Self { name: name.into(), title: title.into(), strategy: None }
    }
}

impl Listing {
    /// Reads the repository that the current folder is in. **Errors**: a file that does not parse.
    pub fn read() -> Result<Self> {
        let here = env::current_dir().context("find the current folder")?;
        let files = ScenarioFiles::open(&here)?;
        let variants = files.variants.iter().map(|(name, file)| Entry {
            strategy: Some(file.strategy.clone()),
            ..Entry::new(name, &file.title)
        });
        let campaigns = files.campaigns()?;
        Ok(Self {
            variants: variants.collect(),
            faults: Fault::ALL.iter().map(|it| Entry::new(it.name(), it.title())).collect(),
            topologies: Topology::ALL.iter().map(|it| Entry::new(it.name(), it.title())).collect(),
            campaigns: campaigns.iter().map(|(name, it)| Entry::new(name, &it.title)).collect(),
        })
    }

    /// As JSON. **Errors**: none in practice.
    pub fn json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).context("encode JSON")
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let parts = [
            ("variants", &self.variants),
            ("faults", &self.faults),
            ("topologies", &self.topologies),
            ("campaigns", &self.campaigns),
        ];
        for (heading, entries) in parts {
            let width = entries.iter().map(|it| it.name.len()).max().unwrap_or(0);
            let _ = writeln!(text, "{heading}");
            for entry in entries {
                let strategy = entry.strategy.as_deref().unwrap_or_default().join(" ");
                let strategy =
                    if strategy.is_empty() { strategy } else { format!(" [{strategy}]") };
                let _ = writeln!(text, "  {:width$}  {}{strategy}", entry.name, entry.title);
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_has_the_shape_that_programs_rely_on() {
        let json: serde_json::Value =
            serde_json::from_str(&Listing::read().unwrap().json().unwrap()).unwrap();
        let names = |key: &str| -> Vec<String> {
            let entries = json[key].as_array().unwrap();
            entries.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(
            names("faults").join(" "),
            "crash pause slow-server cold expire-hot loading read-only out-of-memory max-clients \
             database-slow database-connections latency bandwidth black-hole reset half-reply \
             partial flap crash-all failover"
        );
        assert_eq!(names("topologies"), ["single", "sentinel", "cluster", "replica"]);
        assert!(names("variants").contains(&"circuit-breaker".to_owned()));
        assert!(names("campaigns").contains(&"redis-outage".to_owned()));
        let breaker = &json["variants"].as_array().unwrap()
            [names("variants").iter().position(|it| it == "circuit-breaker").unwrap()];
        assert_eq!(breaker["strategy"], serde_json::json!(["S10", "S18"]));
    }
}
