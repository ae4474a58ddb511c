//! Late truth: a device runs the version of an update that had ended without it, or that it had fallen back from.
//!
//! An ended update stays ended. Its member is marked as long as the device by its own word runs the version, whatever brought it, and not
//! on trial; a report `completed` is only a claim and marks nobody. Who was taken out before anything was sent, cancelled or superseded,
//! has no truth to come; who expired for want of an answer may have the version all the same.

use domain::device::{CODE_WRONG_BYTES, DeviceEvent as E, ENDED_KEPT_MAX, Phase, UpdateRef};

use crate::fleet::device_row::{DeviceRow, TrackedUpdate};

/// What is now known of an ended update: its campaign, its ordinal, and whether its version runs.
pub(super) type LateFinding = (String, u32, bool);

/// Whether an event may tell something of updates that it doesn't name.
pub(super) fn tells_of_others(event: &E) -> bool {
    matches!(event, E::VersionsReported { .. } | E::UpdateConfirmed { .. } | E::Amended { .. })
}

impl DeviceRow {
    /// Takes an event in and says what it tells of updates that had ended.
    pub(super) fn apply_tracked(&mut self, event: &E) -> Vec<LateFinding> {
        match event {
            E::VersionsReported { versions, trial, .. } => {
                for sent in self.tracked.values_mut() {
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
                self.tracked.remove(&update.ordinal);
                let running = reported.as_ref().unwrap_or(version);
                for sent in self.tracked.values_mut().filter(|sent| sent.component == *component) {
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
                self.tracked.clear();
                Vec::new()
            }
            other => self.apply_update(other),
        }
    }

    /// Something else may have brought this version: it proves no update, but disproves others.
    fn displace(&mut self, component: &str, version: &str) -> Vec<LateFinding> {
        let displaced = |sent: &TrackedUpdate| sent.component == component && !sent.is_run_by(version);
        for sent in self.tracked.values_mut().filter(|sent| displaced(sent)) {
            sent.runs = false;
        }
        self.findings(|sent| displaced(sent).then_some(false))
    }

    fn findings(&self, judge: impl Fn(&TrackedUpdate) -> Option<bool>) -> Vec<LateFinding> {
        let ended = self.tracked.iter().filter(|(_, sent)| sent.ended);
        ended.filter_map(|(ordinal, sent)| Some((sent.campaign.clone(), *ordinal, judge(sent)?))).collect()
    }

    fn apply_update(&mut self, event: &E) -> Vec<LateFinding> {
        let Some(update) = event.update() else { return Vec::new() };
        if let (E::UpdateQueued { spec, .. }, Some(campaign)) = (event, update.campaign) {
            let campaign = campaign.to_string();
            // A campaign's new update stands for the one before.
            self.tracked.retain(|_, sent| sent.campaign != campaign);
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
            self.tracked.insert(update.ordinal, sent);
            return Vec::new();
        }
        let Some(sent) = self.tracked.get_mut(&update.ordinal) else { return Vec::new() };
        match event {
            E::UpdateDispatched { .. } => sent.wrong_bytes = false,
            E::UpdateAttemptFailed { code, .. } | E::UpdateFailed { code, .. } => {
                sent.wrong_bytes = code == CODE_WRONG_BYTES
            }
            _ => {}
        }
        if !event.phase().is_some_and(Phase::is_ended) {
            return Vec::new();
        }
        let ordinal = update.ordinal;
        let unsent = update.attempt == 0;
        let expired = matches!(event, E::UpdateExpired { .. });
        if (unsent && !expired) || sent.wrong_bytes {
            self.tracked.remove(&ordinal);
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
        if self.tracked.iter().any(|(ordinal, sent)| sent.campaign == campaign && *ordinal > update.ordinal) {
            return;
        }
        let (component, version) = (component.to_owned(), version.to_owned());
        let (reported_version, runs, wrong_bytes) = (None, false, false);
        let sent = TrackedUpdate { campaign, component, version, reported_version, ended: true, runs, wrong_bytes };
        self.tracked.insert(update.ordinal, sent);
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        while self.tracked.values().filter(|sent| sent.ended).count() > ENDED_KEPT_MAX {
            let oldest = self.tracked.iter().find(|(_, sent)| sent.ended).map(|(ordinal, _)| *ordinal);
            oldest.map(|ordinal| self.tracked.remove(&ordinal));
        }
    }
}
