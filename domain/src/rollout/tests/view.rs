//! The view of a process manager: a fold of a prefix of the log, in memory.

use super::world::slot_device;
use super::*;
use crate::campaign::{CampaignEvent, CampaignResult, PauseCause};
use crate::device::{CodeClass, DeviceEvent, Outcome, Phase, WaitReason};
use crate::ids::CampaignId;
use crate::ledger::LedgerEvent;

#[expect(clippy::large_enum_variant, reason = "few of them, and only in a test")]
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Logged {
    Campaign(CampaignEvent),
    Ledger(LedgerEvent),
    /// Index of the device in the fleet, which is also its rank.
    Device(usize, DeviceEvent),
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) wave: u16,
    /// None before the device has the update.
    pub(super) phase: Option<Phase>,
    pub(super) holds_slot: bool,
    /// The device took the slot without a grant, by a late answer.
    pub(super) is_late: bool,
    pub(super) grant: u64,
    pub(super) grant_seen: bool,
    reached: bool,
    gate_failed: bool,
    /// An operator has accepted its fault, or the failure of this update.
    gate_accepted: bool,
    failure_accepted: bool,
    confirmed_ever: bool,
    regressed: bool,
    not_before: Option<DateTime<Utc>>,
    online: bool,
    live: Option<u32>,
    between_attempts: Option<u32>,
    pub(super) ordinal: Option<u32>,
    /// The update that a new one retries.
    retry_of: Option<u32>,
}

impl Member {
    /// Failed or expired, so it is retried. The gates' counts don't change.
    fn retry(&mut self) {
        let ended_badly = matches!(
            self.phase,
            Some(Phase::Ended(Outcome::Failed | Outcome::TimedOut | Outcome::Rejected | Outcome::Expired))
        );
        if ended_badly || self.regressed {
            self.retry_of = self.ordinal;
            (self.phase, self.reached, self.regressed, self.not_before) = (None, false, false, None);
            self.failure_accepted = false;
        }
    }

    fn is_ended(&self) -> bool {
        self.phase.is_some_and(Phase::is_ended)
    }

    pub(super) fn is_staged(&self) -> bool {
        self.phase == Some(Phase::Staged)
    }

    pub(super) fn is_ready(&self, now: DateTime<Utc>) -> bool {
        let waits = self.phase.is_none_or(Phase::is_waiting) || self.is_staged();
        let is_idle = self.live.is_none() || (self.is_staged() && self.live == self.ordinal);
        let rested = self.not_before.is_none_or(|not_before| not_before <= now);
        let its_turn = self.between_attempts.is_none_or(|between| Some(between) == self.ordinal);
        waits && rested && !self.holds_slot && self.online && is_idle && its_turn
    }

    pub(super) fn is_cancellable(&self) -> bool {
        let past_return = matches!(self.phase, Some(Phase::Installing | Phase::Rebooting | Phase::Cancelling));
        self.phase.is_some() && !self.is_ended() && !past_return
    }
}

#[derive(Debug, Clone)]
pub(super) struct View {
    campaign: CampaignId,
    spec: CampaignSpec,
    pub(super) position: usize,
    pub(super) status: CampaignStatus,
    before_pause: CampaignStatus,
    pub(super) wave: u16,
    pub(super) opened: Vec<Option<DateTime<Utc>>>,
    soaking_since: Option<DateTime<Utc>>,
    paused_at: Option<DateTime<Utc>>,
    wave_completed: bool,
    accepted: bool,
    accepted_counts: Vec<(u32, u32)>,
    paced_until: Option<DateTime<Utc>>,
    pub(super) ledger_version: u64,
    pub(super) members: Vec<Member>,
    /// Events of the campaign so far.
    pub(super) campaign_version: usize,
    pub(super) round: u16,
}

impl View {
    /// `waves` names the wave of each device.
    pub(super) fn new(campaign: CampaignId, spec: CampaignSpec, waves: &[u16]) -> Self {
        let member = |wave: &u16| Member {
            wave: *wave,
            phase: None,
            holds_slot: false,
            is_late: false,
            grant: 0,
            grant_seen: true,
            reached: false,
            gate_failed: false,
            gate_accepted: false,
            failure_accepted: false,
            confirmed_ever: false,
            regressed: false,
            not_before: None,
            online: false,
            live: None,
            between_attempts: None,
            ordinal: None,
            retry_of: None,
        };
        let count = spec.waves.len();
        Self {
            campaign,
            spec,
            position: 0,
            status: CampaignStatus::Absent,
            before_pause: CampaignStatus::Absent,
            wave: 0,
            opened: vec![None; count],
            soaking_since: None,
            paused_at: None,
            wave_completed: false,
            accepted: false,
            accepted_counts: vec![(0, 0); count],
            paced_until: None,
            ledger_version: 0,
            members: waves.iter().map(member).collect(),
            campaign_version: 0,
            round: 0,
        }
    }

    /// Whether a device may begin: it is ready, and its delay is over.
    pub(super) fn may_begin(&self, place: usize, now: DateTime<Utc>) -> bool {
        self.members[place].is_ready(now) && self.is_its_turn(place) && !self.is_delayed(place, now)
    }

    /// Its wave is open; with blue/green all devices may stage.
    fn is_its_turn(&self, place: usize) -> bool {
        let member = &self.members[place];
        member.wave <= self.wave || (self.spec.stages() && !member.is_staged())
    }

    /// A grant to a device of this wave is for an update that runs at once.
    pub(super) fn activates(&self, wave: u16) -> bool {
        !self.spec.stages() || wave <= self.wave
    }

    pub(super) fn is_delayed(&self, place: usize, now: DateTime<Utc>) -> bool {
        let member = &self.members[place];
        let first = self.members.iter().position(|other| other.wave == member.wave).unwrap_or_default();
        let devices = self.members.iter().filter(|other| other.wave == member.wave).count() as u32;
        let begun = self.opened[usize::from(member.wave) - 1]
            .and_then(|opened_at| self.spec.begun_by_jitter(devices, opened_at, now));
        (!member.reached || member.is_staged()) && begun.is_some_and(|begun| place - first >= begun as usize)
    }

    pub(super) fn rollout(&self, now: DateTime<Utc>) -> RolloutView {
        RolloutView {
            spec: self.spec.clone(),
            status: self.status,
            position: self.position as u64,
            wave: self.wave,
            wave_opened_at: self.opened[usize::from(self.wave.max(1)) - 1],
            soaking_since: self.soaking_since,
            wave_completed: self.wave_completed,
            accepted: self.accepted,
            waves: (1..=self.spec.waves.len() as u16).map(|wave| self.counts(wave, now)).collect(),
            paced_until: self.paced_until,
            ends_at: None,
            failed_devices: self.members.iter().enumerate().rev().filter_map(failed_device).collect(),
            rollback: None,
            zones: vec![],
        }
    }

    pub(super) fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.spec.maintenance_window.at(None, now).is_open()
    }

    fn counts(&self, wave: u16, now: DateTime<Utc>) -> Counts {
        let (accepted_failed, accepted_settled) = self.accepted_counts[usize::from(wave) - 1];
        let mut counts = Counts { accepted_failed, accepted_settled, ..Counts::default() };
        let open = self.is_open(now);
        for (place, member) in self.members.iter().enumerate().filter(|(_, member)| member.wave == wave) {
            let resting = matches!(member.phase, Some(Phase::Deferred | Phase::Staged));
            counts.enrolled += 1;
            counts.reached += u32::from(member.reached);
            counts.gate_failed += u32::from(member.gate_failed);
            counts.gate_settled += u32::from(member.gate_failed || member.confirmed_ever);
            counts.in_use += u32::from(member.holds_slot);
            counts.staged += u32::from(member.is_staged());
            let is_cancelling = member.phase == Some(Phase::Cancelling);
            counts.working += u32::from(is_cancelling || (member.reached && !member.is_ended() && !resting));
            counts.ready += u32::from(self.may_begin(place, now) && open);
            counts.closed += u32::from(self.may_begin(place, now) && !open);
            match member.phase {
                Some(Phase::Ended(Outcome::Confirmed)) if !member.regressed => counts.confirmed += 1,
                Some(Phase::Ended(Outcome::Confirmed | Outcome::Failed | Outcome::TimedOut | Outcome::Rejected)) => {
                    counts.failed += 1;
                    counts.accepted_ended += u32::from(member.failure_accepted);
                }
                Some(Phase::Ended(Outcome::Expired)) => counts.expired += 1,
                Some(Phase::Ended(Outcome::Cancelled)) => counts.cancelled += 1,
                Some(Phase::Ended(Outcome::Superseded)) => counts.superseded += 1,
                _ => {}
            }
        }
        counts
    }

    pub(super) fn apply(&mut self, time: DateTime<Utc>, logged: &Logged) {
        self.position += 1;
        match logged {
            Logged::Campaign(event) => self.apply_campaign(time, event),
            Logged::Ledger(LedgerEvent::Granted { number, grants, .. }) => {
                self.ledger_version = *number;
                self.paced_until = self.spec.paced_until(self.paced_until, time, grants.len());
                for slot in grants {
                    let member = &mut self.members[slot.rank as usize];
                    (member.grant, member.grant_seen) = (*number, member.is_ended());
                    (member.holds_slot, member.is_late) = (!member.is_ended(), false);
                }
            }
            Logged::Device(place, event) => self.apply_device(*place, event),
        }
    }

    fn apply_campaign(&mut self, time: DateTime<Utc>, event: &CampaignEvent) {
        use CampaignEvent as E;
        self.campaign_version += 1;
        match event {
            E::Created { .. } => self.status = CampaignStatus::Draft,
            E::Adjusted { changes, .. } => {
                let new = self.spec.adjusted(changes);
                self.paced_until = self.spec.paced_again(&new, self.paced_until, time);
                self.spec = new;
            }
            E::Retried { round, .. } => self.retry(time, *round),
            E::PlanningStarted { .. } => self.status = CampaignStatus::Planning,
            E::Started {} => {
                self.status = CampaignStatus::Running;
                if self.spec.stages() {
                    self.opened.fill(Some(time));
                }
            }
            E::WaveOpened { wave, forced, .. } => {
                if *wave == 1 && *forced {
                    self.accept_failures(time);
                }
                self.wave = *wave;
                self.opened[usize::from(*wave) - 1] = Some(time);
                (self.soaking_since, self.wave_completed, self.accepted) = (None, false, false);
            }
            E::GatePassed { .. } => self.soaking_since = Some(time),
            E::SoakBroken { .. } | E::GateClosed { .. } => self.soaking_since = None,
            E::Staged { .. } => {
                self.wave_completed = true;
                self.accept_failures(time);
            }
            E::WaveCompleted { .. } => self.wave_completed = true,
            E::Paused { cause: PauseCause::Operator | PauseCause::Gate | PauseCause::FirmwareWithdrawn } => {
                self.before_pause = self.status;
                self.status = CampaignStatus::Paused;
                self.paused_at = Some(time);
            }
            E::Resumed { accept_failures } => self.resume(time, *accept_failures),
            E::Cancelling {} => self.status = CampaignStatus::Cancelling,
            E::Cancelled {} => self.status = CampaignStatus::Cancelled,
            E::Finished { result: CampaignResult::Completed, .. } => self.status = CampaignStatus::Completed,
            E::Finished { .. } => self.status = CampaignStatus::Failed,
            E::RollingBack { .. } => self.status = CampaignStatus::RollingBack,
            E::RolledBack { .. } => self.status = CampaignStatus::RolledBack,
            E::ApprovalRequested { .. } => self.status = CampaignStatus::AwaitingApproval,
            E::Approved { .. } => self.status = CampaignStatus::Approved,
            E::Rejected { .. } => self.status = CampaignStatus::Rejected,
            E::Scheduled { .. } => self.status = CampaignStatus::Scheduled,
            E::Amended { .. } | E::Deleted {} | E::Planned { .. } => {}
            E::PlanRefused { returns_to, .. } => self.status = *returns_to,
        }
    }

    fn retry(&mut self, time: DateTime<Utc>, round: u16) {
        self.round = round;
        if self.status.is_terminal() {
            self.status = CampaignStatus::Running;
        }
        self.members.iter_mut().for_each(Member::retry);
        self.opened.iter_mut().flatten().for_each(|opened| *opened = time);
    }

    /// Soak and waiting clocks stood still.
    fn resume(&mut self, time: DateTime<Utc>, accept_failures: bool) {
        self.status = self.before_pause;
        let stood = self.paused_at.take().map_or(TimeDelta::zero(), |since| time - since);
        self.soaking_since = self.soaking_since.map(|since| since + stood);
        self.opened.iter_mut().flatten().for_each(|opened| *opened += stood);
        if accept_failures {
            self.accepted = true;
            self.accept_failures(time);
        }
    }

    fn accept_failures(&mut self, time: DateTime<Utc>) {
        for wave in 1..=self.spec.waves.len() as u16 {
            let counts = self.counts(wave, time);
            self.accepted_counts[usize::from(wave) - 1] = (counts.gate_failed, counts.gate_settled);
        }
        for member in &mut self.members {
            member.gate_accepted = member.gate_failed;
            // A member that waits for its retry has nothing that could be accepted yet.
            let stands = member.phase != Some(Phase::Ended(Outcome::Confirmed)) || member.regressed;
            member.failure_accepted = member.gate_failed && member.phase.is_some() && stands;
        }
    }

    fn apply_device(&mut self, place: usize, event: &DeviceEvent) {
        use DeviceEvent as E;
        let member = &mut self.members[place];
        match event {
            E::CameOnline { .. } => member.online = true,
            E::WentOffline { .. } => member.online = false,
            _ => {}
        }
        let Some(update) = event.update() else { return };
        let phase = phase_after(event);
        match phase {
            Some(phase) if phase.is_live() => member.live = Some(update.ordinal),
            Some(_) if member.live == Some(update.ordinal) => member.live = None,
            _ => {}
        }
        match event {
            E::UpdateAttemptFailed { .. } => member.between_attempts = Some(update.ordinal),
            _ if phase.is_some() && member.between_attempts == Some(update.ordinal) => member.between_attempts = None,
            _ => {}
        }
        if update.campaign != Some(self.campaign) || member.retry_of.is_some_and(|old| update.ordinal <= old) {
            return;
        }
        member.ordinal = Some(update.ordinal);
        member.phase = phase.or(member.phase);
        let is_unanswered = member.holds_slot && !member.grant_seen;
        match event {
            E::UpdateDispatched { .. } => {
                (member.holds_slot, member.not_before) = (true, None);
            }
            E::UpdateAccepted { takes_slot, .. } => {
                member.is_late |= *takes_slot && !member.holds_slot;
                (member.holds_slot, member.reached, member.not_before) = (true, true, None);
            }
            E::UpdateWaiting { reason, retry_at, .. } => {
                member.holds_slot = false;
                match reason {
                    WaitReason::Slot => member.not_before = None,
                    WaitReason::Unresponsive => member.not_before = *retry_at,
                    _ => {}
                }
            }
            E::UpdateDeferred { until, .. } => (member.holds_slot, member.not_before) = (false, Some(*until)),
            E::UpdateStaged { retry_at, .. } => (member.holds_slot, member.not_before) = (false, *retry_at),
            E::UpdateActivating { .. } => (member.holds_slot, member.not_before) = (true, None),
            E::UpdateAttemptFailed { class, retry_at, .. } => {
                (member.holds_slot, member.not_before) = (false, Some(*retry_at));
                member.gate_failed |= matches!(class, CodeClass::Image | CodeClass::Final);
            }
            E::UpdateFailed { .. } | E::UpdateTimedOut { .. } | E::UpdateRejected { .. } => member.gate_failed = true,
            E::UpdateConfirmed { .. } => (member.confirmed_ever, member.failure_accepted) = (true, false),
            E::UpdateQueued { .. } => member.reached = false,
            E::VersionRegressed { .. } => (member.regressed, member.gate_failed) = (true, true),
            _ => {}
        }
        if member.is_ended() {
            (member.holds_slot, member.grant_seen) = (false, true);
        } else if is_unanswered {
            // The grant isn't answered yet, also after other reports of the device.
            member.grant_seen = event.grant().is_some_and(|number| number >= member.grant);
            member.holds_slot |= !member.grant_seen;
        }
        member.is_late &= member.holds_slot;
    }
}

fn failed_device((place, member): (usize, &Member)) -> Option<FailedDevice> {
    let failed = [Outcome::Failed, Outcome::TimedOut, Outcome::Rejected].map(Phase::Ended);
    let ended = member.regressed || member.phase.is_some_and(|phase| failed.contains(&phase));
    member.gate_failed.then(|| FailedDevice {
        device: slot_device(place),
        wave: member.wave,
        counts: !member.gate_accepted,
        ended: ended && !member.failure_accepted,
    })
}

/// The phase of an update after an event; none if the event doesn't change it.
fn phase_after(event: &DeviceEvent) -> Option<Phase> {
    use DeviceEvent as E;
    Some(match event {
        E::UpdateQueued { .. } => Phase::Queued,
        E::UpdateWaiting { reason, .. } => Phase::Waiting(*reason),
        E::UpdateDispatched { .. } => Phase::Dispatched,
        E::UpdateAccepted { .. } | E::UpdateCancelRefused { .. } => Phase::Accepted,
        E::UpdateDeferred { .. } => Phase::Deferred,
        E::UpdateDownloading { .. } => Phase::Downloading,
        E::UpdateVerifying { .. } => Phase::Verifying,
        E::UpdateInstalling { .. } => Phase::Installing,
        E::UpdateStaged { .. } => Phase::Staged,
        E::UpdateActivating { .. } => Phase::Activating,
        E::UpdateRebooting { .. } => Phase::Rebooting,
        E::UpdateAttemptFailed { .. } => Phase::Waiting(WaitReason::Backoff),
        E::UpdateCancelling { .. } => Phase::Cancelling,
        E::UpdateConfirmed { .. } => Phase::Ended(Outcome::Confirmed),
        E::UpdateFailed { .. } => Phase::Ended(Outcome::Failed),
        E::UpdateTimedOut { .. } => Phase::Ended(Outcome::TimedOut),
        E::UpdateRejected { .. } => Phase::Ended(Outcome::Rejected),
        E::UpdateExpired { .. } => Phase::Ended(Outcome::Expired),
        E::UpdateSuperseded { .. } => Phase::Ended(Outcome::Superseded),
        E::UpdateCancelled { .. } => Phase::Ended(Outcome::Cancelled),
        _ => return None,
    })
}
