//! Late confirmation: a device runs the version of an update that had ended without it, or that it had fallen back from.
//!
//! An ended update stays ended. Its member is marked while the device itself reports the version and isn't on trial, for any cause.
//! A report `completed` is only a claim and marks no member. If an update was cancelled or superseded before anything was sent, no later
//! report can change it. A device whose update expired without an answer may run the version.

use domain::device::{CODE_WRONG_BYTES, DeviceEvent as E, ENDED_KEPT_MAX, Phase, UpdateRef};

use crate::fleet::device_row::{DeviceRow, SentFirmware, TrackedUpdate};

/// A finding about an ended update: its campaign, its ordinal, and whether its version runs.
pub(super) type LateFinding = (String, u32, bool);

/// Whether an event may concern updates that it doesn't name.
pub(super) fn tells_of_others(event: &E) -> bool {
    matches!(event, E::VersionsReported { .. } | E::UpdateConfirmed { .. } | E::Amended { .. })
}

impl DeviceRow {
    /// Applies an event and returns what it proves about ended updates.
    pub(super) fn apply_tracked(&mut self, event: &E) -> Vec<LateFinding> {
        match event {
            E::VersionsReported { versions, trial, .. } => {
                for sent in self.tracked.values_mut() {
                    if let Some(version) = versions.get(&sent.firmware.component) {
                        sent.runs = sent.firmware.is_run_by(version);
                    }
                }
                self.findings(|sent| Some(sent.runs && !trial))
            }
            E::Amended { versions, .. } => {
                versions.iter().flat_map(|(component, version)| self.displace(component, version)).collect()
            }
            // Counts as the device's own report, for any update.
            E::UpdateConfirmed { update, component, version, reported, .. } => {
                self.tracked.remove(&update.ordinal);
                let running = reported.as_ref().unwrap_or(version);
                for sent in self.tracked.values_mut().filter(|sent| sent.firmware.component == *component) {
                    sent.runs = sent.firmware.is_run_by(running);
                }
                self.findings(|sent| (sent.firmware.component == *component).then_some(sent.runs))
            }
            E::VersionRegressed { update, component, from_version, .. } => {
                self.apply_regression(update, component, from_version);
                Vec::new()
            }
            // Versions from before a new registration prove nothing.
            E::Recommissioned { .. } => {
                self.tracked.clear();
                Vec::new()
            }
            other => self.apply_update(other),
        }
    }

    /// Another cause may have installed this version: it confirms no update, but disproves others.
    fn displace(&mut self, component: &str, version: &str) -> Vec<LateFinding> {
        let displaced =
            |sent: &TrackedUpdate| sent.firmware.component == component && !sent.firmware.is_run_by(version);
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
            // A campaign's new update replaces the previous one.
            self.tracked.retain(|_, sent| sent.campaign != campaign);
            let firmware = &spec.firmware;
            let sent = TrackedUpdate {
                campaign,
                firmware: SentFirmware::of(firmware),
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
        // The version ran before the update was sent, so a new update would be superseded.
        let verdict = (unsent && sent.runs).then(|| (sent.campaign.clone(), ordinal, true));
        self.forget_oldest();
        verdict.into_iter().collect()
    }

    /// A confirmed version was lost. The device may return to it by itself.
    fn apply_regression(&mut self, update: &UpdateRef, component: &str, version: &str) {
        let Some(campaign) = update.campaign.map(|campaign| campaign.to_string()) else { return };
        // A campaign's new update replaces the previous one.
        if self.tracked.iter().any(|(ordinal, sent)| sent.campaign == campaign && *ordinal > update.ordinal) {
            return;
        }
        let (component, version) = (component.to_owned(), version.to_owned());
        let firmware = SentFirmware { component, version, reported_version: None };
        let sent = TrackedUpdate { campaign, firmware, ended: true, runs: false, wrong_bytes: false };
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
