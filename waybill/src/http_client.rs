//! A client of HTTP and HTTPS, for simulated devices. It follows no redirects and uses no proxy.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use hyper::{Method, Request, StatusCode, http};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::tls::{trusting, trusting_nobody};

/// The longest a TCP connection may take, a reply to begin, and a body to go without a byte.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How long a connection is kept for the next request.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// Largest body that is read as a whole.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A client; clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// A request that isn't sent yet.
#[derive(Debug)]
pub(crate) struct Call {
    client: HttpClient,
    request: http::request::Builder,
    body: Bytes,
}

/// An answer whose body is still to come.
#[derive(Debug)]
pub(crate) struct Answer(hyper::Response<Incoming>);

impl HttpClient {
    /// HTTPS whose certificates come from this CA, or from one that the system trusts; HTTP as well.
    pub(crate) fn trusting(ca: Option<&Path>) -> Result<Self> {
        match trusting(ca) {
            Ok(tls) => Ok(Self::new(&tls)),
            // Without certificates on the system there is still HTTP.
            Err(error) if ca.is_none() => {
                tracing::debug!(error = format!("{error:#}"), "HTTPS doesn't work here");
                let nobody = trusting_nobody()?;
                Ok(Self::new(&nobody))
            }
            Err(error) => Err(error),
        }
    }

    fn new(tls: &ClientConfig) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(SILENCE_MAX));
        tcp.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .build(connector.wrap_connector(tcp));
        Self(client)
    }

    pub(crate) fn get(&self, url: &str) -> Call {
        self.call(Method::GET, url)
    }

    pub(crate) fn post(&self, url: &str) -> Call {
        self.call(Method::POST, url)
    }

    pub(crate) fn delete(&self, url: &str) -> Call {
        self.call(Method::DELETE, url)
    }

    fn call(&self, method: Method, url: &str) -> Call {
        Call { client: self.clone(), request: Request::builder().method(method).uri(url), body: Bytes::new() }
    }
}

impl Call {
    pub(crate) fn header(mut self, name: http::HeaderName, value: String) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// With a bearer token, if there is one.
    pub(crate) fn bearer(self, token: Option<&str>) -> Self {
        match token {
            Some(token) => self.header(AUTHORIZATION, format!("Bearer {token}")),
            None => self,
        }
    }

    pub(crate) fn json(mut self, body: &impl Serialize) -> Result<Self> {
        self.body = serde_json::to_vec(body)?.into();
        Ok(self.header(CONTENT_TYPE, "application/json".to_owned()))
    }

    pub(crate) async fn send(self) -> Result<Answer> {
        let request = self.request.body(Full::new(self.body)).context("the address or a header isn't valid")?;
        let answer = tokio::time::timeout(SILENCE_MAX, self.client.0.request(request)).await;
        match answer.context("no answer in time")? {
            Ok(answer) => Ok(Answer(answer)),
            // What went wrong, such as a certificate that isn't trusted, is in the sources.
            Err(error) => Err(anyhow::Error::from(error)),
        }
    }
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status()
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        self.0.headers()
    }

    /// The next bytes of the body; none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(SILENCE_MAX, self.0.body_mut().frame()).await;
            match frame.context("the body doesn't go on")? {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(bytes) = frame?.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    pub(crate) async fn text(self) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T> {
        Ok(serde_json::from_slice(&self.bytes().await?)?)
    }

    pub(crate) fn success(self) -> Result<Self> {
        ensure!(self.status().is_success(), "it answered {}", self.status());
        Ok(self)
    }

    async fn bytes(self) -> Result<Bytes> {
        let body = Limited::new(self.0.into_body(), BODY_MAX_BYTES).collect();
        let body = tokio::time::timeout(SILENCE_MAX, body).await.context("the body doesn't end")?;
        Ok(body.map_err(|error| anyhow::anyhow!("the body can't be read: {error}"))?.to_bytes())
    }
}
