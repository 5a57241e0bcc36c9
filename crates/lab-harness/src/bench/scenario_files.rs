//! Reads `scenarios/`: every error names the file and what to change in it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use lab_core::scenario::{Campaign, VariantFile};

/// The repository's scenario files.
#[derive(Debug)]
pub(crate) struct ScenarioFiles {
    /// The folder that holds `scenarios/` and `results/`.
    pub(crate) root: PathBuf,
    /// Every variant by name.
    pub(crate) variants: BTreeMap<String, VariantFile>,
}

impl ScenarioFiles {
    /// Finds the repository from `start` upwards and reads its variants.
    ///
    /// **Errors**: no `scenarios/` folder above, or a variant that does not parse.
    pub(crate) fn open(start: &Path) -> Result<Self> {
        let root = start
            .ancestors()
            .find(|folder| folder.join("scenarios/variants").is_dir())
            .context("find scenarios/variants/ here or above; run this inside the repository")?;
        let variants = toml_files(&root.join("scenarios/variants"))?
            .into_iter()
            .map(|(name, path)| Ok((name, parse_file(&path)?)))
            .collect::<Result<_>>()?;
        Ok(Self { root: root.to_owned(), variants })
    }

    /// Reads and checks one campaign. **Errors**: an unknown name, a bad key or value.
    pub(crate) fn campaign(&self, name: &str) -> Result<Campaign> {
        let files = toml_files(&self.root.join("scenarios"))?;
        let Some(path) = files.get(name) else {
            let known: Vec<_> = files.keys().map(String::as_str).collect();
            bail!("unknown campaign `{name}`; there are: {}", known.join(", "));
        };
        let campaign: Campaign = parse_file(path)?;
        campaign.validate().with_context(|| self.shown(path))?;
        Ok(campaign)
    }

    /// Every campaign by name. **Errors**: as [`Self::campaign`].
    pub(crate) fn campaigns(&self) -> Result<BTreeMap<String, Campaign>> {
        let names = toml_files(&self.root.join("scenarios"))?.into_keys();
        names.map(|name| Ok((name.clone(), self.campaign(&name)?))).collect()
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).display().to_string()
    }
}

/// The `.toml` files of a folder by name without the ending.
fn toml_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    let entries =
        fs::read_dir(folder).with_context(|| format!("read folder {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("read folder {}", folder.display()))?.path();
        if path.extension().is_some_and(|it| it == "toml")
            && let Some(name) = path.file_stem().and_then(|it| it.to_str())
        {
            files.insert(name.to_owned(), path);
        }
    }
    Ok(files)
}

fn parse_file<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        anyhow::anyhow!("{} line {line}: {}", path.display(), error.message().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_own_files_are_valid() {
        let files = ScenarioFiles::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let campaign = files.campaign("redis-outage").unwrap();
        for name in &campaign.variants {
            lab_core::scenario::resolve_variant(name, &files.variants).unwrap();
        }
        assert_eq!(campaign.variants.len(), 6);
    }

    #[test]
    fn an_unknown_campaign_names_the_known_ones() {
        let files = ScenarioFiles::open(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        let error = files.campaign("redis-outrage").unwrap_err().to_string();
        assert!(error.contains("`redis-outrage`") && error.contains("redis-outage"), "{error}");
    }

    #[test]
    fn a_bad_key_is_named_with_its_file_and_line() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path();
        fs::create_dir_all(folder.join("scenarios/variants")).unwrap();
        let text = "title = \"t\"\nstrategy = []\nhypothesis = \"h\"\nbaes = \"none\"\n";
        fs::write(folder.join("scenarios/variants/typo.toml"), text).unwrap();
        let error = ScenarioFiles::open(folder).unwrap_err().to_string();
        assert!(error.contains("typo.toml line 4") && error.contains("baes"), "{error}");
    }
}
