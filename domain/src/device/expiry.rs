//! Ends that no command asks for: clocks that run out and attempts that fail.
//!
//! A clock names the state that its sender knows. If the update has changed since, nothing happens.

use chrono::{DateTime, TimeDelta, Utc};

use super::codes::{CODE_DIGEST_MISSING, CODE_SILENT, CODE_TIMED_OUT, CodeClass, IMAGE_ATTEMPTS_MAX};
use super::commands::Clock;
use super::decision::Decision;
use super::phase::{Phase, WaitReason};
use super::update::Update;
use super::{Device, DeviceEvent, OfflineCause, Reachability};
use crate::sealed::Sealed;

/// A try that didn't succeed.
pub(super) struct Failure {
    pub(super) code: String,
    pub(super) class: CodeClass,
    pub(super) message: Option<Sealed<String>>,
}

impl Device {
    pub(super) fn expire(
        &self,
        now: DateTime<Utc>,
        believed: (u32, u16, Phase, u64),
        clock: Clock,
    ) -> Vec<DeviceEvent> {
        let mut decision = Decision::new(self, now);
        if let Some(update) = self.updates.get(&believed.0)
            && (update.ordinal, update.attempt, update.phase, update.seq) == believed
        {
            match clock {
                Clock::Wait => decision.expire_waiting(update),
                Clock::Total => decision.expire_total(update),
                Clock::Phase => decision.expire_phase(update),
            }
        }
        decision.finish_and_begin_next()
    }
}

impl Decision {
    pub(super) fn expire_waiting(&mut self, update: &Update) {
        let before_received = update.phase.is_waiting() || matches!(update.phase, Phase::Dispatched | Phase::Deferred);
        if before_received && !update.reached && self.now >= update.wait_until {
            self.push(DeviceEvent::UpdateExpired { update: update.reference() });
        }
    }

    /// The working clock stands still while the update is staged or deferred, or waits for a slot; an update that is being cancelled doesn't
    /// turn into a failure.
    fn expire_total(&mut self, update: &Update) {
        if !update.reached || update.phase.is_ended() {
            return;
        }
        match update.phase {
            Phase::Staged
            | Phase::Activating
            | Phase::Deferred
            | Phase::Waiting(WaitReason::Slot)
            | Phase::Ended(_) => {}
            Phase::Cancelling => self.cancelled(update),
            Phase::Queued
            | Phase::Waiting(_)
            | Phase::Dispatched
            | Phase::Accepted
            | Phase::Downloading
            | Phase::Verifying
            | Phase::Installing
            | Phase::Rebooting => self.time_out(update, CODE_TIMED_OUT),
        }
    }

    fn time_out(&mut self, update: &Update, code: &str) {
        let (phase, code) = (update.phase.word().to_owned(), Some(code.to_owned()));
        self.push(DeviceEvent::UpdateTimedOut { update: update.reference(), phase, code });
    }

    fn expire_phase(&mut self, update: &Update) {
        match update.phase {
            Phase::Dispatched => {
                self.wait_for_answer(update);
                self.is_silent();
            }
            Phase::Activating => {
                let retry_at = self.after_unanswered(update);
                self.stay_staged(update, WaitReason::Unresponsive, None, retry_at);
                self.is_silent();
            }
            // Deferred again after the sender has looked.
            Phase::Deferred if update.not_before.is_some_and(|until| self.now < until) => {}
            Phase::Deferred if update.spec.campaign.is_some() => self.wait(update, WaitReason::Slot, None),
            Phase::Deferred => self.begin(update.ordinal, None),
            Phase::Waiting(_) if update.spec.campaign.is_none() => self.begin_next_own(),
            Phase::Verifying if update.lacks_digest() => {
                let (code, class) = (CODE_DIGEST_MISSING.to_owned(), CodeClass::Final);
                self.fail(update, Failure { code, class, message: None });
            }
            Phase::Accepted | Phase::Downloading | Phase::Verifying => self.fall_silent(update, CodeClass::Transfer),
            Phase::Installing | Phase::Rebooting => self.fall_silent(update, CodeClass::Image),
            Phase::Cancelling => self.cancelled(update),
            Phase::Queued | Phase::Waiting(_) | Phase::Staged | Phase::Ended(_) => {}
        }
    }

    /// A device that answers nothing is not there.
    fn is_silent(&mut self) {
        if self.device.reachability == Reachability::Online {
            self.push(DeviceEvent::WentOffline { cause: OfflineCause::Silence });
        }
    }

    fn fall_silent(&mut self, update: &Update, class: CodeClass) {
        if retries_left(update, class) {
            self.fail(update, Failure { code: CODE_SILENT.to_owned(), class, message: None });
        } else {
            self.time_out(update, CODE_SILENT);
        }
    }

    /// Ends an attempt. Ends the update too, when its class allows no further attempt.
    pub(super) fn fail(&mut self, update: &Update, failure: Failure) {
        let Failure { code, class, message } = failure;
        let reference = update.reference();
        if retries_left(update, class) {
            let pause = TimeDelta::seconds(update.spec.limits.backoff_after(update.attempt).into());
            let retry_at = self.now + pause;
            self.push(DeviceEvent::UpdateAttemptFailed {
                update: reference,
                code,
                class,
                message,
                retry_at,
                mark: None,
            });
        } else {
            self.push(DeviceEvent::UpdateFailed { update: reference, code, class, message, mark: None });
        }
    }
}

fn retries_left(update: &Update, class: CodeClass) -> bool {
    // A cancel was requested and refused: the update is not attempted again.
    update.attempt < update.spec.max_attempts
        && !update.cancel_refused
        && match class {
            CodeClass::Defer | CodeClass::Transfer => true,
            CodeClass::Image => update.image_failures + 1 < IMAGE_ATTEMPTS_MAX,
            CodeClass::Final => false,
        }
}
