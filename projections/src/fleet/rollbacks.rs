//! Read model `rollbacks`: who took a device back, and why. What became of it is in the row of its update.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::FirmwareId;
use domain::device::{DeviceEvent as E, FirmwareSnapshot, UpdateKind, UpdateSpec};
use domain::firmware::FirmwareMetadata;
use domain::rollback::{Change, Obstacle};
use domain::version::TargetVersion;
use serde_json::{Value, json};
use sqlx::{PgConnection, Row as _};

use super::firmware::FirmwareRow;
use super::rollout::{CampaignRollback, CampaignRow};
use super::updates::UpdateRow;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::row::{Row as _, row};
use crate::table::{Page, Rows, Select};

/// Changes of what a device ran that a rollback looks at, the latest ones.
const CHANGES_MAX: i64 = 1_000;
/// Versions of one model and component among which a rollback looks for the firmware of the version that ran.
const FIRMWARE_MAX: i64 = 2_000;

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
    let mut rows = Rows::<RollbackRow>::default();
    let mut campaigns = BTreeSet::new();
    for record in batch {
        for event in record.device_events() {
            if let E::UpdateQueued { update, spec, .. } = event
                && spec.kind == UpdateKind::Rollback
            {
                let row = requested(record, update.ordinal, spec);
                campaigns.extend(row.campaign_key());
                rows.put(row);
            }
        }
    }
    let campaigns = Rows::<CampaignRow>::load(connection, campaigns.into_iter().collect()).await?;
    for row in rows.all_mut() {
        let begun = row.campaign_key().and_then(|key| campaigns.get(&key)?.rollback.clone());
        // The rollback of a campaign was requested by the actor who began it. The process manager only grants the slots.
        if let Some(CampaignRollback { automatic, requested_by, reason, .. }) = begun {
            (row.automatic, row.requested_by, row.reason) = (automatic, requested_by, reason);
        }
    }
    rows.save(connection).await
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

/// What a component of a device ran, the latest change first.
pub async fn changes(tx: &mut ReadTx, device_id: &str, component: &str) -> Result<Vec<Change>, DbError> {
    let rows = sqlx::query(
        "SELECT from_version, to_version FROM device_firmware_history
         WHERE device_id = $1 AND component = $2 ORDER BY position DESC, index DESC LIMIT $3",
    )
    .bind(device_id)
    .bind(component)
    .bind(CHANGES_MAX)
    .fetch_all(&mut *tx.0)
    .await?;
    rows.iter().map(|row| Ok(Change { from: row.try_get(0)?, to: row.try_get(1)? })).collect()
}

/// All firmware for one component of a model: where a rollback finds the firmware of a version that a device reports.
#[derive(Debug, Default)]
pub struct Library(Vec<FirmwareRow>);

impl Library {
    pub async fn read(tx: &mut ReadTx, tenant: &str, device_model: &str, component: &str) -> Result<Self, DbError> {
        let sql = format!(
            "SELECT {} FROM firmware t WHERE t.tenant = $1 AND t.device_model = $2 AND t.component = $3
             ORDER BY t.created_at DESC, t.firmware_id LIMIT {FIRMWARE_MAX}",
            FirmwareRow::columns_of("t")
        );
        let rows = sqlx::query(&sql).bind(tenant).bind(device_model).bind(component).fetch_all(&mut *tx.0).await?;
        rows.iter().map(FirmwareRow::read).collect::<Result<_, _>>().map(Self)
    }

    /// The firmware that a device runs if it reports this version. One that may be given out is preferred.
    pub fn run_by(&self, reported: &str) -> Option<&FirmwareRow> {
        let is_run = |row: &&FirmwareRow| {
            let FirmwareMetadata { version, reported_version, .. } = &row.metadata;
            TargetVersion { version, reported_version: reported_version.as_deref() }.is_met_by(reported)
        };
        let usable = |row: &&FirmwareRow| row.status != "withdrawn" && row.status != "deleted";
        self.0.iter().filter(is_run).find(usable).or_else(|| self.0.iter().find(is_run))
    }

    /// The firmware to install so that the device runs this version again.
    pub fn target(&self, version: &str) -> Result<FirmwareId, Obstacle> {
        match self.run_by(version) {
            None => Err(Obstacle::FirmwareUnknown),
            Some(row) if row.status == "deleted" => Err(Obstacle::FirmwareUnknown),
            Some(row) if row.status == "withdrawn" => Err(Obstacle::FirmwareWithdrawn),
            Some(row) => row.firmware_id.parse().map(FirmwareId).map_err(|_| Obstacle::FirmwareUnknown),
        }
    }

    /// Why a device that came from a version can't go back to it.
    pub(crate) fn obstacle(&self, from_version: Option<&str>) -> Option<Obstacle> {
        from_version.map_or(Some(Obstacle::NoPreviousVersion), |version| self.target(version).err())
    }

    /// The firmware of a version for a new update, also if it was taken away just now: its update ends as others of that firmware do.
    pub(crate) fn snapshot(&self, version: &str) -> Option<FirmwareSnapshot> {
        let row = self.run_by(version)?;
        let id = row.firmware_id.parse().map(FirmwareId).ok()?;
        Some(row.metadata.snapshot(id, &row.bytes))
    }

    /// Whether a device that runs this version may go back. A firmware that isn't known forbids nothing.
    pub fn may_be_left(&self, running: &str) -> bool {
        self.run_by(running).is_none_or(|row| row.metadata.rollback_allowed)
    }
}
