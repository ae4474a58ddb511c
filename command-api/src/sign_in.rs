//! People sign in at an OpenID provider: authorization code with PKCE, done by this service. What they get is a web session in a cookie.
//!
//! Begin at `start.rs` and go on at `callback.rs`. No token of the provider reaches the browser's scripts, and none is kept. Of what the
//! provider tells about a person, `sub` becomes the actor and groups become roles; names and e-mail addresses are dropped.
//!
//! Invariants: a sign-in ends in the browser where it began; a code, a state and an ID token count once; a request that changes anything
//! and is let in by a cookie comes from this origin.

mod callback;
mod cookies;
mod current;
mod exchange;
mod id_token;
pub(crate) mod metrics;
mod origin;
mod page;
mod pending;
mod provider;
mod return_to;
mod roles;
mod sessions;
mod sign_out;
mod start;
mod watched;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::{Actor, Key, MemberId, TenantId};
use event_store::Keyring;
use event_store::sessions::SessionBucket;
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use trust::{SecretValue, SessionToken, TokenHasher};

use crate::caller::Caller;
use crate::http::Problem;
use crate::service::{Finding, PartStatus};
use crate::sessions::{Session, SessionLimits, Sessions, Standing};
use crate::state::App;

pub(crate) use callback::{__path_sign_in_callback, sign_in_callback};
pub(crate) use cookies::SESSION_COOKIE;
pub(crate) use current::{__path_current_session, current_session};
use provider::Provider;
pub use provider::ProviderHttp;
pub use roles::{InvalidRoleMap, RoleMap};
pub(crate) use sessions::{
    __path_end_session, __path_end_sessions, __path_list_sessions, end_session, end_sessions, list_sessions,
};
pub(crate) use sign_out::{__path_sign_out, sign_out};
pub(crate) use start::{__path_start_sign_in, start_sign_in};

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
    pub roles: RoleMap,
    pub sessions: SessionLimits,
}

/// How people sign in, and what that needs.
#[derive(Clone)]
pub struct SignInParts {
    pub config: SignInConfig,
    pub http: Arc<dyn ProviderHttp>,
    pub bucket: Arc<dyn SessionBucket>,
    pub keyring: Arc<Keyring>,
}

/// The same in a running process.
pub(crate) struct SignIn {
    config: SignInConfig,
    provider: Provider,
    pub(crate) sessions: Sessions,
    keyring: Arc<Keyring>,
    /// States of sign-ins that have come back.
    used: Cache<String, ()>,
    /// Bounds how many sign-ins wait for the provider.
    calls: Semaphore,
}

/// A person with a session. The handler gets it from [`crate::access`].
#[derive(Clone)]
pub(crate) struct SignedIn {
    pub(crate) session: Session,
    token: SessionToken,
}

impl SignIn {
    pub(crate) fn new(parts: SignInParts, hasher: TokenHasher) -> Self {
        let SignInParts { config, http, bucket, keyring } = parts;
        let sessions = Sessions::new(bucket, Arc::clone(&keyring), hasher, config.sessions);
        let provider = Provider::new(config.issuer.clone(), http);
        let used = Cache::builder().max_capacity(USED_MAX).time_to_live(pending::LIFETIME).build();
        let calls = Semaphore::new(PROVIDER_CALLS_MAX);
        Self { config, provider, sessions, keyring, used, calls }
    }

    /// How it is with sign-in and the sessions, for `/health/detailed`.
    pub(crate) async fn finding(&self) -> Finding {
        let (status, detail) = match self.provider.failure().await {
            _ if !self.sessions.is_current() => {
                (PartStatus::Down, Some("NATS doesn't answer: sessions can't be checked".to_owned()))
            }
            Some(failure) => (PartStatus::Degraded, Some(format!("the OpenID provider can't be used: {failure}"))),
            None => (PartStatus::Up, None),
        };
        Finding::new("sign-in", status, detail)
    }

    /// Cookies for HTTPS have a prefix that keeps other hosts from setting them.
    fn is_https(&self) -> bool {
        self.config.public_url.starts_with("https://")
    }

    fn redirect_uri(&self) -> String {
        format!("{}/api/v1{CALLBACK}", self.config.public_url)
    }

    /// The session that a request shows; none if it shows none.
    fn shown(&self, parts: &Parts) -> Option<SessionToken> {
        SessionToken::parse(cookies::read(&parts.headers, cookies::session_name(self.is_https()))?)
    }
}

/// Sign-in, if it is set up.
fn set_up(app: &App) -> Result<&SignIn, Problem> {
    let not_set_up = || Problem::not_found("sign-in isn't set up: this service has no OpenID provider");
    app.sign_in.as_ref().ok_or_else(not_set_up)
}

/// The person whose session a request shows. One that changes anything must come from this origin.
pub(crate) async fn signed_in(app: &App, parts: &Parts) -> Result<SignedIn, Problem> {
    let sign_in = app.sign_in.as_ref().ok_or_else(|| Problem::unauthorized("a bearer token is needed"))?;
    let token = sign_in.shown(parts).ok_or_else(|| Problem::unauthorized("there is no session: sign in"))?;
    origin::must_be_own(parts, &sign_in.config.public_url)?;
    let session = sign_in.sessions.find(&token).await?;
    let session = match session {
        Some(session) if stands(app, &session).await? => session,
        Some(_) | None => return Err(Problem::unauthorized("the session has ended: sign in again")),
    };
    Ok(SignedIn { session, token })
}

/// How often a person's rights were taken away at once, as this process knows.
async fn standing(app: &App, tenant: &TenantId, actor: &Actor) -> Result<Standing, Problem> {
    app.knows_all_members().await?;
    let member = app.known_members()?.get(&Key::new(tenant, &MemberId::of(actor)))?;
    let suspensions = app.tenants.get(tenant).await?.suspensions();
    Ok(Standing { suspensions, removals: member.map_or(0, |member| member.aggregate.removals) })
}

/// Whether nothing has ended the session since it began. Who asks for a tenant that is shut is told so by others.
async fn stands(app: &App, session: &Session) -> Result<bool, Problem> {
    let is_shut = app.tenants.get(&session.tenant).await?.admits_callers().is_err();
    Ok(is_shut || standing(app, &session.tenant, &session.actor).await? == session.standing)
}

/// Whether a request shows a cookie that could be a session.
pub(crate) fn shows_session(app: &App, parts: &Parts) -> bool {
    app.sign_in.as_ref().is_some_and(|sign_in| sign_in.shown(parts).is_some())
}

/// What the tenant lets somebody do who has no role by their groups.
fn has_any_right(app: &App, caller: Caller) -> Result<bool, Problem> {
    let caller = app.with_grants(caller)?;
    Ok(!caller.roles.is_empty() || !caller.limited.is_empty())
}

/// Refuses people of a tenant that doesn't exist or is shut.
async fn admitted_by(app: &App, tenant: &TenantId) -> Result<(), Problem> {
    app.tenants.admit(tenant).await.map_err(|problem| match problem.status().as_u16() {
        401 => Problem::forbidden_as("tenant_unknown", "your tenant is not known here"),
        _ => problem,
    })
}

impl FromRequestParts<App> for SignedIn {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Problem::internal("the operation takes no session"))
    }
}

/// The parameters of a request. Unknown ones were refused before.
fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Problem> {
    let unreadable = |error| Problem::bad_request(format!("the query can't be read: {error}"));
    serde_urlencoded::from_str(parts.uri.query().unwrap_or_default()).map_err(unreadable)
}
