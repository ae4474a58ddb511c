//! The Group aggregate: a named set of devices. A static group lists its members; a dynamic one has a saved filter instead, and its members
//! are whatever devices match when somebody asks.
//!
//! A member is only an id: whether the device is in service is known where the group is read.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use crate::campaign::TargetFilters;
use crate::campaign::Violation;
use crate::change::Change;
use crate::decider::Decider;
use crate::ids::{DeviceId, GroupId};
use crate::rejection::Rejection;
use crate::sealed::Sealed;
use crate::values::{LONG_TEXT_MAX_CHARS, SHORT_TEXT_MAX_CHARS, is_short_text};

/// Most members of a static group. Larger sets are dynamic groups, by a tag.
pub const MEMBERS_MAX: usize = 100_000;
/// Most devices in one command and its event. With the longest ids an event stays below the log's largest record.
pub const CHANGE_DEVICES_MAX: usize = 5_000;

/// How a group gets its members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum GroupKind {
    Static,
    Dynamic,
}

/// What operators say of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    pub name: Sealed<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Sealed<String>>,
    /// Makes the group dynamic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<TargetFilters>,
}

/// A change of what operators say of a group. Its kind never changes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupPatch {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Sealed<String>>,
    #[serde(default, skip_serializing_if = "Change::is_keep")]
    pub description: Change<Sealed<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<TargetFilters>,
}

impl GroupSpec {
    pub fn kind(&self) -> GroupKind {
        if self.filter.is_some() { GroupKind::Dynamic } else { GroupKind::Static }
    }

    #[must_use]
    pub fn patched(&self, patch: &GroupPatch) -> Self {
        let mut next = self.clone();
        if let Some(name) = &patch.name {
            next.name = name.clone();
        }
        patch.description.apply_to(&mut next.description);
        if let Some(filter) = &patch.filter {
            next.filter = Some(filter.clone());
        }
        next
    }

    /// All violations, in the order of the fields.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add = |field: &str, reason: String| found.push((field.to_owned(), reason));
        if self.name.plain().is_some_and(|name| !is_short_text(name)) {
            add("name", format!("1 to {SHORT_TEXT_MAX_CHARS} characters without control characters"));
        }
        let description = self.description.as_ref().and_then(|text| text.plain());
        if description.is_some_and(|text| text.chars().count() > LONG_TEXT_MAX_CHARS) {
            add("description", format!("at most {LONG_TEXT_MAX_CHARS} characters"));
        }
        if self.filter.as_ref().is_some_and(TargetFilters::is_empty) {
            add("filter", "must have at least one condition".to_owned());
        }
        found.extend(self.filter.iter().flat_map(|filter| filter.violations("filter")));
        found
    }

    fn check(&self) -> Result<(), Rejection> {
        match self.violations().into_iter().next() {
            None => Ok(()),
            Some((field, reason)) => Err(Rejection::Invalid { field, reason }),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum GroupEvent {
    #[serde(rename = "group.created")]
    Created { spec: GroupSpec },
    #[serde(rename = "group.amended")]
    Amended { patch: GroupPatch },
    /// Devices that were no members before, by id.
    #[serde(rename = "group.members_added")]
    MembersAdded { devices: Vec<DeviceId> },
    /// Devices that were members before, by id.
    #[serde(rename = "group.members_removed")]
    MembersRemoved { devices: Vec<DeviceId> },
    #[serde(rename = "group.deleted")]
    Deleted {},
}

crate::event_types!(GroupEvent {
    Created => "group.created" v 1,
    Amended => "group.amended" v 1,
    MembersAdded => "group.members_added" v 1,
    MembersRemoved => "group.members_removed" v 1,
    Deleted => "group.deleted" v 1,
});

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum GroupCommand {
    Create {
        spec: GroupSpec,
    },
    Amend {
        patch: GroupPatch,
    },
    /// At most [`CHANGE_DEVICES_MAX`].
    AddMembers {
        devices: Vec<DeviceId>,
    },
    /// At most [`CHANGE_DEVICES_MAX`].
    RemoveMembers {
        devices: Vec<DeviceId>,
    },
    Delete,
}

/// State of a group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// None before its creation and after its deletion.
    pub spec: Option<GroupSpec>,
    /// Empty in a dynamic group.
    pub members: BTreeSet<DeviceId>,
    known: bool,
}

crate::aggregate!(Group, "group", GroupCommand, GroupEvent);

impl Group {
    pub fn apply(&mut self, event: &GroupEvent) {
        self.known = true;
        match event {
            GroupEvent::Created { spec } => self.spec = Some(spec.clone()),
            GroupEvent::Amended { patch } => self.spec = self.spec.as_ref().map(|spec| spec.patched(patch)),
            GroupEvent::MembersAdded { devices } => self.members.extend(devices.iter().cloned()),
            GroupEvent::MembersRemoved { devices } => {
                for device in devices {
                    self.members.remove(device);
                }
            }
            GroupEvent::Deleted {} => (self.spec, self.members) = (None, BTreeSet::new()),
        }
    }

    /// Whether it was created and not deleted since.
    pub fn is_active(&self) -> bool {
        self.spec.is_some()
    }

    fn create(&self, wanted: &GroupSpec) -> Result<Vec<GroupEvent>, Rejection> {
        match &self.spec {
            Some(spec) if spec == wanted => Ok(vec![]),
            Some(_) => Err(Rejection::GroupExists),
            None => {
                wanted.check()?;
                Ok(vec![GroupEvent::Created { spec: wanted.clone() }])
            }
        }
    }

    fn add(&self, spec: &GroupSpec, devices: &[DeviceId]) -> Result<Vec<GroupEvent>, Rejection> {
        let devices = changed(spec, devices, |device| !self.members.contains(device))?;
        if devices.is_empty() {
            return Ok(vec![]);
        }
        self.has_room_for(&devices)?;
        Ok(vec![GroupEvent::MembersAdded { devices }])
    }

    /// Refuses devices, each named once, with which the group would have too many members. Members among them don't count again.
    pub fn has_room_for<'a>(&self, devices: impl IntoIterator<Item = &'a DeviceId>) -> Result<(), Rejection> {
        let members = self.members.len() + devices.into_iter().filter(|device| !self.members.contains(device)).count();
        if members > MEMBERS_MAX {
            return Err(Rejection::GroupFull { members: members as u32, members_max: MEMBERS_MAX as u32 });
        }
        Ok(())
    }

    fn remove(&self, spec: &GroupSpec, devices: &[DeviceId]) -> Result<Vec<GroupEvent>, Rejection> {
        let devices = changed(spec, devices, |device| self.members.contains(device))?;
        Ok(if devices.is_empty() { vec![] } else { vec![GroupEvent::MembersRemoved { devices }] })
    }
}

fn amend(spec: &GroupSpec, patch: &GroupPatch) -> Result<Vec<GroupEvent>, Rejection> {
    if spec.kind() == GroupKind::Static && patch.filter.is_some() {
        return Err(Rejection::GroupIsStatic);
    }
    let next = spec.patched(patch);
    if next == *spec {
        return Ok(vec![]);
    }
    next.check()?;
    Ok(vec![GroupEvent::Amended { patch: patch.clone() }])
}

/// The devices that a command changes, each once, by id.
fn changed(
    spec: &GroupSpec,
    devices: &[DeviceId],
    is_changed: impl Fn(&DeviceId) -> bool,
) -> Result<Vec<DeviceId>, Rejection> {
    if spec.kind() == GroupKind::Dynamic {
        return Err(Rejection::GroupIsDynamic);
    }
    if devices.len() > CHANGE_DEVICES_MAX {
        let reason = format!("more than {CHANGE_DEVICES_MAX} in one command");
        return Err(Rejection::Invalid { field: "device_ids".to_owned(), reason });
    }
    let changed: BTreeSet<&DeviceId> = devices.iter().filter(|device| is_changed(device)).collect();
    Ok(changed.into_iter().cloned().collect())
}

impl Decider for Group {
    type Command = GroupCommand;
    type Id = GroupId;

    fn wants_reason(command: &GroupCommand) -> bool {
        matches!(command, GroupCommand::RemoveMembers { .. } | GroupCommand::Delete)
    }

    fn decide(&self, _now: DateTime<Utc>, command: &GroupCommand) -> Result<Vec<GroupEvent>, Rejection> {
        use GroupCommand as C;
        match (&self.spec, command) {
            (_, C::Create { spec }) => self.create(spec),
            (None, C::Amend { .. } | C::AddMembers { .. } | C::RemoveMembers { .. } | C::Delete) => {
                Err(Rejection::GroupUnknown)
            }
            (Some(spec), C::Amend { patch }) => amend(spec, patch),
            (Some(spec), C::AddMembers { devices }) => self.add(spec, devices),
            (Some(spec), C::RemoveMembers { devices }) => self.remove(spec, devices),
            (Some(_), C::Delete) => Ok(vec![GroupEvent::Deleted {}]),
        }
    }

    fn exists(&self) -> bool {
        self.known
    }
}

#[cfg(test)]
mod tests;
