//! Devices that a group or a filter selects.

use chrono::{DateTime, Utc};
use domain::DeviceId;
use domain::group::GroupKind;
use serde_json::Value;
use sqlx::Row as _;

use super::device_queries::{self, DeviceFilter};
use super::groups::GroupRow;
use super::rollout::snapshot_position;
use crate::db::{DbError, ReadTx};
use crate::row::parse;
use crate::table::{Page, Select};

/// A member of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct MemberOfGroup {
    pub device_id: String,
    /// `active` or `decommissioned`. None if the device can't be read.
    pub lifecycle: Option<String>,
    /// When it was added; none in a dynamic group.
    pub added_at: Option<DateTime<Utc>>,
}

/// The members of a group, by id: in a static group also decommissioned devices, in a dynamic one the devices in service that match now.
pub async fn members(
    tx: &mut ReadTx,
    group: &GroupRow,
    after: Option<&str>,
    limit: usize,
    count: bool,
) -> Result<Page<MemberOfGroup>, DbError> {
    let mut select = match group.kind {
        GroupKind::Static => {
            let from = "group_members t LEFT JOIN devices d ON d.tenant = t.tenant AND d.device_id = t.device_id";
            let mut select = Select::new("t.device_id, d.lifecycle, t.added_at".to_owned(), from, "t.device_id");
            select.equals("t.group_id", Some(&group.group_id));
            select
        }
        GroupKind::Dynamic => {
            let columns = "t.device_id, t.lifecycle, NULL::timestamptz".to_owned();
            Select::new(columns, "devices t", "t.device_id")
        }
    };
    if group.kind == GroupKind::Dynamic {
        device_queries::apply_filter(tx, &mut select, &DeviceFilter::of_group(group)).await?;
    }
    let after = after.map(|id| ("t.device_id > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let read = |row: &sqlx::postgres::PgRow| {
        Ok(MemberOfGroup { device_id: row.try_get(0)?, lifecycle: row.try_get(1)?, added_at: row.try_get(2)? })
    };
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items.last().filter(|_| more).map(|member| vec![member.device_id.clone()]);
    Ok(Page { items, next, total })
}

/// Ids of the devices in service that a filter selects, after `after` in the order of ids. A filter with a group selects among its members.
/// With the position that they are read at.
pub async fn device_ids(
    tx: &mut ReadTx,
    filter: &DeviceFilter,
    after: Option<&DeviceId>,
    limit: usize,
) -> Result<(Page<DeviceId>, u64), DbError> {
    let position = snapshot_position(tx).await?;
    let mut select = Select::new("t.device_id".to_owned(), device_queries::source(filter), "t.device_id");
    device_queries::apply_filter(tx, &mut select, filter).await?;
    let after = after.map(|id| device_queries::follows(filter, id.as_str()));
    let read = |row: &sqlx::postgres::PgRow| parse(row.try_get(0)?);
    let (items, more, total) = select.page(tx, after, limit, false, read).await?;
    let next = items.last().filter(|_| more).map(|id: &DeviceId| vec![id.to_string()]);
    Ok((Page { items, next, total }, position))
}
