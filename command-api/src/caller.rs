//! The caller of a request: the user, the tenant and the roles.

use std::collections::BTreeSet;

use domain::campaign::CampaignSpec;
use domain::member::Grant;
use domain::{Actor, ActorKind, GroupId, Person, TenantId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::Problem;

/// What a caller may do in a tenant, each role including those before it; `Auditor` and `PlatformAdmin` are separate from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Viewer,
    Operator,
    Approver,
    Admin,
    /// Sees what a viewer sees, and the audit, which names people, keys and members. Admins see it, too.
    Auditor,
    /// Sees the state of the whole installation and no tenant's data. No other role includes it, and it includes no other.
    PlatformAdmin,
}

impl Role {
    /// The roles that a tenant can grant.
    pub(crate) const OF_TENANTS: [Self; 5] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin, Self::Auditor];

    /// The role of this name that a tenant can grant.
    pub(crate) fn in_tenant(word: &str) -> Option<Self> {
        Self::OF_TENANTS.into_iter().find(|role| role.word() == word)
    }

    /// The role as JSON and claims write it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::PlatformAdmin => "platform_admin",
        }
    }

    pub(crate) fn includes(self, least: Self) -> bool {
        match (self, least) {
            (Self::PlatformAdmin, _) | (_, Self::PlatformAdmin) => self == least,
            (Self::Auditor, least) => matches!(least, Self::Viewer | Self::Auditor),
            (held, Self::Auditor) => held == Self::Admin,
            _ => self >= least,
        }
    }
}

/// The tenant of tokens that name none, in development.
pub(crate) const DEFAULT_TENANT: &str = "default";

/// A role for some devices of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitedRole {
    pub(crate) role: Role,
    pub(crate) limits: DeviceLimits,
}

/// The devices of groups, and those that the caller owns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeviceLimits {
    pub(crate) groups: BTreeSet<GroupId>,
    pub(crate) own: bool,
}

/// The caller of a request and their tenant.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) tenant: TenantId,
    pub(crate) actor: Actor,
    pub(crate) roles: Vec<Role>,
    /// Roles that hold for some devices only.
    pub(crate) limited: Vec<LimitedRole>,
    /// The devices that this request may concern; none: all.
    pub(crate) limits: Option<DeviceLimits>,
    /// Whether the token says the kind of the caller.
    pub(crate) is_kind_stated: bool,
}

impl Caller {
    pub(crate) fn has(&self, least: Role) -> bool {
        self.roles.iter().any(|role| role.includes(least))
    }

    /// The devices for which the caller has a role; none if there are none. Only for a caller without this role in the whole tenant.
    pub(crate) fn limits_of(&self, least: Role) -> Option<DeviceLimits> {
        let fitting = self.limited.iter().filter(|limited| limited.role.includes(least));
        fitting.map(|limited| limited.limits.clone()).reduce(|all, more| DeviceLimits {
            groups: all.groups.into_iter().chain(more.groups).collect(),
            own: all.own || more.own,
        })
    }

    /// Adds what the tenant grants them, beside what their token says. Roles that this version doesn't know give no rights.
    pub(crate) fn grant(&mut self, grants: &[Grant]) {
        for grant in grants {
            let Some(role) = Role::in_tenant(&grant.role) else { continue };
            match grant.is_limited() {
                false => self.roles.push(role),
                true => {
                    let limits = DeviceLimits { groups: grant.groups.clone(), own: grant.own };
                    self.limited.push(LimitedRole { role, limits });
                }
            }
        }
    }

    /// Refuses a campaign that reaches beyond the groups for which the caller has the role.
    pub(crate) fn may_target(&self, spec: &CampaignSpec) -> Result<(), Problem> {
        match &self.limits {
            Some(limits) if !spec.stays_within(&limits.groups) => {
                let groups: Vec<_> = limits.groups.iter().map(ToString::to_string).collect();
                let groups = groups.join(", ");
                Err(Problem::forbidden(format!(
                    "your campaigns may have target_groups among {groups}, and no other targets"
                )))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Refuses a caller whose rights are limited to some devices.
    pub(crate) fn unlimited(&self, what: &str) -> Result<(), Problem> {
        match self.limits {
            None => Ok(()),
            Some(_) => Err(Problem::forbidden(format!("{what} needs the role in the whole tenant"))),
        }
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
