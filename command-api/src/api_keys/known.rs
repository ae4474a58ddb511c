//! The API keys of all tenants, as this process knows them: letting a key in needs no request to another process.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::api_key::{ApiKey, ApiKeyStatus};
use domain::{Actor, ActorKind, ApiKeyId, Key, TenantId};
use event_store::{Followed, Loaded};
use runtime::clock;
use trust::TokenHasher;

use super::last_uses::LastUses;
use super::model::role_of;
use crate::caller::Caller;
use crate::http::Problem;

/// How old what is known of keys may be. It bounds how long a revoked key opens a process that has lost its contact with the log.
pub(crate) const STALE_MAX: Duration = Duration::from_secs(10);
/// How long a command on a key waits until its own process knows its outcome.
const KNOWN_WAIT_MAX: Duration = Duration::from_secs(2);

/// The keys with their last uses.
pub(crate) struct KnownKeys {
    followed: Followed<ApiKey>,
    pub(super) last_uses: LastUses,
}

/// Who shows a key, and until when it is good; none for one without an end.
pub(crate) struct KeyHolder {
    pub(crate) caller: Caller,
    pub(crate) id: ApiKeyId,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl KnownKeys {
    pub(crate) fn new(followed: Followed<ApiKey>) -> Self {
        Self { followed, last_uses: LastUses::default() }
    }

    /// The keys, unless what is known of them is too old.
    pub(crate) fn current(&self) -> Result<&Followed<ApiKey>, Problem> {
        if self.followed.is_current(STALE_MAX) {
            return Ok(&self.followed);
        }
        let detail = "API keys can't be checked now: this process has no contact with the event log";
        Err(Problem::unavailable("api_keys_unavailable", detail))
    }

    /// Who shows a key. An unknown key is refused like one whose random part is wrong. The use is remembered.
    pub(crate) fn verify(&self, hasher: &TokenHasher, text: &str) -> Result<KeyHolder, Problem> {
        let shown = trust::ApiKey::parse(text).ok_or_else(|| refused("it is not known"))?;
        let hash = hasher.hash(&shown);
        let found = self.found(&shown.tenant, shown.id)?;
        let key = found.as_ref().map(|loaded| &loaded.aggregate).filter(|key| key.is_of(&hash));
        let (key, terms) = key.and_then(|key| Some((key, key.terms()?))).ok_or_else(|| refused("it is not known"))?;
        let now = clock::now();
        must_be_active(key, now)?;
        let actor = Actor::of(ActorKind::Key, &shown.id.to_string()).map_err(Problem::internal)?;
        let roles = terms.roles.iter().filter_map(|word| role_of(word)).collect();
        self.last_uses.note(&shown.tenant, shown.id, now);
        let caller = Caller { tenant: shown.tenant, actor, roles, limited: vec![], limits: None, is_kind_stated: true };
        Ok(KeyHolder { caller, id: shown.id, expires_at: terms.expires_at })
    }

    /// Refuses a key that has ended since it was shown. No use is remembered.
    pub(crate) fn must_stand(&self, tenant: &TenantId, id: ApiKeyId) -> Result<(), Problem> {
        let found = self.found(tenant, id)?.ok_or_else(|| refused("it is not known"))?;
        must_be_active(&found.aggregate, clock::now())
    }

    fn found(&self, tenant: &TenantId, id: ApiKeyId) -> Result<Option<Arc<Loaded<ApiKey>>>, Problem> {
        self.current()?.get(&Key::new(tenant, &id)).map_err(|_| {
            // Why was logged when it happened.
            Problem::unavailable("api_keys_unavailable", "this API key can't be read from the event log")
        })
    }

    /// Waits until this process knows what was stored. If it can't, it has lost its contact with the log and soon lets no key in.
    pub(super) async fn know(&self, position: u64) {
        if let Err(error) = self.followed.reached(position, KNOWN_WAIT_MAX).await {
            tracing::warn!(%error, position, "a command on an API key is stored, and not known to this process yet");
        }
    }
}

fn must_be_active(key: &ApiKey, now: DateTime<Utc>) -> Result<(), Problem> {
    match key.status(now) {
        ApiKeyStatus::Active => Ok(()),
        ApiKeyStatus::Revoked => Err(refused("it is revoked")),
        ApiKeyStatus::Expired => Err(refused("it has expired")),
    }
}

fn refused(reason: &str) -> Problem {
    Problem::unauthorized(format!("the API key is not valid: {reason}"))
}
