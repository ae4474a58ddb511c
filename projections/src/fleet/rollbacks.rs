//! Read model `rollbacks`: who took a device back, and why. What became of it is in the row of its update.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::device::{DeviceEvent as E, OVERTAKEN, UpdateKind, UpdateSpec};
use domain::rollback::Change;
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::rollout::{CampaignRollback, CampaignRow};
use super::updates::UpdateRow;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::row::{Row as _, row};
use crate::table::{Page, Rows, Select};

/// Changes of what a device ran that a rollback looks at, the latest ones.
const CHANGES_MAX: i64 = 1_000;

/// A rollback as it was requested.
#[derive(Debug, Clone, PartialEq)]
pub struct RollbackRow {
    pub tenant: String,
    pub device_id: String,
    /// Of its update.
    pub ordinal: u32,
    pub campaign_id: Option<String>,
    pub component: String,
    pub from_version: Option<String>,
    pub to_version: String,
    pub firmware_id: String,
    /// Ordinal of the update that it undoes.
    pub rolls_back: Option<u32>,
    /// A gate began it.
    pub automatic: bool,
    pub requested_by: String,
    pub reason: Option<String>,
    pub requested_at: DateTime<Utc>,
}

row! {
    RollbackRow = "rollbacks" key { tenant: "text", device_id: "text", ordinal: "bigint" }
    columns {
        campaign_id, component, from_version, to_version, firmware_id, rolls_back, automatic, requested_by, reason, requested_at
    }
    json {  }
}

pub(crate) const TABLES: &[&str] = &["rollbacks"];

impl RollbackRow {
    fn campaign_key(&self) -> Option<Vec<String>> {
        Some(vec![self.tenant.clone(), self.campaign_id.clone()?])
    }
}

/// Applies records in order, after those of their campaigns.
pub(crate) async fn apply(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let mut rows = Rows::<RollbackRow>::load(connection, batch.iter().flat_map(continued).collect()).await?;
    let (mut campaigns, mut rounds) = (BTreeSet::new(), Vec::new());
    for record in batch {
        for event in record.device_events() {
            if let E::UpdateQueued { update, spec, .. } = event
                && spec.kind == UpdateKind::Rollback
            {
                let row = requested(record, update.ordinal, spec);
                let former = former_of(record, spec).and_then(|key| rows.get(&key));
                let row = match former {
                    Some(former) => RollbackRow { ordinal: row.ordinal, ..former.clone() },
                    None => {
                        campaigns.extend(row.campaign_key());
                        rounds.extend(spec.campaign.map(|campaign| (campaign.round, row.key())));
                        row
                    }
                };
                rows.put(row);
            }
        }
    }
    let campaigns = Rows::<CampaignRow>::load(connection, campaigns.into_iter().collect()).await?;
    for (round, key) in rounds {
        let Some(row) = rows.get_mut(&key) else { continue };
        let begun = row.campaign_key().and_then(|key| campaigns.get(&key)?.rollback.clone());
        // The rollback of a campaign was requested by the actor who began it. The process manager only grants the slots.
        if let Some(CampaignRollback { automatic, requested_by, reason, .. }) =
            begun.filter(|begun| begun.round == round)
        {
            (row.automatic, row.requested_by, row.reason) = (automatic, requested_by, reason);
        }
    }
    rows.save(connection).await
}

/// Key of the rollback that a new one continues, because another update was dispatched before it in this record. Its request stays.
fn former_of(record: &Decoded, spec: &UpdateSpec) -> Option<Vec<String>> {
    let former = spec.retry_of?;
    let is_overtaken = |event: &E| matches!(event, E::UpdateSuperseded { update, reason } if update.ordinal == former && reason == OVERTAKEN);
    let key = || vec![record.tenant(), record.id(), former.to_string()];
    (spec.kind == UpdateKind::Rollback && record.device_events().iter().any(is_overtaken)).then(key)
}

fn continued(record: &Decoded) -> Vec<Vec<String>> {
    let specs = record.device_events().iter().filter_map(|event| match event {
        E::UpdateQueued { spec, .. } => former_of(record, spec),
        _ => None,
    });
    specs.collect()
}

fn requested(record: &Decoded, ordinal: u32, spec: &UpdateSpec) -> RollbackRow {
    let meta = &record.record.meta;
    RollbackRow {
        tenant: record.tenant(),
        device_id: record.id(),
        ordinal,
        campaign_id: spec.campaign.map(|campaign| campaign.id.to_string()),
        component: spec.firmware.component.clone(),
        from_version: spec.from_version.clone(),
        to_version: spec.firmware.version.clone(),
        firmware_id: spec.firmware.firmware_id.to_string(),
        rolls_back: spec.rolls_back,
        automatic: false,
        requested_by: meta.actor.to_string(),
        reason: meta.reason.as_ref().and_then(|reason| reason.plain().cloned()),
        requested_at: record.at(),
    }
}

/// Which rollbacks to list; all parts that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct RollbackFilter {
    pub device_id: Option<String>,
    pub campaign_id: Option<String>,
    pub automatic: Option<bool>,
}

/// Rollbacks with their updates, newest first.
pub async fn list(
    tx: &mut ReadTx,
    filter: &RollbackFilter,
    after: Option<(&str, &str, u32)>,
    limit: usize,
    count: bool,
) -> Result<Page<(RollbackRow, UpdateRow)>, DbError> {
    let columns = format!("{}, {}", RollbackRow::columns_of("t"), UpdateRow::columns_of("u"));
    let from =
        "rollbacks t JOIN updates u ON u.tenant = t.tenant AND u.device_id = t.device_id AND u.ordinal = t.ordinal";
    let mut select = Select::new(columns, from, "t.requested_at DESC, t.device_id DESC, t.ordinal DESC");
    select.equals("t.device_id", filter.device_id.as_ref());
    select.equals("t.campaign_id", filter.campaign_id.as_ref());
    if let Some(automatic) = filter.automatic {
        select.filter("t.automatic = ($)::boolean", automatic);
    }
    let after = after.map(|(requested_at, device, ordinal)| {
        let condition =
            "(t.requested_at, t.device_id, t.ordinal) < (($ #>> '{}')::timestamptz, $ #>> '{}', ($)::bigint)"
                .to_owned();
        (condition, vec![json!(requested_at), json!(device), Value::from(ordinal)])
    });
    let second = RollbackRow::columns().count();
    let read = |row: &_| Ok((RollbackRow::read(row)?, UpdateRow::read_from(row, second)?));
    let (items, more, total) = select.page(tx, after, limit, count, read).await?;
    let next = items
        .last()
        .filter(|_| more)
        .map(|(row, _)| vec![row.requested_at.to_rfc3339(), row.device_id.clone(), row.ordinal.to_string()]);
    Ok(Page { items, next, total })
}

/// What a component of a device ran, the oldest change first; of more than [`CHANGES_MAX`] the latest.
pub async fn changes(
    tx: &mut ReadTx,
    tenant: &TenantId,
    device_id: &str,
    component: &str,
) -> Result<Vec<Change>, DbError> {
    let rows = sqlx::query(
        "SELECT h.from_version, h.to_version,
           h.cause IN ('fell_back', 'regressed') OR coalesce(u.kind = 'rollback', false) AS is_return
         FROM device_firmware_history h
         LEFT JOIN updates u ON u.tenant = h.tenant AND u.device_id = h.device_id AND u.ordinal = h.ordinal
         WHERE h.tenant = $1 AND h.device_id = $2 AND h.component = $3
         ORDER BY h.position DESC, h.index DESC LIMIT $4",
    )
    .bind(tenant.as_str())
    .bind(device_id)
    .bind(component)
    .bind(CHANGES_MAX)
    .fetch_all(&mut *tx.0)
    .await?;
    let change =
        |row: &PgRow| Ok(Change { from: row.try_get(0)?, to: row.try_get(1)?, is_return: row.try_get("is_return")? });
    rows.iter().rev().map(change).collect()
}
