//! A session as it is stored, sealed.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Actor, ApiKeyId, TenantId};
use serde::{Deserialize, Serialize};

use crate::caller::Role;

/// How often the person's rights had been taken away at once when the session began. Once more, and the session is over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// How often the tenant had been suspended.
    pub(crate) suspensions: u64,
    /// How often the person had been removed from its members.
    pub(crate) removals: u64,
}

/// Who has signed in, and until when. It has no name and no e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    /// By the groups at the sign-in.
    pub(crate) roles: Vec<Role>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// The last request, to about a minute.
    pub(crate) used_at: DateTime<Utc>,
    #[serde(default)]
    pub(crate) standing: Standing,
    /// The API key with which it began; the session ends when the key does.
    #[serde(default)]
    pub(crate) api_key: Option<ApiKeyId>,
    /// Whether the token with which it began said the kind of its holder.
    #[serde(default = "stated")]
    pub(crate) is_kind_stated: bool,
}

/// Sessions that were stored without this field began at the OpenID provider, which says that its users are people.
fn stated() -> bool {
    true
}

/// What a session begins with.
pub(crate) struct Beginning {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    pub(crate) roles: Vec<Role>,
    pub(crate) standing: Standing,
    pub(crate) api_key: Option<ApiKeyId>,
    pub(crate) is_kind_stated: bool,
    /// The end of the token or API key with which it begins; none if only the lifetime of sessions bounds it.
    pub(crate) ends_by: Option<DateTime<Utc>>,
}

impl Beginning {
    /// Of a person whom the OpenID provider knows.
    pub(crate) fn of_person(tenant: TenantId, actor: Actor, roles: Vec<Role>, standing: Standing) -> Self {
        Self { tenant, actor, roles, standing, api_key: None, is_kind_stated: true, ends_by: None }
    }

    /// The session, from now until at most `expires_at`.
    pub(super) fn session(self, now: DateTime<Utc>, expires_at: DateTime<Utc>) -> Session {
        let Self { tenant, actor, roles, standing, api_key, is_kind_stated, ends_by } = self;
        let expires_at = ends_by.map_or(expires_at, |end| end.min(expires_at));
        Session { tenant, actor, roles, created_at: now, expires_at, used_at: now, standing, api_key, is_kind_stated }
    }
}

impl Session {
    pub(super) fn idle_end(&self, idle: TimeDelta) -> DateTime<Utc> {
        self.expires_at.min(self.used_at + idle)
    }

    pub(super) fn lasts(&self, now: DateTime<Utc>, idle: TimeDelta) -> bool {
        now < self.idle_end(idle)
    }
}
