//! The course that a campaign would have taken: the policy decides when each device begins, and each device then does what it did.
//!
//! Devices begin in the campaign's order, and every change of a device comes as long after its turn as it really did. Devices that have no
//! outcome of their own are assumed to confirm or to fail, so two courses are the bounds. Maintenance windows, jitter, freezes and operators are
//! left out: waves that an operator opens are opened at once.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};

use super::progress::DeviceProgress;
use super::track::Change;
use crate::campaign::{CampaignResult, CampaignSpec, CampaignStatus, EVIDENCE_DEVICES_MAX, GateResult, Verdict};
use crate::ids::DeviceId;
use crate::per_transport::{PACED, PerTransport};
use crate::rollout::{Counts, FailedDevice, PacedUntil, RolloutStep, RolloutView, decide};
use crate::values::Transport;
use crate::window::MaintenanceWindows;

/// Most devices of a campaign whose course is computed.
pub const COURSE_DEVICES_MAX: u32 = 100_000;
/// Most decisions of one course, for each of its devices and waves.
const DECISIONS_MAX_EACH: usize = 64;

/// How a course ends.
#[derive(Debug, Clone, PartialEq)]
pub enum CourseEnd {
    Finished(CampaignResult),
    Stopped(GateResult),
    /// It waits for what the course leaves out.
    Waits,
}

/// One course of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    pub end: CourseEnd,
    /// From the start to the end.
    pub after: TimeDelta,
    /// Devices that had their turn.
    pub begun: u32,
    /// The part of `begun` whose outcome is assumed.
    pub unknown: u32,
    /// All waves together, at the end.
    pub counts: Counts,
}

/// A device of the campaign, at its place in the order.
pub(super) struct Role {
    pub(super) transport: Transport,
    pub(super) changes: Vec<Change>,
    pub(super) is_assumed: bool,
}

pub(super) struct Rehearsal<'a> {
    roles: Vec<Role>,
    /// Its devices in the same order, where they are known.
    names: Vec<Option<&'a DeviceId>>,
    view: RolloutView,
    /// First rank after each wave.
    wave_ends: Vec<usize>,
    /// The campaign starts at the Unix epoch: only durations count.
    now: DateTime<Utc>,
    /// Ranks of the devices of each transport that have not begun, in order.
    waiting: PerTransport<VecDeque<usize>>,
    /// Whether the device of each rank has begun.
    begun: Vec<bool>,
    /// Time, rank and index of the next change of each device that has begun.
    next: BinaryHeap<Reverse<(DateTime<Utc>, usize, usize)>>,
}

impl<'a> Rehearsal<'a> {
    /// `waves`: devices of each wave. `names`: the devices, where they are known; both in the campaign's order.
    pub(super) fn new(spec: CampaignSpec, waves: &[u32], roles: Vec<Role>, names: Vec<Option<&'a DeviceId>>) -> Self {
        let start = DateTime::UNIX_EPOCH;
        let spec = CampaignSpec {
            maintenance_window: MaintenanceWindows::default(),
            jitter_seconds: None,
            scheduled_start: None,
            ends_at: None,
            ..spec
        };
        let end_of = |end: &mut usize, enrolled: &u32| {
            *end += *enrolled as usize;
            Some(*end)
        };
        let view = RolloutView {
            spec,
            status: CampaignStatus::Running,
            position: 0,
            wave: 1,
            wave_opened_at: Some(start),
            soaking_since: None,
            wave_completed: false,
            accepted: false,
            waves: waves.iter().map(|enrolled| Counts { enrolled: *enrolled, ..Counts::default() }).collect(),
            paced_until: PacedUntil::default(),
            ends_at: None,
            failed_devices: vec![],
            rollback: None,
            zones: vec![],
            kept_back: None,
            released_at: None,
        };
        let wave_ends = waves.iter().scan(0, end_of).collect();
        let ranks =
            |transport| (0..).zip(&roles).filter(move |(_, role)| role.transport == transport).map(|(rank, _)| rank);
        let waiting = PerTransport::each(|transport| ranks(transport).collect());
        let begun = vec![false; roles.len()];
        Self { roles, names, view, wave_ends, now: start, waiting, begun, next: BinaryHeap::new() }
    }

    pub(super) fn run(mut self) -> Course {
        self.count_ready();
        let decisions_max = DECISIONS_MAX_EACH * (1 + self.roles.len() + self.view.waves.len());
        for _ in 0..decisions_max {
            let steps = decide(&self.view, self.now);
            let has_steps = !steps.is_empty();
            for step in steps {
                if let Some(end) = self.take(step) {
                    return self.ends(end);
                }
            }
            if has_steps {
                continue;
            }
            let Some(at) = self.next_time() else { break };
            self.now = at;
            self.change();
        }
        self.ends(CourseEnd::Waits)
    }

    fn take(&mut self, step: RolloutStep) -> Option<CourseEnd> {
        match step {
            RolloutStep::Grant { devices_max } => self.begin(devices_max),
            RolloutStep::PassGate { .. } => self.view.soaking_since = Some(self.now),
            RolloutStep::BreakSoak { .. } => self.view.soaking_since = None,
            RolloutStep::CompleteWave { .. } => self.open_next_wave(),
            RolloutStep::CloseGate { gate, wave, threshold_percent, evidence } => {
                let limit_percent = threshold_percent;
                let result = GateResult { gate, wave, verdict: Verdict::Closed, limit_percent, evidence };
                return Some(CourseEnd::Stopped(result));
            }
            RolloutStep::Finish { result, .. } => return Some(CourseEnd::Finished(result)),
            // Neither staged, nor cancelled, nor rolled back.
            RolloutStep::CompleteStaging { .. }
            | RolloutStep::CancelStaged
            | RolloutStep::WithdrawUnanswered
            | RolloutStep::CancelUpdates
            | RolloutStep::FinishCancel
            | RolloutStep::FinishRollback { .. } => return Some(CourseEnd::Waits),
        }
        None
    }

    fn begin(&mut self, devices_max: PerTransport<u32>) {
        let open_end = self.wave_ends[usize::from(self.view.wave) - 1];
        let mut begins = PerTransport::default();
        for transport in PACED {
            for _ in 0..*devices_max.of(transport) {
                let waiting = self.waiting.of_mut(transport);
                let Some(rank) = waiting.front().copied().filter(|rank| *rank < open_end) else { break };
                waiting.pop_front();
                self.begun[rank] = true;
                *begins.of_mut(transport) += 1;
                self.schedule(rank, 0, self.now);
            }
        }
        self.view.paced_until = self.view.spec.paced_until(self.view.paced_until, self.now, begins);
        // What changes at once takes its slot before the next decision.
        self.change();
        self.count_ready();
    }

    /// The change of a device that has begun at `began`, if it has one more.
    fn schedule(&mut self, rank: usize, index: usize, began: DateTime<Utc>) {
        if let Some((after, _)) = self.roles[rank].changes.get(index) {
            self.next.push(Reverse((began + *after, rank, index)));
        }
    }

    /// Applies all changes up to now.
    fn change(&mut self) {
        while let Some(Reverse((at, rank, index))) =
            self.next.peek().copied().filter(|Reverse((at, ..))| *at <= self.now)
        {
            self.next.pop();
            let changes = &self.roles[rank].changes;
            let before = index.checked_sub(1).map(|before| changes[before].1).unwrap_or_default();
            let (after, progress) = changes[index];
            let wave = self.wave_ends.partition_point(|end| *end <= rank);
            let counts = &mut self.view.waves[wave];
            let transport = self.roles[rank].transport;
            *counts = counts.minus(before.counts_of(transport)).plus(progress.counts_of(transport));
            self.name(rank, wave, before, progress);
            self.schedule(rank, index + 1, at - after);
        }
    }

    /// Names a device that fails, for evidence: the first ones of each wave.
    fn name(&mut self, rank: usize, wave: usize, before: DeviceProgress, after: DeviceProgress) {
        let Some(device) = self.names[rank] else { return };
        let wave = u16::try_from(wave + 1).unwrap_or(u16::MAX);
        let ended = after.is_failed();
        let failed = &mut self.view.failed_devices;
        if after.gate_failed && !before.gate_failed {
            if failed.iter().filter(|named| named.wave == wave).count() < EVIDENCE_DEVICES_MAX {
                failed.push(FailedDevice { device: device.clone(), wave, counts: true, ended });
            }
        } else if ended
            && !before.is_failed()
            && let Some(named) = failed.iter_mut().find(|named| named.device == *device)
        {
            // An earlier attempt had failed.
            named.ended = true;
        }
    }

    fn open_next_wave(&mut self) {
        self.view.soaking_since = None;
        if usize::from(self.view.wave) < self.view.waves.len() {
            self.view.wave += 1;
            self.view.wave_opened_at = Some(self.now);
            self.count_ready();
        } else {
            self.view.wave_completed = true;
        }
    }

    /// Devices of open waves that have not begun.
    fn count_ready(&mut self) {
        let waiting = &self.waiting;
        let below = |transport: Transport, end: usize| waiting.of(transport).partition_point(|rank| *rank < end);
        let mut start = 0;
        for (wave, end) in self.view.waves.iter_mut().zip(&self.wave_ends) {
            let left = |transport| u32::try_from(below(transport, *end) - below(transport, start)).unwrap_or(u32::MAX);
            wave.lorawan_ready = left(Transport::Lorawan);
            wave.ready = left(Transport::Mqtt) + wave.lorawan_ready;
            start = *end;
        }
    }

    /// When something changes next without a step.
    fn next_time(&self) -> Option<DateTime<Utc>> {
        let change = self.next.peek().map(|Reverse((at, ..))| *at);
        let soak = self.view.soaking_since.map(|since| self.view.soak_ends(since));
        let wait = self.view.wave_wait_ends();
        let grant = self.view.next_grant_at(self.now);
        [change, soak, wait, grant].into_iter().flatten().filter(|at| *at > self.now).min()
    }

    fn ends(self, end: CourseEnd) -> Course {
        let begun = || self.roles.iter().zip(&self.begun).filter(|(_, begun)| **begun);
        let unknown = begun().filter(|(role, _)| role.is_assumed).count();
        let count = |devices: usize| u32::try_from(devices).unwrap_or(u32::MAX);
        Course {
            end,
            after: self.now - DateTime::UNIX_EPOCH,
            begun: count(begun().count()),
            unknown: count(unknown),
            counts: self.view.total(),
        }
    }
}
