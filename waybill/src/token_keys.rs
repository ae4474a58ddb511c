//! The keys of an issuer of tokens.

use anyhow::{Context, Result};
use async_trait::async_trait;
use command_api::{KeySource, ProviderHttp};
use hyper::Uri;

use crate::issuer_http::IssuerHttp;

/// Keys at an address.
pub(crate) struct HttpKeySource {
    http: IssuerHttp,
    url: String,
}

impl HttpKeySource {
    pub(crate) fn new(url: &str) -> Result<Self> {
        url.parse::<Uri>().context("it is not an address")?;
        Ok(Self { http: IssuerHttp::new()?, url: url.to_owned() })
    }
}

#[async_trait]
impl KeySource for HttpKeySource {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        self.http.get(&self.url).await
    }
}
