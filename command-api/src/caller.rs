//! Who asks, on behalf of which tenant, and what they may do.

use domain::{Actor, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::Problem;

/// What a caller may do in a tenant, each role including those before it; and, apart from them, who looks after the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
    /// Sees the state of the whole installation and nothing of its tenants; no other role includes it, nor it any other.
    PlatformAdmin,
}

impl Role {
    fn includes(self, least: Self) -> bool {
        match (self, least) {
            (Self::PlatformAdmin, _) | (_, Self::PlatformAdmin) => self == least,
            _ => self >= least,
        }
    }
}

/// The tenant of whoever names none in development.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// Who asks, on behalf of which tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    pub(crate) roles: Vec<Role>,
}

impl Caller {
    pub(crate) fn has(&self, least: Role) -> bool {
        self.roles.iter().any(|role| role.includes(least))
    }

    /// Whether the state of the whole installation may be shown. In development an admin of the default tenant looks after it, too.
    pub(crate) fn sees_platform(&self, development: bool) -> bool {
        let developer = development && self.tenant.as_str() == DEFAULT_TENANT && self.has(Role::Admin);
        developer || self.has(Role::PlatformAdmin)
    }

    pub(crate) fn need(self, least: Role) -> Result<Self, Problem> {
        if self.has(least) {
            return Ok(self);
        }
        let word = format!("{least:?}").to_lowercase();
        Err(Problem::forbidden(format!("this needs the role {word}")))
    }
}
