//! A campaign is one thread. After its start the thread has the correlation id of the start.

use super::{Campaign, CampaignCommand, CampaignEvent as E, GateKind};
use crate::thread::{Aim, Point, Step, StepKind, Thread};

/// The campaign itself.
pub const CAMPAIGN: Thread = Thread(0);
/// It was started: the cause of the plan.
pub const STARTED: Point = Point(0x1_0000);
/// Its end was set.
pub const END_SET: Point = Point(0x1_0001);
/// Failed devices may begin again, or devices joined the open wave.
pub const REOPENED: Point = Point(0x1_0002);
/// A success gate passed: the soak runs from here.
pub const SOAKING: Point = Point(0x1_0003);
/// It was paused, or a cancel or rollback began: the cause of commands that stop devices.
pub const STOPPED: Point = Point(0x1_0004);

/// Its start was scheduled: the cause of the start.
pub const SCHEDULED: Point = Point(0x1_0005);

/// The opening of a wave, from 1; 0 is the campaign's own start, from which on devices stage.
pub const fn wave_opened(wave: u16) -> Point {
    Point(wave as u32)
}

pub(super) fn step(event: &E) -> Step {
    let kind = match event {
        E::ApprovalRequested { .. } | E::Scheduled { .. } | E::PlanningStarted { .. } => StepKind::Restarts,
        _ => StepKind::GoesOn,
    };
    Step { thread: CAMPAIGN, kind }
}

pub(super) fn points(event: &E) -> Vec<(Thread, Point)> {
    let points = match event {
        E::PlanningStarted { .. } => vec![STARTED, END_SET],
        E::Scheduled { .. } => vec![SCHEDULED],
        E::Started {} => vec![wave_opened(0)],
        E::WaveOpened { wave, .. } => vec![wave_opened(*wave)],
        E::GatePassed { .. } => vec![SOAKING],
        E::Paused { .. } | E::Cancelling {} | E::RollingBack { .. } => vec![STOPPED],
        E::Retried { ends_at, .. } => [Some(REOPENED), ends_at.map(|_| END_SET)].into_iter().flatten().collect(),
        E::Adjusted { changes, sample } => {
            let reopened = sample.as_ref().map(|_| REOPENED);
            let end_set = (!changes.ends_at.is_keep()).then_some(END_SET);
            [reopened, end_set].into_iter().flatten().collect()
        }
        E::Created { .. }
        | E::Amended { .. }
        | E::ApprovalRequested { .. }
        | E::Approved { .. }
        | E::Rejected { .. }
        | E::Deleted {}
        | E::Planned { .. }
        | E::PlanRefused { .. }
        | E::Staged { .. }
        | E::SoakBroken { .. }
        | E::WaveCompleted { .. }
        | E::GateClosed { .. }
        | E::Resumed { .. }
        | E::Cancelled {}
        | E::RolledBack { .. }
        | E::Finished { .. } => vec![],
    };
    points.into_iter().map(|point| (CAMPAIGN, point)).collect()
}

impl Campaign {
    /// Decisions of clocks follow from the event that set the clock. Senders of other decisions name their cause.
    pub(super) fn aim(&self, command: &CampaignCommand) -> Aim {
        use CampaignCommand as C;
        let aim = Aim::at(vec![CAMPAIGN]);
        match command {
            C::Start { .. } => aim.from(CAMPAIGN, &[SCHEDULED]),
            C::RecordPlan { .. } | C::RefusePlan { .. } => aim.from(CAMPAIGN, &[STARTED]),
            C::CompleteWave { .. } => aim.from(CAMPAIGN, &[SOAKING]),
            C::CloseGate { gate: GateKind::TooFewReached, .. } => {
                aim.from(CAMPAIGN, &[wave_opened(self.wave), REOPENED])
            }
            C::Finish { .. } => aim.from(CAMPAIGN, &[END_SET]),
            _ => aim,
        }
    }
}
