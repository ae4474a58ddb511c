//! Web sessions of people: begun by a sign-in, shown by a cookie, kept sealed in NATS, and followed in memory by every process.
//!
//! Invariants: the token of a session is stored nowhere, only its keyed hash; a session never outlives its absolute or its idle end; a
//! process that doesn't know whether a session still stands answers 503, and neither lets it in nor calls it invalid.

mod follow;
mod known;
mod last_uses;
mod listed;
mod record;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use event_store::sessions::SessionBucket;
use event_store::{Keyring, StoreError};
use runtime::clock;
use trust::{Purpose, SecretValue, SessionToken, TokenHasher};

use crate::caller::Caller;
use crate::http::Problem;

use known::Known;
pub(crate) use last_uses::keep_storing;
pub(crate) use listed::ListedSession;
pub(crate) use record::{Beginning, Session, Standing};

/// How old what is known of sessions may be. It bounds how long an ended session opens a process that has lost its contact with NATS.
const STALE_MAX: Duration = Duration::from_secs(10);
/// Most sessions of a person; a further one ends the oldest.
pub(crate) const PERSON_SESSIONS_MAX: usize = 20;
/// Most sessions of a tenant; beyond, nobody of it can sign in.
const TENANT_SESSIONS_MAX: usize = 5_000;

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// From the sign-in, at most [`event_store::streams::SESSIONS_MAX_AGE`].
    pub lifetime: Duration,
    /// Without a request.
    pub idle: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(12 * 3_600), idle: Duration::from_secs(3_600) }
    }
}

/// All sessions, as this process knows them. Clones share them.
#[derive(Clone)]
pub(crate) struct Sessions(Arc<Shared>);

struct Shared {
    bucket: Arc<dyn SessionBucket>,
    keyring: Arc<Keyring>,
    hasher: TokenHasher,
    limits: SessionLimits,
    known: Known,
}

/// The key of a session in the bucket.
fn key_of(hasher: &TokenHasher, token: &SessionToken) -> String {
    hasher.hash(token).into()
}

fn unavailable(error: &StoreError) -> Problem {
    tracing::debug!(%error, "a session can't be looked up");
    Problem::unavailable("sessions_unavailable", "sessions can't be checked now: NATS doesn't answer")
}

impl Sessions {
    pub(crate) fn new(
        bucket: Arc<dyn SessionBucket>,
        keyring: Arc<Keyring>,
        hasher: TokenHasher,
        limits: SessionLimits,
    ) -> Self {
        Self(Arc::new(Shared { bucket, keyring, hasher, limits, known: Known::default() }))
    }

    pub(crate) fn lifetime(&self) -> Duration {
        self.0.limits.lifetime
    }

    /// Whether this process knows of the ends of sessions.
    pub(crate) fn is_current(&self) -> bool {
        self.0.known.is_current(STALE_MAX)
    }

    /// The session that a token opens; none if there is none, or not any more. One that this process hasn't heard of, and any while it is
    /// out of contact, is looked up.
    pub(crate) async fn find(&self, token: &SessionToken) -> Result<Option<Session>, Problem> {
        let (shared, key, now) = (&*self.0, key_of(&self.0.hasher, token), clock::now());
        if shared.known.has_ended(&key) {
            return Ok(None);
        }
        if shared.known.is_current(STALE_MAX)
            && let Some(session) = shared.known.used(&key, now, shared.idle())
        {
            return Ok(Some(session));
        }
        self.look_up(&key, now).await
    }

    /// Asks the bucket.
    async fn look_up(&self, key: &str, now: DateTime<Utc>) -> Result<Option<Session>, Problem> {
        let shared = &*self.0;
        if !shared.known.may_look() {
            let detail = "too many unknown sessions are looked up now";
            return Err(Problem::unavailable("sessions_unavailable", detail));
        }
        let Some(found) = shared.bucket.get(key).await.map_err(|error| unavailable(&error))? else { return Ok(None) };
        let session = match found.value {
            Some(value) => shared.open(key, &value).await,
            None => None,
        };
        Ok(session.filter(|session| session.lasts(now, shared.idle())))
    }

    /// The key of a session in the bucket.
    pub(crate) fn key(&self, token: &SessionToken) -> String {
        key_of(&self.0.hasher, token)
    }

    /// The session with this key, if it lasts. This is no use of it.
    pub(crate) async fn standing(&self, key: &str) -> Result<Option<Session>, Problem> {
        let (shared, now) = (&*self.0, clock::now());
        if shared.known.has_ended(key) {
            return Ok(None);
        }
        if shared.known.is_current(STALE_MAX)
            && let Some(session) = shared.known.get(key)
        {
            return Ok(Some(session).filter(|session| session.lasts(now, shared.idle())));
        }
        self.look_up(key, now).await
    }

    /// Begins a session for a person. Their oldest ones end if they have too many.
    pub(crate) async fn begin(&self, beginning: Beginning) -> Result<SessionToken, Problem> {
        let shared = &*self.0;
        if !shared.known.is_current(STALE_MAX) {
            return Err(unavailable(&StoreError::Unavailable("not followed".to_owned())));
        }
        let (of_person, of_tenant) = {
            let Beginning { tenant, actor, standing, .. } = &beginning;
            shared.known.of_person(tenant, actor, standing.suspensions)
        };
        if of_tenant >= TENANT_SESSIONS_MAX {
            let detail = format!("the tenant has {TENANT_SESSIONS_MAX} sessions, as many as it may have");
            return Err(Problem::new(axum::http::StatusCode::CONFLICT, "too_many_sessions", detail));
        }
        let surplus = (of_person.len() + 1).saturating_sub(PERSON_SESSIONS_MAX);
        for oldest in of_person.iter().take(surplus) {
            self.end_key(oldest).await?;
        }
        let (token, now) = (SessionToken::generate(), clock::now());
        let expires_at = now + TimeDelta::from_std(shared.limits.lifetime).unwrap_or_default();
        let session = beginning.session(now, expires_at);
        let key = key_of(&shared.hasher, &token);
        let sealed = shared.seal(&key, &session)?;
        shared.bucket.create(&key, sealed.into()).await.map_err(|error| unavailable(&error))?;
        Ok(token)
    }

    /// Ends a session: in this process at once, in others when they hear of it, milliseconds later.
    pub(crate) async fn end(&self, token: &SessionToken) -> Result<(), Problem> {
        self.end_key(&key_of(&self.0.hasher, token)).await
    }

    async fn end_key(&self, key: &str) -> Result<(), Problem> {
        self.0.bucket.end(key).await.map_err(|error| unavailable(&error))?;
        self.0.known.end(key);
        Ok(())
    }

    /// When a session ends without a further request.
    pub(crate) fn idle_end(&self, session: &Session) -> DateTime<Utc> {
        session.idle_end(self.0.idle())
    }
}

impl Shared {
    fn idle(&self) -> TimeDelta {
        TimeDelta::from_std(self.limits.idle).unwrap_or_default()
    }

    fn seal(&self, key: &str, session: &Session) -> Result<Vec<u8>, Problem> {
        let text = serde_json::to_vec(session).map_err(Problem::internal)?;
        Ok(self.keyring.current().seal_for(Purpose::Session, &[key], &SecretValue::new(text)))
    }

    /// The session in a sealed value. One that doesn't open counts as none: its master key was removed, or it isn't Waybill's.
    async fn open(&self, key: &str, sealed: &[u8]) -> Option<Session> {
        let opened = self.keyring.open(Purpose::Session, &[key], sealed).await;
        let read = opened.map_err(|error| error.to_string());
        let read = read.and_then(|value| serde_json::from_slice(value.reveal()).map_err(|error| error.to_string()));
        read.inspect_err(|error| tracing::warn!(error, "A session can't be read; it counts as ended.")).ok()
    }
}

impl Session {
    /// The person, with the roles of the sign-in.
    pub(crate) fn caller(&self) -> Caller {
        let (tenant, actor, roles) = (self.tenant.clone(), self.actor.clone(), self.roles.clone());
        Caller { tenant, actor, roles, limited: vec![], limits: None, is_kind_stated: self.is_kind_stated }
    }
}

#[cfg(test)]
mod tests;
