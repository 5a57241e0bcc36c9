//! Reads and checks the file that the service is started with.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use lab_core::{
    settings::SettingsError,
    target::{RedisLocation, TargetConfig},
};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file cannot be read.
    #[error("read configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a configuration.
    #[error("configuration {path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// Settings that cannot work together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The internal port would be reachable from elsewhere.
    #[error("internal_listen must be a loopback address, got {got}")]
    InternalNotLoopback {
        /// The address.
        got: SocketAddr,
    },
    /// Nobody could be asked where Redis is.
    #[error("{key} must not be empty")]
    NobodyToAsk {
        /// The list.
        key: &'static str,
    },
    /// Queued writes would land wherever the service happens to be started.
    #[error("state_path must not be empty")]
    EmptyStatePath,
    /// Anybody could use the internal port.
    #[error("internal_token must not be empty")]
    EmptyToken,
}

/// Reads and checks the configuration in `path`. **Errors**: see [`ConfigError`].
pub(crate) fn read(path: &Path) -> Result<TargetConfig, ConfigError> {
    let text = std::fs::read(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let config: TargetConfig = serde_json::from_slice(&text)
        .map_err(|source| ConfigError::Parse { path: path.to_owned(), source })?;
    config.settings.validate()?;
    if !config.internal_listen.ip().is_loopback() {
        return Err(ConfigError::InternalNotLoopback { got: config.internal_listen });
    }
    if config.internal_token.is_empty() {
        return Err(ConfigError::EmptyToken);
    }
    let nobody_to_ask = match &config.redis {
        RedisLocation::Sentinel { sentinels, .. } if sentinels.is_empty() => "redis.sentinels",
        RedisLocation::Cluster { cluster } if cluster.is_empty() => "redis.cluster",
        RedisLocation::Single(_)
        | RedisLocation::Sentinel { .. }
        | RedisLocation::Cluster { .. } => "",
    };
    if !nobody_to_ask.is_empty() {
        return Err(ConfigError::NobodyToAsk { key: nobody_to_ask });
    }
    if config.state_path.as_os_str().is_empty() {
        return Err(ConfigError::EmptyStatePath);
    }
    Ok(config)
}

#[cfg(test)]
pub(crate) mod tests {
    //! A configuration for tests, and what is refused.

    use super::*;

    /// A small, valid configuration with every mitigation off.
    pub(crate) fn config() -> TargetConfig {
        serde_json::from_value(serde_json::json!({
            "listen": "127.0.0.1:0",
            "internal_listen": "127.0.0.1:0",
            "internal_token": "secret",
            "redis": "127.0.0.1:1",
            "database_url": "host=127.0.0.1 port=1 user=storefront",
            "pool_size": 2,
            "worker_threads": 1,
            "catalogue":
                { "products": 200, "reviews": 2000, "authors": 50, "categories": 4, "seed": 1 },
            "cache": { "ttl": "300s", "hit_ratio": 0.95 },
            "seed": 7,
            "settings": {},
            "events_path": "events.jsonl",
            "state_path": "state",
            "cached_reads_per_sec": 100.0,
            "zipf_exponent": 1.0,
        }))
        .unwrap()
    }

    fn check(change: impl FnOnce(&mut TargetConfig)) -> Result<TargetConfig, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("target.json");
        let mut config = config();
        change(&mut config);
        std::fs::write(&path, serde_json::to_vec(&config).unwrap()).unwrap();
        read(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        assert_eq!(check(|_| ()), Ok(config()));
        let error = check(|it| it.internal_listen = "0.0.0.0:9".parse().unwrap()).unwrap_err();
        assert!(error.contains("internal_listen"), "{error}");
        let error = check(|it| it.internal_token.clear()).unwrap_err();
        assert!(error.contains("internal_token"), "{error}");
        let error = check(|it| it.redis = RedisLocation::Cluster { cluster: vec![] }).unwrap_err();
        assert!(error.contains("redis.cluster must not be empty"), "{error}");
        let nobody = RedisLocation::Sentinel { sentinels: vec![], master: "redis".into() };
        let error = check(|it| it.redis = nobody).unwrap_err();
        assert!(error.contains("redis.sentinels must not be empty"), "{error}");
        let error = check(|it| it.state_path = PathBuf::new()).unwrap_err();
        assert!(error.contains("state_path"), "{error}");
        let error = check(|it| it.settings.redis.call_timeout = Some(std::time::Duration::ZERO));
        assert!(error.unwrap_err().contains("redis.call_timeout"));
        let missing = read(Path::new("/nonexistent/target.json")).unwrap_err().to_string();
        assert!(missing.contains("/nonexistent/target.json"), "{missing}");
    }
}
