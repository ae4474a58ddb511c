//! The OpenID provider: what it publishes about itself (OpenID Connect Discovery 1.0), fetched when it is needed and kept, and its keys.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::watched::Watched;
use crate::http::Problem;
use crate::tokens::{KeySource, Keys};

/// After this time the description is fetched again.
const REFRESH_AFTER: Duration = Duration::from_secs(3_600);
/// How long a description is used while the provider can't be reached.
const KEPT_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Pause before the second attempt of a fetch.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// After a failed fetch, further requests fail at once for this long.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Requests to the provider, each with a time limit, without redirects, with answers of at most [`crate::KEY_SET_MAX_BYTES`] bytes.
#[async_trait]
pub trait ProviderHttp: Send + Sync + 'static {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String>;

    /// Status and body of the answer to somebody; `authorization` is the header of that name.
    async fn get_as(&self, url: &str, authorization: &str) -> Result<(u16, Vec<u8>), String>;

    /// Status and body of the answer to a form. `authorization` is the header of that name.
    async fn post(&self, url: &str, authorization: Option<&str>, form: String) -> Result<(u16, Vec<u8>), String>;
}

/// What the provider says of itself.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    pub(super) token_endpoint: String,
    jwks_uri: String,
    pub(super) end_session_endpoint: Option<String>,
    pub(super) userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether answers name their issuer (RFC 9207).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

/// How a client with a secret shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretIn {
    Header,
    Form,
}

impl Metadata {
    /// Refuses a description of another issuer, and one that leads to weaker connections than the issuer's.
    fn checked(self, issuer: &str) -> Result<Self, String> {
        if self.issuer != issuer {
            return Err(format!(
                "it calls itself {:?}, not {issuer:?}: set WAYBILL_OIDC_ISSUER to the former",
                self.issuer
            ));
        }
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        let optional = [&self.end_session_endpoint, &self.userinfo_endpoint].into_iter().flatten();
        let weak = endpoints.into_iter().chain(optional).find(|url| {
            let is_http = url.starts_with("http://") && issuer.starts_with("http://");
            !is_http && !url.starts_with("https://")
        });
        if let Some(url) = weak {
            return Err(format!("its address {url:?} doesn't begin with https://"));
        }
        match &self.code_challenge_methods_supported {
            Some(methods) if !methods.iter().any(|method| method == "S256") => {
                Err("it doesn't support PKCE with S256".to_owned())
            }
            _ => Ok(self),
        }
    }

    /// A provider that names no methods takes the header.
    pub(super) fn secret_in(&self) -> Option<SecretIn> {
        let Some(methods) = &self.token_endpoint_auth_methods_supported else { return Some(SecretIn::Header) };
        let has = |method: &str| methods.iter().any(|one| one == method);
        match () {
            () if has("client_secret_basic") => Some(SecretIn::Header),
            () if has("client_secret_post") => Some(SecretIn::Form),
            () => None,
        }
    }
}

/// The provider and its keys.
pub(super) struct Provider {
    discovery: Arc<Discovery>,
    pub(super) keys: Keys,
}

struct Discovery {
    issuer: String,
    http: Watched,
    known: RwLock<Option<(Instant, Arc<Metadata>)>>,
    /// When the last fetch failed. One fetch at a time.
    failed_at: Mutex<Option<Instant>>,
}

/// The address of the keys is part of the description.
struct ProviderKeys(Arc<Discovery>);

#[async_trait]
impl KeySource for ProviderKeys {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let metadata = self.0.metadata().await?;
        self.0.http.get(&metadata.jwks_uri).await
    }
}

impl Provider {
    pub(super) fn new(issuer: String, http: Arc<dyn ProviderHttp>) -> Self {
        let http = Watched::new(http);
        let discovery = Discovery { issuer, http, known: RwLock::default(), failed_at: Mutex::default() };
        let discovery = Arc::new(discovery);
        let keys = Keys::new(Arc::new(ProviderKeys(Arc::clone(&discovery))));
        Self { discovery, keys }
    }

    /// Why it can't be used now, as far as is known; it is asked if nothing is known of it.
    pub(super) async fn failure(&self) -> Option<String> {
        let described = self.discovery.metadata().await;
        self.discovery.http.failure().or(described.err())
    }

    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, Problem> {
        self.discovery.metadata().await.map_err(|_| unavailable())
    }

    pub(super) async fn post(
        &self,
        url: &str,
        authorization: Option<&str>,
        form: String,
    ) -> Result<(u16, Vec<u8>), Problem> {
        answered(self.discovery.http.post(url, authorization, form).await)
    }

    pub(super) async fn get_as(&self, url: &str, authorization: &str) -> Result<(u16, Vec<u8>), Problem> {
        answered(self.discovery.http.get_as(url, authorization).await)
    }
}

fn answered<T>(answer: Result<T, String>) -> Result<T, Problem> {
    answer.map_err(|error| {
        tracing::warn!(error, "The OpenID provider doesn't answer.");
        unavailable()
    })
}

/// Why was logged when it happened.
pub(super) fn unavailable() -> Problem {
    Problem::unavailable("provider_unavailable", "the OpenID provider can't be used now; the log says why")
}

impl Discovery {
    fn known(&self) -> Option<(Duration, Arc<Metadata>)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|(at, metadata)| (at.elapsed(), Arc::clone(metadata)))
    }

    async fn metadata(&self) -> Result<Arc<Metadata>, String> {
        if let Some((age, metadata)) = self.known()
            && age < REFRESH_AFTER
        {
            return Ok(metadata);
        }
        let mut failed_at = self.failed_at.lock().await;
        let before = self.known();
        if let Some((age, metadata)) = &before
            && *age < REFRESH_AFTER
        {
            return Ok(Arc::clone(metadata));
        }
        let failure = match *failed_at {
            Some(at) if at.elapsed() < FAILURE_PAUSE => "it failed just now".to_owned(),
            _ => match self.fetch().await {
                Ok(metadata) => {
                    let metadata = Arc::new(metadata);
                    let known = Some((Instant::now(), Arc::clone(&metadata)));
                    *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
                    return Ok(metadata);
                }
                Err(error) => {
                    tracing::warn!(issuer = self.issuer, error, "The OpenID provider's description can't be used.");
                    *failed_at = Some(Instant::now());
                    error
                }
            },
        };
        before.filter(|(age, _)| *age < KEPT_MAX).map(|(_, metadata)| metadata).ok_or(failure)
    }

    async fn fetch(&self) -> Result<Metadata, String> {
        let url = format!("{}{DISCOVERY}", self.issuer.trim_end_matches('/'));
        let bytes = match self.http.get(&url).await {
            Ok(bytes) => bytes,
            Err(_) => {
                sleep(RETRY_PAUSE).await;
                self.http.get(&url).await?
            }
        };
        let metadata: Metadata = serde_json::from_slice(&bytes).map_err(|error| format!("{url}: {error}"))?;
        metadata.checked(&self.issuer)
    }
}
