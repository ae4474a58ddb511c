//! The view of a process manager: a fold of a prefix of the log, in memory.

mod policy;

use super::member::{Member, Tracked};
use super::world::slot_device;
use super::*;
use crate::campaign::{CampaignEvent, CampaignResult};
use crate::device::{DeviceEvent, Outcome, Phase};
use crate::ids::CampaignId;
use crate::ledger::LedgerEvent;
use crate::ledger::devices_of;
use crate::rollback::RollbackObstacle;

#[expect(clippy::large_enum_variant, reason = "few of them, and only in a test")]
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Logged {
    /// The index of the campaign among those of the simulation.
    Campaign(usize, CampaignEvent),
    Ledger(usize, LedgerEvent),
    /// Index of the device in the fleet, which is also its rank.
    Device(usize, DeviceEvent),
}

/// The latest rollback of a campaign.
#[derive(Debug, Clone)]
struct Begun {
    round: u16,
    since: DateTime<Utc>,
    /// The latest round of updates, before this and other rollbacks.
    update_round: u16,
}

/// What a campaign takes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CancelScope {
    Everything,
    AllButRollbacks,
    Staged,
}

/// A slot that was granted, and that the device hasn't answered.
#[derive(Debug, Clone)]
pub(super) struct UnansweredGrant {
    pub(super) place: usize,
    pub(super) number: u64,
    /// To go back, to this version.
    pub(super) back_to: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct View {
    /// Index of the campaign.
    pub(super) of: usize,
    pub(super) campaign: CampaignId,
    /// What the campaign brings.
    pub(super) version: &'static str,
    pub(super) spec: CampaignSpec,
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
    paced_until: PacedUntil,
    pub(super) ledger_version: u64,
    pub(super) members: Vec<Member>,
    /// Events of the campaign so far.
    pub(super) campaign_version: usize,
    /// The latest round, of updates or of a rollback.
    pub(super) round: u16,
    rollback: Option<Begun>,
}

impl View {
    /// `waves` names the wave of each device.
    pub(super) fn new(
        of: usize,
        campaign: CampaignId,
        version: &'static str,
        spec: CampaignSpec,
        waves: &[u16],
    ) -> Self {
        let count = spec.waves.len();
        Self {
            of,
            campaign,
            version,
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
            paced_until: PacedUntil::default(),
            ledger_version: 0,
            members: waves.iter().copied().map(Member::of_wave).collect(),
            campaign_version: 0,
            round: 0,
            rollback: None,
        }
    }

    pub(super) fn is_rolling_back(&self) -> bool {
        let paused = self.status == CampaignStatus::Paused && self.before_pause == CampaignStatus::RollingBack;
        self.status == CampaignStatus::RollingBack || paused
    }

    /// The round of updates.
    pub(super) fn update_round(&self) -> u16 {
        self.rollback.as_ref().map_or(self.round, |rollback| rollback.update_round)
    }

    /// The round of the rollback that is under way.
    fn rollback_round(&self) -> Option<u16> {
        self.rollback.as_ref().filter(|_| self.is_rolling_back()).map(|rollback| rollback.round)
    }

    /// The devices that may begin: with the campaign's update, or with what they go back to.
    pub(super) fn next_devices(&self, now: DateTime<Utc>) -> Vec<usize> {
        let next = |place: &usize| match self.rollback_round() {
            Some(round) => self.members[*place].may_return(round, self.version, now),
            None => self.may_begin(*place, now),
        };
        (0..self.members.len()).filter(next).collect()
    }

    pub(super) fn unseen(&self) -> Vec<UnansweredGrant> {
        let unseen = self.members.iter().enumerate().filter(|(_, member)| member.holds_slot && member.is_unseen);
        unseen.map(|(place, member)| self.slot(place, member.grant)).collect()
    }

    pub(super) fn slot(&self, place: usize, number: u64) -> UnansweredGrant {
        let back_to = self.members[place].back_to().filter(|_| self.rollback.is_some()).cloned();
        UnansweredGrant { place, number, back_to }
    }

    /// Devices with an update or a rollback that can be cancelled.
    pub(super) fn cancellable(&self, what: CancelScope) -> Vec<usize> {
        let may = |of: &Option<Tracked>| of.as_ref().is_some_and(Tracked::may_be_cancelled);
        let is_taken = |member: &Member| match what {
            CancelScope::Everything => may(&member.update) || may(&member.rollback),
            CancelScope::AllButRollbacks => may(&member.update),
            CancelScope::Staged => member.is_staged(),
        };
        (0..self.members.len()).filter(|place| is_taken(&self.members[*place])).collect()
    }

    /// Whether a device may begin with its update: it is ready, and its delay is over.
    fn may_begin(&self, place: usize, now: DateTime<Utc>) -> bool {
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
        (!member.is_reached() || member.is_staged()) && begun.is_some_and(|begun| place - first >= begun as usize)
    }

    pub(super) fn is_open(&self, now: DateTime<Utc>) -> bool {
        self.spec.maintenance_window.at(None, now).is_open()
    }

    pub(super) fn apply(&mut self, time: DateTime<Utc>, logged: &Logged) {
        self.position += 1;
        match logged {
            Logged::Campaign(of, event) if *of == self.of => self.apply_campaign(time, event),
            Logged::Ledger(of, LedgerEvent::Granted { number, grants, .. }) if *of == self.of => {
                self.ledger_version = *number;
                self.paced_until = self.spec.paced_until(self.paced_until, time, devices_of(grants));
                let round = self.rollback_round();
                grants.iter().for_each(|slot| self.members[slot.rank as usize].grant(*number, round));
            }
            Logged::Campaign(..) | Logged::Ledger(..) => {}
            Logged::Device(place, event) => {
                let member = &mut self.members[*place];
                member.follow_device(event, self.version);
                let is_own = event.update().is_some_and(|update| update.campaign == Some(self.campaign));
                // Events after its end don't change a campaign's result.
                let is_late = !self.status.is_live() && matches!(event, DeviceEvent::VersionRegressed { .. });
                if is_own && !is_late {
                    member.apply(event);
                }
            }
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
                    self.begin_activation(time);
                }
                self.wave = *wave;
                self.opened[usize::from(*wave) - 1] = Some(time);
                (self.soaking_since, self.wave_completed, self.accepted) = (None, false, false);
            }
            E::GatePassed { .. } => self.soaking_since = Some(time),
            E::SoakBroken { .. } | E::GateClosed { .. } => self.soaking_since = None,
            E::Staged { .. } => {
                self.wave_completed = true;
                self.begin_activation(time);
            }
            E::WaveCompleted { .. } => self.wave_completed = true,
            E::Paused { .. } => {
                self.before_pause = self.status;
                self.status = CampaignStatus::Paused;
                self.paused_at = Some(time);
            }
            E::Resumed { accept_failures } => self.resume(time, *accept_failures),
            E::Cancelling {} => (self.status, self.paused_at) = (CampaignStatus::Cancelling, None),
            E::Cancelled {} => self.end(CampaignStatus::Cancelled),
            E::Finished { result: CampaignResult::Completed, .. } => self.end(CampaignStatus::Completed),
            E::Finished { .. } => self.end(CampaignStatus::Failed),
            E::RollingBack { round, .. } => {
                let update_round = self.update_round();
                (self.status, self.paused_at, self.soaking_since) = (CampaignStatus::RollingBack, None, None);
                self.round = *round;
                self.rollback = Some(Begun { round: *round, since: time, update_round });
            }
            E::RolledBack { .. } => self.end(CampaignStatus::RolledBack),
            E::ApprovalRequested { .. } => self.status = CampaignStatus::AwaitingApproval,
            E::Approved { .. } => self.status = CampaignStatus::Approved,
            E::Rejected { .. } => self.status = CampaignStatus::Rejected,
            E::Scheduled { .. } => self.status = CampaignStatus::Scheduled,
            E::Amended { .. } | E::Deleted {} | E::Planned { .. } => {}
            E::PlanRefused { returns_to, .. } => self.status = *returns_to,
        }
    }

    fn end(&mut self, status: CampaignStatus) {
        (self.status, self.paused_at) = (status, None);
        self.members.iter_mut().for_each(Member::restore);
    }

    fn retry(&mut self, time: DateTime<Utc>, round: u16) {
        self.round = round;
        if self.status.is_terminal() {
            self.status = CampaignStatus::Running;
        }
        self.members.iter_mut().for_each(Member::retry);
        let from = self.paused_at.unwrap_or(time);
        self.opened.iter_mut().flatten().for_each(|opened| *opened = from);
    }

    /// Soak and waiting clocks stood still.
    fn resume(&mut self, time: DateTime<Utc>, accept_failures: bool) {
        self.status = self.before_pause;
        let stood = self.paused_at.take().map_or(TimeDelta::zero(), |since| time - since);
        self.soaking_since = self.soaking_since.map(|since| since + stood);
        self.opened.iter_mut().flatten().for_each(|opened| *opened += stood);
        if let Some(rollback) = self.rollback.as_mut().filter(|_| self.status == CampaignStatus::RollingBack) {
            rollback.since += stood;
        }
        if accept_failures {
            self.accepted = true;
            self.accept_failures(time);
        }
    }

    /// Failures while staging don't count for the activation.
    fn begin_activation(&mut self, time: DateTime<Utc>) {
        for member in self.members.iter_mut().filter(|member| !member.is_ended()) {
            (member.gate_failed, member.gate_accepted, member.failure_accepted) = (false, false, false);
        }
        self.accept_failures(time);
    }

    fn accept_failures(&mut self, time: DateTime<Utc>) {
        for wave in 1..=self.spec.waves.len() as u16 {
            let counts = self.counts(wave, time);
            self.accepted_counts[usize::from(wave) - 1] = (counts.gate_failed, counts.gate_settled);
        }
        self.members.iter_mut().for_each(Member::accept_failure);
    }
}
