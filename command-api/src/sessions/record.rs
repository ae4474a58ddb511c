//! A session as it is stored, sealed.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Actor, TenantId};
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
}

impl Session {
    pub(super) fn idle_end(&self, idle: TimeDelta) -> DateTime<Utc> {
        self.expires_at.min(self.used_at + idle)
    }

    pub(super) fn lasts(&self, now: DateTime<Utc>, idle: TimeDelta) -> bool {
        now < self.idle_end(idle)
    }
}
