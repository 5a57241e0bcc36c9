//! The lab's side of the target's HTTP surface: is it ready, and what does it say of itself.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use lab_core::target::{TargetConfig, TargetSample};

/// Longest wait for an answer of the internal port. It has a thread of its own, so a service that
/// is merely overloaded answers far sooner.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// A client of one running target.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    client: reqwest::Client,
    public: SocketAddr,
    internal: SocketAddr,
    token: String,
}

impl Control {
    /// A client for the target started with `config`. **Errors**: the HTTP client cannot be made.
    pub(crate) fn new(config: &TargetConfig) -> Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(ANSWER_TIMEOUT)
            .build()
            .context("make the HTTP client")?;
        Ok(Self {
            client,
            public: config.listen,
            internal: config.internal_listen,
            token: config.internal_token.clone(),
        })
    }

    /// Whether the target says that it is ready for requests.
    pub(crate) async fn is_ready(&self) -> bool {
        let response = self.client.get(format!("http://{}/readyz", self.public)).send().await;
        response.is_ok_and(|it| it.status().is_success())
    }

    /// Takes the figures since the last call, and the totals.
    ///
    /// **Errors**: no answer within 2 s, or one that does not parse.
    pub(crate) async fn sample(&self) -> Result<TargetSample> {
        self.client
            .post(format!("http://{}/internal/sample", self.internal))
            .bearer_auth(&self.token)
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
            .context("ask the service for a sample")?
            .json()
            .await
            .context("read the service's sample")
    }
}
