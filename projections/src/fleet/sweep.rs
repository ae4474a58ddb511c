//! Events of a campaign that concern all its members or waiting updates: a retry, a raised sample, accepted failures, the end of a pause, the end.
//!
//! The rows are changed page by page before the campaign's own row: until that says so, no manager acts on what has begun to change.

use domain::campaign::CampaignEvent as E;
use domain::change::Change;
use domain::window::MaintenanceWindows;
use sqlx::PgConnection;

use super::rollout::{self, MemberSweep};
use super::update_clocks::{self, ClockSweep};
use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::read_model::SweepPlace;

enum Step<'a> {
    Clocks(ClockSweep<'a>),
    Members(MemberSweep<'a>),
}

fn steps_of(event: &E) -> Vec<Step<'_>> {
    use MemberSweep as M;
    match event {
        E::Retried { .. } => vec![Step::Members(M::ResetForRetry), Step::Members(M::RefreshPlanned)],
        E::Adjusted { sample, changes } => {
            let joins = sample.iter().map(|sample| Step::Members(M::JoinSample(sample)));
            joins.chain(steps_of_windows(&changes.maintenance_window)).collect()
        }
        E::Resumed { accept_failures: true } => {
            vec![Step::Clocks(ClockSweep::EndPause), Step::Members(M::AcceptFailures)]
        }
        E::Resumed { accept_failures: false } | E::Cancelling {} | E::RollingBack { .. } => {
            vec![Step::Clocks(ClockSweep::EndPause)]
        }
        // The failures of the staging don't count for the activation.
        E::Staged { .. } | E::WaveOpened { wave: 1, forced: true, .. } => vec![Step::Members(M::BeginActivation)],
        // Members that still wait for their retry get their former outcome back.
        E::Finished { .. } | E::Cancelled {} | E::RolledBack { .. } => vec![Step::Members(M::RestoreOutcomes)],
        _ => Vec::new(),
    }
}

fn steps_of_windows(change: &Change<MaintenanceWindows>) -> Vec<Step<'_>> {
    match change {
        Change::Keep => Vec::new(),
        Change::Clear => vec![Step::Clocks(ClockSweep::ChangeWindows(None))],
        Change::Set(windows) => {
            let follow = windows.follow_devices().then_some(Step::Members(MemberSweep::FollowZones(windows)));
            let windows = Some(windows).filter(|windows| !windows.is_empty());
            [Step::Clocks(ClockSweep::ChangeWindows(windows))].into_iter().chain(follow).collect()
        }
    }
}

fn steps(record: &Decoded) -> Vec<Step<'_>> {
    match &record.events {
        Events::Campaign(events) => events.iter().flat_map(steps_of).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn has_steps(record: &Decoded) -> bool {
    !steps(record).is_empty()
}

/// Changes one page. Returns where to go on, none when all rows are changed.
pub(super) async fn page(
    connection: &mut PgConnection,
    record: &Decoded,
    from: &SweepPlace,
) -> Result<Option<SweepPlace>, DbError> {
    let steps = steps(record);
    let campaign = [record.tenant(), record.id()];
    let reached = match steps.get(from.step) {
        Some(Step::Clocks(sweep)) => {
            update_clocks::sweep(connection, &campaign, sweep, record.at(), &from.after).await?
        }
        Some(Step::Members(sweep)) => rollout::sweep(connection, &campaign, sweep, &from.after).await?,
        None => None,
    };
    let next_step = from.step + 1;
    Ok(match reached {
        Some(after) => Some(SweepPlace { step: from.step, after }),
        None => (next_step < steps.len()).then(|| SweepPlace { step: next_step, after: String::new() }),
    })
}
