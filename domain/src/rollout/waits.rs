//! What a campaign waits for, computed from the same view that [`decide`](super::decide) uses. If no step is decided for a running
//! campaign, this says why.

mod text;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::gate::SuccessGate;
use super::{Counts, KeptBack, RolloutView};
use crate::campaign::{CampaignStatus, PauseCause};
use crate::firmware::Lack;
use crate::per_transport::PACED;
use crate::values::Transport;

/// One thing that a campaign waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Wait {
    /// An operator, to start the campaign.
    Start,
    /// An approver, to approve or reject the campaign.
    Approval,
    /// An operator, to change a rejected campaign or to ask again.
    Change,
    /// The scheduled start of the campaign.
    ScheduledStart {
        until: DateTime<Utc>,
    },
    /// An operator, to open this wave.
    Operator {
        wave: u16,
    },
    /// An operator, to resume a campaign that was paused by an operator.
    Resume,
    /// An operator, to accept the failures that closed a gate.
    Accept,
    /// Another firmware: the campaign's own is withdrawn.
    Firmware,
    /// The end of the freeze, or of the suspension, of the tenant.
    Freeze,
    /// Signatures of its firmware by keys that the tenant trusts.
    Signatures,
    /// An SBOM of its firmware.
    Sbom,
    /// A provenance of its firmware by a key that the tenant trusts.
    Provenance,
    /// The planning of the campaign.
    Plan,
    Soak {
        wave: u16,
        until: DateTime<Utc>,
    },
    /// Devices of a transport are ready, and all of its slots are taken.
    Slots {
        transport: Transport,
        ready: u32,
        in_use: u32,
        max_concurrent_updates: u32,
    },
    /// Devices of a transport are ready, and the rate lets the next one begin at `until`.
    Rate {
        transport: Transport,
        ready: u32,
        until: DateTime<Utc>,
    },
    /// The devices of the open wave begin one after the other, the last one before `until`.
    Jitter {
        wave: u16,
        until: DateTime<Utc>,
    },
    /// The maintenance window, which opens at `until`: for devices that are ready, or for a wave.
    Window {
        devices: u32,
        wave: Option<u16>,
        until: DateTime<Utc>,
    },
    /// Devices whose update is under way. The wait ends at `until`, if given.
    WorkingDevices {
        count: u32,
        until: Option<DateTime<Utc>>,
    },
    /// Devices that can't begin now, or are not working. The wait ends at `until`, if given.
    IdleDevices {
        count: u32,
        until: Option<DateTime<Utc>>,
    },
}

/// What a campaign waits for before its start.
pub fn waits_before_start(
    status: CampaignStatus,
    scheduled_start: Option<DateTime<Utc>>,
    paused_by: Option<PauseCause>,
) -> Vec<Wait> {
    match status {
        CampaignStatus::Draft | CampaignStatus::Approved => vec![Wait::Start],
        CampaignStatus::AwaitingApproval => vec![Wait::Approval],
        CampaignStatus::Rejected => vec![Wait::Change],
        CampaignStatus::Scheduled => scheduled_start.map(|until| Wait::ScheduledStart { until }).into_iter().collect(),
        CampaignStatus::Paused => vec![paused(paused_by)],
        CampaignStatus::Absent
        | CampaignStatus::Deleted
        | CampaignStatus::Planning
        | CampaignStatus::Running
        | CampaignStatus::Cancelling
        | CampaignStatus::Cancelled
        | CampaignStatus::RollingBack
        | CampaignStatus::RolledBack
        | CampaignStatus::Completed
        | CampaignStatus::CompletedWithFailures
        | CampaignStatus::Failed => vec![],
    }
}

fn paused(by: Option<PauseCause>) -> Wait {
    match by {
        Some(PauseCause::Gate) => Wait::Accept,
        Some(PauseCause::FirmwareWithdrawn) => Wait::Firmware,
        Some(PauseCause::Operator) | None => Wait::Resume,
    }
}

/// What a campaign waits for. Empty if it has ended or continues by itself.
pub fn waits(view: &RolloutView, paused_by: Option<PauseCause>, now: DateTime<Utc>) -> Vec<Wait> {
    match view.status {
        CampaignStatus::Planning => vec![Wait::Plan],
        CampaignStatus::Running => view.running_waits(now),
        CampaignStatus::Paused if view.is_over(now) && view.rollback.is_none() => {
            view.working(None).into_iter().collect()
        }
        CampaignStatus::Paused => vec![paused(paused_by)],
        CampaignStatus::Cancelling => view.working(None).into_iter().collect(),
        CampaignStatus::RollingBack => view.rollback_waits(now),
        CampaignStatus::Absent
        | CampaignStatus::Draft
        | CampaignStatus::AwaitingApproval
        | CampaignStatus::Approved
        | CampaignStatus::Rejected
        | CampaignStatus::Scheduled
        | CampaignStatus::Deleted
        | CampaignStatus::Cancelled
        | CampaignStatus::RolledBack
        | CampaignStatus::Completed
        | CampaignStatus::CompletedWithFailures
        | CampaignStatus::Failed => vec![],
    }
}

impl RolloutView {
    fn running_waits(&self, now: DateTime<Utc>) -> Vec<Wait> {
        if self.failure_gate().is_some() {
            return vec![];
        }
        let mut waits = self.kept_back.map_or_else(|| self.limits(now), |why| vec![why.into()]);
        if self.is_over(now) {
            waits.extend(self.working(None));
        } else if self.wave_completed {
            waits.extend(self.next_step());
        } else if let Some(counts) = if self.is_staging() { Some(self.staging_counts()) } else { self.open_wave() } {
            waits.extend(self.wave_waits(counts, now));
        }
        waits
    }

    /// Devices that go back now, and those that have yet to come.
    fn rollback_waits(&self, now: DateTime<Utc>) -> Vec<Wait> {
        let Some(rollback) = &self.rollback else { return vec![] };
        let kept_back = self.kept_back.map(Wait::from);
        let working = self.working(None).or_else(|| {
            (rollback.under_way > 0).then_some(Wait::WorkingDevices { count: rollback.under_way, until: None })
        });
        let until = self.rollback_wait_ends(rollback);
        let absent = rollback.waiting.saturating_sub(rollback.ready.sum());
        let idle = (absent > 0).then_some(Wait::IdleDevices { count: absent, until: Some(until) });
        let rate = PACED.into_iter().filter_map(|transport| {
            let (ready, until) = (*rollback.ready.of(transport), self.next_paced(transport, now)?);
            (ready > 0).then_some(Wait::Rate { transport, ready, until })
        });
        kept_back.into_iter().chain(working).chain(rate).chain(idle).collect()
    }

    /// Why ready devices don't begin.
    fn limits(&self, now: DateTime<Utc>) -> Vec<Wait> {
        let opened = || self.waves_at_work().iter();
        let (ready, closed) =
            (opened().copied().fold(Counts::default(), Counts::plus), opened().map(|w| w.closed).sum());
        let window = self.next_opening(now).filter(|_| closed > 0);
        let mut waits: Vec<Wait> =
            window.map(|until| Wait::Window { devices: closed, wave: None, until }).into_iter().collect();
        let (grantable, in_use) = (self.grantable(now), self.total().slots_in_use());
        for transport in PACED {
            let (ready, in_use) = (*ready.ready_by_transport().of(transport), *in_use.of(transport));
            if ready == 0 || *grantable.of(transport) > 0 {
                continue;
            }
            let max_concurrent_updates = self.spec.pace(transport).max_concurrent_updates;
            if in_use >= max_concurrent_updates {
                waits.push(Wait::Slots { transport, ready, in_use, max_concurrent_updates });
            }
            waits.extend(self.next_paced(transport, now).map(|until| Wait::Rate { transport, ready, until }));
        }
        waits
    }

    /// After a completed wave: an operator who opens the next one, or the end of all updates.
    fn next_step(&self) -> Vec<Wait> {
        if usize::from(self.wave) < self.waves.len() {
            return vec![Wait::Operator { wave: self.wave + 1 }];
        }
        let idle = idle(self.total());
        let idle = (idle > 0).then_some(Wait::IdleDevices { count: idle, until: None });
        self.working(None).into_iter().chain(idle).collect()
    }

    /// What the success gate and the soak of the open wave wait for.
    fn wave_waits(&self, counts: Counts, now: DateTime<Utc>) -> Vec<Wait> {
        let undecided = self.success_gate(counts, now) == SuccessGate::Undecided;
        let mut waits = Vec::new();
        if let Some(since) = self.soaking_since {
            let until = self.soak_ends(since);
            let soaks = until > now && counts.enrolled > 0;
            waits.extend(soaks.then_some(Wait::Soak { wave: self.wave, until }));
            let window = self.next_opening(now).filter(|_| !soaks && self.next_wave_waits_for_window(now));
            waits.extend(window.map(|until| Wait::Window { devices: 0, wave: Some(self.wave + 1), until }));
        }
        if self.is_staging() && !undecided && self.next_wave_waits_for_window(now) {
            let until = self.next_opening(now);
            waits.extend(until.map(|until| Wait::Window { devices: 0, wave: Some(1), until }));
        }
        if !undecided {
            return waits;
        }
        let jitter = self.jitter_until(now).map(|until| Wait::Jitter { wave: self.wave, until });
        let is_spread = jitter.is_some();
        waits.extend(jitter);
        let until = self.wave_wait_ends().filter(|until| *until > now);
        let at_work = counts.working.max(counts.in_use);
        if at_work > 0 {
            waits.push(Wait::WorkingDevices { count: at_work, until });
        }
        let idle = idle(counts);
        let matters = match until {
            Some(_) => !self.would_be_enough(counts),
            // After the wait only the last wave with devices waits for devices that may never come.
            None => {
                (at_work == 0 && counts.ready + counts.closed == 0)
                    || !(self.guards_others() || self.would_do_late(counts))
            }
        };
        if idle > 0 && matters && !is_spread {
            waits.push(Wait::IdleDevices { count: idle, until });
        }
        waits
    }

    /// Whether working and ready devices alone could settle the wave.
    fn would_be_enough(&self, counts: Counts) -> bool {
        let enrolled = counts.enrolled.saturating_sub(counts.superseded + counts.cancelled);
        let settled = settled_if_all_begin(counts);
        u64::from(settled) * 100 >= u64::from(self.spec.min_reached_percent.get()) * u64::from(enrolled)
    }

    /// The same after the wait, when fewer devices are enough.
    fn would_do_late(&self, counts: Counts) -> bool {
        let enrolled = counts.enrolled.saturating_sub(counts.superseded + counts.cancelled);
        let settled = settled_if_all_begin(counts);
        self.accepted || self.would_be_enough(counts) || settled >= self.spec.gate_min_settled.min(enrolled)
    }

    fn working(&self, until: Option<DateTime<Utc>>) -> Option<Wait> {
        let total = self.total();
        let count = total.working.max(total.in_use);
        (count > 0).then_some(Wait::WorkingDevices { count, until })
    }
}

/// Devices that are not working, not ready and not ended, and that don't wait for their window alone.
fn idle(counts: Counts) -> u32 {
    let begin = counts.working.max(counts.in_use) + counts.ready + counts.closed;
    counts.enrolled.saturating_sub(counts.ended() + begin)
}

/// Devices that have settled, if all that work or could begin do so.
fn settled_if_all_begin(counts: Counts) -> u32 {
    counts.confirmed + counts.failed + counts.working.max(counts.in_use) + counts.ready + counts.closed
}

impl From<KeptBack> for Wait {
    fn from(why: KeptBack) -> Self {
        match why {
            KeptBack::Freeze => Self::Freeze,
            KeptBack::Firmware(Lack::Signatures) => Self::Signatures,
            KeptBack::Firmware(Lack::Sbom) => Self::Sbom,
            KeptBack::Firmware(Lack::Provenance) => Self::Provenance,
        }
    }
}
