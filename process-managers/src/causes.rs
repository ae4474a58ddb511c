//! Causes of the process managers' commands. Read from the campaign's own records in the log, so that they are the same after a crash and
//! on any node.

use std::sync::Arc;

use domain::campaign::Campaign;
use domain::campaign::threads::{CAMPAIGN, REOPENED, STOPPED, wave_opened};
use domain::thread::Point;
use domain::{Actor, Key};
use event_store::{Cause, Loaded, Standing};
use projections::rollout::WorkRow;
use uuid::Uuid;

use crate::Context;
use crate::reconciler::{self, ReconcileError};

/// A campaign from the log, not older than the version that the caller has seen.
pub(crate) async fn campaign(
    context: &Context,
    row: &WorkRow,
    seen_version: u64,
) -> Result<Arc<Loaded<Campaign>>, ReconcileError> {
    let key = Key::<Campaign>::new(&row.tenant, &row.campaign);
    let loaded = context.store.load(&key).await?;
    Ok(if loaded.version >= seen_version { loaded } else { context.store.load_fresh(&key).await? })
}

/// The sender of commands of the rollout.
pub(crate) fn actor() -> Actor {
    reconciler::actor("rollout")
}

/// The correlation id of the campaign's events.
pub(crate) fn correlation_id(campaign: &Loaded<Campaign>) -> Option<Uuid> {
    campaign.threads.last(CAMPAIGN).map(|standing| standing.correlation_id)
}

/// The campaign's last record.
pub(crate) fn last(campaign: &Loaded<Campaign>) -> Cause {
    cause(campaign.threads.last(CAMPAIGN))
}

/// The record that let devices of a wave begin: the wave's opening, or a later retry.
pub(crate) fn of_grant(campaign: &Loaded<Campaign>, wave: u16) -> Cause {
    at(campaign, &[wave_opened(wave), REOPENED])
}

/// The record that stopped the campaign.
pub(crate) fn of_stop(campaign: &Loaded<Campaign>) -> Cause {
    at(campaign, &[STOPPED])
}

/// The newest record that set one of these points.
pub(crate) fn at(campaign: &Loaded<Campaign>, points: &[Point]) -> Cause {
    let places: Vec<_> = points.iter().map(|point| (CAMPAIGN, *point)).collect();
    cause(campaign.threads.newest(&places))
}

fn cause(standing: Option<Standing>) -> Cause {
    standing.map_or(Cause::Thread, |standing| Cause::Record(standing.record))
}
