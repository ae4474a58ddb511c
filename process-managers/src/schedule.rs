//! Starts scheduled campaigns when they are due. After an outage they start late, as soon as this runs again.
//!
//! The aggregate decides whether the start is due and approved. A campaign whose firmware was withdrawn is paused instead; one whose end has
//! passed ends as failed.

use domain::campaign::{Campaign, CampaignCommand, CampaignResult, CampaignStatus, Evidence, PauseCause};
use domain::firmware::{Firmware, FirmwarePolicy};
use domain::ids::name_based_uuid;
use domain::{CommandId, Key};
use event_store::{Cause, ExpectedVersion, Request};
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::schedule::{self, Due, DueCampaign};
use runtime::clock;

use crate::reconciler::{self, Progress, ReconcileError, Reconciler};
use crate::{Context, withdrawals};

/// Most campaigns handled in one run.
const DUE_MAX: usize = 500;
/// Commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "schedule", interval: |options| options.rollout_interval, woken_by_events: false, run };

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    async move {
        let now = clock::now();
        let due = schedule::due(&context.db, now, DUE_MAX).await?;
        let is_full = due.len() == DUE_MAX;
        let commands = due.into_iter().map(|due| act(context, due).boxed()).collect();
        reconciler::run_bounded(commands, IN_FLIGHT_MAX).await?;
        let next = schedule::next_start(&context.db, now).await?;
        Ok(Progress::of(is_full).and(next.map_or(Progress::Idle, Progress::DueAt)))
    }
    .boxed()
}

async fn act(context: &Context, due: DueCampaign) -> Result<(), ReconcileError> {
    let key = Key::<Campaign>::new(&due.tenant, &due.campaign);
    let campaign = context.store.load_fresh(&key).await?;
    // The row may lag.
    let is_waiting =
        campaign.aggregate.status == CampaignStatus::Scheduled || campaign.aggregate.is_paused_before_start();
    if !is_waiting {
        return Ok(());
    }
    let (name, command, cause) = match due.due {
        Due::End => {
            let (result, evidence) = (CampaignResult::Failed, Evidence::default());
            ("end_unstarted", CampaignCommand::Finish { result, evidence }, Cause::Thread)
        }
        Due::Withdrawn => withdrawn(context, &due).await?,
        Due::Start => start(context, &due, campaign.version).await?,
    };
    let parts = [name, &due.campaign.to_string(), &campaign.version.to_string()];
    let request = Request {
        cause,
        // Only if the campaign has not changed since: an operator may have moved, paused or cancelled it.
        expected_version: Some(ExpectedVersion::OneOf(vec![campaign.version])),
        ..Request::new(CommandId::derive(&parts), RECONCILER.actor(), command)
    };
    let outcome = context.store.execute(&key, request).await;
    match &outcome {
        Ok(done) => {
            tracing::info!(campaign.id = %due.campaign, decision = name, position = done.position, "A scheduled campaign was due.");
        }
        Err(error) => {
            tracing::warn!(campaign.id = %due.campaign, decision = name, %error, "A scheduled campaign is not started now.");
        }
    }
    reconciler::log_and_continue(outcome, key.raw())
}

type Step = (&'static str, CampaignCommand, Cause);

async fn start(context: &Context, due: &DueCampaign, version: u64) -> Result<Step, ReconcileError> {
    let firmware = context.store.load_fresh(&Key::<Firmware>::new(&due.tenant, &due.firmware)).await?;
    let Ok(snapshot) = firmware.aggregate.snapshot_for_new_work(due.firmware, &FirmwarePolicy::default()) else {
        return withdrawn(context, due).await;
    };
    let plan = name_based_uuid(&["plan", due.tenant.as_str(), &due.campaign.to_string(), &version.to_string()]);
    let command = CampaignCommand::Start { plan, firmware: Box::new(snapshot), expected: None };
    Ok(("start_scheduled", command, Cause::Thread))
}

async fn withdrawn(context: &Context, due: &DueCampaign) -> Result<Step, ReconcileError> {
    let cause = withdrawals::taken_away(context, &due.tenant, due.firmware).await?;
    Ok(("pause_scheduled", CampaignCommand::Pause { cause: PauseCause::FirmwareWithdrawn }, cause))
}
