//! Members of a plan that is written. Nobody reads them before their campaign names the plan.

use std::collections::HashMap;

use domain::campaign::Campaign;
use domain::events::PlanEvent;
use domain::plan::PlanEntry;
use domain::{CampaignId, Key, TenantId};
use sqlx::{PgConnection, Row as _};

use super::planning::snapshot_position;
use super::rows::{CampaignRow, MemberRow};
use crate::db::{Db, DbError};
use crate::decode::{Decoded, Events};
use crate::fleet::device_now::DeviceNow;
use crate::row::{ColumnValue as _, Row as _};
use crate::table::{Rows, insert_like_sql};

/// The columns in which the members of one plan differ, with their types.
const OF_MEMBER: [(&str, &str); 9] = [
    ("device_id", "text"),
    ("rank", "bigint"),
    ("wave", "bigint"),
    ("excluded", "text"),
    ("from_version", "text"),
    ("lorawan", "boolean"),
    ("ready", "boolean"),
    ("ready_at", "timestamptz"),
    ("zone", "text"),
];

/// The campaign as the aggregate that needs the members of its plans.
pub(crate) fn campaign_key(tenant: &TenantId, campaign: &CampaignId) -> String {
    Key::<Campaign>::new(tenant, campaign).raw().to_string()
}

/// Whether the members of all chunks up to a position are written. A campaign that names its plan before that delays all later events.
pub async fn is_plan_written(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    position: u64,
) -> Result<bool, DbError> {
    let mut tx = db.read_all().await?;
    if snapshot_position(&mut tx).await? < position {
        return Ok(false);
    }
    let waits = "SELECT EXISTS (SELECT FROM deferred_records WHERE projection = $1 AND needed_by = $2)";
    let waits = sqlx::query_scalar(waits).bind(crate::FLEET).bind(campaign_key(tenant, campaign));
    let waits: bool = waits.fetch_one(&mut *tx.0).await?;
    Ok(!waits)
}

/// Writes the members of one chunk. While their campaign is at work, events of their devices change when they may begin; otherwise they may
/// not begin.
pub(crate) async fn write(connection: &mut PgConnection, record: &Decoded) -> Result<(), DbError> {
    let Events::Plan(events) = &record.events else { return Ok(()) };
    for PlanEvent::ChunkWritten { campaign, plan, entries, .. } in events {
        let key = vec![record.tenant(), campaign.to_string()];
        let campaigns = Rows::<CampaignRow>::load(connection, vec![key.clone()]).await?;
        let at_work = campaigns.get(&key).filter(|row| row.at_work);
        let devices = match at_work {
            Some(_) => devices(connection, &record.tenant(), entries).await?,
            None => HashMap::new(),
        };
        let members = entries.iter().map(|entry| {
            let mut member = MemberRow::planned(record.tenant(), campaign, plan, entry);
            member.set_readiness(devices.get(&member.device_id).map(DeviceNow::occupancy), None, at_work);
            member
        });
        let mut members: Vec<MemberRow> = members.collect();
        // In the order of the key its index grows from one end to the other; and those whose turn comes together are on different pages.
        members.sort_by(|one, other| one.device_id.cmp(&other.device_id));
        insert(connection, &members).await?;
    }
    Ok(())
}

async fn insert(connection: &mut PgConnection, members: &[MemberRow]) -> Result<(), DbError> {
    let Some(first) = members.first() else { return Ok(()) };
    fn each<T>(members: &[MemberRow], value: impl Fn(&MemberRow) -> T) -> Vec<T> {
        members.iter().map(value).collect()
    }
    let sql = insert_like_sql::<MemberRow>(&OF_MEMBER);
    MemberRow::bind(sqlx::query(&sql), &[first])?
        .bind(each(members, |member| member.device_id.to_wire()))
        .bind(each(members, |member| member.rank.to_wire()))
        .bind(each(members, |member| member.wave.to_wire()))
        .bind(each(members, |member| member.excluded.to_wire()))
        .bind(each(members, |member| member.from_version.to_wire()))
        .bind(each(members, |member| member.lorawan))
        .bind(each(members, |member| member.ready))
        .bind(each(members, |member| member.ready_at))
        .bind(each(members, |member| member.zone.to_wire()))
        .execute(connection)
        .await?;
    Ok(())
}

/// The devices of a chunk that aren't excluded, by id.
async fn devices(
    connection: &mut PgConnection,
    tenant: &str,
    entries: &[PlanEntry],
) -> Result<HashMap<String, DeviceNow>, DbError> {
    let included = entries.iter().filter(|entry| entry.excluded.is_none());
    let mut ids: Vec<&str> = included.map(|entry| entry.device.as_str()).collect();
    ids.sort_unstable();
    let sql = format!(
        "SELECT d.device_id, {} FROM UNNEST($2::text[]) AS k (device_id)
         JOIN devices d ON d.tenant = $1 AND d.device_id = k.device_id",
        DeviceNow::columns_without_presence()
    );
    let rows = sqlx::query(&sql).bind(tenant).bind(ids).fetch_all(connection).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in &rows {
        if let Some(device) = DeviceNow::read(row, 1)? {
            found.insert(row.try_get(0)?, device);
        }
    }
    Ok(found)
}
