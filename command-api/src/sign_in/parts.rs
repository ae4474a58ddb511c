//! How people sign in, and what that needs: the settings, and the state of a running process.

use std::sync::Arc;

use axum::http::request::Parts;
use event_store::Keyring;
use event_store::sessions::SessionBucket;
use moka::sync::Cache;
use tokio::sync::Semaphore;
use trust::{SecretValue, SessionToken, TokenHasher};

use super::provider::{Provider, ProviderHttp};
use super::role_map::RoleMap;
use super::{cookies, pending};
use crate::http::Problem;
use crate::service::{Finding, PartStatus};
use crate::sessions::{SessionLimits, Sessions};

/// The provider's answers come to this route; it chooses the parameters.
pub(crate) const CALLBACK: &str = "/auth/callback";
/// Requests to the provider at a time.
const PROVIDER_CALLS_MAX: usize = 16;
/// States that are remembered as used, and how long: as long as a sign-in may take.
const USED_MAX: u64 = 20_000;

/// How people sign in.
#[derive(Clone)]
pub struct SignInConfig {
    /// As the provider calls itself in `iss`.
    pub issuer: String,
    pub client_id: String,
    /// None for a public client.
    pub client_secret: Option<SecretValue>,
    /// Origin of the API and the console, as browsers reach it, without a slash at the end.
    pub public_url: String,
    /// Separated by blanks; with `openid`.
    pub scopes: String,
    /// The claim with a person's groups.
    pub groups_claim: String,
    /// The claim with a person's tenant, for groups that name none.
    pub tenant_claim: Option<String>,
    /// Whether the provider's userinfo endpoint is asked for claims that the ID token doesn't have.
    pub userinfo: bool,
    pub roles: RoleMap,
    pub sessions: SessionLimits,
}

impl SignInConfig {
    /// Without an OpenID provider: sessions begin with a token or an API key.
    pub fn without_provider(public_url: String, sessions: SessionLimits) -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            client_secret: None,
            public_url,
            scopes: String::new(),
            groups_claim: String::new(),
            tenant_claim: None,
            userinfo: false,
            roles: RoleMap::default(),
            sessions,
        }
    }
}

/// How people sign in, and what that needs.
#[derive(Clone)]
pub struct SignInParts {
    pub config: SignInConfig,
    /// Requests to the OpenID provider; none if there is no provider.
    pub http: Option<Arc<dyn ProviderHttp>>,
    pub bucket: Arc<dyn SessionBucket>,
    pub keyring: Arc<Keyring>,
}

/// The same in a running process.
pub(crate) struct SignIn {
    pub(super) config: SignInConfig,
    /// None: sessions begin with a token or an API key only.
    pub(super) provider: Option<Provider>,
    pub(crate) sessions: Sessions,
    pub(super) keyring: Arc<Keyring>,
    /// States of sign-ins that have come back.
    pub(super) used: Cache<String, ()>,
    /// Bounds how many sign-ins wait for the provider.
    pub(super) calls: Semaphore,
}

impl SignIn {
    pub(crate) fn new(parts: SignInParts, hasher: TokenHasher) -> Self {
        let SignInParts { config, http, bucket, keyring } = parts;
        let sessions = Sessions::new(bucket, Arc::clone(&keyring), hasher, config.sessions);
        let provider = http.map(|http| Provider::new(config.issuer.clone(), http));
        let used = Cache::builder().max_capacity(USED_MAX).time_to_live(pending::LIFETIME).build();
        let calls = Semaphore::new(PROVIDER_CALLS_MAX);
        Self { config, provider, sessions, keyring, used, calls }
    }

    /// How it is with sign-in and the sessions, for `/health/detailed`.
    pub(crate) async fn finding(&self) -> Finding {
        let failure = match &self.provider {
            Some(provider) => provider.failure().await,
            None => None,
        };
        let (status, detail) = match failure {
            _ if !self.sessions.is_current() => {
                (PartStatus::Down, Some("NATS doesn't answer: sessions can't be checked".to_owned()))
            }
            Some(failure) => (PartStatus::Degraded, Some(format!("the OpenID provider can't be used: {failure}"))),
            None => (PartStatus::Up, None),
        };
        Finding::new("sign-in", status, detail)
    }

    /// The OpenID provider, if there is one.
    pub(super) fn provider(&self) -> Result<&Provider, Problem> {
        self.provider.as_ref().ok_or_else(|| Problem::not_found("this service has no OpenID provider"))
    }

    /// Cookies for HTTPS have a prefix that keeps other hosts from setting them.
    pub(super) fn is_https(&self) -> bool {
        self.config.public_url.starts_with("https://")
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("{}/api/v1{CALLBACK}", self.config.public_url)
    }

    /// The session that a request shows; none if it shows none.
    pub(super) fn shown(&self, parts: &Parts) -> Option<SessionToken> {
        SessionToken::parse(cookies::read(&parts.headers, cookies::session_name(self.is_https()))?)
    }
}
