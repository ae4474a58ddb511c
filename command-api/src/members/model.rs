//! The member in requests and replies.

use std::collections::BTreeSet;

use domain::GroupId;
use domain::member::{Grant, Member};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::caller::Role;

/// A role, and for which devices it holds: without `groups` and `own` for the whole tenant, otherwise for the devices of both.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GrantBody {
    /// `viewer`, `operator`, `approver` or `admin`.
    #[schema(value_type = String, example = "operator")]
    pub(super) role: Role,
    /// Devices of these groups, up to 50.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub(super) groups: BTreeSet<GroupId>,
    /// Devices whose `owner` is the member.
    #[serde(default)]
    pub(super) own: bool,
}

/// A member of the tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberBody {
    /// The actor, as in histories: `user:{id}`, `key:{id}` or `service:{id}`.
    member: String,
    grants: Vec<GrantBody>,
    /// Number of the member's events: its `ETag`.
    version: u64,
}

impl GrantBody {
    pub(super) fn into_grant(self) -> Grant {
        Grant { role: self.role.word().to_owned(), groups: self.groups, own: self.own }
    }

    /// None for a role of another version.
    fn of(grant: &Grant) -> Option<Self> {
        let role = Role::in_tenant(&grant.role)?;
        Some(Self { role, groups: grant.groups.clone(), own: grant.own })
    }
}

impl MemberBody {
    pub(super) fn of(member: &Member, version: u64) -> Self {
        let name = member.member.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { member: name, grants: member.grants.iter().filter_map(GrantBody::of).collect(), version }
    }
}
