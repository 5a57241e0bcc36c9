//! Known capacities, one file per machine, stack and campaign.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::PathBuf,
};

use anyhow::{Context, Result};
use lab_core::{
    artifact::manifest::{Calibration, Environment},
    scenario::{Campaign, Topology},
    settings::Settings,
};

use crate::bench::results::{read_json, write_json};

/// What is compared, of which there may be nothing.
#[derive(Debug)]
pub(crate) struct Compared<'a> {
    /// Numbers of instances.
    pub(crate) numbers_of_instances: &'a [u32],
    /// Topologies whose databases are compared.
    pub(crate) topologies: Vec<Topology>,
    /// Whether a variant has a network of its own to the database.
    pub(crate) has_network: bool,
}

/// Where the capacities of one machine, stack and campaign are kept.
#[derive(Debug)]
pub(crate) struct Store {
    path: Option<PathBuf>,
}

impl Store {
    /// The place for these. Anything that moves the capacity is part of the key: the machine, the
    /// backend and versions of the servers, the data set, the mix, the cache, the base's settings.
    /// So is what is compared.
    pub(crate) fn open(
        environment: &Environment,
        campaign: &Campaign,
        compared: Compared<'_>,
        base: &Settings,
    ) -> Self {
        let mut key = serde_json::to_string(&(
            (&environment.host, &environment.backend, &environment.versions),
            (&environment.cpu_sets, &campaign.catalogue, &campaign.mix, &campaign.cache),
            (campaign.zipf_exponent, &campaign.database, &campaign.service, &campaign.slo),
            (base, compared.numbers_of_instances),
        ))
        .expect("these types encode");
        // Capacities that were kept before these were compared keep their place.
        key.extend(compared.topologies.into_iter().map(Topology::name));
        key.extend(compared.has_network.then_some("network"));
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let file = format!("capacity-{:016x}.json", hasher.finish());
        Self { path: cache_folder().map(|folder| folder.join(file)) }
    }

    /// What is known; `None` when nothing is, or the file is damaged.
    pub(crate) fn load(&self) -> Option<Calibration> {
        self.path.as_deref().and_then(|path| read_json(path).ok())
    }

    /// Keeps what was measured. **Errors**: the cache folder cannot be written.
    pub(crate) fn save(&self, calibration: &Calibration) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let folder = path.parent().expect("the file is in a folder");
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        write_json(path, calibration)
    }
}

/// The user's cache folder, as the XDG base directory specification says.
fn cache_folder() -> Option<PathBuf> {
    let from_home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(from_home)?;
    Some(base.join("outage-lab"))
}
