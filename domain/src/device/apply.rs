//! Applies events to the state of a device. It never fails and never validates: events in the log are facts.

use chrono::{DateTime, Utc};

use super::codes::{CODE_WRONG_BYTES, CodeClass};
use super::credentials::Credential;
use super::events::DeviceEvent as E;
use super::mark::{MarkTopic, newer};
use super::phase::{Outcome, Phase, WaitReason};
use super::progress::UpdateState;
use super::report::past_return;
use super::update::Update;
use super::update_spec::{UpdateRef, UpdateSpec};
use super::{
    BOOTS_KEPT_MAX, CampaignUpdate, ConfirmedFirmware, Device, ENDED_KEPT_MAX, Hold, LATE_KEPT_MAX, LateStatus,
    Lifecycle, Reachability,
};

impl Device {
    /// Applies one event.
    pub fn apply(&mut self, event: &E) {
        self.version += 1;
        match event {
            E::Registered { profile, versions } | E::Recommissioned { profile, versions } => {
                self.lifecycle = Lifecycle::Active;
                self.profile = profile.clone();
                self.versions = versions.clone();
                self.hold = None;
                // Reachability and confirmed firmware from before the decommissioning are no longer valid.
                (self.reachability, self.session) = (Reachability::NeverSeen, None);
                self.confirmed.clear();
                self.trial = false;
            }
            E::Amended { patch, versions } => {
                self.profile = self.profile.patched(patch).0;
                for (component, version) in versions {
                    self.set_version(component, version);
                }
            }
            E::Decommissioned {} => {
                self.lifecycle = Lifecycle::Decommissioned;
                self.reachability = Reachability::Offline;
                self.credentials.apply_decommissioned();
            }
            E::Held { until } => self.hold = Some(Hold { until: *until }),
            E::Released {} => self.hold = None,
            E::CredentialIssued { credential_id: id, hash, issued_at, by, expires_at, registration_token } => {
                let (hash, by, expires_at) = (*hash, by.clone(), *expires_at);
                let credential = Credential { id: *id, hash, issued_at: *issued_at, by, expires_at };
                self.credentials.apply_issued(credential, *registration_token);
            }
            E::CredentialRevoked { credential_id } => self.credentials.apply_ended(*credential_id),
            E::CameOnline { session, .. } => {
                self.reachability = Reachability::Online;
                self.session.clone_from(session);
            }
            E::WentOffline { .. } => {
                self.reachability = Reachability::Offline;
                self.settle();
                for update in self.updates.values_mut().filter(|update| past_return(update.phase)) {
                    update.restart_seen = true;
                }
            }
            E::InfoReported { hardware_version, slots, contact_interval_s, attributes, .. } => {
                self.boot_slots = slots.or(self.boot_slots);
                self.profile.contact_interval_s = contact_interval_s.or(self.profile.contact_interval_s);
                if hardware_version.is_some() {
                    self.profile.hardware_version.clone_from(hardware_version);
                }
                self.attributes.clone_from(attributes);
            }
            E::VersionsReported { boot_id, versions, slot, trial, .. } => {
                self.remember_boot(boot_id.as_deref());
                for (component, version) in versions {
                    self.set_version(component, version);
                }
                self.active_slot = slot.clone().or(self.active_slot.take());
                self.trial = *trial;
            }
            E::ReportedLate { boot_id, versions, .. } => {
                self.late.push_back(LateStatus { boot_id: boot_id.clone(), versions: versions.clone() });
                if self.late.len() > LATE_KEPT_MAX {
                    self.late.pop_front();
                }
            }
            E::VersionRegressed { component, .. } => drop(self.confirmed.remove(component)),
            E::UpdateQueued { update, spec, wait_until } => self.add_update(update, spec, *wait_until),
            other if other.remote_command().is_some() => self.commands.apply(other),
            other => self.apply_update(other),
        }
        self.apply_network(event);
        if let Some(mark) = event.mark() {
            self.applied.apply(mark);
        }
        if let Some(update) = event.update().and_then(|update| self.updates.get_mut(&update.ordinal)) {
            update.seq = self.version;
            let mark = event.mark().filter(|mark| mark.topic != MarkTopic::Uplink);
            update.newest_report = mark.map_or(update.newest_report, |mark| newer(update.newest_report, mark));
        }
    }

    /// From now on each version that the device reports counts as reported after a restart.
    fn settle(&mut self) {
        self.confirmed.values_mut().for_each(|confirmed| confirmed.restart_seen = true);
    }

    fn set_version(&mut self, component: &str, version: &str) {
        if version.is_empty() {
            self.versions.remove(component);
        } else {
            self.versions.insert(component.to_owned(), version.to_owned());
        }
    }

    fn remember_boot(&mut self, boot_id: Option<&str>) {
        let Some(boot_id) = boot_id.filter(|boot_id| self.boot() != Some(*boot_id)) else { return };
        self.boots.push_back(boot_id.to_owned());
        if self.boots.len() > BOOTS_KEPT_MAX {
            self.boots.pop_front();
        }
    }

    fn add_update(&mut self, reference: &UpdateRef, spec: &UpdateSpec, wait_until: DateTime<Utc>) {
        self.last_ordinal = self.last_ordinal.max(reference.ordinal);
        if let Some(campaign) = spec.campaign {
            self.campaigns.insert(campaign.id, CampaignUpdate { ordinal: reference.ordinal, round: campaign.round });
        }
        // An overtaken update continues as this one, with its counters.
        let overtaken = spec.retry_of.and_then(|ordinal| self.updates.get(&ordinal));
        let overtaken = overtaken.filter(|update| update.phase == Phase::Ended(Outcome::Superseded));
        let update = Update {
            ordinal: reference.ordinal,
            spec: spec.clone(),
            state: UpdateState::queued(),
            next_attempt: 1,
            grant: 0,
            image_failures: overtaken.map_or(0, |update| update.image_failures),
            wait_until,
            accepted_boot: None,
            installing_boot: None,
            claimed: false,
            restart_seen: false,
            session: None,
            digest_reported: false,
            went_on_to: None,
            told_to_activate: false,
            runs_without_digest: false,
            deferrals: overtaken.map_or(0, |update| update.deferrals),
            deferred_for_s: None,
            answered: 0,
            unanswered: overtaken.map_or(0, |update| update.unanswered),
            wrong_bytes: overtaken.is_some_and(|update| update.wrong_bytes),
            told_before: overtaken.is_some_and(|update| update.attempt > 0 || update.told_before),
            seq: self.version,
            command_seq: self.version,
            newest_report: None,
        };
        self.updates.insert(reference.ordinal, update);
    }

    fn apply_update(&mut self, event: &E) {
        let Some(ordinal) = event.update().map(|update| update.ordinal) else { return };
        if let E::UpdateConfirmed { component, version, reported, boot_id, slot, .. } = event {
            self.set_version(component, reported.as_ref().unwrap_or(version));
            self.remember_boot(boot_id.as_deref());
            self.active_slot = slot.clone().or(self.active_slot.take());
            self.trial = false;
        }
        if matches!(event, E::UpdateSessionSeen { restarted: true, .. }) {
            self.settle();
        }
        if matches!(event, E::UpdateDispatched { .. }) {
            self.last_told = self.last_told.max(ordinal);
        }
        // A retry of an update that runs, but for the report of its digest.
        let runs = self.updates.get(&ordinal).is_some_and(|update| self.runs_target_of(update));
        let (version, boot) = (self.version, self.boots.back());
        let Some(update) = self.updates.get_mut(&ordinal) else { return };
        update.apply(event, version);
        if matches!(event, E::UpdateDispatched { .. }) {
            update.runs_without_digest |= runs && update.needs_digest();
        }
        if matches!(event, E::UpdateInstalling { .. } | E::UpdateRebooting { .. }) && update.installing_boot.is_none() {
            update.installing_boot = boot.cloned();
        }
        if matches!(event, E::UpdateActivating { .. }) {
            update.installing_boot = boot.cloned();
        }
        if update.phase == Phase::Ended(Outcome::Confirmed) {
            let confirmed = ConfirmedFirmware {
                update: update.reference(),
                firmware_id: update.spec.firmware.firmware_id,
                version: update.spec.firmware.version.clone(),
                reported_version: update.spec.firmware.reported_version.clone(),
                settles_at: None,
                restart_seen: false,
            };
            if let E::UpdateConfirmed { settles_at, .. } = event {
                let confirmed = ConfirmedFirmware { settles_at: *settles_at, ..confirmed };
                self.confirmed.insert(update.spec.firmware.component.clone(), confirmed);
            }
        }
        self.forget_old_ended();
    }

    fn forget_old_ended(&mut self) {
        let ended = |update: &&Update| update.phase.is_ended();
        while self.updates.values().filter(ended).count() > ENDED_KEPT_MAX {
            let oldest = self.updates.values().find(ended).map(|update| update.ordinal);
            oldest.map(|ordinal| self.updates.remove(&ordinal));
        }
    }
}

impl Update {
    fn apply(&mut self, event: &E, version: u64) {
        let attempt_before = self.attempt;
        let was_activating = self.phase == Phase::Activating;
        self.state.apply(event);
        match event {
            E::UpdateWaiting { reason, grant, .. } => {
                self.grant = grant.unwrap_or(self.grant);
                self.unanswered += u16::from(*reason == WaitReason::Unresponsive);
            }
            E::UpdateDispatched { update, grant } => {
                self.next_attempt = update.attempt;
                self.grant = grant.unwrap_or(self.grant);
                (self.accepted_boot, self.installing_boot) = (None, None);
                (self.claimed, self.wrong_bytes, self.told_to_activate) = (false, false, false);
                (self.restart_seen, self.session) = (false, None);
                // After a deferral the same attempt goes on, and with it what the device reported of its bytes.
                if update.attempt > attempt_before {
                    (self.digest_reported, self.went_on_to, self.runs_without_digest) = (false, None, false);
                }
                self.command_seq = version;
            }
            E::UpdateAccepted { boot_id, .. } => {
                self.unanswered = 0;
                self.answered = self.attempt;
                if self.accepted_boot.is_none() {
                    self.accepted_boot.clone_from(boot_id);
                }
            }
            E::UpdateDeferred { retry_after_s, window_closed, .. } => {
                (self.answered, self.deferred_for_s) = (self.attempt, *retry_after_s);
                // It isn't installing any more.
                self.went_on_to = None;
                self.deferrals += u16::from(!window_closed);
            }
            E::UpdateStaged { reason, grant, retry_at, .. } => {
                // The device has put the activation off.
                self.deferrals += u16::from(reason.is_none() && retry_at.is_some());
                self.grant = grant.unwrap_or(self.grant);
                self.unanswered += u16::from(*reason == Some(WaitReason::Unresponsive));
                self.told_to_activate = false;
                if was_activating {
                    self.command_seq = version;
                }
            }
            E::UpdateActivating { grant, .. } => {
                self.grant = grant.unwrap_or(self.grant);
                self.told_to_activate = true;
                self.command_seq = version;
            }
            E::UpdateRebooting { claimed, unseen, .. } => {
                self.unanswered = 0;
                self.claimed |= claimed;
                self.restart_seen |= !unseen;
            }
            E::UpdateSessionSeen { session, restarted, .. } => {
                self.session = session.clone().or(self.session.take());
                self.restart_seen |= restarted;
            }
            E::UpdateAttemptFailed { code, class, .. } => {
                self.wrong_bytes = code == CODE_WRONG_BYTES;
                self.next_attempt = self.attempt + 1;
                self.image_failures += u16::from(*class == CodeClass::Image);
            }
            E::UpdateDigestReported { .. } => {
                (self.digest_reported, self.went_on_to, self.runs_without_digest) = (true, None, false);
            }
            E::UpdateDigestMissing { reported: Some(status), .. } => self.went_on_to = Some(*status),
            E::UpdateDigestMissing { reported: None, .. } => self.runs_without_digest = true,
            E::UpdateCancelling { .. } | E::UpdateCancelRefused { .. } => {
                self.command_seq = version;
                // The activation is no longer wanted. The answer of the device doesn't change that.
                self.told_to_activate = false;
            }
            _ => {}
        }
    }
}
