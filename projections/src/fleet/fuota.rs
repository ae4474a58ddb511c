//! Read model of FUOTA deployments: how far each is, and what became of its devices.

mod due;
mod lists;

use chrono::{DateTime, Utc};
use domain::events::FuotaEvent as E;
use domain::fuota::{DeploymentPhase, DeploymentPlan, MulticastClass, PlannedDevice, TransferOutcome};
use domain::lorawan::{Parameters, Region};
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::row::row;
use crate::table::Rows;

pub use due::{LiveDeployment, TransferReport, live, pending, reports_due, withdrawn};
pub use lists::{ForecastDevices, forecast_devices, of_campaign, with_devices};

/// A deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentRow {
    pub tenant: String,
    pub deployment_id: String,
    pub firmware_id: String,
    pub application_id: String,
    pub device_profile_id: String,
    pub region: Region,
    pub class: MulticastClass,
    pub phase: DeploymentPhase,
    pub chirpstack_id: Option<String>,
    /// Why it was aborted.
    pub reason: Option<String>,
    pub devices: u32,
    pub delivered: u32,
    pub failed: u32,
    pub withdrawn: u32,
    pub planned_at: DateTime<Utc>,
    pub created_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub removed_at: Option<DateTime<Utc>>,
    pub position: u64,
    pub parameters: Parameters,
}

row! {
    DeploymentRow = "fuota_deployments" key { tenant: "text", deployment_id: "text" }
    columns {
        firmware_id, application_id, device_profile_id, region, class, phase, chirpstack_id, reason, devices, delivered, failed,
        withdrawn, planned_at, created_at, started_at, ended_at, removed_at, position
    }
    json { parameters }
}

/// A device of a deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentDeviceRow {
    pub tenant: String,
    pub deployment_id: String,
    pub device_id: String,
    pub ordinal: u32,
    pub attempt: u16,
    pub campaign_id: Option<String>,
    pub dev_eui: String,
    /// None: it is under way.
    pub outcome: Option<TransferOutcome>,
    pub reason: Option<String>,
    pub ended_at: Option<DateTime<Utc>>,
    pub position: u64,
}

row! {
    DeploymentDeviceRow = "fuota_devices" key { tenant: "text", deployment_id: "text", device_id: "text" }
    columns { ordinal, attempt, campaign_id, dev_eui, outcome, reason, ended_at, position }
    json {}
}

pub(crate) const TABLES: &[&str] = &["fuota_deployments", "fuota_devices"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_deployments = || {
        batch.iter().filter_map(|record| match &record.events {
            Events::Fuota(events) => Some((record, events)),
            _ => None,
        })
    };
    if of_deployments().next().is_none() {
        return Ok(());
    }
    let keys = of_deployments().map(|(record, _)| vec![record.tenant(), record.id()]);
    let mut rows = Rows::<DeploymentRow>::load(connection, keys.collect()).await?;
    let ended = of_deployments().flat_map(|(record, events)| {
        let key = |event: &E| match event {
            E::DeviceEnded { end, .. } => Some(vec![record.tenant(), record.id(), end.device.to_string()]),
            _ => None,
        };
        events.iter().filter_map(key).collect::<Vec<_>>()
    });
    let mut devices = Rows::<DeploymentDeviceRow>::load(connection, ended.collect()).await?;
    for (record, events) in of_deployments() {
        for event in events {
            if let E::Planned { plan } = event {
                rows.put(DeploymentRow::planned(record, plan));
                plan.devices.iter().for_each(|device| devices.put(DeploymentDeviceRow::planned(record, device)));
            }
            let row = rows
                .get_mut(&[record.tenant(), record.id()])
                .ok_or_else(|| DbError::Invalid(format!("{} was never planned", record.raw.key)))?;
            row.apply(record, event);
            if let E::DeviceEnded { end, .. } = event
                && let Some(device) = devices.get_mut(&[record.tenant(), record.id(), end.device.to_string()])
            {
                device.outcome = Some(end.outcome);
                device.reason.clone_from(&end.reason);
                (device.ended_at, device.position) = (Some(record.at()), record.raw.position);
            }
        }
    }
    rows.save(connection).await?;
    devices.save(connection).await
}

impl DeploymentRow {
    fn planned(record: &Decoded, plan: &DeploymentPlan) -> Self {
        Self {
            tenant: record.tenant(),
            deployment_id: record.id(),
            firmware_id: plan.firmware_id.to_string(),
            application_id: plan.application_id.clone(),
            device_profile_id: plan.device_profile_id.clone(),
            region: plan.region,
            class: plan.class,
            phase: DeploymentPhase::Planned,
            chirpstack_id: None,
            reason: None,
            devices: plan.devices.len() as u32,
            delivered: 0,
            failed: 0,
            withdrawn: 0,
            planned_at: record.at(),
            created_at: None,
            started_at: None,
            ended_at: None,
            removed_at: None,
            position: record.raw.position,
            parameters: plan.parameters.clone(),
        }
    }

    fn apply(&mut self, record: &Decoded, event: &E) {
        self.position = record.raw.position;
        let at = Some(record.at());
        match event {
            E::Planned { .. } => {}
            E::Created { chirpstack_id } => {
                (self.phase, self.created_at) = (DeploymentPhase::Created, at);
                self.chirpstack_id = Some(chirpstack_id.clone());
            }
            E::Started {} => (self.phase, self.started_at) = (DeploymentPhase::Started, at),
            E::DeviceEnded { end, .. } => match end.outcome {
                TransferOutcome::Delivered => self.delivered += 1,
                TransferOutcome::Failed => self.failed += 1,
                TransferOutcome::Withdrawn => self.withdrawn += 1,
            },
            E::Completed { .. } => (self.phase, self.ended_at) = (DeploymentPhase::Completed, at),
            E::Aborted { reason } => {
                (self.phase, self.ended_at) = (DeploymentPhase::Aborted, at);
                self.reason = Some(reason.clone());
            }
            E::Removed {} => self.removed_at = at,
        }
    }
}

impl DeploymentDeviceRow {
    fn planned(record: &Decoded, device: &PlannedDevice) -> Self {
        Self {
            tenant: record.tenant(),
            deployment_id: record.id(),
            device_id: device.device.to_string(),
            ordinal: device.ordinal,
            attempt: device.attempt,
            campaign_id: device.campaign.map(|campaign| campaign.to_string()),
            dev_eui: device.dev_eui.clone(),
            outcome: None,
            reason: None,
            ended_at: None,
            position: record.raw.position,
        }
    }
}
