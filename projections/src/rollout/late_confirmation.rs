//! Late truth: a device runs the version of an update that had ended without it, or that it had fallen back from.
//!
//! An ended update stays ended. Its member is marked as long as the device by its own word runs the version, whatever brought it, and not
//! on trial; a report `completed` is only a claim and marks nobody. Who was taken out before anything was sent, cancelled or superseded,
//! has no truth to come; who expired for want of an answer may have the version all the same.

use domain::device::{CODE_WRONG_BYTES, DeviceEvent as E, ENDED_KEPT_MAX, UpdateRef};
use domain::version::TargetVersion;

use super::rows::{DeviceRow, TrackedUpdate};
use crate::models::devices::{Place, place_of};

impl TrackedUpdate {
    /// Whether a device that reports this version runs the update's firmware.
    fn is_run_by(&self, reported: &str) -> bool {
        let (version, reported_version) = (self.version.as_str(), self.reported_version.as_deref());
        TargetVersion { version, reported_version }.is_met_by(reported)
    }
}

/// What is now known of an ended update: its campaign, its ordinal, and whether its version runs.
pub(super) type LateFinding = (String, u32, bool);

/// Whether an event may tell something of updates that it doesn't name.
pub(super) fn tells_of_others(event: &E) -> bool {
    matches!(event, E::VersionsReported { .. } | E::UpdateConfirmed { .. } | E::Amended { .. })
}

impl DeviceRow {
    /// Takes an event in and says what it tells of updates that had ended.
    pub(super) fn apply_versions(&mut self, event: &E) -> Vec<LateFinding> {
        match event {
            E::VersionsReported { versions, trial, .. } => {
                for sent in self.sent.values_mut() {
                    if let Some(version) = versions.get(&sent.component) {
                        sent.runs = sent.is_run_by(version);
                    }
                }
                self.findings(|sent| Some(sent.runs && !trial))
            }
            E::Amended { versions, .. } => {
                versions.iter().flat_map(|(component, version)| self.displace(component, version)).collect()
            }
            // As good as the device's own word, whichever update it is.
            E::UpdateConfirmed { update, component, version, reported, .. } => {
                self.sent.remove(&update.ordinal);
                let running = reported.as_ref().unwrap_or(version);
                for sent in self.sent.values_mut().filter(|sent| sent.component == *component) {
                    sent.runs = sent.is_run_by(running);
                }
                self.findings(|sent| (sent.component == *component).then_some(sent.runs))
            }
            E::VersionRegressed { update, component, from_version, .. } => {
                self.apply_regression(update, component, from_version);
                Vec::new()
            }
            // What ran in an earlier life says nothing about this one.
            E::Recommissioned { .. } => {
                self.sent.clear();
                Vec::new()
            }
            other => self.apply_update(other),
        }
    }

    /// Something else may have brought this version: it proves no update, but disproves others.
    fn displace(&mut self, component: &str, version: &str) -> Vec<LateFinding> {
        let displaced = |sent: &TrackedUpdate| sent.component == component && !sent.is_run_by(version);
        for sent in self.sent.values_mut().filter(|sent| displaced(sent)) {
            sent.runs = false;
        }
        self.findings(|sent| displaced(sent).then_some(false))
    }

    fn findings(&self, judge: impl Fn(&TrackedUpdate) -> Option<bool>) -> Vec<LateFinding> {
        let ended = self.sent.iter().filter(|(_, sent)| sent.ended);
        ended.filter_map(|(ordinal, sent)| Some((sent.campaign.clone(), *ordinal, judge(sent)?))).collect()
    }

    fn apply_update(&mut self, event: &E) -> Vec<LateFinding> {
        let Some(update) = event.update() else { return Vec::new() };
        if let (E::UpdateQueued { spec, .. }, Some(campaign)) = (event, update.campaign) {
            let campaign = campaign.to_string();
            // A campaign's new update stands for the one before.
            self.sent.retain(|_, sent| sent.campaign != campaign);
            let firmware = &spec.firmware;
            let sent = TrackedUpdate {
                campaign,
                component: firmware.component.clone(),
                version: firmware.version.clone(),
                reported_version: firmware.reported_version.clone(),
                ended: false,
                runs: !spec.force_update && spec.from_version.as_deref().is_some_and(|from| firmware.is_run_by(from)),
                wrong_bytes: false,
            };
            self.sent.insert(update.ordinal, sent);
            return Vec::new();
        }
        let Some(sent) = self.sent.get_mut(&update.ordinal) else { return Vec::new() };
        match event {
            E::UpdateDispatched { .. } => sent.wrong_bytes = false,
            E::UpdateAttemptFailed { code, .. } | E::UpdateFailed { code, .. } => {
                sent.wrong_bytes = code == CODE_WRONG_BYTES
            }
            _ => {}
        }
        let Some((ordinal, Place::Ended)) = place_of(event) else { return Vec::new() };
        let unsent = update.attempt == 0;
        let expired = matches!(event, E::UpdateExpired { .. });
        if (unsent && !expired) || sent.wrong_bytes {
            self.sent.remove(&ordinal);
            return Vec::new();
        }
        sent.ended = true;
        // It ran there before it had anything to do with the update: a new one would be superseded.
        let verdict = (unsent && sent.runs).then(|| (sent.campaign.clone(), ordinal, true));
        self.forget_oldest();
        verdict.into_iter().collect()
    }

    /// A confirmed version is gone again; it may come back by itself.
    fn apply_regression(&mut self, update: &UpdateRef, component: &str, version: &str) {
        let Some(campaign) = update.campaign.map(|campaign| campaign.to_string()) else { return };
        // A campaign's new update stands for the one before.
        if self.sent.iter().any(|(ordinal, sent)| sent.campaign == campaign && *ordinal > update.ordinal) {
            return;
        }
        let (component, version) = (component.to_owned(), version.to_owned());
        let (reported_version, runs, wrong_bytes) = (None, false, false);
        let sent = TrackedUpdate { campaign, component, version, reported_version, ended: true, runs, wrong_bytes };
        self.sent.insert(update.ordinal, sent);
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.sent.values().filter(|sent| sent.ended).count() > ENDED_KEPT_MAX {
            let oldest = self.sent.iter().find(|(_, sent)| sent.ended).map(|(ordinal, _)| *ordinal);
            oldest.map(|ordinal| self.sent.remove(&ordinal));
        }
    }
}
