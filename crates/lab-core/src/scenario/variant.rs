//! Variants: one mitigation setting each, standing on a base.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    fault::Fault,
    operator::{FaultTooShort, OperatorAction, check_fault_length},
    restore::Restore,
    scale_out::{JoinsTooLate, Network, Registry, ScaleOut, check_joins},
    topology::{FaultRefused, Servers, Topology, TopologySettings, TopologySettingsError},
};
use crate::{
    settings::{Settings, SettingsError},
    target::SWITCHES,
};

/// The variant that every chain of bases ends in: a service as commonly shipped.
pub const CONTROL: &str = "none";

/// `scenarios/variants/<name>.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariantFile {
    /// One line for lists and tables.
    pub title: String,
    /// The variant it stands on. Only `none` has none.
    pub base: Option<String>,
    /// Rows of the strategy that it tries, such as `S10`.
    pub strategy: Vec<String>,
    /// What its author expects, in numbers.
    pub hypothesis: String,
    /// Which servers it needs. `None`: those of its base, and in the end
    /// [`Topology::Single`].
    #[serde(default)]
    pub topology: Option<Topology>,
    /// When more instances join. `None`: as its base; in the end all are there from the start.
    #[serde(default)]
    pub scale_out: Option<ScaleOut>,
    /// The network to the database. `None`: as its base; in the end that of the machine itself.
    #[serde(default)]
    pub network: Option<Network>,
    /// What those servers are told beside what they ship with.
    #[serde(default)]
    pub topology_settings: TopologySettings,
    /// What a server that was killed starts with. `None`: as its base; in the end
    /// [`Restore::Empty`].
    #[serde(default)]
    pub restore: Option<Restore>,
    /// The shortest fault phase that shows it. `None`: that of its base, and in the end any.
    #[serde(default, with = "humantime_serde")]
    pub least_fault_phase: Option<Duration>,
    /// Settings that differ from the base's.
    #[serde(default)]
    pub settings: toml::Table,
    /// What an operator switches while the fault lasts. A variant does not inherit these.
    #[serde(default)]
    pub operator: Vec<OperatorAction>,
}

/// A variant with all settings of its bases.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResolvedVariant {
    /// The file's name without `.toml`.
    pub name: String,
    /// One line for lists and tables.
    pub title: String,
    /// The variant it stands on.
    pub base: Option<String>,
    /// Rows of the strategy that it tries.
    pub strategy: Vec<String>,
    /// What its author expects, in numbers.
    pub hypothesis: String,
    /// Which servers it runs on.
    #[serde(default)]
    pub topology: Topology,
    /// When more instances join; `None`: all are there from the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_out: Option<ScaleOut>,
    /// The network to the database; `None`: that of the machine itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// What those servers are told beside what they ship with.
    #[serde(default, skip_serializing_if = "is_as_shipped")]
    pub topology_settings: TopologySettings,
    /// What a server that was killed starts with.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub restore: Restore,
    /// The shortest fault phase that shows it; `None`: any.
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    pub least_fault_phase: Option<Duration>,
    /// Its own settings over those of its bases.
    pub settings: Settings,
    /// What an operator switches while the fault lasts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operator: Vec<OperatorAction>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_empty(restore: &Restore) -> bool {
    *restore == Restore::Empty
}

fn is_as_shipped(settings: &TopologySettings) -> bool {
    *settings == TopologySettings::default()
}

/// A fault phase that is over before the variant has shown what it does.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error(
    "variant `{variant}` needs a fault phase of {least:?} (least_fault_phase), this one has \
     {fault:?}; take a longer --profile, or set phases.fault in the campaign"
)]
pub struct VariantPhaseTooShort {
    /// The variant.
    pub variant: String,
    /// What it needs.
    pub least: Duration,
    /// Length of the fault phase.
    pub fault: Duration,
}

impl ResolvedVariant {
    /// The servers that it needs.
    pub fn servers(&self) -> Servers {
        let (topology, settings) = (self.topology, self.topology_settings);
        Servers { topology, settings, restore: self.restore }
    }

    /// Checks that a fault phase of `fault` is as long as its author says that it must be.
    ///
    /// **Errors**: it is shorter.
    pub fn check_least_fault_phase(&self, fault: Duration) -> Result<(), VariantPhaseTooShort> {
        match self.least_fault_phase {
            Some(least) if fault < least => {
                Err(VariantPhaseTooShort { variant: self.name.clone(), least, fault })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that a fault phase of `fault` is long enough to show this variant.
    ///
    /// **Errors**: its operator acts too late for that.
    pub fn check_fault_length(&self, fault: Duration) -> Result<(), FaultTooShort> {
        check_fault_length(&self.name, &self.operator, fault)
    }

    /// Instances that run from the start when there are to be `n_instances`.
    pub fn n_instances_at_start(&self, n_instances: u32) -> u32 {
        match self.scale_out {
            Some(_) => n_instances.min(1),
            None => n_instances,
        }
    }

    /// Checks that the instances of this variant join within a fault phase of `fault`.
    ///
    /// **Errors**: they come later.
    pub fn check_joins(&self, fault: Duration) -> Result<(), JoinsTooLate> {
        check_joins(&self.name, self.scale_out, fault)
    }

    /// Checks that `fault` can be made on the servers of this variant, and shows it.
    ///
    /// **Errors**: as [`Servers::check_fault`].
    pub fn check_fault(&self, fault: Fault) -> Result<(), FaultRefused> {
        self.servers().check_fault(fault, &self.name)
    }
}

/// Why a variant cannot be used. Each names the file to change.
#[derive(Debug, thiserror::Error)]
pub enum VariantError {
    /// No such file.
    #[error("unknown variant `{name}`; there are: {known}")]
    Unknown {
        /// The name asked for.
        name: String,
        /// Every known name.
        known: String,
    },
    /// The chain of bases comes back to where it was.
    #[error("scenarios/variants/{name}.toml: its chain of bases comes back to `{at}`")]
    BaseCycle {
        /// The variant asked for.
        name: String,
        /// Where the chain closes.
        at: String,
    },
    /// The settings do not parse.
    #[error("scenarios/variants/{name}.toml: settings: {reason}")]
    Settings {
        /// The variant asked for.
        name: String,
        /// What is wrong, in one line.
        reason: String,
    },
    /// Its operator turns a switch that no service has.
    #[error(
        "scenarios/variants/{name}.toml: operator.mitigation must be one of {known}, got `{got}`"
    )]
    Switch {
        /// The variant asked for.
        name: String,
        /// The switch.
        got: String,
        /// Every known switch.
        known: String,
    },
    /// Its servers cannot be told that.
    #[error("scenarios/variants/{name}.toml: {reason}")]
    TopologySettings {
        /// The variant asked for.
        name: String,
        /// What is wrong.
        reason: TopologySettingsError,
    },
    /// Its list of instances is in a Redis that is not one server.
    #[error(
        "scenarios/variants/{name}.toml: scale_out.registry = \"redis\" needs topology \
         `single`, got `{topology}`"
    )]
    Registry {
        /// The variant asked for.
        name: String,
        /// The topology.
        topology: Topology,
    },
    /// A snapshot of servers that replace each other.
    #[error(
        "scenarios/variants/{name}.toml: restore = \"snapshot\" needs topology `single`, got \
         `{topology}`, whose servers fill each other"
    )]
    Restore {
        /// The variant asked for.
        name: String,
        /// The topology.
        topology: Topology,
    },
    /// Its network has one way to the database, its topology has two.
    #[error(
        "scenarios/variants/{name}.toml: [network] narrows the way to one PostgreSQL, topology \
         `{topology}` has two; take one of them away"
    )]
    Network {
        /// The variant asked for.
        name: String,
        /// The topology.
        topology: Topology,
    },
    /// Its network has no width, or two.
    #[error("scenarios/variants/{name}.toml: {reason}")]
    Width {
        /// The variant asked for.
        name: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The settings parse and cannot work together.
    #[error("scenarios/variants/{name}.toml: {reason}")]
    Combination {
        /// The variant asked for.
        name: String,
        /// What is wrong.
        reason: SettingsError,
    },
}

/// Lays the settings of `name` over those of its bases and checks the result.
///
/// **Errors**: an unknown name or base, a cycle, settings that do not parse or cannot work.
pub fn resolve_variant(
    name: &str,
    files: &BTreeMap<String, VariantFile>,
) -> Result<ResolvedVariant, VariantError> {
    let mut chain: Vec<(&str, &VariantFile)> = Vec::new();
    let mut next = Some(name);
    while let Some(current) = next {
        if chain.iter().any(|(seen, _)| *seen == current) {
            return Err(VariantError::BaseCycle { name: name.into(), at: current.into() });
        }
        let file = files.get(current).ok_or_else(|| VariantError::Unknown {
            name: current.into(),
            known: files.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        chain.push((current, file));
        next = file.base.as_deref();
    }
    let mut table = toml::Table::new();
    for (_, file) in chain.iter().rev() {
        overlay(&mut table, &file.settings);
    }
    let settings: Settings =
        table.try_into().map_err(|error: toml::de::Error| VariantError::Settings {
            name: name.into(),
            reason: error.to_string().split_whitespace().collect::<Vec<_>>().join(" "),
        })?;
    settings
        .validate()
        .map_err(|reason| VariantError::Combination { name: name.into(), reason })?;
    let topology = chain.iter().find_map(|(_, file)| file.topology).unwrap_or_default();
    let scale_out = chain.iter().find_map(|(_, file)| file.scale_out);
    let network = chain.iter().find_map(|(_, file)| file.network);
    if let Some(Err(reason)) = network.map(|it| it.validate()) {
        return Err(VariantError::Width { name: name.into(), reason });
    }
    let lay = |above: TopologySettings, (_, below): &(&str, &VariantFile)| {
        above.over(below.topology_settings)
    };
    let topology_settings = chain.iter().fold(TopologySettings::default(), lay);
    topology_settings
        .validate(topology)
        .map_err(|reason| VariantError::TopologySettings { name: name.into(), reason })?;
    let restore = chain.iter().find_map(|(_, file)| file.restore).unwrap_or_default();
    check_topology_fits(name, topology, (scale_out, network, restore))?;
    let least_fault_phase = chain.iter().find_map(|(_, file)| file.least_fault_phase);
    let file = chain[0].1.clone();
    if let Some(unknown) =
        file.operator.iter().find(|it| !SWITCHES.contains(&it.mitigation.as_str()))
    {
        return Err(VariantError::Switch {
            name: name.into(),
            got: unknown.mitigation.clone(),
            known: SWITCHES.join(", "),
        });
    }
    Ok(ResolvedVariant {
        name: name.into(),
        title: file.title,
        base: file.base,
        strategy: file.strategy,
        hypothesis: file.hypothesis,
        topology,
        scale_out,
        network,
        topology_settings,
        restore,
        least_fault_phase,
        settings,
        operator: file.operator,
    })
}

/// **Errors**: something is asked for that the servers of `topology` have no place for: a list of
/// instances in Redis, a narrow network, a snapshot.
fn check_topology_fits(
    name: &str,
    topology: Topology,
    (scale_out, network, restore): (Option<ScaleOut>, Option<Network>, Restore),
) -> Result<(), VariantError> {
    if topology == Topology::Single {
        return Ok(());
    }
    let name = name.to_owned();
    if scale_out.is_some_and(|it| it.registry == Registry::Redis) {
        return Err(VariantError::Registry { name, topology });
    }
    if network.is_some() && topology.has_database_replica() {
        return Err(VariantError::Network { name, topology });
    }
    match restore {
        Restore::Empty => Ok(()),
        Restore::Snapshot => Err(VariantError::Restore { name, topology }),
    }
}

/// Writes every key of `upper` over `lower`, table by table.
fn overlay(lower: &mut toml::Table, upper: &toml::Table) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => overlay(below, above),
            _ => {
                lower.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::Mode;

    fn files(entries: &[(&str, &str)]) -> BTreeMap<String, VariantFile> {
        entries
            .iter()
            .map(|(name, rest)| {
                let toml = format!("title = \"t\"\nstrategy = []\nhypothesis = \"h\"\n{rest}");
                ((*name).to_owned(), toml::from_str(&toml).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_variant_has_its_bases_settings_under_its_own() {
        let files = files(&[
            ("none", ""),
            ("bounded", "base = \"none\"\n[settings.redis]\ncall_timeout = \"50ms\""),
            ("breaker", "base = \"bounded\"\n[settings.circuit_breaker]\nmode = \"enforce\""),
            ("slower", "base = \"breaker\"\n[settings.redis]\ncall_timeout = \"80ms\""),
        ]);
        let breaker = resolve_variant("breaker", &files).unwrap();
        assert_eq!(breaker.settings.redis.call_timeout, Some(Duration::from_millis(50)));
        assert_eq!(breaker.settings.circuit_breaker.mode, Mode::Enforce);
        let slower = resolve_variant("slower", &files).unwrap();
        assert_eq!(slower.settings.redis.call_timeout, Some(Duration::from_millis(80)));
        assert_eq!(slower.settings.circuit_breaker.mode, Mode::Enforce);
        assert_eq!(resolve_variant("none", &files).unwrap().settings, Settings::default());
    }

    #[test]
    fn a_variant_scales_out_as_its_base_does_unless_it_says_otherwise() {
        let files = files(&[
            ("none", ""),
            ("out", "base = \"none\"\n[scale_out]\njoins_after = \"9s\""),
            ("narrow", "base = \"out\"\n[network]\ndatabase_bytes_per_sec = 1000"),
            ("later", "base = \"narrow\"\n[scale_out]\njoins_after = \"99s\""),
        ]);
        let joins_after_s = |name: &str| {
            let variant = resolve_variant(name, &files).unwrap();
            (variant.scale_out.map(|it| it.joins_after.as_secs()), variant.network.is_some())
        };
        assert_eq!(joins_after_s("none"), (None, false));
        assert_eq!(joins_after_s("out"), (Some(9), false));
        assert_eq!(joins_after_s("narrow"), (Some(9), true));
        assert_eq!(joins_after_s("later"), (Some(99), true));
        let at_start =
            |name: &str, n| resolve_variant(name, &files).unwrap().n_instances_at_start(n);
        assert_eq!((at_start("none", 4), at_start("out", 4), at_start("out", 1)), (4, 1, 1));
    }

    #[test]
    fn servers_and_the_least_phase_come_from_the_nearest_that_names_them() {
        let files = files(&[
            ("none", ""),
            ("watched", "base = \"none\"\ntopology = \"sentinel\"\nleast_fault_phase = \"60s\""),
            ("tuned", "base = \"watched\"\n[topology_settings]\ndown_after = \"1s\""),
            ("sooner", "base = \"tuned\"\nleast_fault_phase = \"5s\""),
            ("astray", "base = \"tuned\"\ntopology = \"cluster\""),
            (
                "listed",
                "base = \"watched\"\n[scale_out]\njoins_after = \"1s\"\nregistry = \"redis\"",
            ),
            (
                "narrow",
                "base = \"none\"\ntopology = \"replica\"\n[network]\ndatabase_bytes_per_sec = 9",
            ),
            ("unsaid", "base = \"none\"\n[network]"),
        ]);
        let seconds = Duration::from_secs;
        let tuned = resolve_variant("tuned", &files).unwrap();
        assert_eq!(tuned.servers().topology, Topology::Sentinel);
        assert_eq!(tuned.servers().settings.down_after(), seconds(1));
        assert_eq!(tuned.check_least_fault_phase(seconds(60)), Ok(()));
        let error = tuned.check_least_fault_phase(seconds(12)).unwrap_err().to_string();
        for part in ["`tuned`", "60s", "12s", "--profile", "least_fault_phase"] {
            assert!(error.contains(part), "{error}");
        }
        let sooner = resolve_variant("sooner", &files).unwrap();
        assert_eq!(sooner.least_fault_phase, Some(seconds(5)));
        let none = resolve_variant("none", &files).unwrap();
        assert_eq!(none.servers(), Servers::default());
        assert_eq!(none.check_least_fault_phase(seconds(1)), Ok(()));
        let written = serde_json::to_string(&none).unwrap();
        assert!(!written.contains("topology_settings") && !written.contains("least_fault_phase"));
        let error = resolve_variant("listed", &files).unwrap_err().to_string();
        assert!(error.contains("scale_out.registry") && error.contains("`sentinel`"), "{error}");
        let error = resolve_variant("unsaid", &files).unwrap_err().to_string();
        assert!(error.contains("unsaid.toml: [network] needs exactly one"), "{error}");
        let error = resolve_variant("narrow", &files).unwrap_err().to_string();
        assert!(error.contains("narrow.toml: [network]") && error.contains("`replica`"), "{error}");
        let error = resolve_variant("astray", &files).unwrap_err().to_string();
        for part in ["variants/astray.toml", "topology_settings.down_after", "`cluster`"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_snapshot_is_restored_as_by_the_nearest_that_says_so_and_by_one_server_only() {
        let files = files(&[
            ("none", ""),
            ("warm", "base = \"none\"\nrestore = \"snapshot\""),
            ("warm-too", "base = \"warm\""),
            ("cold-again", "base = \"warm\"\nrestore = \"empty\""),
            ("watched", "base = \"warm\"\ntopology = \"sentinel\""),
        ]);
        let restore = |name: &str| resolve_variant(name, &files).unwrap().servers().restore;
        let names = ["none", "warm", "warm-too", "cold-again"];
        let [empty, snapshot] = [Restore::Empty, Restore::Snapshot];
        assert_eq!(names.map(restore), [empty, snapshot, snapshot, empty]);
        let warm = resolve_variant("warm", &files).unwrap();
        assert!(warm.check_fault(Fault::Crash).is_ok());
        let error = warm.check_fault(Fault::Pause).unwrap_err().to_string();
        assert!(error.contains("`warm`") && error.contains("`pause`"), "{error}");
        let error = resolve_variant("watched", &files).unwrap_err().to_string();
        for part in ["variants/watched.toml", "restore", "`single`", "`sentinel`"] {
            assert!(error.contains(part), "{error}");
        }
        let none = resolve_variant("none", &files).unwrap();
        assert!(!serde_json::to_string(&none).unwrap().contains("restore"));
        let misspelt = "title = \"t\"\nstrategy = []\nhypothesis = \"h\"\nrestore = \"backup\"";
        let error = toml::from_str::<VariantFile>(misspelt).unwrap_err().to_string();
        assert!(error.contains("`backup`") && error.contains("`snapshot`"), "{error}");
    }

    #[test]
    fn a_wrong_name_a_cycle_and_a_wrong_key_each_say_what_to_change() {
        let files = files(&[
            ("a", "base = \"b\""),
            ("b", "base = \"a\""),
            ("typo", "[settings.redsi]\ncall_timeout = \"50ms\""),
            ("orphan", "base = \"nobody\""),
            ("fumble", "[[operator]]\nafter = \"9s\"\nmitigation = \"braker\"\nmode = \"off\""),
        ]);
        let error = |name: &str| resolve_variant(name, &files).unwrap_err().to_string();
        assert_eq!(error("x"), "unknown variant `x`; there are: a, b, fumble, orphan, typo");
        assert!(
            error("fumble").contains("operator.mitigation") && error("fumble").contains("braker")
        );
        assert_eq!(error("a"), "scenarios/variants/a.toml: its chain of bases comes back to `a`");
        assert!(error("typo").contains("redsi"));
        assert!(error("orphan").contains("`nobody`"));
    }
}
