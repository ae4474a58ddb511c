//! The Firmware aggregate: one version for one device model and component. Its bytes live in the object store under their SHA-256.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::decider::Decider;
use crate::device::{FirmwareSnapshot, Update};
use crate::ids::{CampaignId, FirmwareId};
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::thread::{Point, Thread};
use crate::values::Sha256Digest;
use crate::version::TargetVersion;

/// Kind of an upload.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum UpdateType {
    #[default]
    Firmware,
    Software,
    Application,
    Config,
    Bootloader,
    SecurityPatch,
}

impl UpdateType {
    /// The component that such an upload replaces by default.
    pub fn component(self) -> &'static str {
        match self {
            Self::Firmware | Self::SecurityPatch => "firmware",
            Self::Software => "software",
            Self::Application => "application",
            Self::Config => "config",
            Self::Bootloader => "bootloader",
        }
    }

    /// Whether a device restarts for it by default.
    pub fn requires_reboot(self) -> bool {
        !matches!(self, Self::Config | Self::Application)
    }
}

/// An operator's description of a firmware.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirmwareMetadata {
    pub name: String,
    pub version: String,
    /// What devices that run it report, if that differs from `version`. Compared with its build label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_version: Option<String>,
    pub device_model: String,
    pub component: String,
    pub update_type: UpdateType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changelog: Option<Sealed<String>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hardware_versions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_hardware_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hardware_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_version: Option<String>,
    pub rollback_allowed: bool,
    pub requires_reboot: bool,
    #[serde(default)]
    pub is_beta: bool,
    #[serde(default)]
    pub is_security_update: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl FirmwareMetadata {
    /// What a device reports when it runs this firmware.
    pub fn expected(&self) -> TargetVersion<'_> {
        TargetVersion { version: &self.version, reported_version: self.reported_version.as_deref() }
    }

    /// What devices need to know of the firmware, whatever its status.
    pub fn snapshot(&self, firmware_id: FirmwareId, bytes: &FirmwareBytes) -> FirmwareSnapshot {
        FirmwareSnapshot {
            firmware_id,
            device_model: self.device_model.clone(),
            component: self.component.clone(),
            version: self.version.clone(),
            reported_version: self.reported_version.clone(),
            size: bytes.size,
            sha256: bytes.sha256,
            hardware_versions: self.hardware_versions.clone(),
            min_hardware_version: self.min_hardware_version.clone(),
            max_hardware_version: self.max_hardware_version.clone(),
            requires_version: self.requires_version.clone(),
            requires_reboot: self.requires_reboot,
            rollback_allowed: self.rollback_allowed,
        }
    }
}

/// Size and digests of the bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareBytes {
    pub size: u64,
    /// Lower-case hex.
    pub md5: String,
    /// Lower-case hex.
    pub sha1: String,
    pub sha256: Sha256Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum FirmwareEvent {
    #[serde(rename = "firmware.registered")]
    Registered { metadata: Box<FirmwareMetadata>, bytes: FirmwareBytes },
    /// The same bytes were uploaded again after deletion.
    #[serde(rename = "firmware.restored")]
    Restored { metadata: Box<FirmwareMetadata>, bytes: FirmwareBytes },
    #[serde(rename = "firmware.deprecated")]
    Deprecated {},
    #[serde(rename = "firmware.withdrawn")]
    Withdrawn {},
    #[serde(rename = "firmware.pinned")]
    Pinned { campaign: CampaignId },
    #[serde(rename = "firmware.unpinned")]
    Unpinned { campaign: CampaignId },
    #[serde(rename = "firmware.deleted")]
    Deleted {
        /// The operator did not ask whether devices could still go back to it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        forced: bool,
        /// Devices that could have gone back to it. Only of a forced deletion, and unknown if they could not be counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rollbacks_given_up: Option<u32>,
    },
}

crate::event_types!(FirmwareEvent {
    Registered => "firmware.registered" v 1,
    Restored => "firmware.restored" v 1,
    Deprecated => "firmware.deprecated" v 1,
    Withdrawn => "firmware.withdrawn" v 1,
    Pinned => "firmware.pinned" v 1,
    Unpinned => "firmware.unpinned" v 1,
    Deleted => "firmware.deleted" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum FirmwareCommand {
    Register { metadata: Box<FirmwareMetadata>, bytes: FirmwareBytes },
    Deprecate,
    Withdraw,
    Pin { campaign: CampaignId },
    Unpin { campaign: CampaignId },
    Delete(Deletion),
}

/// How a firmware is to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deletion {
    /// Also if devices could still go back to it.
    pub forced: bool,
    /// Those devices; none if they could not be counted.
    pub way_back: Option<WayBack>,
}

/// The devices for which a firmware is the way back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    pub devices: u32,
    /// There are more: they were counted up to here.
    pub more: bool,
    /// Campaigns whose rollback would need it, some of them.
    pub campaigns: Vec<CampaignId>,
}

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FirmwareStatus {
    #[default]
    Absent,
    Active,
    Deprecated,
    Withdrawn,
    Deleted,
}

impl FirmwareStatus {
    /// Whether its bytes may be downloaded, for an update of a device or without one. The bytes of a withdrawn firmware are available only
    /// to updates that can no longer be taken back.
    pub fn is_given_out(self, update: Option<&Update>) -> bool {
        match self {
            Self::Active | Self::Deprecated => true,
            Self::Withdrawn => update.is_some_and(Update::is_past_return),
            Self::Absent | Self::Deleted => false,
        }
    }
}

/// State of a firmware.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Firmware {
    pub status: FirmwareStatus,
    pub content: Option<(FirmwareMetadata, FirmwareBytes)>,
    pub pinned_by: BTreeSet<CampaignId>,
    /// It was withdrawn. A deletion does not revoke that.
    pub withdrawn: bool,
}

/// The firmware itself.
pub const FIRMWARE: Thread = Thread(0);
/// It was withdrawn, or deleted without being withdrawn: all updates that wait for it end.
pub const TAKEN_AWAY: Point = Point(0);

crate::aggregate!(Firmware, "firmware", FirmwareCommand, FirmwareEvent);

impl Firmware {
    pub fn apply(&mut self, event: &FirmwareEvent) {
        match event {
            FirmwareEvent::Registered { metadata, bytes } | FirmwareEvent::Restored { metadata, bytes } => {
                self.status = FirmwareStatus::Active;
                self.withdrawn = false;
                self.content = Some(((**metadata).clone(), bytes.clone()));
            }
            FirmwareEvent::Deprecated {} => self.status = FirmwareStatus::Deprecated,
            FirmwareEvent::Withdrawn {} => {
                self.status = FirmwareStatus::Withdrawn;
                self.withdrawn = true;
            }
            FirmwareEvent::Pinned { campaign } => drop(self.pinned_by.insert(*campaign)),
            FirmwareEvent::Unpinned { campaign } => drop(self.pinned_by.remove(campaign)),
            FirmwareEvent::Deleted { .. } => self.status = FirmwareStatus::Deleted,
        }
    }

    /// The snapshot for a new update, or why the firmware may not be used for one.
    pub fn snapshot_for_new_work(&self, id: FirmwareId) -> Result<FirmwareSnapshot, Rejection> {
        match (self.status, &self.content) {
            (FirmwareStatus::Active | FirmwareStatus::Deprecated, Some((metadata, bytes))) => {
                Ok(metadata.snapshot(id, bytes))
            }
            (FirmwareStatus::Withdrawn, _) => Err(Rejection::FirmwareWithdrawn),
            (FirmwareStatus::Deleted, _) => Err(Rejection::FirmwareDeleted),
            (FirmwareStatus::Absent | FirmwareStatus::Active | FirmwareStatus::Deprecated, _) => {
                Err(Rejection::FirmwareUnknown)
            }
        }
    }

    /// Force is for the way back of devices. What a live campaign needs stays: the campaign can be cancelled.
    fn delete(&self, Deletion { forced, way_back }: &Deletion) -> Result<Vec<FirmwareEvent>, Rejection> {
        if !self.pinned_by.is_empty() {
            return Err(Rejection::FirmwarePinned { campaigns: self.pinned_by.iter().copied().collect() });
        }
        match way_back {
            Some(WayBack { devices, more, campaigns }) if !forced && *devices > 0 => {
                let campaigns = campaigns.clone();
                Err(Rejection::FirmwareNeededForRollback { devices: *devices, more: *more, campaigns })
            }
            _ => {
                let given_up = way_back.as_ref().filter(|_| *forced).map(|way_back| way_back.devices);
                Ok(vec![FirmwareEvent::Deleted { forced: *forced, rollbacks_given_up: given_up }])
            }
        }
    }

    fn register(&self, metadata: &FirmwareMetadata, bytes: &FirmwareBytes) -> Result<Vec<FirmwareEvent>, Rejection> {
        let Some((_, known)) = &self.content else {
            return Ok(vec![FirmwareEvent::Registered { metadata: Box::new(metadata.clone()), bytes: bytes.clone() }]);
        };
        if known.sha256 != bytes.sha256 {
            return Err(Rejection::FirmwareExists { sha256: known.sha256 });
        }
        if self.status == FirmwareStatus::Deleted && self.withdrawn {
            return Err(Rejection::FirmwareWithdrawn);
        }
        if self.status == FirmwareStatus::Deleted {
            return Ok(vec![FirmwareEvent::Restored { metadata: Box::new(metadata.clone()), bytes: bytes.clone() }]);
        }
        Ok(vec![])
    }
}

impl Decider for Firmware {
    type Command = FirmwareCommand;
    type Id = FirmwareId;

    fn wants_reason(command: &FirmwareCommand) -> bool {
        matches!(command, FirmwareCommand::Deprecate | FirmwareCommand::Withdraw | FirmwareCommand::Delete(_))
    }

    fn decide(&self, _now: DateTime<Utc>, command: &FirmwareCommand) -> Result<Vec<FirmwareEvent>, Rejection> {
        use FirmwareCommand as C;
        use FirmwareStatus as S;
        match (self.status, command) {
            (_, C::Register { metadata, bytes }) => self.register(metadata, bytes),
            (S::Absent, _) => Err(Rejection::FirmwareUnknown),
            (_, C::Unpin { campaign }) if self.pinned_by.contains(campaign) => {
                Ok(vec![FirmwareEvent::Unpinned { campaign: *campaign }])
            }
            (_, C::Unpin { .. }) => Ok(vec![]),
            (S::Deleted, C::Delete(_)) => Ok(vec![]),
            (S::Deleted, C::Deprecate | C::Withdraw | C::Pin { .. }) => Err(Rejection::FirmwareDeleted),
            (S::Active, C::Deprecate) => Ok(vec![FirmwareEvent::Deprecated {}]),
            (S::Deprecated, C::Deprecate) | (S::Withdrawn, C::Withdraw) => Ok(vec![]),
            (S::Withdrawn, C::Deprecate | C::Pin { .. }) => Err(Rejection::FirmwareWithdrawn),
            (S::Active | S::Deprecated, C::Withdraw) => Ok(vec![FirmwareEvent::Withdrawn {}]),
            (S::Active | S::Deprecated, C::Pin { campaign }) if self.pinned_by.contains(campaign) => Ok(vec![]),
            (S::Active | S::Deprecated, C::Pin { campaign }) => Ok(vec![FirmwareEvent::Pinned { campaign: *campaign }]),
            (S::Active | S::Deprecated | S::Withdrawn, C::Delete(deletion)) => self.delete(deletion),
        }
    }

    fn exists(&self) -> bool {
        self.status != FirmwareStatus::Absent
    }

    fn points_of(&self, event: &FirmwareEvent) -> Vec<(Thread, Point)> {
        match event {
            FirmwareEvent::Withdrawn {} => vec![(FIRMWARE, TAKEN_AWAY)],
            FirmwareEvent::Deleted { .. } if !self.withdrawn => vec![(FIRMWARE, TAKEN_AWAY)],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registered() -> FirmwareEvent {
        let metadata = FirmwareMetadata {
            name: "F".into(),
            version: "2.0.0".into(),
            reported_version: None,
            device_model: "M".into(),
            component: "firmware".into(),
            update_type: UpdateType::Firmware,
            manufacturer: None,
            changelog: None,
            hardware_versions: vec![],
            min_hardware_version: None,
            max_hardware_version: None,
            requires_version: None,
            rollback_allowed: true,
            requires_reboot: true,
            is_beta: false,
            is_security_update: false,
            tags: BTreeMap::new(),
        };
        let bytes = FirmwareBytes {
            size: 3,
            md5: String::new(),
            sha1: String::new(),
            sha256: Sha256Digest::of(b"one"),
            filename: None,
        };
        FirmwareEvent::Registered { metadata: Box::new(metadata), bytes }
    }

    const DELETED: FirmwareEvent = FirmwareEvent::Deleted { forced: false, rollbacks_given_up: None };

    fn uploaded_again_after(events: &[FirmwareEvent]) -> Result<Vec<FirmwareEvent>, Rejection> {
        let mut firmware = Firmware::default();
        let FirmwareEvent::Registered { metadata, bytes } = registered() else { unreachable!() };
        firmware.apply(&registered());
        events.iter().for_each(|event| firmware.apply(event));
        firmware.decide(DateTime::UNIX_EPOCH, &FirmwareCommand::Register { metadata, bytes })
    }

    #[test]
    fn a_deleted_firmware_is_restored_by_the_same_bytes_unless_it_was_withdrawn() {
        use FirmwareEvent as E;
        assert!(matches!(uploaded_again_after(&[DELETED]).as_deref(), Ok([E::Restored { .. }])));
        assert_eq!(uploaded_again_after(&[E::Withdrawn {}]), Ok(vec![]));
        assert_eq!(uploaded_again_after(&[E::Withdrawn {}, DELETED]), Err(Rejection::FirmwareWithdrawn));
        let deprecated = [E::Deprecated {}, DELETED];
        assert!(matches!(uploaded_again_after(&deprecated).as_deref(), Ok([E::Restored { .. }])));
    }
    #[test]
    fn a_firmware_that_devices_could_go_back_to_is_deleted_only_by_force() {
        let campaign = CampaignId(uuid::Uuid::from_u128(7));
        let needed = WayBack { devices: 12, more: false, campaigns: vec![campaign] };
        let delete = |events: &[FirmwareEvent], forced: bool, way_back: Option<&WayBack>| {
            let mut firmware = Firmware::default();
            std::iter::once(&registered()).chain(events).for_each(|event| firmware.apply(event));
            let command = FirmwareCommand::Delete(Deletion { forced, way_back: way_back.cloned() });
            firmware.decide(DateTime::UNIX_EPOCH, &command)
        };
        let forced =
            |given_up: Option<u32>| Ok(vec![FirmwareEvent::Deleted { forced: true, rollbacks_given_up: given_up }]);
        let refused = Rejection::FirmwareNeededForRollback { devices: 12, more: false, campaigns: vec![campaign] };
        assert_eq!(delete(&[], false, Some(&needed)), Err(refused));
        assert_eq!(delete(&[], true, Some(&needed)), forced(Some(12)));
        assert_eq!(delete(&[], true, None), forced(None), "nobody could count them");
        assert_eq!(delete(&[], false, Some(&WayBack::default())), Ok(vec![DELETED]));
        let pinned = [FirmwareEvent::Pinned { campaign }];
        let in_use = Err(Rejection::FirmwarePinned { campaigns: vec![campaign] });
        assert_eq!(delete(&pinned, true, Some(&needed)), in_use, "a live campaign installs it");
        let mut firmware = Firmware::default();
        firmware.apply(&registered());
        let withdrawn = firmware.decide(DateTime::UNIX_EPOCH, &FirmwareCommand::Withdraw);
        assert_eq!(withdrawn, Ok(vec![FirmwareEvent::Withdrawn {}]), "nothing prevents it");
    }
}
