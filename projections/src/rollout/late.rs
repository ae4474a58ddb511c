//! Late truth: a device reports that it runs the version of an update that had ended without it.
//!
//! An ended update stays ended. Its member is marked as long as the device, by its own word after the end, runs the version and not on
//! trial; a report `completed` is only a claim and marks nobody.

use domain::device::{CODE_WRONG_BYTES, DeviceEvent as E, ENDED_KEPT_MAX};
use domain::version::is_same;
use serde::{Deserialize, Serialize};

use super::rows::DeviceRow;
use crate::models::devices::{Place, place_of};

/// A campaign's update that isn't confirmed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sent {
    pub(super) campaign: String,
    component: String,
    version: String,
    pub(super) ended: bool,
    /// By the device's own word since the update was queued its version runs.
    runs: bool,
    /// The latest attempt brought other bytes under this version.
    wrong_bytes: bool,
}

/// What is now known of an ended update: its campaign, its ordinal, and whether its version runs.
pub(super) type Verdict = (String, u32, bool);

/// Whether an event may tell something of updates that it doesn't name.
pub(super) fn tells_of_others(event: &E) -> bool {
    matches!(event, E::VersionsReported { .. } | E::UpdateConfirmed { .. } | E::Amended { .. })
}

impl DeviceRow {
    /// Takes an event in and says what it tells of updates that had ended.
    pub(super) fn follow_versions(&mut self, event: &E) -> Vec<Verdict> {
        match event {
            E::VersionsReported { versions, trial, .. } => {
                for sent in self.sent.values_mut() {
                    if let Some(version) = versions.get(&sent.component) {
                        sent.runs = is_same(version, &sent.version);
                    }
                }
                self.verdicts(|sent| Some(sent.runs && !trial))
            }
            E::Amended { versions, .. } => {
                versions.iter().flat_map(|(component, version)| self.displace(component, version)).collect()
            }
            E::UpdateConfirmed { update, component, version, .. } => {
                self.sent.remove(&update.ordinal);
                self.displace(component, version)
            }
            // What ran in an earlier life says nothing about this one.
            E::Recommissioned { .. } => {
                self.sent.clear();
                Vec::new()
            }
            other => {
                self.follow_update(other);
                Vec::new()
            }
        }
    }

    /// Something else may have brought this version: it proves no update, but disproves others.
    fn displace(&mut self, component: &str, version: &str) -> Vec<Verdict> {
        let displaced = |sent: &Sent| sent.component == component && !is_same(version, &sent.version);
        for sent in self.sent.values_mut().filter(|sent| displaced(sent)) {
            sent.runs = false;
        }
        self.verdicts(|sent| displaced(sent).then_some(false))
    }

    fn verdicts(&self, judge: impl Fn(&Sent) -> Option<bool>) -> Vec<Verdict> {
        let ended = self.sent.iter().filter(|(_, sent)| sent.ended);
        ended.filter_map(|(ordinal, sent)| Some((sent.campaign.clone(), *ordinal, judge(sent)?))).collect()
    }

    fn follow_update(&mut self, event: &E) {
        let Some(update) = event.update() else { return };
        if let (E::UpdateQueued { spec, .. }, Some(campaign)) = (event, update.campaign) {
            let campaign = campaign.to_string();
            // A campaign's new update stands for the one before.
            self.sent.retain(|_, sent| sent.campaign != campaign);
            let (component, version) = (spec.firmware.component.clone(), spec.firmware.version.clone());
            let sent = Sent { campaign, component, version, ended: false, runs: false, wrong_bytes: false };
            self.sent.insert(update.ordinal, sent);
            return;
        }
        let Some(sent) = self.sent.get_mut(&update.ordinal) else { return };
        match event {
            E::UpdateDispatched { .. } => sent.wrong_bytes = false,
            E::UpdateAttemptFailed { code, .. } | E::UpdateFailed { code, .. } => {
                sent.wrong_bytes = code == CODE_WRONG_BYTES
            }
            _ => {}
        }
        let Some((ordinal, Place::Ended)) = place_of(event) else { return };
        if update.attempt == 0 || sent.wrong_bytes {
            self.sent.remove(&ordinal);
        } else {
            sent.ended = true;
        }
        while self.sent.values().filter(|sent| sent.ended).count() > ENDED_KEPT_MAX {
            let oldest = self.sent.iter().find(|(_, sent)| sent.ended).map(|(ordinal, _)| *ordinal);
            oldest.map(|ordinal| self.sent.remove(&ordinal));
        }
    }
}
