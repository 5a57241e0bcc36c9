//! What `seed` and `reset` do to PostgreSQL and Redis.

use lab_core::{
    catalogue::Catalogue,
    settings::{DatabaseSettings, PageQuery},
    target::{RedisLocation, TargetConfig},
};
use redis::RedisError;
use tokio_postgres::NoTls;

use crate::{
    database::{
        connect_config,
        schema::{self, Document},
    },
    page::PageKey,
    preload,
    redis_loader::RedisLoader,
};

/// Entries written to Redis at once.
const REDIS_BATCH: usize = 500;

/// Why the data set could not be put in place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DatasetError {
    /// PostgreSQL is not there.
    #[error("connect to postgres (database_url): {}", with_cause(.0))]
    ConnectDatabase(#[source] tokio_postgres::Error),
    /// PostgreSQL refused a statement.
    #[error("postgres: {}", with_cause(.0))]
    Database(#[source] tokio_postgres::Error),
    /// Redis is not there.
    #[error("connect to redis at {location}: {source}")]
    ConnectRedis {
        /// Where it should be.
        location: RedisLocation,
        /// Why not.
        source: RedisError,
    },
    /// Redis refused a command.
    #[error("redis: {0}")]
    Redis(#[source] RedisError),
}

/// Creates the schema in PostgreSQL and loads the data set; what was there is dropped. Once per
/// stack. **Errors**: see [`DatasetError`].
pub(crate) async fn seed(config: &TargetConfig) -> Result<(), DatasetError> {
    let client = connect_database(config).await?;
    let catalogue = Catalogue::generate(&config.catalogue);
    schema::seed(&client, &catalogue).await.map_err(DatasetError::Database)?;
    tracing::info!(n_products = config.catalogue.products, "data set loaded");
    Ok(())
}

/// Brings both servers back to the state that every trial starts from: PostgreSQL as after
/// [`seed`], Redis with nothing but the pages that make the configured share of reads hit.
///
/// **Errors**: see [`DatasetError`]; what was done before stays done.
pub(crate) async fn reset(config: &TargetConfig) -> Result<(), DatasetError> {
    let client = connect_database(config).await?;
    let mut redis = connect_redis(config).await?;
    schema::reset(&client).await.map_err(DatasetError::Database)?;
    redis.flush_all().await.map_err(DatasetError::Redis)?;
    let catalogue = Catalogue::generate(&config.catalogue);
    if config.settings.page_query == PageQuery::Denormalized {
        let documents = catalogue.products().map(|row| Document {
            product_id: row.id,
            page: preload::body(&catalogue, PageKey::Product(row.id)),
            recommendations: preload::body(&catalogue, PageKey::Recommendations(row.id)),
        });
        let written = schema::write_documents(&client, documents).await;
        written.map_err(DatasetError::Database)?;
    }
    let entries = preload::shared_cache(config, &catalogue);
    for batch in entries.chunks(REDIS_BATCH) {
        let commands = batch.iter().map(|entry| {
            let body = preload::body(&catalogue, entry.key);
            let left_ms = u64::try_from(entry.duration.as_millis()).unwrap_or(u64::MAX).max(1);
            let mut command = redis::cmd("SET");
            command.arg(entry.key.to_string()).arg(body.as_ref()).arg("PX").arg(left_ms);
            command
        });
        redis.send_all(commands.collect()).await.map_err(DatasetError::Redis)?;
    }
    tracing::info!(n_entries = entries.len(), "redis loaded ahead");
    Ok(())
}

async fn connect_database(config: &TargetConfig) -> Result<tokio_postgres::Client, DatasetError> {
    // Loading takes longer than any statement of a request may.
    let settings = DatabaseSettings::default();
    let connect =
        connect_config(&config.database_url, &settings).map_err(DatasetError::ConnectDatabase)?;
    let (client, connection) =
        connect.connect(NoTls).await.map_err(DatasetError::ConnectDatabase)?;
    // It ends when the client is dropped; an error reaches the client's next call as well.
    tokio::spawn(connection);
    Ok(client)
}

async fn connect_redis(config: &TargetConfig) -> Result<RedisLoader, DatasetError> {
    let connecting = RedisLoader::connect(&config.redis).await;
    connecting
        .map_err(|source| DatasetError::ConnectRedis { location: config.redis.clone(), source })
}

/// PostgreSQL's own words are in the cause.
fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
