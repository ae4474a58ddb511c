//! The queue of a device: which update is added, which begins next, which is overtaken.
//!
//! Dispatched ordinals only rise: firmware ignores an ordinal below one that it has received.

use chrono::{DateTime, TimeDelta, Utc};

use super::commands::{Grant, UpdateRequest};
use super::decision::Decision;
use super::eligibility::{Exclusion, Overrides, QUEUE_GRANTED_MAX, QUEUE_MAX, exclusion};
use super::phase::{Phase, WaitReason};
use super::readiness::{Availability, PendingUpdate};
use super::update::Update;
use super::update_spec::{CampaignRef, FirmwareSnapshot, UpdateKind, UpdateSpec, goes_first};
use super::{Device, DeviceEvent, UpdateRef};
use crate::ids::ORDINAL_MAX;
use crate::rejection::Rejection;

/// Reason of an update that ended because its firmware was withdrawn: superseded if it waited, cancelled if it had begun.
const FIRMWARE_WITHDRAWN: &str = "firmware_withdrawn";
/// Reason of an update that was superseded because another one was dispatched first. It continues under a new ordinal.
pub const OVERTAKEN: &str = "overtaken";

impl Device {
    /// What on the device keeps a waiting update from beginning.
    fn blocked_by(&self, update: &Update, now: DateTime<Utc>) -> Option<WaitReason> {
        let between = |other: &&Update| other.phase == Phase::Waiting(WaitReason::Backoff);
        let between_attempts = self.updates.values().filter(between).map(|other| other.ordinal).collect();
        let live = self.live().map(|live| live.ordinal);
        let availability = Availability::new(self.lifecycle, self.reachability, self.hold, live, &between_attempts);
        let pending = PendingUpdate {
            ordinal: Some(update.ordinal),
            waits_for: update.phase.wait_reason(),
            not_before: update.not_before,
            goes_first: goes_first(update.spec.kind, update.spec.priority),
        };
        availability.blocked_by(&pending, availability.is_held(now))
    }
}

impl Decision {
    pub(super) fn queue(
        &mut self,
        request: &UpdateRequest,
        campaign: Option<CampaignRef>,
        wait_until: DateTime<Utc>,
    ) -> u32 {
        let device = &self.device;
        let contact_interval_s = device.profile.contact_interval_s.unwrap_or(0);
        let spec = UpdateSpec {
            firmware: request.firmware.clone(),
            campaign,
            priority: request.priority,
            kind: request.kind,
            from_version: None,
            from_firmware_id: None,
            limits: request.limits.for_transport(device.profile.transport).for_contact_interval(contact_interval_s),
            max_attempts: request.max_attempts,
            transport: device.profile.transport,
            activate: request.activate,
            force_update: request.force_update,
            allow_downgrade: request.allow_downgrade,
            preconditions: request.preconditions,
            require_digest_report: request.require_digest_report,
            retry_of: request.retry_of,
            rolls_back: request.rolls_back,
        };
        self.queue_spec(spec, wait_until)
    }

    /// Adds the running version and firmware to the specification, and queues the update.
    fn queue_spec(&mut self, mut spec: UpdateSpec, wait_until: DateTime<Utc>) -> u32 {
        let device = &self.device;
        let component = &spec.firmware.component;
        spec.from_version = device.versions.get(component).cloned();
        spec.from_firmware_id = device
            .confirmed
            .get(component)
            .filter(|confirmed| spec.from_version.as_ref().is_some_and(|from| confirmed.is_run_by(from)))
            .map(|confirmed| confirmed.firmware_id);
        let ordinal = device.last_ordinal + 1;
        let update = UpdateRef { ordinal, attempt: 0, campaign: spec.campaign.map(|campaign| campaign.id) };
        self.push(DeviceEvent::UpdateQueued { update, spec: Box::new(spec), wait_until });
        ordinal
    }

    /// Firmware ignores ordinals below one that it has received. So an overtaken update continues as a new update with the remaining
    /// attempts.
    fn renew(&mut self, update: &Update) -> Update {
        if self.device.last_ordinal >= ORDINAL_MAX {
            return update.clone();
        }
        self.push(DeviceEvent::UpdateSuperseded { update: update.reference(), reason: OVERTAKEN.to_owned() });
        let max_attempts = (update.spec.max_attempts + 1).saturating_sub(update.next_attempt).max(1);
        let spec = UpdateSpec { max_attempts, retry_of: Some(update.ordinal), ..update.spec.clone() };
        let full_time = self.now + TimeDelta::seconds(spec.limits.total_s.into());
        let wait_until = if update.reached { update.wait_until.max(full_time) } else { update.wait_until };
        let ordinal = self.queue_spec(spec, wait_until);
        self.update(ordinal).unwrap_or_else(|| update.clone())
    }

    /// Dispatches an update, with an ordinal above all dispatched before. An update that the device has begun and that waits now is
    /// overtaken: otherwise its working clock would run while the device works on another update.
    fn dispatch(&mut self, update: &Update, grant: Option<u64>) {
        let update = if update.ordinal < self.device.last_told { self.renew(update) } else { update.clone() };
        let begun = |other: &&Update| other.ordinal != update.ordinal && other.reached && other.phase.is_waiting();
        for other in self.device.updates.values().filter(begun).cloned().collect::<Vec<_>>() {
            let renewed = self.renew(&other);
            self.wait(&renewed, WaitReason::Busy, (other.grant > 0).then_some(other.grant));
        }
        let update = UpdateRef { attempt: update.next_attempt, ..update.reference() };
        self.push(DeviceEvent::UpdateDispatched { update, grant });
    }

    /// A campaign's update always gets its own outcome, even if the device can't take it.
    pub(super) fn queue_granted(&mut self, request: &UpdateRequest, grant: Grant) -> Result<(), Rejection> {
        match self.queue_of_campaign(request, grant)? {
            Some(update) if self.now >= grant.wait_until => self.expire_waiting(&update),
            Some(update) => self.begin(update.ordinal, Some(grant.number)),
            None => {}
        }
        Ok(())
    }

    /// The same without the slot: the update waits for another one.
    pub(super) fn queue_withdrawn(&mut self, request: &UpdateRequest, grant: Grant) -> Result<(), Rejection> {
        if let Some(update) = self.queue_of_campaign(request, grant)? {
            self.wait(&update, WaitReason::Withdrawn, Some(grant.number));
        }
        Ok(())
    }

    /// None if the queue was full: then the update has ended.
    fn queue_of_campaign(&mut self, request: &UpdateRequest, grant: Grant) -> Result<Option<Update>, Rejection> {
        if self.device.last_ordinal >= ORDINAL_MAX {
            return Err(Rejection::OrdinalsExhausted);
        }
        let full = self.device.waiting_updates() >= QUEUE_GRANTED_MAX;
        let ordinal = self.queue(request, Some(grant.campaign), grant.wait_until);
        let queued = self.update(ordinal);
        if let Some(update) = queued.as_ref().filter(|_| full) {
            self.supersede(update, Exclusion::QueueFull);
            return Ok(None);
        }
        Ok(queued)
    }

    /// Dispatches an update if the device can take it now. Otherwise records what it waits for.
    pub(super) fn begin(&mut self, ordinal: u32, grant: Option<u64>) {
        let Some(update) = self.update(ordinal) else { return };
        if self.device.runs_target_of(&update) && !update.needs_digest() {
            let running = self.device.versions.get(&update.spec.firmware.component).cloned();
            self.confirm(&update, running.as_deref(), None, None);
            return;
        }
        // Another live update can change what the device runs, so nothing is decided before it has ended.
        let other_is_live = self.device.live().is_some_and(|live| live.ordinal != ordinal);
        if let Some(reason) = self.exclusion_of(&update).filter(|_| !other_is_live) {
            self.exclude(&update, reason);
            return;
        }
        match self.device.blocked_by(&update, self.now) {
            Some(reason) => self.wait(&update, reason, grant),
            None if self.is_conditional(&update) => self.wait(&update, WaitReason::Precondition, grant),
            None => self.dispatch(&update, grant),
        }
    }

    /// Tells the device to run what it has staged. If the slot was granted for something else, or the device can't now, it gives the slot back.
    pub(super) fn activate(&mut self, update: &Update, wanted: bool, grant: u64) {
        match self.device.blocked_by(update, self.now) {
            None if wanted => {
                self.push(DeviceEvent::UpdateActivating { update: update.reference(), grant: Some(grant) });
            }
            reason => self.stay_staged(update, reason.unwrap_or(WaitReason::Slot), Some(grant), None),
        }
    }

    /// The device isn't told to activate, or no longer is.
    pub(super) fn stay_staged(
        &mut self,
        update: &Update,
        reason: WaitReason,
        grant: Option<u64>,
        retry_at: Option<DateTime<Utc>>,
    ) {
        let (update, reason) = (update.reference(), Some(reason));
        self.push(DeviceEvent::UpdateStaged { update, reason, grant, retry_at, mark: None });
    }

    /// Whether it is an update of this device alone whose preconditions have not been checked. For updates of campaigns they are checked
    /// before the slot is granted.
    fn is_conditional(&self, update: &Update) -> bool {
        update.spec.campaign.is_none() && update.spec.preconditions.is_some() && self.cleared != Some(update.ordinal)
    }

    /// Checks again, before the update begins, whether the device may have it. A hold or a full queue does not exclude the device at this
    /// point.
    fn exclusion_of(&self, update: &Update) -> Option<Exclusion> {
        let firmware = &update.spec.firmware;
        let running = self.device.versions.get(&firmware.component);
        if update.attempt == 0 && self.has_changed_since(update) {
            return Some(Exclusion::ChangedSince);
        }
        // Between two attempts the device runs the version from before, or the target version on trial.
        let as_it_was =
            running == update.spec.from_version.as_ref() || running.is_some_and(|running| firmware.is_run_by(running));
        if update.attempt > 0 && as_it_was {
            return None;
        }
        let UpdateSpec { kind, force_update, allow_downgrade, activate, .. } = update.spec;
        let overrides = overrides(kind, force_update, allow_downgrade, activate);
        let mut candidate = self.device.candidate(self.now);
        candidate.held = false;
        candidate.waiting_updates = 0;
        exclusion(candidate, &update.spec.firmware, overrides)
    }

    /// Whether the device no longer runs what a campaign's rollback is to undo.
    fn has_changed_since(&self, update: &Update) -> bool {
        let of_campaign = update.spec.kind == UpdateKind::Rollback && update.spec.campaign.is_some();
        let undone = update.spec.rolls_back.and_then(|ordinal| self.device.updates.get(&ordinal));
        let running = self.device.versions.get(&update.spec.firmware.component);
        of_campaign
            && match (undone, running) {
                (Some(undone), Some(running)) => !undone.spec.firmware.is_run_by(running),
                // It is forgotten: what ran when the rollback was queued.
                (None, running) => running != update.spec.from_version.as_ref(),
                (Some(_), None) => true,
            }
    }

    /// Begins the next update that needs no slot: rollbacks first, then by priority, then by age.
    pub(super) fn begin_next_own(&mut self) {
        for _ in 0..=QUEUE_MAX {
            if self.device.live().is_some() {
                return;
            }
            let ready = |update: &&Update| {
                update.spec.campaign.is_none()
                    && update.phase.is_waiting()
                    && update.phase != Phase::Waiting(WaitReason::Precondition)
                    && self.device.blocked_by(update, self.now).is_none()
                    && update.not_before.is_none_or(|not_before| not_before <= self.now)
            };
            let first = self.device.updates.values().filter(ready).min_by_key(|update| {
                let rollback = update.spec.kind == UpdateKind::Rollback;
                (std::cmp::Reverse(rollback), std::cmp::Reverse(update.spec.priority), update.ordinal)
            });
            let Some(update) = first.cloned() else { return };
            if !update.reached && self.now >= update.wait_until {
                self.expire_waiting(&update);
            } else {
                self.begin(update.ordinal, None);
            }
        }
    }

    pub(super) fn wait(&mut self, update: &Update, reason: WaitReason, grant: Option<u64>) {
        self.push(DeviceEvent::UpdateWaiting { update: update.reference(), reason, grant, retry_at: None });
    }

    /// The device did not answer a dispatch. The command is repeated when a message of the device arrives, each time after a longer pause.
    pub(super) fn wait_for_answer(&mut self, update: &Update) {
        let retry_at = self.after_unanswered(update);
        let (update, reason) = (update.reference(), WaitReason::Unresponsive);
        self.push(DeviceEvent::UpdateWaiting { update, reason, grant: None, retry_at });
    }

    /// When a command that was not answered may be repeated; none: at once.
    pub(super) fn after_unanswered(&self, update: &Update) -> Option<DateTime<Utc>> {
        let pause_s = update.spec.limits.pause_after_unanswered(update.unanswered + 1);
        (pause_s > 0).then(|| self.now + TimeDelta::seconds(pause_s.into()))
    }

    /// Ends an update whose firmware was withdrawn: at once while it waits, by a cancel command when the device has begun.
    pub(super) fn withdraw(&mut self, update: &Update) {
        let (reference, reason) = (update.reference(), FIRMWARE_WITHDRAWN.to_owned());
        if update.phase.is_waiting() {
            self.push(DeviceEvent::UpdateSuperseded { update: reference, reason });
        } else {
            self.push(DeviceEvent::UpdateCancelling { update: reference, reason: Some(reason) });
        }
    }

    /// Ends an update that the device can't have. The update of a decommissioned device counts as cancelled.
    fn exclude(&mut self, update: &Update, reason: Exclusion) {
        if reason == Exclusion::Decommissioned {
            let (update, reason) = (update.reference(), Some(reason.word().to_owned()));
            return self.push(DeviceEvent::UpdateCancelled { update, reason, mark: None });
        }
        self.supersede(update, reason);
    }

    fn supersede(&mut self, update: &Update, reason: Exclusion) {
        self.push(DeviceEvent::UpdateSuperseded { update: update.reference(), reason: reason.word().to_owned() });
    }

    pub(super) fn cancel(&mut self, update: &Update) {
        let (reference, reason) = (update.reference(), None);
        if update.phase.is_waiting() {
            self.push(DeviceEvent::UpdateCancelled { update: reference, reason, mark: None });
        } else {
            self.push(DeviceEvent::UpdateCancelling { update: reference, reason });
        }
    }

    /// Ends an update that was being cancelled.
    pub(super) fn cancelled(&mut self, update: &Update) {
        let reason = update.reason.clone();
        self.push(DeviceEvent::UpdateCancelled { update: update.reference(), reason, mark: None });
    }

    /// `reported` is the running version as the device spells it.
    pub(super) fn confirm(
        &mut self,
        update: &Update,
        reported: Option<&str>,
        boot_id: Option<String>,
        slot: Option<String>,
    ) {
        let FirmwareSnapshot { component, version, .. } = &update.spec.firmware;
        let names_no_boot = boot_id.is_none() && self.device.boot().is_none();
        let unseen = names_no_boot && update.spec.firmware.requires_reboot && !update.restart_seen;
        let settles_at = unseen.then(|| self.now + TimeDelta::seconds(update.spec.limits.phase_s.into()));
        self.push(DeviceEvent::UpdateConfirmed {
            update: update.reference(),
            component: component.clone(),
            version: version.clone(),
            reported: reported.filter(|reported| reported != version).map(str::to_owned),
            boot_id,
            slot,
            settles_at,
            mark: None,
        });
    }
}

/// A rollback may always downgrade.
pub(super) fn overrides(kind: UpdateKind, force_update: bool, allow_downgrade: bool, activate: bool) -> Overrides {
    let allow_downgrade = allow_downgrade || kind == UpdateKind::Rollback;
    Overrides { force_update, allow_downgrade, stages: !activate }
}
