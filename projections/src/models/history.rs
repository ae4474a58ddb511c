//! Read model `device_firmware_history`: each change of what a device's components run, and what caused it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::device::{DeviceEvent as E, UpdateRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::ReadModel;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::table::{Page, Row, Rows, Select};

/// One change. `cause` is `registered`, `operator`, `confirmed`, `reported`, `regressed` or `late`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRow {
    pub tenant: String,
    pub device_id: String,
    pub position: u64,
    pub index: u32,
    pub at: DateTime<Utc>,
    pub component: String,
    pub from_version: Option<String>,
    pub to_version: Option<String>,
    pub cause: String,
    pub ordinal: Option<u32>,
    pub campaign_id: Option<String>,
}

impl Row for HistoryRow {
    const TABLE: &'static str = "device_firmware_history";
    const KEY: &'static [(&'static str, &'static str)] =
        &[("tenant", "text"), ("device_id", "text"), ("position", "bigint"), ("index", "bigint")];

    fn key(&self) -> Vec<String> {
        vec![self.tenant.clone(), self.device_id.clone(), self.position.to_string(), self.index.to_string()]
    }
}

/// What a device runs, to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct VersionsRow {
    tenant: String,
    device_id: String,
    versions: BTreeMap<String, String>,
}

impl Row for VersionsRow {
    const TABLE: &'static str = "device_versions";
    const KEY: &'static [(&'static str, &'static str)] = &[("tenant", "text"), ("device_id", "text")];

    fn key(&self) -> Vec<String> {
        vec![self.tenant.clone(), self.device_id.clone()]
    }
}

pub(crate) struct HistoryModel;

#[async_trait]
impl ReadModel for HistoryModel {
    fn name(&self) -> &'static str {
        crate::HISTORY
    }

    fn tables(&self) -> &'static [&'static str] {
        &["device_firmware_history", "device_versions"]
    }

    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
        let of_devices = || batch.iter().filter(|record| !record.device_events().is_empty());
        let keys = of_devices().map(|record| vec![record.tenant(), record.id()]);
        let mut known = Rows::<VersionsRow>::load(connection, keys.collect()).await?;
        let mut history = Rows::<HistoryRow>::load(connection, Vec::new()).await?;
        for record in of_devices() {
            let key = vec![record.tenant(), record.id()];
            let mut versions = known.get(&key).map(|row| row.versions.clone()).unwrap_or_default();
            let mut index = 0;
            for event in record.device_events() {
                for change in changes(event, &versions) {
                    history.put(HistoryRow {
                        tenant: record.tenant(),
                        device_id: record.id(),
                        position: record.raw.position,
                        index,
                        at: record.at(),
                        component: change.component.clone(),
                        from_version: versions.get(&change.component).cloned(),
                        to_version: change.to.clone(),
                        cause: change.cause.to_owned(),
                        ordinal: change.update.map(|update| update.ordinal),
                        campaign_id: change.update.and_then(|update| update.campaign).map(|id| id.to_string()),
                    });
                    index += 1;
                    match change.to {
                        Some(to) => versions.insert(change.component, to),
                        None => versions.remove(&change.component),
                    };
                }
            }
            known.put(VersionsRow { tenant: record.tenant(), device_id: record.id(), versions });
        }
        known.save(connection).await?;
        history.save(connection).await
    }
}

struct VersionChange<'a> {
    component: String,
    to: Option<String>,
    cause: &'static str,
    update: Option<&'a UpdateRef>,
}

fn changes<'a>(event: &'a E, present: &BTreeMap<String, String>) -> Vec<VersionChange<'a>> {
    let all = |versions: &BTreeMap<String, String>, cause: &'static str| {
        versions
            .iter()
            .filter(|(component, version)| {
                present.get(*component).map(String::as_str).unwrap_or_default() != version.as_str()
            })
            .map(|(component, version)| VersionChange {
                component: component.clone(),
                to: (!version.is_empty()).then(|| version.clone()),
                cause,
                update: None,
            })
            .collect()
    };
    match event {
        E::Registered { versions, .. } | E::Recommissioned { versions, .. } => all(versions, "registered"),
        E::Amended { versions, .. } => all(versions, "operator"),
        E::VersionsReported { versions, .. } => all(versions, "reported"),
        E::UpdateConfirmed { update, component, version, .. } => vec![VersionChange {
            component: component.clone(),
            to: Some(version.clone()),
            cause: "confirmed",
            update: Some(update),
        }],
        // The version has been reported with the event before; this says what it means.
        E::VersionRegressed { update, component, to_version, .. } => vec![VersionChange {
            component: component.clone(),
            to: Some(to_version.clone()),
            cause: "regressed",
            update: Some(update),
        }],
        _ => vec![],
    }
}

/// A device's changes, oldest first.
pub async fn list(
    tx: &mut ReadTx,
    device_id: &str,
    after: Option<(u64, u32)>,
    limit: usize,
) -> Result<Page<HistoryRow>, DbError> {
    let mut select = Select::from("device_firmware_history t");
    select.filter("t.device_id = $ #>> '{}'", device_id);
    let after = after.map(|(position, index)| {
        let condition = "(t.position, t.index) > (($)::bigint, ($)::bigint)".to_owned();
        (condition, vec![Value::from(position), Value::from(index)])
    });
    let (items, more, total) =
        select.page::<HistoryRow>(tx, "to_jsonb(t)", "t.position, t.index", after, limit, false).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.position.to_string(), row.index.to_string()]);
    Ok(Page { items, next, total })
}
