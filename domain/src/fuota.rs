//! The FuotaDeployment aggregate: one image on its way to a group of LoRaWAN devices, by multicast of ChirpStack (TS004 and TS005).
//!
//! The intent is recorded before anything is created over there, and the name of the deployment over there carries the id of this one: after a
//! crash or a lost reply [`next_step`] decides by ChirpStack's list, so one deployment is never started twice. A device takes part in one
//! deployment at a time, which a claim on its EUI guards ([`crate::claim::ClaimKind::FuotaSession`]).
//!
//! Invariant: *delivered* means that ChirpStack was told the fragments arrived. It never means *confirmed*: that comes only from the device.

mod gathering;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

pub use gathering::{
    Forecast, ForecastGroup, ForecastKey, GATHER_RANGE_S, Gathered, PendingTransfer, forecast, gather, gather_s,
};
pub use steps::{
    Remote, Step, awaits_image, name_over_there, next_step, owner_of_name, poll_interval_s, report_due, time_limit_s,
};

use crate::decider::Decider;
use crate::ids::{CampaignId, DeviceId, FirmwareId, FuotaDeploymentId, TenantId, name_based_uuid};
use crate::lorawan::{Parameters, Region};
use crate::rejection::Rejection;
use crate::thread::{self, Thread};
use crate::values::Sha256Digest;

/// The thread of a deployment: all of its events.
pub const DEPLOYMENT: Thread = Thread(0);
/// Most devices of one deployment. Its record stays far below the log's largest.
pub const DEVICES_MAX: usize = 250;
/// Longest reason of a device's outcome, in characters: ChirpStack's own text, shortened.
pub const REASON_MAX_CHARS: usize = 256;
/// Reason of a deployment whose devices have all been taken out of it.
pub const REASON_NO_DEVICES: &str = "no_devices";
/// Reason of a deployment that somebody has deleted over there.
pub const REASON_REMOVED_THERE: &str = "removed_there";
/// Reason of a deployment that took far longer than its forecast.
pub const REASON_OVERDUE: &str = "overdue";
/// Reason of a device that another deployment has.
pub const REASON_OTHER_DEPLOYMENT: &str = "other_deployment";
/// Reason of a device whose update no longer waits for the image.
pub const REASON_UPDATE_CHANGED: &str = "update_changed";

/// A device of a deployment, and the attempt of its update that the image is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedDevice {
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// 16 lower-case hex digits.
    #[serde(rename = "e")]
    pub dev_eui: String,
    #[serde(rename = "o")]
    pub ordinal: u32,
    #[serde(rename = "a")]
    pub attempt: u16,
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<CampaignId>,
}

/// Class in which the devices listen to the multicast. Class B is not used.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
pub enum MulticastClass {
    #[default]
    C,
}

/// What a deployment is to do: the part that never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentPlan {
    pub firmware_id: FirmwareId,
    /// Bytes.
    pub size: u64,
    pub sha256: Sha256Digest,
    /// Application over there.
    pub application_id: String,
    pub device_profile_id: String,
    pub region: Region,
    pub class: MulticastClass,
    pub parameters: Parameters,
    /// By device.
    pub devices: Vec<PlannedDevice>,
}

impl DeploymentPlan {
    /// The id of the deployment. The same devices with the same attempts give the same id; `round` tells plans of the same content apart
    /// when the earlier ones ended without sending anything.
    pub fn id(&self, tenant: &TenantId, round: u16) -> FuotaDeploymentId {
        let (firmware, round) = (self.firmware_id.to_string(), round.to_string());
        let mut parts =
            vec!["fuota", tenant.as_str(), &firmware, &self.application_id, &self.device_profile_id, &round];
        let members: Vec<String> = self
            .devices
            .iter()
            .map(|device| format!("{}~{}/{}", device.device, device.ordinal, device.attempt))
            .collect();
        parts.extend(members.iter().map(String::as_str));
        FuotaDeploymentId(name_based_uuid(&parts))
    }
}

/// How a deployment ended for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TransferOutcome {
    /// All fragments arrived, as the device told ChirpStack.
    Delivered,
    Failed,
    /// The device was taken out: its update was cancelled or changed, or another deployment has it.
    Withdrawn,
}

/// The end of a deployment for one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEnd {
    pub device: DeviceId,
    pub outcome: TransferOutcome,
    /// ChirpStack's text, or one of the reasons here. At most [`REASON_MAX_CHARS`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl DeviceEnd {
    pub fn new(device: DeviceId, outcome: TransferOutcome, reason: Option<&str>) -> Self {
        let reason = reason.map(|reason| reason.chars().take(REASON_MAX_CHARS).collect());
        Self { device, outcome, reason }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum FuotaEvent {
    #[serde(rename = "fuota.planned")]
    Planned {
        #[serde(flatten)]
        plan: Box<DeploymentPlan>,
    },
    #[serde(rename = "fuota.created")]
    Created {
        /// Id of the deployment over there.
        chirpstack_id: String,
    },
    #[serde(rename = "fuota.started")]
    Started {},
    #[serde(rename = "fuota.device_ended")]
    DeviceEnded {
        #[serde(flatten)]
        end: DeviceEnd,
        ordinal: u32,
        attempt: u16,
    },
    #[serde(rename = "fuota.completed")]
    Completed { delivered: u32, failed: u32, withdrawn: u32 },
    #[serde(rename = "fuota.aborted")]
    Aborted { reason: String },
    /// Neither the deployment nor its multicast group is over there any more.
    #[serde(rename = "fuota.removed")]
    Removed {},
}

crate::event_types!(FuotaEvent {
    Planned => "fuota.planned" v 1,
    Created => "fuota.created" v 1,
    Started => "fuota.started" v 1,
    DeviceEnded => "fuota.device_ended" v 1,
    Completed => "fuota.completed" v 1,
    Aborted => "fuota.aborted" v 1,
    Removed => "fuota.removed" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum FuotaCommand {
    Plan { plan: Box<DeploymentPlan> },
    RecordCreated { chirpstack_id: String },
    RecordStarted,
    EndDevices { ends: Vec<DeviceEnd> },
    Abort { reason: String, outcome: TransferOutcome },
    RecordRemoved,
}

/// How far a deployment is.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DeploymentPhase {
    #[default]
    Planned,
    /// It is over there.
    Created,
    /// Devices and gateways can't be added any more.
    Started,
    /// It has ended for every device.
    Completed,
    Aborted,
}

impl DeploymentPhase {
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Aborted)
    }
}

/// State of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct FuotaDeployment {
    pub plan: Option<Box<DeploymentPlan>>,
    pub phase: DeploymentPhase,
    pub chirpstack_id: Option<String>,
    pub ended: BTreeMap<DeviceId, TransferOutcome>,
    pub removed: bool,
}

crate::aggregate!(FuotaDeployment, "fuota_deployment", FuotaCommand, FuotaEvent);

impl FuotaDeployment {
    pub fn apply(&mut self, event: &FuotaEvent) {
        match event {
            FuotaEvent::Planned { plan } => self.plan = Some(plan.clone()),
            FuotaEvent::Created { chirpstack_id } => {
                (self.phase, self.chirpstack_id) = (DeploymentPhase::Created, Some(chirpstack_id.clone()));
            }
            FuotaEvent::Started {} => self.phase = DeploymentPhase::Started,
            FuotaEvent::DeviceEnded { end, .. } => drop(self.ended.insert(end.device.clone(), end.outcome)),
            FuotaEvent::Completed { .. } => self.phase = DeploymentPhase::Completed,
            FuotaEvent::Aborted { .. } => self.phase = DeploymentPhase::Aborted,
            FuotaEvent::Removed {} => self.removed = true,
        }
    }

    /// Devices for which it has not ended.
    pub fn open_devices(&self) -> impl Iterator<Item = &PlannedDevice> {
        let devices = self.plan.iter().flat_map(|plan| &plan.devices);
        devices.filter(|device| !self.ended.contains_key(&device.device))
    }

    /// Whether it can no longer send anything: it has ended, and nothing of it is over there.
    pub fn is_gone(&self) -> bool {
        self.plan.is_none() || self.removed
    }

    fn planned(&self, plan: &DeploymentPlan) -> Result<Vec<FuotaEvent>, Rejection> {
        if self.plan.is_some() {
            return Ok(vec![]);
        }
        if !(1..=DEVICES_MAX).contains(&plan.devices.len()) {
            let reason = format!("1 to {DEVICES_MAX} devices");
            return Err(Rejection::Invalid { field: "devices".to_owned(), reason });
        }
        Ok(vec![FuotaEvent::Planned { plan: Box::new(plan.clone()) }])
    }

    fn created(&self, chirpstack_id: &str) -> Result<Vec<FuotaEvent>, Rejection> {
        match (self.phase, self.chirpstack_id.as_deref()) {
            (DeploymentPhase::Planned, _) => Ok(vec![FuotaEvent::Created { chirpstack_id: chirpstack_id.to_owned() }]),
            (DeploymentPhase::Created | DeploymentPhase::Started, Some(known)) if known == chirpstack_id => Ok(vec![]),
            (DeploymentPhase::Created | DeploymentPhase::Started, known) => {
                Err(Rejection::DeploymentCreatedOtherwise { chirpstack_id: known.unwrap_or_default().to_owned() })
            }
            (DeploymentPhase::Completed | DeploymentPhase::Aborted, _) => Err(Rejection::DeploymentEnded),
        }
    }

    fn started(&self) -> Result<Vec<FuotaEvent>, Rejection> {
        match self.phase {
            DeploymentPhase::Planned => Err(Rejection::DeploymentNotCreated),
            DeploymentPhase::Created => Ok(vec![FuotaEvent::Started {}]),
            DeploymentPhase::Started => Ok(vec![]),
            DeploymentPhase::Completed | DeploymentPhase::Aborted => Err(Rejection::DeploymentEnded),
        }
    }

    /// Ends devices; the last one ends the deployment.
    fn end_devices(&self, ends: &[DeviceEnd]) -> Vec<FuotaEvent> {
        if self.phase.is_ended() {
            return vec![];
        }
        let mut after = self.clone();
        let mut events = Vec::new();
        for end in ends {
            // Nothing can arrive before it was sent.
            let is_early = end.outcome == TransferOutcome::Delivered && self.phase != DeploymentPhase::Started;
            let open = after.open_devices().find(|open| open.device == end.device).filter(|_| !is_early);
            let Some((ordinal, attempt)) = open.map(|open| (open.ordinal, open.attempt)) else { continue };
            let ended = FuotaEvent::DeviceEnded { end: end.clone(), ordinal, attempt };
            after.apply(&ended);
            events.push(ended);
        }
        if !events.is_empty() && after.open_devices().next().is_none() {
            events.push(after.end());
        }
        events
    }

    /// Its end when no device is left.
    fn end(&self) -> FuotaEvent {
        let count = |outcome| self.ended.values().filter(|ended| **ended == outcome).count() as u32;
        let withdrawn = count(TransferOutcome::Withdrawn);
        if self.phase == DeploymentPhase::Started && self.ended.len() as u32 > withdrawn {
            let (delivered, failed) = (count(TransferOutcome::Delivered), count(TransferOutcome::Failed));
            return FuotaEvent::Completed { delivered, failed, withdrawn };
        }
        FuotaEvent::Aborted { reason: REASON_NO_DEVICES.to_owned() }
    }

    fn abort(&self, reason: &str, outcome: TransferOutcome) -> Vec<FuotaEvent> {
        if self.phase.is_ended() {
            return vec![];
        }
        let ended = |open: &PlannedDevice| FuotaEvent::DeviceEnded {
            end: DeviceEnd::new(open.device.clone(), outcome, Some(reason)),
            ordinal: open.ordinal,
            attempt: open.attempt,
        };
        let mut events: Vec<FuotaEvent> = self.open_devices().map(ended).collect();
        events.push(FuotaEvent::Aborted { reason: reason.chars().take(REASON_MAX_CHARS).collect() });
        events
    }
}

impl Decider for FuotaDeployment {
    type Command = FuotaCommand;
    type Id = FuotaDeploymentId;

    fn decide(&self, _now: DateTime<Utc>, command: &FuotaCommand) -> Result<Vec<FuotaEvent>, Rejection> {
        use FuotaCommand as C;
        match (&self.plan, command) {
            (_, C::Plan { plan }) => self.planned(plan),
            (
                None,
                C::RecordCreated { .. } | C::RecordStarted | C::EndDevices { .. } | C::Abort { .. } | C::RecordRemoved,
            ) => Err(Rejection::DeploymentUnknown),
            (Some(_), C::RecordCreated { chirpstack_id }) => self.created(chirpstack_id),
            (Some(_), C::RecordStarted) => self.started(),
            (Some(_), C::EndDevices { ends }) => Ok(self.end_devices(ends)),
            (Some(_), C::Abort { reason, outcome }) => Ok(self.abort(reason, *outcome)),
            (Some(_), C::RecordRemoved) if !self.phase.is_ended() => Err(Rejection::DeploymentNotEnded),
            (Some(_), C::RecordRemoved) => Ok(if self.removed { vec![] } else { vec![FuotaEvent::Removed {}] }),
        }
    }

    fn exists(&self) -> bool {
        self.plan.is_some()
    }

    fn step_of(_event: &FuotaEvent) -> Option<thread::Step> {
        Some(thread::Step::goes_on(DEPLOYMENT))
    }
}
