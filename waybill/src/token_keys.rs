//! The keys of an issuer of tokens, over HTTP or HTTPS. Redirects aren't followed: nobody but the operator names the address.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use command_api::{KEY_SET_MAX_BYTES, KeySource};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long the issuer may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Keys at an address.
pub(crate) struct HttpKeySource {
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    url: Uri,
}

impl HttpKeySource {
    /// Trusts the certificates of the system, and those that `SSL_CERT_FILE` names.
    pub(crate) fn new(url: &str) -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("the system's certificates can't be read")?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, url: url.parse().context("it is not an address")? })
    }

    async fn get(&self) -> Result<Vec<u8>, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.url);
        let reply = self.client.get(self.url.clone()).await.map_err(|error| failed(&error))?;
        if !reply.status().is_success() {
            return Err(format!("{} answers {}", self.url, reply.status()));
        }
        let body = Limited::new(reply.into_body(), KEY_SET_MAX_BYTES).collect().await;
        Ok(body.map_err(|error| failed(&error))?.to_bytes().to_vec())
    }
}

#[async_trait]
impl KeySource for HttpKeySource {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let answer = tokio::time::timeout(TIMEOUT, self.get()).await;
        answer.unwrap_or_else(|_| Err(format!("{} doesn't answer", self.url)))
    }
}
