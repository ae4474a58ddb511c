//! The group in replies, from its aggregate or from the read model.

use chrono::{DateTime, Utc};
use domain::GroupId;
use domain::campaign::TargetFilters;
use domain::group::{Group, GroupKind};
use event_store::Origin;
use projections::groups::GroupRow;
use serde::Serialize;
use utoipa::ToSchema;

use crate::campaigns::TargetFiltersSchema;
use crate::http::Done;

/// A group of devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GroupBody {
    group_id: String,
    name: Option<String>,
    description: Option<String>,
    /// `static` or `dynamic`.
    kind: &'static str,
    /// Of a dynamic group: which devices are its members.
    #[schema(value_type = Option<TargetFiltersSchema>)]
    filter: Option<TargetFilters>,
    /// Members of a static group, also decommissioned devices. Null for a dynamic group: `GET /groups/{group_id}/members?count=true` counts
    /// the devices that match.
    member_count: Option<u64>,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    /// Number of the group's events: its `ETag`.
    version: u64,
}

impl GroupBody {
    /// After a command.
    pub(super) fn done(id: &GroupId, done: &Done<Group>) -> Self {
        Self::of(id, &done.aggregate, done.origin.as_deref(), done.version)
    }

    pub(super) fn of(id: &GroupId, group: &Group, origin: Option<&Origin>, version: u64) -> Self {
        let spec = group.spec.as_ref();
        let kind = spec.map_or(GroupKind::Static, |spec| spec.kind());
        Self {
            group_id: id.to_string(),
            name: spec.and_then(|spec| spec.name.plain().cloned()),
            description: spec.and_then(|spec| spec.description.as_ref()?.plain().cloned()),
            kind: kind.word(),
            filter: spec.and_then(|spec| spec.filter.clone()),
            member_count: (kind == GroupKind::Static).then_some(group.members.len() as u64),
            created_by: origin.map(|origin| origin.by.to_string()),
            created_at: origin.map(|origin| origin.at),
            version,
        }
    }
}

impl From<GroupRow> for GroupBody {
    fn from(row: GroupRow) -> Self {
        Self {
            group_id: row.group_id,
            name: row.name,
            description: row.description,
            kind: row.kind.word(),
            filter: row.filter,
            member_count: (row.kind == GroupKind::Static).then_some(row.members),
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            version: row.version,
        }
    }
}

/// Path of a group.
pub(super) fn location(id: &GroupId) -> String {
    format!("/api/v1/groups/{id}")
}
