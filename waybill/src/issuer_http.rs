//! Requests to an identity provider, over HTTP or HTTPS, with bounded answers. Redirects aren't followed: nobody but the operator, and the
//! provider that the operator names, chooses an address.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use command_api::{KEY_SET_MAX_BYTES, ProviderHttp};
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Request, http};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// How long the provider may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A client; clones share its connections.
#[derive(Clone)]
pub(crate) struct IssuerHttp(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl IssuerHttp {
    /// Trusts the certificates of the system, and those that `SSL_CERT_FILE` names.
    pub(crate) fn new() -> Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .context("the system's certificates can't be read")?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }

    /// Status and body of the answer. Errors name the address.
    async fn answer(&self, url: &str, request: http::request::Builder, body: String) -> Result<(u16, Vec<u8>), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{url}: {error}");
        let request = request.uri(url).header(ACCEPT, "application/json").body(Full::from(body));
        let request = request.map_err(|error| failed(&error))?;
        let answered = async {
            let reply = self.0.request(request).await.map_err(|error| failed(&error))?;
            let status = reply.status().as_u16();
            let body = Limited::new(reply.into_body(), KEY_SET_MAX_BYTES).collect().await;
            Ok((status, body.map_err(|error| failed(&error))?.to_bytes().to_vec()))
        };
        tokio::time::timeout(TIMEOUT, answered).await.unwrap_or_else(|_| Err(format!("{url} doesn't answer")))
    }
}

#[async_trait]
impl ProviderHttp for IssuerHttp {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        match self.answer(url, Request::get(url), String::new()).await? {
            (200..=299, body) => Ok(body),
            (status, _) => Err(format!("{url} answers {status}")),
        }
    }

    async fn get_as(&self, url: &str, authorization: &str) -> Result<(u16, Vec<u8>), String> {
        let request = Request::get(url).header(AUTHORIZATION, secret_header(authorization)?);
        self.answer(url, request, String::new()).await
    }

    async fn post(&self, url: &str, authorization: Option<&str>, form: String) -> Result<(u16, Vec<u8>), String> {
        let mut request = Request::post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, secret_header(authorization)?);
        }
        self.answer(url, request, form).await
    }
}

/// A header whose value is never printed.
fn secret_header(secret: &str) -> Result<HeaderValue, String> {
    let mut header =
        HeaderValue::from_str(secret).map_err(|_| "a secret has characters that can't be sent".to_owned())?;
    header.set_sensitive(true);
    Ok(header)
}
