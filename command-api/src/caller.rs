//! The caller of a request: the user, the tenant and the roles.

use domain::{Actor, ActorKind, Person, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::Problem;

/// What a caller may do in a tenant, each role including those before it; `PlatformAdmin` is separate from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
    /// Sees the state of the whole installation and no tenant's data. No other role includes it, and it includes no other.
    PlatformAdmin,
}

impl Role {
    /// The role as JSON and claims write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::PlatformAdmin => "platform_admin",
        }
    }

    fn includes(self, least: Self) -> bool {
        match (self, least) {
            (Self::PlatformAdmin, _) | (_, Self::PlatformAdmin) => self == least,
            _ => self >= least,
        }
    }
}

/// The tenant of tokens that name none, in development.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// The caller of a request and their tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    pub(crate) roles: Vec<Role>,
    /// Whether the token says the kind of the caller.
    pub(crate) is_kind_stated: bool,
}

impl Caller {
    pub(crate) fn has(&self, least: Role) -> bool {
        self.roles.iter().any(|role| role.includes(least))
    }

    /// Whether the caller may see the state of the whole installation. In development admins of the default tenant may, too.
    pub(crate) fn sees_platform(&self, development: bool) -> bool {
        let developer = development && self.tenant.as_str() == DEFAULT_TENANT && self.has(Role::Admin);
        developer || self.has(Role::PlatformAdmin)
    }

    /// A person, an API key or a service. It is part of the actor, so that every record says it.
    pub(crate) fn kind(&self) -> ActorKind {
        self.actor.kind()
    }

    /// The caller as a person. Keys, services and tokens that don't say their kind are refused: a person must decide.
    pub(crate) fn person(&self) -> Result<Person, Problem> {
        if !self.is_kind_stated {
            let detail = "only a person can decide this, and the token has no claim kind: person";
            return Err(Problem::forbidden(detail.to_owned()));
        }
        Person::try_from(self.actor.clone()).map_err(|_| {
            let kind = format!("{:?}", self.kind()).to_lowercase();
            Problem::forbidden(format!("only a person can decide this, and the caller is a {kind}"))
        })
    }

    pub(crate) fn need(self, least: Role) -> Result<Self, Problem> {
        if self.has(least) {
            return Ok(self);
        }
        Err(Problem::forbidden(format!("this needs the role {}", least.word())))
    }
}
