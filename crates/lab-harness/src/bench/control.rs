//! The lab's side of the target's HTTP surface: is it ready, and what does it say of itself.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, bail};
use lab_core::{
    settings::Mode,
    target::{TargetConfig, TargetSample},
};

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

    /// Switches a mitigation of the running target.
    ///
    /// **Errors**: no answer within 2 s, or the target has no such switch; in its own words.
    pub(crate) async fn set_mode(&self, mitigation: &str, mode: Mode) -> Result<()> {
        let response = self
            .client
            .post(format!("http://{}/internal/mitigations/{mitigation}", self.internal))
            .bearer_auth(&self.token)
            .json(&serde_json::json!({ "mode": mode }))
            .send()
            .await
            .with_context(|| format!("switch {mitigation}"))?;
        if response.status().is_success() {
            return Ok(());
        }
        let reason = response.text().await.unwrap_or_default();
        bail!("the service did not switch {mitigation}: {}", reason.trim())
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
