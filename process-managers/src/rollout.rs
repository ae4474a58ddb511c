//! Advances campaigns: grants slots, judges gates, withdraws and cancels. [`crate::planner`] plans them.
//!
//! The decisions are in [`domain::rollout::decide`]; this file only reads the view and sends the decisions as commands.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignCommand, CampaignStatus, GateKind, GateResult, PauseCause, Verdict};
use domain::device::{Device, DeviceCommand};
use domain::firmware::{Firmware, FirmwareCommand, FirmwareStatus};
use domain::rollout::{RolloutStep, RolloutView, decide};
use domain::{CommandId, DeviceId, Key};
use event_store::{Cause, ExecuteError, ExpectedVersion, Loaded, RecordRef, Request};
use futures::FutureExt;
use futures::future::BoxFuture;
use projections::rollout::{self, CancelScope, Unanswered, View, WorkRow};
use projections::watermark::Watermark;
use runtime::clock;

use crate::reconciler::{self, Progress, ReconcileError, Reconciler};
use crate::watermark_lag::is_stale;
use crate::{Context, causes, gates, slots, withdrawals};

/// Campaigns read at a time; each run covers all.
const PAGE_CAMPAIGNS: usize = 500;
/// Shortest time between two grants that wait only for the rate, so that a high rate grants many at once.
const GRANT_GAP: TimeDelta = TimeDelta::milliseconds(200);
/// Most devices told to withdraw or cancel, per run and campaign.
const TAKEN_BACK_MAX: usize = 500;
/// Device commands under way at the same time.
const IN_FLIGHT_MAX: usize = 32;

pub(crate) const RECONCILER: Reconciler =
    Reconciler { name: "rollout", interval: |options| options.rollout_interval, woken_by_events: true, run };

/// An action on one campaign.
type Act = for<'a> fn(&'a Context, &'a WorkRow) -> BoxFuture<'a, Result<Progress, ReconcileError>>;

fn run(context: &Context) -> BoxFuture<'_, Result<Progress, ReconcileError>> {
    each_campaign(context, |context, row| carry_forward(context, row).boxed()).boxed()
}

/// Runs an action for every campaign at work. An error of one doesn't delay the others.
pub(crate) async fn each_campaign(context: &Context, act: Act) -> Result<Progress, ReconcileError> {
    let mut progress = Progress::Idle;
    let mut last = None;
    loop {
        let page = rollout::at_work(&context.db, last.as_ref(), PAGE_CAMPAIGNS).await?;
        for row in &page {
            match act(context, row).await {
                Ok(made) => progress = progress.and(made),
                Err(error) if !error.is_outage() => {
                    tracing::error!(campaign.id = %row.campaign, %error, "A campaign can't be advanced.");
                }
                Err(error) => return Err(error),
            }
        }
        let full = page.len() == PAGE_CAMPAIGNS;
        last = page.into_iter().next_back();
        if !full {
            return Ok(progress);
        }
    }
}

async fn carry_forward(context: &Context, row: &WorkRow) -> Result<Progress, ReconcileError> {
    match row.status {
        CampaignStatus::Draft
        | CampaignStatus::AwaitingApproval
        | CampaignStatus::Approved
        | CampaignStatus::Rejected
        | CampaignStatus::Scheduled
        | CampaignStatus::Planning => Ok(Progress::Idle),
        CampaignStatus::Running | CampaignStatus::Paused | CampaignStatus::Cancelling | CampaignStatus::RollingBack => {
            roll(context, row).await
        }
        CampaignStatus::Absent
        | CampaignStatus::Deleted
        | CampaignStatus::Cancelled
        | CampaignStatus::RolledBack
        | CampaignStatus::Completed
        | CampaignStatus::CompletedWithFailures
        | CampaignStatus::Failed => {
            unpin(context, row).await?;
            Ok(Progress::Idle)
        }
    }
}

async fn roll(context: &Context, row: &WorkRow) -> Result<Progress, ReconcileError> {
    let now = clock::now();
    // Read before the view, so that the view covers at least as much as the watermark.
    let stale = is_stale(&Watermark::read(&context.db).await?, now);
    let Some(view) = rollout::view(&context.db, &row.tenant, &row.campaign, now).await? else {
        return Ok(Progress::Idle);
    };
    // If all updates have ended, there is nothing to stop.
    let stoppable = view.rollout.status == CampaignStatus::Running && !view.rollout.has_everybody_ended();
    if stoppable && firmware_is_withdrawn(context, row).await? {
        let cause = withdrawals::taken_away(context, &row.tenant, row.spec.firmware_id).await?;
        let command = CampaignCommand::Pause { cause: PauseCause::FirmwareWithdrawn };
        send(context, row, &view, "pause", command, cause).await?;
        return Ok(Progress::Idle);
    }
    for which in carried_again(&view.rollout, now) {
        slots::carry_again(context, row, &view, which).await?;
    }
    let mut moved = false;
    for decision in decide(&view.rollout, now).into_iter().filter(|decision| !(stale && rests_on_silence(decision))) {
        moved |= match is_end(&decision) {
            true => end_on_newest_view(context, row).await?,
            false => carry_out(context, row, &view, decision).await?,
        };
    }
    let due = view.rollout.next_grant_at(now).map_or(Progress::Idle, |next| Progress::DueAt(next.max(now + GRANT_GAP)));
    Ok(Progress::of(moved).and(due))
}

/// Which unanswered grants are sent again: none while the campaign is kept back. Those that were not carried before the window closed wait for the next one; a rollback ignores
/// windows. In a campaign that is over, also in a paused one, devices that never began expire with it.
fn carried_again(rollout: &RolloutView, now: DateTime<Utc>) -> Vec<Unanswered> {
    let over = (rollout.is_over(now) && rollout.rollback.is_none()).then_some(Unanswered::NotReached);
    match rollout.status {
        CampaignStatus::RollingBack | CampaignStatus::Running if rollout.kept_back.is_some() => {
            over.into_iter().collect()
        }
        CampaignStatus::RollingBack => vec![Unanswered::All],
        CampaignStatus::Running => [Some(Unanswered::MayBegin(now)), over].into_iter().flatten().collect(),
        CampaignStatus::Paused => over.into_iter().collect(),
        CampaignStatus::Absent
        | CampaignStatus::Draft
        | CampaignStatus::AwaitingApproval
        | CampaignStatus::Approved
        | CampaignStatus::Rejected
        | CampaignStatus::Deleted
        | CampaignStatus::Scheduled
        | CampaignStatus::Planning
        | CampaignStatus::Cancelling
        | CampaignStatus::Cancelled
        | CampaignStatus::RolledBack
        | CampaignStatus::Completed
        | CampaignStatus::CompletedWithFailures
        | CampaignStatus::Failed => vec![],
    }
}

/// No regression during a soak, or no reached device during a wave's wait, means something only while messages of devices are processed.
fn rests_on_silence(decision: &RolloutStep) -> bool {
    matches!(
        decision,
        RolloutStep::CompleteStaging { .. }
            | RolloutStep::CompleteWave { .. }
            | RolloutStep::CloseGate { gate: GateKind::TooFewReached, .. }
    )
}

/// Carries out one decision; returns whether more may follow at once.
async fn carry_out(
    context: &Context,
    row: &WorkRow,
    view: &View,
    decision: RolloutStep,
) -> Result<bool, ReconcileError> {
    use CampaignCommand as C;
    match decision {
        RolloutStep::Grant { .. } => return slots::grant(context, row).await,
        RolloutStep::CompleteStaging { evidence } => {
            let cause = record(view.last_outcome());
            send(context, row, view, "complete_staging", C::CompleteStaging { evidence }, cause).await?;
        }
        RolloutStep::CancelStaged => cancel(context, row, view, CancelScope::Staged).await?,
        RolloutStep::PassGate { wave, evidence } => {
            let cause = record(view.outcome_of(wave));
            send(context, row, view, "pass_gate", C::PassGate { wave, evidence }, cause).await?;
        }
        RolloutStep::BreakSoak { wave, evidence } => {
            let cause = record(view.outcome_of(wave));
            send(context, row, view, "break_soak", C::BreakSoak { wave, evidence }, cause).await?;
        }
        RolloutStep::CompleteWave { wave, evidence } => {
            send(context, row, view, "complete_wave", C::CompleteWave { wave, evidence }, Cause::Thread).await?;
        }
        RolloutStep::CloseGate { gate, wave, threshold_percent, evidence } => {
            let cause = match gate {
                GateKind::Failure | GateKind::Rollback => record(view.last_failure()),
                GateKind::Success => record(wave.map_or_else(|| view.last_outcome(), |wave| view.outcome_of(wave))),
                GateKind::TooFewReached => Cause::Thread,
            };
            let result = GateResult {
                gate,
                wave,
                verdict: Verdict::Closed,
                limit_percent: threshold_percent,
                evidence: evidence.clone(),
            };
            let command = C::CloseGate { gate, wave, threshold_percent, evidence };
            if send(context, row, view, "close_gate", command, cause).await? {
                gates::tell(row, &result);
            }
        }
        RolloutStep::WithdrawUnanswered => {
            let devices = rollout::withdrawable(&context.db, &row.tenant, &row.campaign, TAKEN_BACK_MAX).await?;
            let campaign = causes::campaign(context, row, view.campaign_version).await?;
            tell(context, row, &campaign, devices, DeviceCommand::Withdraw { campaign: row.campaign }).await?;
            slots::withdraw(context, row, view).await?;
        }
        RolloutStep::CancelUpdates => {
            let what = taken_back(view);
            cancel(context, row, view, what).await?;
            let campaign = causes::campaign(context, row, view.campaign_version).await?;
            slots::take_back(context, row, view, &campaign, what).await?;
        }
        RolloutStep::FinishCancel => {
            let left =
                rollout::has_uncancelled(&context.db, &row.tenant, &row.campaign, CancelScope::Everything).await?;
            if !left && view.rollout.total().in_use == 0 {
                // If no device had to be told, the cause is the campaign's own cancelling record.
                let cause = record(view.last_outcome().filter(|outcome| outcome.position > view.campaign_position));
                send(context, row, view, "finish_cancel", C::FinishCancel, cause).await?;
            }
        }
        RolloutStep::FinishRollback { evidence } => {
            let what = CancelScope::AllButRollbacks;
            if !rollout::has_uncancelled(&context.db, &row.tenant, &row.campaign, what).await? {
                let cause = record(view.last_outcome().filter(|outcome| outcome.position > view.campaign_position));
                send(context, row, view, "finish_rollback", C::FinishRollback { evidence }, cause).await?;
            }
        }
        // After the end no command would tell a device that stages late to activate its image or to drop it.
        RolloutStep::Finish { .. } if cancel_staged(context, row, view).await? => {}
        RolloutStep::Finish { result, evidence } => {
            let total = view.rollout.total();
            let cause = if total.ended() >= total.enrolled { record(view.last_outcome()) } else { Cause::Thread };
            send(context, row, view, "finish", C::Finish { result, evidence }, cause).await?;
        }
    }
    Ok(false)
}

/// Whether the decision ends the campaign, its cancel or its rollback.
fn is_end(decision: &RolloutStep) -> bool {
    matches!(decision, RolloutStep::Finish { .. } | RolloutStep::FinishCancel | RolloutStep::FinishRollback { .. })
}

/// Ends are decided on the current view: since an older one a device may have taken a slot, or have gone on with what it was to drop.
async fn end_on_newest_view(context: &Context, row: &WorkRow) -> Result<bool, ReconcileError> {
    let now = clock::now();
    let Some(view) = &slots::newest_view(context, row, now).await? else { return Ok(false) };
    match decide(&view.rollout, now).into_iter().find(is_end) {
        Some(decision) => carry_out(context, row, view, decision).await,
        None => Ok(false),
    }
}

/// Cancels the updates of staged, deferred and waiting devices of a campaign with blue/green, before the campaign ends. Returns whether there
/// were any.
async fn cancel_staged(context: &Context, row: &WorkRow, view: &View) -> Result<bool, ReconcileError> {
    let what = CancelScope::Staged;
    if !view.rollout.spec.stages() || !rollout::has_uncancelled(&context.db, &row.tenant, &row.campaign, what).await? {
        return Ok(false);
    }
    cancel(context, row, view, what).await?;
    Ok(true)
}

/// Cancels updates in the devices.
async fn cancel(context: &Context, row: &WorkRow, view: &View, what: CancelScope) -> Result<(), ReconcileError> {
    let devices = rollout::cancellable(&context.db, &row.tenant, &row.campaign, what, TAKEN_BACK_MAX).await?;
    let campaign = causes::campaign(context, row, view.campaign_version).await?;
    // The command names the round, so that it can't cancel an update of a later round if it arrives late.
    let before_round = Some(match what {
        CancelScope::AllButRollbacks => view.update_round.saturating_add(1),
        CancelScope::Everything | CancelScope::Staged => view.retry_round.saturating_add(1),
    });
    let command = DeviceCommand::CancelForCampaign { campaign: row.campaign, before_round };
    tell(context, row, &campaign, devices, command).await
}

/// A rollback cancels updates and goes on with rollbacks.
fn taken_back(view: &View) -> CancelScope {
    match view.rollout.rollback {
        Some(_) => CancelScope::AllButRollbacks,
        None => CancelScope::Everything,
    }
}

/// The record that a decision depends on; without one, its cause is the campaign's own last record.
fn record(record: Option<RecordRef>) -> Cause {
    record.map_or(Cause::Thread, Cause::Record)
}

/// Sends a decision to the campaign; its id names the view's position. Returns whether it was stored.
async fn send(
    context: &Context,
    row: &WorkRow,
    view: &View,
    name: &str,
    command: CampaignCommand,
    cause: Cause,
) -> Result<bool, ReconcileError> {
    let parts = [name, &row.campaign.to_string(), &view.rollout.position.to_string()];
    // Only if the campaign has not changed since, because a change may lead to another decision.
    let seen = Some(ExpectedVersion::OneOf(vec![view.campaign_version]));
    let request =
        Request { cause, expected_version: seen, ..Request::new(CommandId::derive(&parts), causes::actor(), command) };
    match context.store.execute(&Key::<Campaign>::new(&row.tenant, &row.campaign), request).await {
        Ok(committed) => {
            if !committed.events.is_empty() {
                tracing::info!(campaign.id = %row.campaign, decision = name, position = committed.position, "A campaign was advanced.");
            }
            Ok(!committed.events.is_empty() && !committed.repeated)
        }
        Err(ExecuteError::Rejected(rejection)) => {
            tracing::debug!(campaign.id = %row.campaign, decision = name, %rejection, "A decision came too late.");
            Ok(false)
        }
        Err(ExecuteError::VersionDiffers { .. } | ExecuteError::Conflict | ExecuteError::CommandIdReused) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sends devices the command that follows from the campaign's stop. The correlation ids come from their updates.
async fn tell(
    context: &Context,
    row: &WorkRow,
    campaign: &Loaded<Campaign>,
    devices: Vec<DeviceId>,
    command: DeviceCommand,
) -> Result<(), ReconcileError> {
    let cause = causes::of_stop(campaign);
    let commands = devices.into_iter().map(|device| tell_one(context, row, device, command.clone(), cause).boxed());
    reconciler::run_bounded(commands.collect(), IN_FLIGHT_MAX).await
}

async fn tell_one(
    context: &Context,
    row: &WorkRow,
    device: DeviceId,
    command: DeviceCommand,
    cause: Cause,
) -> Result<(), ReconcileError> {
    let request = Request { cause, ..Request::new(CommandId(clock::new_id()), causes::actor(), command) };
    let key = Key::<Device>::new(&row.tenant, &device);
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}

async fn firmware_is_withdrawn(context: &Context, row: &WorkRow) -> Result<bool, ReconcileError> {
    let firmware = context.store.load_fresh(&Key::<Firmware>::new(&row.tenant, &row.spec.firmware_id)).await?;
    Ok(firmware.aggregate.status == FirmwareStatus::Withdrawn)
}

async fn unpin(context: &Context, row: &WorkRow) -> Result<(), ReconcileError> {
    if !row.pinned {
        return Ok(());
    }
    // Asks the log, because the row may lag behind a retry that continued an ended campaign.
    let campaign = context.store.load_fresh(&Key::<Campaign>::new(&row.tenant, &row.campaign)).await?;
    if campaign.aggregate.status.is_live() {
        return Ok(());
    }
    let key = Key::<Firmware>::new(&row.tenant, &row.spec.firmware_id);
    let command = FirmwareCommand::Unpin { campaign: row.campaign };
    // State is the guard: a campaign that is retried is pinned and unpinned again.
    let request = Request {
        correlation_id: causes::correlation_id(&campaign),
        cause: causes::last(&campaign),
        ..Request::new(CommandId(clock::new_id()), causes::actor(), command)
    };
    reconciler::log_and_continue(context.store.execute(&key, request).await, key.raw())
}
