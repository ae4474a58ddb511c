//! A device as a campaign would have planned it at an earlier time: the same selection and rules as for the rows of read models, on the
//! states of the device and of the target groups.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::PlanCandidate;
use crate::campaign::{CampaignSpec, TargetFilters};
use crate::device::{Device, FirmwareSnapshot, Lifecycle, exclusion};
use crate::group::Group;
use crate::ids::DeviceId;
use crate::values::{FIRMWARE_COMPONENT, Transport};
use crate::version::VersionRequirement;

/// The target groups of a campaign at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TargetGroups {
    /// Members of static groups.
    pub members: BTreeSet<DeviceId>,
    /// Of dynamic groups, in the order of the targets.
    pub filters: Vec<TargetFilters>,
}

impl TargetGroups {
    /// A deleted group has no members.
    pub fn of<'a>(groups: impl IntoIterator<Item = &'a Group>) -> Self {
        let mut all = Self::default();
        for group in groups {
            all.members.extend(group.members.iter().cloned());
            all.filters.extend(group.spec.as_ref().and_then(|spec| spec.filter.clone()));
        }
        all
    }
}

/// The device as a candidate at `now`; none if the specification doesn't select it.
pub fn candidate_of(
    device: &Device,
    id: &DeviceId,
    spec: &CampaignSpec,
    groups: &TargetGroups,
    firmware: &FirmwareSnapshot,
    now: DateTime<Utc>,
) -> Option<PlanCandidate> {
    if !is_selected(device, id, spec, groups) {
        return None;
    }
    let moving = device.live().is_some_and(|live| live.spec.firmware.component == firmware.component);
    let excluded = exclusion(device.candidate(now), firmware, spec.overrides());
    Some(PlanCandidate {
        device: id.clone(),
        excluded: excluded.filter(|reason| !(moving && reason.is_of_version())),
        from_version: device.versions.get(&firmware.component).cloned(),
        lorawan: device.profile.transport == Transport::Lorawan,
    })
}

fn is_selected(device: &Device, id: &DeviceId, spec: &CampaignSpec, groups: &TargetGroups) -> bool {
    let is_active = device.lifecycle == Lifecycle::Active;
    let named = spec.target_devices.contains(id);
    let is_member =
        || groups.members.contains(id) || (is_active && groups.filters.iter().any(|filters| matches(device, filters)));
    let everybody = spec.target_devices.is_empty() && spec.target_groups.is_empty();
    (everybody || named || is_member())
        && matches(device, &spec.target_filters)
        && (is_active || (named && device.lifecycle == Lifecycle::Decommissioned))
}

fn matches(device: &Device, filters: &TargetFilters) -> bool {
    let TargetFilters { device_type, device_model, hardware_version, firmware_version, tags } = filters;
    let profile = &device.profile;
    let equals = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
    let runs = |requirement: &str| {
        let running = device.versions.get(FIRMWARE_COMPONENT);
        VersionRequirement::parse(requirement)
            .is_ok_and(|requirement| running.is_some_and(|running| requirement.matches(running)))
    };
    equals(device_type, &profile.device_type)
        && equals(device_model, &profile.device_model)
        && equals(hardware_version, &profile.hardware_version)
        && has_all(&profile.tags, tags)
        && firmware_version.as_deref().is_none_or(runs)
}

fn has_all(tags: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted.iter().all(|(key, value)| tags.get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::tests::{facts, spec};
    use crate::device::DeviceEvent;
    use crate::group::{GroupEvent, GroupSpec};
    use crate::ids::GroupId;

    fn id(text: &str) -> DeviceId {
        DeviceId::new(text).unwrap()
    }

    fn ring(name: &str) -> TargetFilters {
        TargetFilters { tags: [("ring".to_owned(), name.to_owned())].into(), ..TargetFilters::default() }
    }

    fn group(filter: Option<TargetFilters>, members: &[&str]) -> Group {
        let mut group = Group::default();
        group
            .apply(&GroupEvent::Created { spec: GroupSpec { name: "g".to_owned().into(), description: None, filter } });
        group.apply(&GroupEvent::MembersAdded { devices: members.iter().map(|member| id(member)).collect() });
        group
    }

    /// A device in the ring beta, of the right model.
    fn device() -> Device {
        let profile = serde_json::from_value(serde_json::json!({"device_model": "wm-200", "tags": {"ring": "beta"}}));
        let mut device = Device::default();
        let versions = [("firmware".to_owned(), "1.0.0".to_owned())].into();
        device.apply(&DeviceEvent::Registered { profile: profile.unwrap(), versions });
        device
    }

    fn selects(device: &Device, groups: &[Group], change: impl FnOnce(&mut CampaignSpec)) -> Option<Option<String>> {
        let mut spec = spec(&[100]);
        change(&mut spec);
        let groups = TargetGroups::of(groups);
        let candidate = candidate_of(device, &id("d-1"), &spec, &groups, &facts(), DateTime::UNIX_EPOCH)?;
        Some(candidate.excluded.map(|reason| reason.word().to_owned()))
    }

    #[test]
    fn a_past_device_is_selected_as_by_the_rows_of_that_time() {
        let in_groups = |spec: &mut CampaignSpec| {
            (spec.target_all, spec.target_groups) = (false, vec![GroupId::new("g").unwrap()]);
        };
        let taken = Some(None);
        assert_eq!(selects(&device(), &[], |_| {}), taken, "everybody");
        assert_eq!(selects(&device(), &[], in_groups), None, "a group that doesn't exist");
        assert_eq!(selects(&device(), &[group(None, &["d-1"])], in_groups), taken);
        assert_eq!(selects(&device(), &[group(None, &["d-2"])], in_groups), None);
        assert_eq!(selects(&device(), &[group(Some(ring("beta")), &[])], in_groups), taken);
        assert_eq!(selects(&device(), &[group(Some(ring("stable")), &[])], in_groups), None);
        assert_eq!(selects(&device(), &[], |spec| spec.target_devices = vec![id("d-1")]), taken);
        assert_eq!(selects(&device(), &[], |spec| spec.target_devices = vec![id("d-2")]), None);
        assert_eq!(selects(&device(), &[], |spec| spec.target_filters = ring("stable")), None);
        let filtered = |version: &'static str| {
            move |spec: &mut CampaignSpec| spec.target_filters.firmware_version = Some(version.to_owned())
        };
        assert_eq!(selects(&device(), &[], filtered("<2.0.0")), taken);
        assert_eq!(selects(&device(), &[], filtered(">=2.0.0")), None);
        let mut gone = device();
        gone.apply(&DeviceEvent::Decommissioned {});
        assert_eq!(selects(&gone, &[], |_| {}), None);
        assert_eq!(selects(&gone, &[group(None, &["d-1"])], in_groups), None);
        let excluded = Some(Some("decommissioned".to_owned()));
        assert_eq!(selects(&gone, &[], |spec| spec.target_devices = vec![id("d-1")]), excluded);
        assert_eq!(selects(&Device::default(), &[], |_| {}), None, "it wasn't registered yet");
    }
}
