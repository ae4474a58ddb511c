//! The row of a device.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::CampaignId;
use domain::device::{
    Availability, FirmwareSnapshot, Hold, Lifecycle, Network, NetworkIdentity, Outcome, Reachability, SyncState,
};
use domain::few::Few;
use domain::values::Transport;
use domain::version::TargetVersion;
use serde::{Deserialize, Serialize};

use crate::row::row;

/// A device: its profile, what it runs, whether it can begin an update, and what was sent to it.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceRow {
    pub tenant: String,
    pub device_id: String,
    pub name: Option<String>,
    pub device_type: Option<String>,
    pub device_model: Option<String>,
    pub manufacturer: Option<String>,
    pub hardware_version: Option<String>,
    pub firmware_version: Option<String>,
    pub versions: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub attributes: BTreeMap<String, String>,
    pub timezone: Option<String>,
    pub contact_interval_s: Option<u32>,
    pub lorawan_dev_eui: Option<String>,
    pub join_eui: Option<String>,
    pub chirpstack_app_id: Option<String>,
    pub device_profile_id: Option<String>,
    pub owner: Option<String>,
    pub transport: Transport,
    pub lifecycle: Lifecycle,
    pub status: Reachability,
    pub held: bool,
    pub hold_until: Option<DateTime<Utc>>,
    /// Ordinal of the update that has begun and not ended.
    pub live_ordinal: Option<u32>,
    /// Ordinals of updates that wait.
    pub waiting: Vec<u32>,
    /// Of these, the ones that wait for their next attempt.
    pub between_attempts: BTreeSet<u32>,
    pub boot_slots: Option<u8>,
    /// Of the copy in its LoRaWAN network server.
    pub sync_state: SyncState,
    /// What is known of that copy; none for most devices.
    pub network: Option<Box<Network>>,
    /// Updates that may still change what runs, by ordinal.
    pub(crate) sent: Few<u32, Sent>,
    /// Updates of campaigns that aren't confirmed or have regressed, by ordinal.
    pub(crate) tracked: Few<u32, TrackedUpdate>,
    /// Version and position of the latest event that changed this row. An event that changed only an update is in that update's row.
    pub version: u64,
    pub position: u64,
    pub registered_at: DateTime<Utc>,
}

row! {
    DeviceRow = "devices" key { tenant: "text", device_id: "text" }
    columns {
        name, device_type, device_model, manufacturer, hardware_version, firmware_version, timezone,
        contact_interval_s, lorawan_dev_eui, join_eui, chirpstack_app_id, device_profile_id, owner, transport,
        lifecycle, status, held, hold_until, live_ordinal, boot_slots, sync_state, version, position, registered_at
    }
    json { versions, tags, attributes, waiting, between_attempts, sent, tracked, network }
}

impl DeviceRow {
    pub(crate) fn unregistered(tenant: String, device_id: String, at: DateTime<Utc>) -> Self {
        Self {
            tenant,
            device_id,
            name: None,
            device_type: None,
            device_model: None,
            manufacturer: None,
            hardware_version: None,
            firmware_version: None,
            versions: BTreeMap::new(),
            tags: BTreeMap::new(),
            attributes: BTreeMap::new(),
            timezone: None,
            contact_interval_s: None,
            lorawan_dev_eui: None,
            join_eui: None,
            chirpstack_app_id: None,
            device_profile_id: None,
            owner: None,
            transport: Transport::default(),
            lifecycle: Lifecycle::Active,
            status: Reachability::NeverSeen,
            held: false,
            hold_until: None,
            live_ordinal: None,
            waiting: Vec::new(),
            between_attempts: BTreeSet::new(),
            boot_slots: None,
            sync_state: SyncState::default(),
            network: None,
            sent: Few::default(),
            tracked: Few::default(),
            version: 0,
            position: 0,
            registered_at: at,
        }
    }

    /// What its copy in the network server should be made from.
    pub fn network_identity(&self) -> Option<NetworkIdentity<'_>> {
        Some(NetworkIdentity {
            dev_eui: self.lorawan_dev_eui.as_deref()?,
            application_id: self.chirpstack_app_id.as_deref()?,
            join_eui: self.join_eui.as_deref(),
            device_profile_id: self.device_profile_id.as_deref(),
            name: self.name.as_deref(),
        })
        .filter(|_| self.lifecycle == Lifecycle::Active)
    }

    fn hold(&self) -> Option<Hold> {
        self.held.then_some(Hold { until: self.hold_until })
    }

    pub(crate) fn occupancy(&self) -> Occupancy<'_> {
        Occupancy { availability: self.availability(), timezone: self.timezone.as_deref() }
    }

    pub(crate) fn availability(&self) -> Availability<'_> {
        Availability::new(self.lifecycle, self.status, self.hold(), self.live_ordinal, &self.between_attempts)
    }
}

/// What decides whether and when a device may begin an update.
pub(crate) struct Occupancy<'a> {
    pub(crate) availability: Availability<'a>,
    pub(crate) timezone: Option<&'a str>,
}

/// The firmware that an update brings, and how devices that run it report it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SentFirmware {
    pub(crate) component: String,
    pub(crate) version: String,
    #[serde(default)]
    pub(crate) reported_version: Option<String>,
}

impl SentFirmware {
    pub(crate) fn of(firmware: &FirmwareSnapshot) -> Self {
        Self {
            component: firmware.component.clone(),
            version: firmware.version.clone(),
            reported_version: firmware.reported_version.clone(),
        }
    }

    /// Whether a device that reports this version runs it.
    pub(crate) fn is_run_by(&self, reported: &str) -> bool {
        let (version, reported_version) = (self.version.as_str(), self.reported_version.as_deref());
        TargetVersion { version, reported_version }.is_met_by(reported)
    }
}

/// An update that may change what runs, also after it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    #[serde(flatten)]
    pub(crate) firmware: SentFirmware,
    pub(crate) campaign: Option<CampaignId>,
    /// It was dispatched.
    pub(crate) told: bool,
    /// How it ended.
    pub(crate) outcome: Option<Outcome>,
    /// The entry of its version, while nothing confirms it.
    pub(crate) entry: Option<Entry>,
}

/// Key of an entry within its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) index: u32,
}

/// A campaign's update that isn't confirmed, or has regressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrackedUpdate {
    pub(crate) campaign: String,
    #[serde(flatten)]
    pub(crate) firmware: SentFirmware,
    pub(crate) ended: bool,
    /// Its version runs: when it was queued, or as the device has reported since.
    pub(crate) runs: bool,
    /// The latest attempt brought other bytes under this version.
    pub(crate) wrong_bytes: bool,
}
