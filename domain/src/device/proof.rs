//! Presence, and what it proves: that an update runs, that the device fell back without a report, or that a confirmed version no longer
//! runs.
//!
//! `completed` is only a claim. An update is confirmed when the device reports, after a new boot, that it runs the version and is not on
//! trial.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::codes::{CODE_VERSION_REGRESSED, CodeClass};
use super::decision::Decision;
use super::expiry::Failure;
use super::mark::{Arrival, Mark};
use super::messages::{Info, Presence, ReportStatus};
use super::phase::{Outcome, Phase, WaitReason};
use super::report::past_return;
use super::update::Update;
use super::{ConfirmedFirmware, Device, DeviceEvent as E, OfflineCause, Reachability};

/// What a device reports about itself, with what was known before.
struct Observation<'a> {
    presence: &'a Presence,
    /// The device has restarted since its last message.
    new_boot: bool,
    /// No boot was known before, so it can't be decided whether this is a new one.
    first_boot: bool,
    versions_before: BTreeMap<String, String>,
}

impl Device {
    pub(super) fn seen_online(&self, now: DateTime<Utc>) -> Vec<E> {
        let mut decision = Decision::new(self, now);
        decision.contact(None);
        decision.begin_next_own();
        decision.finish()
    }

    pub(super) fn mark_offline(&self, cause: OfflineCause) -> Vec<E> {
        if self.reachability == Reachability::Online { vec![E::WentOffline { cause }] } else { vec![] }
    }

    pub(super) fn report_presence(&self, now: DateTime<Utc>, presence: &Presence, arrival: Arrival) -> Vec<E> {
        if self.applied.is_late(arrival.mark, self.applied.status) {
            return arrival.mark.and_then(|mark| self.keep_late(presence, mark)).into_iter().collect();
        }
        if self.is_old_boot(presence.boot_id.as_deref()) {
            // A repeated message of an earlier boot: new for the broker, but it says nothing about the current boot.
            return self.seen_online(now);
        }
        let mut decision = Decision::of_message(self, now, arrival.mark);
        decision.contact(presence.session.as_deref());
        decision.observe(presence);
        decision.end_reboot(presence);
        decision.begin_next_own();
        if arrival.overtakes && arrival.mark.is_some() && !decision.is_marked() {
            let (trial, versions) = (decision.device.trial, BTreeMap::new());
            decision.push(E::VersionsReported { boot_id: None, versions, slot: None, trial, mark: None });
        }
        decision.finish()
    }

    /// Content of a `status` that is older than the newest one: recorded once, if it is not known.
    fn keep_late(&self, presence: &Presence, mark: Mark) -> Option<E> {
        let Presence { boot_id, versions, .. } = presence;
        let is_known = match boot_id {
            Some(_) => {
                self.boots.iter().any(|known| Some(known) == boot_id.as_ref())
                    || self.late.iter().any(|late| late.boot_id == *boot_id)
            }
            None => {
                versions.iter().all(|(component, version)| self.versions.get(component) == Some(version))
                    || self.late.iter().any(|late| late.boot_id.is_none() && late.versions == *versions)
            }
        };
        let again = [self.applied.status, self.applied.uplink].contains(&Some(mark));
        (!is_known && !again).then(|| E::ReportedLate { boot_id: boot_id.clone(), versions: versions.clone(), mark })
    }

    pub(super) fn report_info(&self, now: DateTime<Utc>, info: &Info, arrival: Arrival) -> Vec<E> {
        if self.applied.is_late(arrival.mark, self.applied.info) {
            return vec![];
        }
        let mut decision = Decision::of_message(self, now, arrival.mark);
        decision.contact(None);
        // Versions are proven by `status`. Here only components without a known version are taken over.
        let unknown = info.versions.iter().filter(|(component, _)| !self.versions.contains_key(*component));
        let versions: BTreeMap<String, String> = unknown.map(|(k, v)| (k.clone(), v.clone())).collect();
        if !versions.is_empty() {
            decision.push(E::VersionsReported { boot_id: None, versions, slot: None, trial: self.trial, mark: None });
        }
        let differs = info.attributes != self.attributes
            || (info.slots.is_some() && info.slots != self.boot_slots)
            || (info.hardware_version.is_some() && info.hardware_version != self.profile.hardware_version)
            || (info.contact_interval_s.is_some() && info.contact_interval_s != self.profile.contact_interval_s);
        let must_mark = arrival.overtakes && arrival.mark.is_some() && !decision.is_marked();
        if differs || must_mark {
            decision.push(E::InfoReported {
                hardware_version: info.hardware_version.clone(),
                slots: info.slots,
                contact_interval_s: info.contact_interval_s,
                attributes: info.attributes.clone(),
                mark: None,
            });
        }
        decision.begin_next_own();
        decision.finish()
    }

    /// Whether an update is queued or under way. Boots and trials then decide its outcome.
    pub fn has_unfinished_update(&self) -> bool {
        self.updates.values().any(|update| !update.phase.is_ended())
    }

    /// Whether it is an earlier boot: the message is repeated or late, and says nothing about the current state.
    fn is_old_boot(&self, boot_id: Option<&str>) -> bool {
        boot_id.is_some_and(|boot_id| self.boot() != Some(boot_id) && self.boots.iter().any(|known| known == boot_id))
    }
}

impl E {
    /// Whether the event is a device's report about itself, outside any update. A device may send these at any rate, so the writer limits
    /// them.
    pub fn is_self_report(&self) -> bool {
        matches!(self, Self::VersionsReported { .. } | Self::InfoReported { .. } | Self::ReportedLate { .. })
            && !self.is_mark_only()
    }

    /// Whether the event only records that a message was applied, so that an older one is late.
    pub fn is_mark_only(&self) -> bool {
        matches!(self, Self::VersionsReported { boot_id: None, versions, slot: None, mark: Some(_), .. } if versions.is_empty())
    }

    /// Whether it is a self-report without versions: boots, trials, slots, attributes.
    pub fn is_low_value(&self) -> bool {
        match self {
            Self::VersionsReported { versions, .. } => versions.is_empty(),
            other => other.is_self_report(),
        }
    }
}

impl Decision {
    /// Any message sets the device online, unless it is older than the newest `status`.
    pub(super) fn contact(&mut self, session: Option<&str>) {
        let Device { applied, reachability, .. } = &self.device;
        if *reachability != Reachability::Online && !applied.is_late(self.mark, applied.status) {
            self.push(E::CameOnline { session: session.map(str::to_owned), mark: None });
            self.send_next_command();
        }
    }

    fn observe(&mut self, presence: &Presence) {
        let first_boot = presence.boot_id.is_some() && self.device.boot().is_none();
        let new_boot = presence.boot_id.is_some() && !first_boot && presence.boot_id.as_deref() != self.device.boot();
        let seen = Observation { presence, new_boot, first_boot, versions_before: self.device.versions.clone() };
        if let Some(report) = &presence.last_update {
            self.echo(report);
        }
        self.watch_session(presence);
        let judged = self.judged_update(presence);
        if let Some(update) = &judged
            && seen.proves(update)
            && update.needs_digest()
        {
            self.record_versions(presence, presence.versions.clone(), false);
            // Between two attempts the next one asks the device again.
            if !update.phase.is_waiting() {
                self.go_on_without_digest(update, None);
            }
            self.record_regressions(&seen);
            return;
        }
        if let Some(update) = &judged
            && seen.proves(update)
        {
            let rest = presence.versions.iter().filter(|(component, _)| **component != update.spec.firmware.component);
            self.record_versions(presence, rest.map(|(k, v)| (k.clone(), v.clone())).collect(), true);
            self.record_regressions(&seen);
            let reported = seen.reported(update);
            self.confirm(update, reported, presence.boot_id.clone(), presence.slot.clone());
            return;
        }
        self.record_versions(presence, presence.versions.clone(), false);
        match judged {
            // It was off when the command came, and still has what it staged.
            Some(update) if update.phase == Phase::Activating && seen.is_still_staged(&update) => {
                self.stay_staged(&update, WaitReason::Unresponsive, None, None);
            }
            Some(update) if seen.shows_fallback(&update) => {
                let code = CODE_VERSION_REGRESSED.to_owned();
                self.fail(&update, Failure { code, class: CodeClass::Image, message: None });
            }
            Some(update) if seen.shows_trial(&update) => {
                self.push(E::UpdateRebooting { update: update.reference(), claimed: false, unseen: false, mark: None });
            }
            _ => {}
        }
        self.record_regressions(&seen);
    }

    /// The update that a status can prove: one that was dispatched and has not ended.
    fn judged_update(&self, presence: &Presence) -> Option<Update> {
        let sent = |update: &&Update| {
            update.attempt > 0
                && !update.phase.is_ended()
                && presence.versions.contains_key(&update.spec.firmware.component)
        };
        self.device.live().filter(sent).or_else(|| self.device.updates.values().find(sent)).cloned()
    }

    /// Records what changed. A confirmation has the boot and the version of its own component.
    fn record_versions(&mut self, presence: &Presence, reported: BTreeMap<String, String>, confirming: bool) {
        let versions: BTreeMap<String, String> = reported
            .into_iter()
            .filter(|(component, version)| self.device.versions.get(component) != Some(version))
            .collect();
        let new_boot = presence.boot_id.is_some() && presence.boot_id.as_deref() != self.device.boot();
        let slot_moved = presence.slot.is_some() && presence.slot != self.device.active_slot;
        let trial_moved = presence.trial != self.device.trial;
        let beyond_confirmation = new_boot || slot_moved || trial_moved;
        if !versions.is_empty() || (beyond_confirmation && !confirming) {
            let (boot_id, slot) = (presence.boot_id.clone(), presence.slot.clone());
            self.push(E::VersionsReported { boot_id, versions, slot, trial: presence.trial, mark: None });
        }
    }

    /// A claim may arrive after its proof: checks a completed update against the device's latest status. `before` is the update before the
    /// claim.
    pub(super) fn prove_from_known(&mut self, before: &Update) {
        let claims = |update: &Update| update.phase == Phase::Rebooting;
        let Some(update) = self.update(before.ordinal).filter(claims) else { return };
        let known = Presence {
            boot_id: self.device.boot().map(str::to_owned),
            versions: self.device.versions.clone(),
            trial: self.device.trial,
            ..Presence::default()
        };
        let rebooted = matches!((&update.accepted_boot, &known.boot_id), (Some(then), Some(now)) if then != now);
        let seen =
            Observation { presence: &known, new_boot: false, first_boot: false, versions_before: BTreeMap::new() };
        // Nothing was installed, because the version runs already. So no boot follows that could prove more.
        let by_word = update.claimed && before.installing_boot.is_none() && !past_return(before.phase);
        if (rebooted || by_word) && seen.proves(&update) {
            self.confirm(&update, seen.reported(&update), known.boot_id.clone(), None);
        }
    }

    fn record_regressions(&mut self, seen: &Observation<'_>) {
        let gone = |component: &str, confirmed: &ConfirmedFirmware| {
            let before = seen.versions_before.get(component)?;
            let now = seen.presence.versions.get(component)?;
            // Without evidence of a restart, another version may be the old one that still runs.
            let settled = confirmed.restart_seen
                || seen.presence.boot_id.is_some()
                || confirmed.settles_at.is_none_or(|settles_at| settles_at <= self.now);
            let ran = confirmed.is_run_by(before);
            let turned = if confirmed.settles_at.is_some() { settled } else { ran };
            let from = if ran { before } else { &confirmed.version };
            (turned && !confirmed.is_run_by(now)).then(|| (from.clone(), now.clone()))
        };
        let regressed: Vec<E> = self
            .device
            .confirmed
            .iter()
            .filter_map(|(component, confirmed)| {
                let (from_version, to_version) = gone(component, confirmed)?;
                let commanded = self.is_commanded(component, &to_version, confirmed.update.ordinal);
                (!commanded).then(|| E::VersionRegressed {
                    update: confirmed.update.clone(),
                    component: component.clone(),
                    from_version,
                    to_version,
                    mark: None,
                })
            })
            .collect();
        regressed.into_iter().for_each(|event| self.push(event));
    }

    /// Whether an update dispatched after `since` leads to this version: one under way, or one that ended before the device was done.
    fn is_commanded(&self, component: &str, version: &str, since: u32) -> bool {
        self.device.updates.values().any(|update| {
            let firmware = &update.spec.firmware;
            let late = update.ordinal > since && update.phase != Phase::Ended(Outcome::Confirmed);
            let leads_there = firmware.component == component && firmware.is_run_by(version);
            update.attempt > 0 && leads_there && (late || !update.phase.is_ended())
        })
    }
}

impl Observation<'_> {
    fn reported(&self, update: &Update) -> Option<&str> {
        self.presence.versions.get(&update.spec.firmware.component).map(String::as_str)
    }

    /// Whether the device reports the update's version.
    fn reports(&self, update: &Update) -> bool {
        self.reported(update).is_some_and(|version| update.spec.firmware.is_run_by(version))
    }

    fn proves(&self, update: &Update) -> bool {
        if !self.reports(update) || self.presence.trial || update.wrong_bytes {
            return false;
        }
        let firmware = &update.spec.firmware;
        let was_there_before = update.spec.from_version.as_deref().is_some_and(|from| firmware.is_run_by(from));
        let claims_done = update.phase == Phase::Rebooting;
        match update.phase {
            Phase::Accepted
            | Phase::Downloading
            | Phase::Verifying
            | Phase::Installing
            | Phase::Rebooting
            | Phase::Cancelling => {
                let rebooted = match (&update.accepted_boot, &self.presence.boot_id) {
                    (Some(then), Some(now)) => then != now,
                    (None, Some(_)) => self.new_boot || self.first_boot || claims_done,
                    (_, None) => claims_done,
                };
                if was_there_before {
                    // The version is no evidence: only a boot since installing is, or the device's claim.
                    let installed = matches!(update.phase, Phase::Installing | Phase::Rebooting);
                    return installed && (update.claimed || self.is_boot_since_installing(update));
                }
                rebooted || (!update.spec.firmware.requires_reboot && claims_done)
            }
            // The device went ahead although nobody heard of it: what it runs counts.
            Phase::Dispatched
            | Phase::Deferred
            | Phase::Waiting(_)
            | Phase::Queued
            | Phase::Staged
            | Phase::Activating => !was_there_before,
            Phase::Ended(_) => false,
        }
    }

    /// Without boot ids a status after a sign of a restart is as good.
    fn is_boot_since_installing(&self, update: &Update) -> bool {
        match (&update.installing_boot, &self.presence.boot_id) {
            (Some(then), Some(now)) => then != now,
            (None, Some(_)) => self.new_boot,
            (_, None) => update.phase == Phase::Rebooting && update.restart_seen,
        }
    }

    /// After a new boot it remembers that it has staged this attempt, and runs another version.
    fn is_still_staged(&self, update: &Update) -> bool {
        let says_staged = self.presence.last_update.as_ref().is_some_and(|report| {
            (report.ordinal, report.attempt, report.status) == (update.ordinal, update.attempt, ReportStatus::Staged)
        });
        says_staged && self.new_boot && !self.reports(update)
    }

    /// At or after installing, another version after a new boot.
    fn shows_fallback(&self, update: &Update) -> bool {
        let elsewhere = self.reported(update).is_some() && !self.reports(update);
        // `completed` alone doesn't say that the device has restarted yet.
        let claims_boot =
            update.phase == Phase::Rebooting && update.spec.firmware.requires_reboot && update.restart_seen;
        let booted = match &self.presence.boot_id {
            Some(_) if self.first_boot => claims_boot,
            Some(_) => self.new_boot && (update.has_begun_to_install() || update.phase == Phase::Activating),
            None => claims_boot,
        };
        elsewhere && booted
    }

    fn shows_trial(&self, update: &Update) -> bool {
        self.presence.trial
            && (self.new_boot || self.first_boot)
            && matches!(update.phase, Phase::Installing | Phase::Staged | Phase::Activating)
            && self.reports(update)
    }
}
