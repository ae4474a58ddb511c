//! The life of an update from the server's side: queued, begun, granted, withdrawn, cancelled, expired, tried again.

use chrono::{DateTime, TimeDelta, Utc};

use super::commands::{Grant, UpdateRequest};
use super::draft::Draft;
use super::eligibility::{Exclusion, Leave, QUEUE_MAX, exclusion};
use super::update::{CampaignRef, Outcome, Phase, Update, UpdateKind, UpdateSpec, WaitReason};
use super::{CampaignUpdate, Device, DeviceEvent, Reachability, UpdateRef};
use crate::ids::{CampaignId, FirmwareId, ORDINAL_MAX};
use crate::rejection::Rejection;
use crate::version::is_same;

/// Why an update was superseded whose firmware was withdrawn while it waited.
pub const FIRMWARE_WITHDRAWN: &str = "firmware_withdrawn";

impl Device {
    pub(super) fn request_update(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        if let Some(ordinal) = self.under_way(request) {
            return Err(Rejection::UpdateInProgress { ordinal });
        }
        match exclusion(self.candidate(now), &request.firmware, leave_of(request)) {
            Some(Exclusion::QueueFull) => return Err(Rejection::QueueFull),
            Some(reason) => return Err(not_eligible(reason, self, request)),
            None => {}
        }
        if self.last_ordinal >= ORDINAL_MAX {
            return Err(Rejection::OrdinalsExhausted);
        }
        let mut draft = Draft::new(self, now);
        let wait_until = now + TimeDelta::seconds(request.limits.wait_s.into());
        let ordinal = draft.queue(request, None, wait_until);
        draft.begin(ordinal, None);
        Ok(draft.finish())
    }

    pub(super) fn grant_slot(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
        grant: Grant,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let mut draft = Draft::new(self, now);
        let known = self.campaigns.get(&grant.campaign.id);
        match self.of_campaign(grant.campaign.id) {
            _ if known.is_some_and(|known| self.may_retry(*known, grant.campaign.round)) => {
                let request = UpdateRequest { retry_of: known.map(|known| known.ordinal), ..request.clone() };
                draft.queue_granted(&request, grant)?;
            }
            Some(update) if grant.number <= update.grant => {}
            Some(update) if update.phase.is_waiting() || update.phase == Phase::Deferred => {
                // The campaign's clock may have stood still since.
                if !update.reached && now >= update.wait_until.max(grant.wait_until) {
                    draft.expire_waiting(update);
                } else {
                    draft.begin(update.ordinal, Some(grant.number));
                }
            }
            Some(_) => {}
            None if known.is_some() => {}
            None => draft.queue_granted(request, grant)?,
        }
        Ok(draft.finish_and_begin_next())
    }

    /// Begins what waits for its preconditions.
    pub(super) fn proceed(&self, now: DateTime<Utc>, ordinal: u32, seq: u64) -> Vec<DeviceEvent> {
        let mut draft = Draft::new(self, now);
        let waits = Phase::Waiting(WaitReason::Precondition);
        if let Some(update) = self.updates.get(&ordinal).filter(|update| update.phase == waits && update.seq == seq) {
            draft.cleared = Some(ordinal);
            draft.begin(update.ordinal, None);
        }
        draft.finish()
    }

    pub(super) fn cancel_granted(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
        grant: Grant,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let known = self.campaigns.get(&grant.campaign.id);
        if known.is_some_and(|known| !self.may_retry(*known, grant.campaign.round)) {
            return Ok(self.cancel_for_campaign(now, grant.campaign.id));
        }
        let request = &UpdateRequest { retry_of: known.map(|known| known.ordinal), ..request.clone() };
        if self.last_ordinal >= ORDINAL_MAX {
            return Err(Rejection::OrdinalsExhausted);
        }
        let mut draft = Draft::new(self, now);
        let ordinal = draft.queue(request, Some(grant.campaign), grant.wait_until);
        if let Some(update) = draft.update(ordinal) {
            draft.cancel(&update);
        }
        Ok(draft.finish_and_begin_next())
    }

    pub(super) fn cancel_update(&self, now: DateTime<Utc>, ordinal: u32) -> Result<Vec<DeviceEvent>, Rejection> {
        let Some(update) = self.updates.get(&ordinal) else {
            // Only what has ended is forgotten.
            return Err(match (1..=self.last_ordinal).contains(&ordinal) {
                true => Rejection::UpdateEnded { phase: "ended".to_owned() },
                false => Rejection::UpdateUnknown,
            });
        };
        match update.phase {
            Phase::Ended(Outcome::Cancelled) | Phase::Cancelling => Ok(vec![]),
            Phase::Ended(Outcome::Confirmed) => Err(Rejection::UpdateSucceeded),
            Phase::Ended(_) => Err(Rejection::UpdateEnded { phase: update.phase.word().to_owned() }),
            Phase::Installing | Phase::Rebooting => {
                Err(Rejection::CancelTooLate { phase: update.phase.word().to_owned() })
            }
            Phase::Queued
            | Phase::Waiting(_)
            | Phase::Dispatched
            | Phase::Accepted
            | Phase::Deferred
            | Phase::Downloading
            | Phase::Verifying
            | Phase::Staged => {
                let mut draft = Draft::new(self, now);
                draft.cancel(update);
                Ok(draft.finish_and_begin_next())
            }
        }
    }

    pub(super) fn withdraw(&self, now: DateTime<Utc>, campaign: CampaignId) -> Vec<DeviceEvent> {
        let mut draft = Draft::new(self, now);
        if let Some(update) = self.of_campaign(campaign).filter(|update| update.phase == Phase::Dispatched) {
            draft.wait(update, WaitReason::Withdrawn, None);
        }
        draft.finish_and_begin_next()
    }

    /// Takes out what waits for a firmware that was withdrawn; what devices have begun is up to their campaign or operator.
    pub(super) fn withdraw_firmware(&self, now: DateTime<Utc>, firmware_id: FirmwareId) -> Vec<DeviceEvent> {
        let mut draft = Draft::new(self, now);
        let waits = |update: &&Update| update.phase.is_waiting() && update.spec.firmware.firmware_id == firmware_id;
        for update in self.updates.values().filter(waits) {
            draft.supersede_withdrawn(update);
        }
        draft.finish_and_begin_next()
    }

    pub(super) fn cancel_for_campaign(&self, now: DateTime<Utc>, campaign: CampaignId) -> Vec<DeviceEvent> {
        let mut draft = Draft::new(self, now);
        let cancellable = |update: &&Update| {
            !update.phase.is_ended()
                && !update.cancel_refused
                && !matches!(update.phase, Phase::Installing | Phase::Rebooting | Phase::Cancelling)
        };
        if let Some(update) = self.of_campaign(campaign).filter(cancellable) {
            draft.cancel(update);
        }
        draft.finish_and_begin_next()
    }

    fn of_campaign(&self, campaign: CampaignId) -> Option<&Update> {
        self.updates.get(&self.campaigns.get(&campaign)?.ordinal)
    }

    /// The campaign's update has ended, here or so long ago that it is forgotten, and a later round of it asks for another.
    fn may_retry(&self, known: CampaignUpdate, round: u16) -> bool {
        round > known.round && self.updates.get(&known.ordinal).is_none_or(|update| update.phase.is_ended())
    }

    /// Ordinal of the update that brings the same firmware already.
    fn under_way(&self, request: &UpdateRequest) -> Option<u32> {
        self.updates
            .values()
            .find(|update| {
                !update.phase.is_ended()
                    && update.spec.firmware.firmware_id == request.firmware.firmware_id
                    && update.spec.kind == request.kind
            })
            .map(|update| update.ordinal)
    }
}

impl Draft {
    fn queue(&mut self, request: &UpdateRequest, campaign: Option<CampaignRef>, wait_until: DateTime<Utc>) -> u32 {
        let device = &self.device;
        let component = &request.firmware.component;
        let from_version = device.versions.get(component).cloned();
        let from_firmware_id = device
            .confirmed
            .get(component)
            .filter(|confirmed| Some(&confirmed.version) == from_version.as_ref())
            .map(|confirmed| confirmed.firmware_id);
        let contact_interval_s = device.profile.contact_interval_s.unwrap_or(0);
        let spec = UpdateSpec {
            firmware: request.firmware.clone(),
            campaign,
            priority: request.priority,
            kind: request.kind,
            from_version,
            from_firmware_id,
            limits: request.limits.for_contact_interval(contact_interval_s),
            max_attempts: request.max_attempts,
            transport: device.profile.transport,
            activate: request.activate,
            force_update: request.force_update,
            allow_downgrade: request.allow_downgrade,
            preconditions: request.preconditions,
            retry_of: request.retry_of,
        };
        let ordinal = device.last_ordinal + 1;
        let update = UpdateRef { ordinal, attempt: 0, campaign: campaign.map(|campaign| campaign.id) };
        self.push(DeviceEvent::UpdateQueued { update, spec: Box::new(spec), wait_until });
        ordinal
    }

    /// A campaign's update always gets an outcome of its own, also where the device can't take it.
    fn queue_granted(&mut self, request: &UpdateRequest, grant: Grant) -> Result<(), Rejection> {
        if self.device.last_ordinal >= ORDINAL_MAX {
            return Err(Rejection::OrdinalsExhausted);
        }
        let full = self.device.waiting_updates() >= QUEUE_MAX;
        let duplicate = self.device.under_way(request).is_some();
        let ordinal = self.queue(request, Some(grant.campaign), grant.wait_until);
        let refused = match (full, duplicate) {
            (true, _) => Some(Exclusion::QueueFull),
            (_, true) => Some(Exclusion::UpdateInProgress),
            (false, false) => None,
        };
        match (refused, self.update(ordinal)) {
            (Some(reason), Some(update)) => self.supersede(&update, reason),
            (None, Some(update)) if self.now >= grant.wait_until => self.expire_waiting(&update),
            _ => self.begin(ordinal, Some(grant.number)),
        }
        Ok(())
    }

    /// Sends an update out if the device can take it now; else says what it waits for.
    pub(super) fn begin(&mut self, ordinal: u32, grant: Option<u64>) {
        let Some(update) = self.update(ordinal) else { return };
        let running = self.device.versions.get(&update.spec.firmware.component);
        let target = &update.spec.firmware.version;
        let is_there = running.is_some_and(|running| is_same(running, target)) && !update.spec.force_update;
        if update.attempt > 0 && is_there && !self.device.trial && !update.wrong_bytes {
            self.confirm(&update, None, None);
            return;
        }
        if let Some(reason) = self.exclusion_of(&update) {
            self.supersede(&update, reason);
            return;
        }
        let busy = self.device.live().is_some_and(|live| live.ordinal != ordinal);
        if self.device.is_held(self.now) {
            self.wait(&update, WaitReason::Held, grant);
        } else if busy {
            self.wait(&update, WaitReason::Busy, grant);
        } else if self.device.reachability != Reachability::Online {
            self.wait(&update, WaitReason::Offline, grant);
        } else if self.is_conditional(&update) {
            self.wait(&update, WaitReason::Precondition, grant);
        } else {
            let update = UpdateRef { attempt: update.next_attempt, ..update.reference() };
            self.push(DeviceEvent::UpdateDispatched { update, grant });
        }
    }

    /// An update of its own that nobody has cleared yet; whoever grants slots has looked at the preconditions.
    fn is_conditional(&self, update: &Update) -> bool {
        update.spec.campaign.is_none() && update.spec.preconditions.is_some() && self.cleared != Some(update.ordinal)
    }

    /// The device re-decides when its turn comes. Holding and queueing only make it wait.
    fn exclusion_of(&self, update: &Update) -> Option<Exclusion> {
        let firmware = &update.spec.firmware;
        let running = self.device.versions.get(&firmware.component);
        // Between two attempts what ran before still runs, or the target on trial.
        let as_it_was = running == update.spec.from_version.as_ref()
            || running.is_some_and(|running| is_same(running, &firmware.version));
        if update.attempt > 0 && as_it_was {
            return None;
        }
        let leave = leave(update.spec.kind, update.spec.force_update, update.spec.allow_downgrade);
        let mut candidate = self.device.candidate(self.now);
        candidate.held = false;
        candidate.waiting_updates = 0;
        exclusion(candidate, &update.spec.firmware, leave)
    }

    /// Begins the next update that needs nobody's slot: rollbacks first, then by priority, then by age.
    pub(super) fn begin_next_own(&mut self) {
        for _ in 0..=QUEUE_MAX {
            if self.device.live().is_some()
                || self.device.reachability != Reachability::Online
                || self.device.is_held(self.now)
            {
                return;
            }
            let ready = |update: &&Update| {
                update.spec.campaign.is_none()
                    && update.phase.is_waiting()
                    && update.phase != Phase::Waiting(WaitReason::Precondition)
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

    /// The device was told and didn't answer: it is told again when it is heard, and the more often that was for nothing, the later.
    pub(super) fn wait_for_answer(&mut self, update: &Update) {
        let pause_s = update.spec.limits.pause_after_unanswered(update.unanswered + 1);
        let retry_at = (pause_s > 0).then(|| self.now + TimeDelta::seconds(pause_s.into()));
        let (update, reason) = (update.reference(), WaitReason::Unresponsive);
        self.push(DeviceEvent::UpdateWaiting { update, reason, grant: None, retry_at });
    }

    /// Takes a waiting update out because its firmware is not to be used any more.
    pub(super) fn supersede_withdrawn(&mut self, update: &Update) {
        let (update, reason) = (update.reference(), FIRMWARE_WITHDRAWN.to_owned());
        self.push(DeviceEvent::UpdateSuperseded { update, reason });
    }

    fn supersede(&mut self, update: &Update, reason: Exclusion) {
        self.push(DeviceEvent::UpdateSuperseded { update: update.reference(), reason: reason.word().to_owned() });
    }

    fn cancel(&mut self, update: &Update) {
        let reference = update.reference();
        if update.phase.is_waiting() {
            self.push(DeviceEvent::UpdateCancelled { update: reference });
        } else {
            self.push(DeviceEvent::UpdateCancelling { update: reference });
        }
    }

    pub(super) fn confirm(&mut self, update: &Update, boot_id: Option<String>, slot: Option<String>) {
        self.push(DeviceEvent::UpdateConfirmed {
            update: update.reference(),
            component: update.spec.firmware.component.clone(),
            version: update.spec.firmware.version.clone(),
            boot_id,
            slot,
        });
    }
}

fn leave_of(request: &UpdateRequest) -> Leave {
    leave(request.kind, request.force_update, request.allow_downgrade)
}

/// A rollback goes down by its nature.
fn leave(kind: UpdateKind, force_update: bool, allow_downgrade: bool) -> Leave {
    Leave { force_update, allow_downgrade: allow_downgrade || kind == UpdateKind::Rollback }
}

fn not_eligible(reason: Exclusion, device: &Device, request: &UpdateRequest) -> Rejection {
    let firmware = &request.firmware;
    let running = device.versions.get(&firmware.component).map_or("unknown", String::as_str);
    let detail = match reason {
        Exclusion::WrongModel => format!(
            "the firmware is for model {}, the device is {}",
            firmware.device_model,
            device.profile.device_model.as_deref().unwrap_or("of unknown model")
        ),
        Exclusion::AlreadyOnVersion => format!("the device already runs {running}"),
        Exclusion::AlreadyNewer => format!("the device runs {running}, which is newer than {}", firmware.version),
        Exclusion::VersionNotComparable => {
            format!("the device runs {running}, which can't be compared with {}", firmware.version)
        }
        other => format!("the device can't have this firmware: {}", other.word()),
    };
    Rejection::NotEligible { reason: reason.word().to_owned(), detail }
}
