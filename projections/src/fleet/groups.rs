//! Read model `groups`: groups of devices, and the members of static ones.

mod members;
pub(crate) mod targets;

use chrono::{DateTime, Utc};
use domain::campaign::TargetFilters;
use domain::change::Change;
use domain::group::{GroupEvent as E, GroupKind, GroupPatch, GroupSpec};
use domain::ids::InvalidId;
use domain::{CampaignId, GroupId};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::db::{DbError, ReadTx};
use crate::decode::{Decoded, Events};
use crate::row::{Row as _, row};
use crate::table::{Page, Rows, Select};

/// A group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupRow {
    pub tenant: String,
    pub group_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub kind: GroupKind,
    /// Of a dynamic group.
    pub filter: Option<TargetFilters>,
    /// Members of a static group, also decommissioned ones.
    pub members: u64,
    pub deleted: bool,
    /// Version of the aggregate.
    pub version: u64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    GroupRow = "groups" key { tenant: "text", group_id: "text" }
    columns { name, description, kind, members, deleted, version, created_by, created_at, updated_at, position }
    json { filter }
}

pub(crate) const TABLES: &[&str] = &["groups", "group_members"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_groups = || {
        batch.iter().filter_map(|record| match &record.events {
            Events::Group(events) => Some((record, events)),
            _ => None,
        })
    };
    if of_groups().next().is_none() {
        return Ok(());
    }
    let keys = of_groups().map(|(record, _)| vec![record.tenant(), record.id()]);
    let mut rows = Rows::<GroupRow>::load(connection, keys.collect()).await?;
    let mut changes = members::Changes::default();
    for (record, events) in of_groups() {
        let key = vec![record.tenant(), record.id()];
        for event in events {
            if let E::Created { spec } = event {
                let row = created(rows.get(&key), record, spec);
                rows.put(row);
            }
            let row =
                rows.get_mut(&key).ok_or_else(|| DbError::Invalid(format!("{} was never created", record.raw.key)))?;
            apply(row, event);
            changes.apply(connection, record, event).await?;
            row.version = record.record.last_version();
            row.updated_at = record.at();
            row.position = record.raw.position;
        }
    }
    changes.save(connection).await?;
    rows.save(connection).await
}

/// A group that is created again after its deletion keeps who created it first, as its aggregate does.
fn created(before: Option<&GroupRow>, record: &Decoded, spec: &GroupSpec) -> GroupRow {
    let by = || (record.record.meta.actor.to_string(), record.at());
    let (created_by, created_at) = before.map_or_else(by, |row| (row.created_by.clone(), row.created_at));
    let mut row = GroupRow {
        tenant: record.tenant(),
        group_id: record.id(),
        name: None,
        description: None,
        kind: spec.kind(),
        filter: None,
        members: 0,
        deleted: false,
        version: 0,
        created_by,
        created_at,
        updated_at: record.at(),
        position: record.raw.position,
    };
    set_spec(&mut row, spec);
    row
}

fn set_spec(row: &mut GroupRow, spec: &GroupSpec) {
    row.name = spec.name.plain().cloned();
    row.description = spec.description.as_ref().and_then(|text| text.plain().cloned());
    row.filter.clone_from(&spec.filter);
}

/// A sealed text is not known here.
fn amend(row: &mut GroupRow, patch: &GroupPatch) {
    let GroupPatch { name, description, filter } = patch;
    if let Some(name) = name {
        row.name = name.plain().cloned();
    }
    match description {
        Change::Keep => {}
        Change::Clear => row.description = None,
        Change::Set(text) => row.description = text.plain().cloned(),
    }
    if filter.is_some() {
        row.filter.clone_from(filter);
    }
}

fn apply(row: &mut GroupRow, event: &E) {
    match event {
        E::Created { .. } => {}
        E::Amended { patch } => amend(row, patch),
        E::MembersAdded { devices } => row.members += devices.len() as u64,
        E::MembersRemoved { devices } => row.members -= devices.len() as u64,
        E::Deleted {} => (row.members, row.deleted) = (0, true),
    }
}

/// Which groups to list.
#[derive(Debug, Clone, Default)]
pub struct GroupFilter {
    pub id: Option<String>,
    pub kind: Option<GroupKind>,
    /// Also deleted groups.
    pub deleted: bool,
}

/// Groups by id.
pub async fn list(
    tx: &mut ReadTx,
    filter: &GroupFilter,
    after: Option<&str>,
    limit: usize,
    count: bool,
) -> Result<Page<GroupRow>, DbError> {
    let mut select = Select::new(GroupRow::columns_of("t"), "groups t", "t.group_id");
    select.equals("t.group_id", filter.id.as_ref());
    select.equals("t.kind", filter.kind.map(|kind| kind.word().to_owned()).as_ref());
    if !filter.deleted {
        select.require("NOT t.deleted".to_owned());
    }
    let after = after.map(|id| ("t.group_id > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let (items, more, total) = select.page(tx, after, limit, count, GroupRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.group_id.clone()]);
    Ok(Page { items, next, total })
}

/// One group, unless it is deleted.
pub async fn get(tx: &mut ReadTx, id: &GroupId) -> Result<Option<GroupRow>, DbError> {
    let filter = GroupFilter { id: Some(id.to_string()), ..GroupFilter::default() };
    Ok(list(tx, &filter, None, 1, false).await?.items.into_iter().next())
}

/// Campaigns under way that target a group, at most `limit`.
pub async fn campaigns_under_way(tx: &mut ReadTx, id: &GroupId, limit: usize) -> Result<Vec<CampaignId>, DbError> {
    let mut select = Select::new("t.campaign_id".to_owned(), "campaigns t", "t.campaign_id");
    let idle: Vec<&str> = super::campaigns::words_not_under_way();
    select.filter("NOT (t.status = ANY (SELECT jsonb_array_elements_text($)))", json!(idle));
    select.filter("t.spec -> 'target_groups' @> $", json!([id]));
    let read = |row: &PgRow| {
        let id: String = row.try_get(0)?;
        id.parse().map_err(|error: InvalidId| DbError::Invalid(error.to_string()))
    };
    Ok(select.page(tx, None, limit, false, read).await?.0)
}
