//! The lifecycle of an update on the server's side: requested, granted, withdrawn, cancelled, retried.

use chrono::{DateTime, TimeDelta, Utc};

use super::commands::{Grant, UpdateRequest};
use super::decision::Decision;
use super::eligibility::{Exclusion, Overrides, exclusion};
use super::phase::{Outcome, Phase, WaitReason};
use super::queue::overrides;
use super::update::Update;
use super::{CampaignUpdate, Device, DeviceEvent, UpdateKind};
use crate::ids::{CampaignId, FirmwareId, ORDINAL_MAX};
use crate::rejection::Rejection;

impl Device {
    pub(super) fn request_update(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        if let Some(ordinal) = self.under_way(request) {
            return Err(Rejection::UpdateInProgress { ordinal });
        }
        match exclusion(self.candidate(now), &request.firmware, overrides_of(request)) {
            Some(Exclusion::QueueFull) => return Err(Rejection::QueueFull),
            Some(reason) => return Err(not_eligible(reason, self, request)),
            None => {}
        }
        if self.last_ordinal >= ORDINAL_MAX {
            return Err(Rejection::OrdinalsExhausted);
        }
        let mut decision = Decision::new(self, now);
        let wait_until = now + TimeDelta::seconds(request.limits.wait_s.into());
        let ordinal = decision.queue(request, None, wait_until);
        decision.begin(ordinal, None);
        Ok(decision.finish())
    }

    pub(super) fn grant_slot(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
        grant: Grant,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let mut decision = Decision::new(self, now);
        let known = self.campaigns.get(&grant.campaign.id);
        match self.of_campaign(grant.campaign.id) {
            _ if known.is_some_and(|known| self.may_retry(*known, grant.campaign.round)) => {
                decision.queue_granted(&self.after(known, request), grant)?;
            }
            Some(update) if grant.number <= update.grant => {}
            Some(update) if update.phase.is_waiting() || update.phase == Phase::Deferred => {
                // The campaign may have been paused since, so its own limit counts too.
                if !update.reached && now >= update.wait_until.max(grant.wait_until) {
                    decision.expire_waiting(update);
                } else {
                    decision.begin(update.ordinal, Some(grant.number));
                }
            }
            Some(update) if update.phase == Phase::Staged => decision.activate(update, request.activate, grant.number),
            Some(_) => {}
            None if known.is_some() => {}
            None => decision.queue_granted(request, grant)?,
        }
        Ok(decision.finish_and_begin_next())
    }

    /// Begins an update that waits for its preconditions.
    pub(super) fn proceed(&self, now: DateTime<Utc>, ordinal: u32, seq: u64) -> Vec<DeviceEvent> {
        let mut decision = Decision::new(self, now);
        let waits = Phase::Waiting(WaitReason::Precondition);
        if let Some(update) = self.updates.get(&ordinal).filter(|update| update.phase == waits && update.seq == seq) {
            decision.cleared = Some(ordinal);
            decision.begin(update.ordinal, None);
        }
        decision.finish()
    }

    pub(super) fn cancel_granted(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
        grant: Grant,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let known = self.campaigns.get(&grant.campaign.id);
        if known.is_some_and(|known| !self.may_retry(*known, grant.campaign.round)) {
            let before_round = Some(grant.campaign.round.saturating_add(1));
            return Ok(self.cancel_for_campaign(now, grant.campaign.id, before_round));
        }
        let request = &self.after(known, request);
        if self.last_ordinal >= ORDINAL_MAX {
            return Err(Rejection::OrdinalsExhausted);
        }
        let mut decision = Decision::new(self, now);
        let ordinal = decision.queue(request, Some(grant.campaign), grant.wait_until);
        if let Some(update) = decision.update(ordinal) {
            decision.cancel(&update);
        }
        Ok(decision.finish_and_begin_next())
    }

    /// Gives back a slot that the device was not told of. The update waits for another one.
    pub(super) fn withdraw_granted(
        &self,
        now: DateTime<Utc>,
        request: &UpdateRequest,
        grant: Grant,
    ) -> Result<Vec<DeviceEvent>, Rejection> {
        let mut decision = Decision::new(self, now);
        let known = self.campaigns.get(&grant.campaign.id);
        match self.of_campaign(grant.campaign.id) {
            _ if known.is_none_or(|known| self.may_retry(*known, grant.campaign.round)) => {
                decision.queue_withdrawn(&self.after(known, request), grant)?;
            }
            // The device was told of this slot, or of a later one.
            Some(update) if grant.number <= update.grant => {}
            Some(update) if update.phase.is_waiting() || update.phase == Phase::Deferred => {
                decision.wait(update, WaitReason::Withdrawn, Some(grant.number));
            }
            Some(update) if update.phase == Phase::Staged => {
                decision.stay_staged(update, WaitReason::Withdrawn, Some(grant.number), None);
            }
            Some(_) | None => {}
        }
        Ok(decision.finish_and_begin_next())
    }

    pub(super) fn cancel_update(&self, now: DateTime<Utc>, ordinal: u32) -> Result<Vec<DeviceEvent>, Rejection> {
        let Some(update) = self.updates.get(&ordinal) else {
            // Only ended updates are forgotten.
            return Err(match (1..=self.last_ordinal).contains(&ordinal) {
                true => Rejection::UpdateEnded { phase: "ended".to_owned() },
                false => Rejection::UpdateUnknown,
            });
        };
        match update.phase {
            Phase::Ended(Outcome::Cancelled) | Phase::Cancelling => Ok(vec![]),
            Phase::Ended(Outcome::Confirmed) => Err(Rejection::UpdateSucceeded),
            Phase::Ended(_) => Err(Rejection::UpdateEnded { phase: update.phase.word().to_owned() }),
            phase if update.has_begun_to_install() && phase.is_working() => {
                Err(Rejection::CancelTooLate { phase: phase.word().to_owned() })
            }
            Phase::Queued
            | Phase::Waiting(_)
            | Phase::Dispatched
            | Phase::Accepted
            | Phase::Deferred
            | Phase::Downloading
            | Phase::Verifying
            | Phase::Installing
            | Phase::Rebooting
            | Phase::Staged
            | Phase::Activating => {
                let mut decision = Decision::new(self, now);
                decision.cancel(update);
                Ok(decision.finish_and_begin_next())
            }
        }
    }

    pub(super) fn withdraw(&self, now: DateTime<Utc>, campaign: CampaignId) -> Vec<DeviceEvent> {
        let mut decision = Decision::new(self, now);
        // Between two attempts it would block other updates of the device while its campaign is paused.
        let withdrawn =
            |update: &&Update| matches!(update.phase, Phase::Dispatched | Phase::Waiting(WaitReason::Backoff));
        if let Some(update) = self.of_campaign(campaign).filter(withdrawn) {
            decision.wait(update, WaitReason::Withdrawn, None);
        }
        if let Some(update) = self.of_campaign(campaign).filter(|update| update.phase == Phase::Activating) {
            decision.stay_staged(update, WaitReason::Withdrawn, None, None);
        }
        decision.finish_and_begin_next()
    }

    /// Removes waiting updates of a withdrawn firmware, and cancels those before the point of no return. The others run to their end.
    pub(super) fn withdraw_firmware(&self, now: DateTime<Utc>, firmware_id: FirmwareId) -> Vec<DeviceEvent> {
        let mut decision = Decision::new(self, now);
        let of_it = |update: &&Update| update.spec.firmware.firmware_id == firmware_id && can_be_taken_back(update);
        for update in self.updates.values().filter(of_it) {
            decision.withdraw(update);
        }
        decision.finish_and_begin_next()
    }

    pub(super) fn cancel_for_campaign(
        &self,
        now: DateTime<Utc>,
        campaign: CampaignId,
        before_round: Option<u16>,
    ) -> Vec<DeviceEvent> {
        let mut decision = Decision::new(self, now);
        let concerned = |known: &CampaignUpdate| before_round.is_none_or(|round| known.round < round);
        let is_concerned = self.campaigns.get(&campaign).is_some_and(concerned);
        if let Some(update) = self.of_campaign(campaign).filter(|update| is_concerned && can_be_taken_back(update)) {
            decision.cancel(update);
        }
        decision.finish_and_begin_next()
    }

    /// A campaign's request for another update of the device: a retry of the former one, or its rollback.
    fn after(&self, known: Option<&CampaignUpdate>, request: &UpdateRequest) -> UpdateRequest {
        let former = known.map(|known| known.ordinal);
        match request.kind {
            UpdateKind::Rollback => {
                // A rollback that ended without success is no update that could be undone.
                let former_rollback = former
                    .and_then(|ordinal| self.updates.get(&ordinal))
                    .filter(|update| update.spec.kind == UpdateKind::Rollback);
                let rolls_back = former_rollback.map_or(former, |update| update.spec.rolls_back);
                UpdateRequest { rolls_back, ..request.clone() }
            }
            UpdateKind::Update => UpdateRequest { retry_of: former, ..request.clone() },
        }
    }

    fn of_campaign(&self, campaign: CampaignId) -> Option<&Update> {
        self.updates.get(&self.campaigns.get(&campaign)?.ordinal)
    }

    /// Whether a later round of the campaign may have another update: the previous one has ended, or has ended and is forgotten.
    fn may_retry(&self, known: CampaignUpdate, round: u16) -> bool {
        round > known.round && self.updates.get(&known.ordinal).is_none_or(|update| update.phase.is_ended())
    }

    /// Ordinal of an update under way with the same firmware.
    pub(super) fn under_way(&self, request: &UpdateRequest) -> Option<u32> {
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

/// Whether it has not ended, is before the point of no return and is not being cancelled.
fn can_be_taken_back(update: &Update) -> bool {
    !update.phase.is_ended() && !update.is_past_return() && update.phase != Phase::Cancelling
}

fn overrides_of(request: &UpdateRequest) -> Overrides {
    overrides(request.kind, request.force_update, request.allow_downgrade, request.activate)
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
        Exclusion::ComponentUnsupported => format!(
            "the firmware is for component {}, the device lists {}",
            firmware.component,
            device.versions.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
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
