//! Operators' commands on a device: register, amend, hold, decommission.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::decision::Decision;
use super::eligibility::Exclusion;
use super::profile::{Profile, ProfilePatch};
use super::{Device, DeviceEvent, Hold, Lifecycle};
use crate::rejection::Rejection;
use crate::values::{TAGS_MAX, YEARS, is_usable_time};

/// A patch may not exceed the limit of a registration, unless the device exceeded it before.
fn is_bounded(field: &str, before: usize, after: usize) -> Result<(), Rejection> {
    if after > TAGS_MAX && after > before {
        return Err(Rejection::Invalid { field: field.to_owned(), reason: format!("at most {TAGS_MAX}") });
    }
    Ok(())
}

impl Device {
    pub(super) fn register(
        &self,
        profile: &Profile,
        versions: &BTreeMap<String, String>,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let (profile, versions) = (profile.clone().reached_by_identity(), versions.clone());
        match self.lifecycle {
            Lifecycle::Absent => Ok(vec![DeviceEvent::Registered { profile, versions }]),
            Lifecycle::Decommissioned => Ok(vec![DeviceEvent::Recommissioned { profile, versions }]),
            Lifecycle::Active if self.profile == profile && self.versions == versions => Ok(vec![]),
            Lifecycle::Active => Err(Rejection::DeviceExists),
        }
    }

    pub(super) fn amend(
        &self,
        patch: &ProfilePatch,
        versions: &BTreeMap<String, String>,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let versions: BTreeMap<String, String> = versions
            .iter()
            .filter(|(component, version)| {
                self.versions.get(*component).map(String::as_str).unwrap_or_default() != version.as_str()
            })
            .map(|(component, version)| (component.clone(), version.clone()))
            .collect();
        let (next, differs) = self.profile.patched(patch);
        if !differs && versions.is_empty() {
            return Ok(vec![]);
        }
        // The retained command of the live update is at the old address.
        let moves = next.lorawan_dev_eui != self.profile.lorawan_dev_eui || next.transport != self.profile.transport;
        if let Some(live) = self.live().filter(|_| moves) {
            return Err(Rejection::UpdateInProgress { ordinal: live.ordinal });
        }
        let mut stated = self.versions.clone();
        for (component, version) in &versions {
            match version.is_empty() {
                true => drop(stated.remove(component)),
                false => drop(stated.insert(component.clone(), version.clone())),
            }
        }
        is_bounded("tags", self.profile.tags.len(), next.tags.len())?;
        is_bounded("versions", self.versions.len(), stated.len())?;
        Ok(vec![DeviceEvent::Amended { patch: patch.clone(), versions }])
    }

    pub(super) fn decommission(&self) -> Vec<DeviceEvent> {
        let open = self.updates.values().filter(|update| !update.phase.is_ended());
        let reason = Some(Exclusion::Decommissioned.word().to_owned());
        open.map(|update| DeviceEvent::UpdateCancelled {
            update: update.reference(),
            reason: reason.clone(),
            mark: None,
        })
        .chain(self.commands_of_decommissioned())
        .chain([DeviceEvent::Decommissioned {}])
        .collect()
    }

    pub(super) fn hold(&self, now: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Result<Vec<DeviceEvent>, Rejection> {
        if until.is_some_and(|until| !is_usable_time(until)) {
            let reason = format!("a year from {} to {}", YEARS.start(), YEARS.end());
            return Err(Rejection::Invalid { field: "until".to_owned(), reason });
        }
        if until.is_some_and(|until| until <= now) {
            return Err(Rejection::Invalid { field: "until".to_owned(), reason: "is over".to_owned() });
        }
        Ok(if self.hold == Some(Hold { until }) { vec![] } else { vec![DeviceEvent::Held { until }] })
    }

    pub(super) fn release(&self, now: DateTime<Utc>) -> Vec<DeviceEvent> {
        if self.hold.is_none() {
            return vec![];
        }
        let mut decision = Decision::new(self, now);
        decision.push(DeviceEvent::Released {});
        decision.begin_next_own();
        decision.finish()
    }
}
