//! Read model `device_firmware_history`: each change of what a device's components run, and what caused it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::CampaignId;
use domain::device::{DeviceEvent as E, ENDED_KEPT_MAX};
use domain::version::is_same;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::ReadModel;
use super::devices::{Place, place_of};
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::table::{Page, Row, Rows, Select};

/// One change. `cause` is `registered`, `operator`, `confirmed`, `reported`, `regressed`, or `late`: the version of an update that had
/// ended without it.
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

/// What a device runs, and what was sent to it, to compare with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct VersionsRow {
    tenant: String,
    device_id: String,
    versions: BTreeMap<String, String>,
    /// Updates that aren't confirmed, by ordinal.
    sent: BTreeMap<u32, Sent>,
}

/// An update that may change what runs, also after it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Sent {
    component: String,
    version: String,
    campaign: Option<CampaignId>,
    ended: bool,
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
            let (tenant, device_id) = (record.tenant(), record.id());
            let mut row = known.get(&[tenant.clone(), device_id.clone()]).cloned().unwrap_or_else(|| VersionsRow {
                tenant: tenant.clone(),
                device_id: device_id.clone(),
                versions: BTreeMap::new(),
                sent: BTreeMap::new(),
            });
            for (change, index) in row.follow(record.device_events()).into_iter().zip(0..) {
                history.put(HistoryRow {
                    tenant: tenant.clone(),
                    device_id: device_id.clone(),
                    position: record.raw.position,
                    index,
                    at: record.at(),
                    component: change.component,
                    from_version: change.from,
                    to_version: change.to,
                    cause: change.cause.to_owned(),
                    ordinal: change.update.as_ref().map(|(ordinal, _)| *ordinal),
                    campaign_id: change.update.and_then(|(_, campaign)| campaign).map(|id| id.to_string()),
                });
            }
            known.put(row);
        }
        known.save(connection).await?;
        history.save(connection).await
    }
}

/// One change of what a component runs.
#[derive(Debug, PartialEq)]
struct VersionChange {
    component: String,
    from: Option<String>,
    to: Option<String>,
    cause: &'static str,
    /// The update behind it, with its campaign.
    update: Option<(u32, Option<CampaignId>)>,
}

impl VersionsRow {
    /// Takes the events of one record in and says what changed.
    fn follow(&mut self, events: &[E]) -> Vec<VersionChange> {
        let regressed = |component: &str| {
            events.iter().any(|event| matches!(event, E::VersionRegressed { component: of, .. } if of == component))
        };
        let mut changes = Vec::new();
        for event in events {
            match event {
                E::Registered { versions, .. } | E::Amended { versions, .. } => {
                    let cause = if matches!(event, E::Registered { .. }) { "registered" } else { "operator" };
                    changes.extend(versions.iter().filter_map(|(of, version)| self.set(of, version, cause, None)));
                }
                E::Recommissioned { versions, .. } => changes.extend(self.begin_anew(versions)),
                E::VersionsReported { versions, .. } => {
                    // What a regression explains is told once, by the regression.
                    for (component, version) in versions.iter().filter(|(component, _)| !regressed(component)) {
                        let late = self.take_late(component, version);
                        let cause = if late.is_some() { "late" } else { "reported" };
                        changes.extend(self.set(component, version, cause, late));
                    }
                }
                E::VersionRegressed { update, component, to_version, .. } => {
                    changes.extend(self.set(
                        component,
                        to_version,
                        "regressed",
                        Some((update.ordinal, update.campaign)),
                    ));
                }
                E::UpdateConfirmed { update, component, version, .. } => {
                    changes.push(VersionChange {
                        component: component.clone(),
                        from: self.versions.insert(component.clone(), version.clone()),
                        to: Some(version.clone()),
                        cause: "confirmed",
                        update: Some((update.ordinal, update.campaign)),
                    });
                    self.sent.remove(&update.ordinal);
                }
                other => self.follow_update(other),
            }
        }
        changes
    }

    /// An empty version removes the component.
    fn set(
        &mut self,
        component: &str,
        version: &str,
        cause: &'static str,
        update: Option<(u32, Option<CampaignId>)>,
    ) -> Option<VersionChange> {
        let to = (!version.is_empty()).then(|| version.to_owned());
        let from = match &to {
            Some(version) => self.versions.insert(component.to_owned(), version.clone()),
            None => self.versions.remove(component),
        };
        (from != to).then(|| VersionChange { component: component.to_owned(), from, to, cause, update })
    }

    /// What ran in an earlier life is forgotten.
    fn begin_anew(&mut self, versions: &BTreeMap<String, String>) -> Vec<VersionChange> {
        let gone: Vec<String> =
            self.versions.keys().filter(|component| !versions.contains_key(*component)).cloned().collect();
        let gone = gone.into_iter().map(|component| (component, String::new()));
        let all: Vec<(String, String)> =
            gone.chain(versions.iter().map(|(component, version)| (component.clone(), version.clone()))).collect();
        all.iter().filter_map(|(component, version)| self.set(component, version, "registered", None)).collect()
    }

    fn follow_update(&mut self, event: &E) {
        if let E::UpdateQueued { update, spec, .. } = event {
            let sent = Sent {
                component: spec.firmware.component.clone(),
                version: spec.firmware.version.clone(),
                campaign: update.campaign,
                ended: false,
            };
            self.sent.insert(update.ordinal, sent);
            return;
        }
        let (Some((ordinal, Place::Ended)), Some(update)) = (place_of(event), event.update()) else { return };
        if update.attempt == 0 {
            self.sent.remove(&ordinal);
        } else if let Some(sent) = self.sent.get_mut(&ordinal) {
            sent.ended = true;
        }
        while self.sent.values().filter(|sent| sent.ended).count() > ENDED_KEPT_MAX {
            let oldest = self.sent.iter().find(|(_, sent)| sent.ended).map(|(ordinal, _)| *ordinal);
            oldest.map(|ordinal| self.sent.remove(&ordinal));
        }
    }

    /// The latest ended update that was to bring this version.
    fn take_late(&mut self, component: &str, version: &str) -> Option<(u32, Option<CampaignId>)> {
        let fits = |sent: &Sent| sent.ended && sent.component == component && is_same(&sent.version, version);
        let ordinal = *self.sent.iter().rev().find(|(_, sent)| fits(sent))?.0;
        let sent = self.sent.remove(&ordinal)?;
        Some((ordinal, sent.campaign))
    }
}

/// A device's changes, oldest first.
pub async fn list(
    tx: &mut ReadTx,
    device_id: &str,
    after: Option<(u64, u32)>,
    limit: usize,
    count: bool,
) -> Result<Page<HistoryRow>, DbError> {
    let mut select = Select::from("device_firmware_history t");
    select.filter("t.device_id = $ #>> '{}'", device_id);
    let after = after.map(|(position, index)| {
        let condition = "(t.position, t.index) > (($)::bigint, ($)::bigint)".to_owned();
        (condition, vec![Value::from(position), Value::from(index)])
    });
    let (items, more, total) =
        select.page::<HistoryRow>(tx, "to_jsonb(t)", "t.position, t.index", after, limit, count).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.position.to_string(), row.index.to_string()]);
    Ok(Page { items, next, total })
}

#[cfg(test)]
mod tests {
    use domain::device::UpdateRef;

    use super::*;

    fn row(versions: &[(&str, &str)]) -> VersionsRow {
        let versions = versions.iter().map(|(of, version)| ((*of).to_owned(), (*version).to_owned())).collect();
        VersionsRow { tenant: "t".into(), device_id: "d".into(), versions, sent: BTreeMap::new() }
    }

    fn reported(version: &str) -> E {
        let versions = BTreeMap::from([("firmware".to_owned(), version.to_owned())]);
        E::VersionsReported { boot_id: None, versions, slot: None, trial: false }
    }

    fn update() -> UpdateRef {
        UpdateRef { ordinal: 7, attempt: 1, campaign: None }
    }

    #[test]
    fn a_regression_is_told_once() {
        let regressed = E::VersionRegressed {
            update: update(),
            component: "firmware".into(),
            from_version: "2.0.0".into(),
            to_version: "1.0.0".into(),
        };
        let changes = row(&[("firmware", "2.0.0")]).follow(&[reported("1.0.0"), regressed]);
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].cause, changes[0].from.as_deref()), ("regressed", Some("2.0.0")));
        assert_eq!(changes[0].update, Some((7, None)));
    }

    #[test]
    fn the_version_of_an_update_that_had_ended_is_a_late_truth() {
        let mut row = row(&[("firmware", "1.0.0")]);
        let sent = Sent { component: "firmware".into(), version: "2.0.0".into(), campaign: None, ended: false };
        row.sent.insert(7, sent);
        row.follow(&[E::UpdateTimedOut { update: update(), phase: "rebooting".into() }]);
        let changes = row.follow(&[reported("v2.0.0")]);
        assert_eq!((changes[0].cause, changes[0].update), ("late", Some((7, None))));
        assert!(row.follow(&[reported("v2.0.0")]).is_empty(), "the same again is no change");
        assert_eq!(row.follow(&[reported("3.0.0")])[0].cause, "reported");
    }
}
