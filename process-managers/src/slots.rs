//! Grants slots and sends grants to the devices.
//!
//! The ledger decides whether the view was current enough; the device decides whether it accepts the slot. A grant that a device hasn't
//! answered is sent again with the same command id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignSpec};
use domain::device::{CampaignRef, Device, DeviceCommand, FirmwareSnapshot, Grant, Limits, UpdateKind, UpdateRequest};
use domain::ledger::{Ledger, LedgerCommand, SlotGrant};
use domain::per_transport::PerTransport;
use domain::rollout::{RolloutStep, decide};
use domain::{CommandId, Key};
use event_store::{Cause, ExecuteError, Loaded, RecordRef, Request};
use futures::FutureExt;
use projections::rollout::{self, CancelScope, Unanswered, UnansweredGrant, View, WorkRow};
use runtime::clock;

use crate::reconciler::{self, ReconcileError};
use crate::{Context, causes};

/// Device commands under way at the same time.
const IN_FLIGHT_MAX: usize = 64;
/// Grants sent again in one run.
pub(crate) const CARRIED_AGAIN_MAX: usize = 500;

/// Longest wait for the view to reach the log's end, before slots are granted.
const VIEW_WAIT_MAX: Duration = Duration::from_secs(1);

/// Grants free slots to devices that are ready; returns whether any was granted.
pub(crate) async fn grant(context: &Context, row: &WorkRow) -> Result<bool, ReconcileError> {
    let now = clock::now();
    let Some(view) = &newest_view(context, row, now).await? else { return Ok(false) };
    let granted = decide(&view.rollout, now).into_iter().find_map(|decision| match decision {
        RolloutStep::Grant { devices_max } => Some(devices_max),
        _ => None,
    });
    let Some(devices_max) = granted else { return Ok(false) };
    let limits = PerTransport { mqtt: devices_max.mqtt as usize, lorawan: devices_max.lorawan as usize };
    let ready = next_devices(context, row, view, now, limits).await?;
    if ready.is_empty() {
        return Ok(false);
    }
    let Some(campaign) = as_seen(context, row, view).await? else { return Ok(false) };
    let command = LedgerCommand::Grant {
        seen_version: view.ledger_version,
        slots: view.rollout.slots(),
        grants: ready.iter().map(|(slot, _)| slot.clone()).collect(),
    };
    let number = view.ledger_version + 1;
    // Devices may stage before their wave opens.
    let wave = ready.iter().map(|(slot, _)| slot.wave).max().unwrap_or_default().min(view.rollout.wave);
    let request = Request {
        correlation_id: causes::correlation_id(&campaign),
        cause: causes::of_grant(&campaign, wave),
        ..Request::new(grant_id(row, number), causes::actor(), command)
    };
    match context.store.execute(&Key::<Ledger>::new(&row.tenant, &row.campaign), request).await {
        Ok(_) => {}
        // Another process granted first, or the view lags: the next run decides again.
        Err(ExecuteError::Rejected(_) | ExecuteError::Conflict | ExecuteError::CommandIdReused) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    metrics::counter!("waybill_slots_granted_total").increment(ready.len() as u64);
    // Meanwhile the campaign may have changed, for example paused: then nothing is sent.
    let Some(campaign) = as_seen(context, row, view).await? else { return Ok(false) };
    let granted = ready.into_iter().map(|(slot, back_to)| UnansweredGrant { slot, number, back_to });
    carry(context, row, view, &campaign, granted.collect()).await?;
    Ok(true)
}

/// The next devices that may begin: with the campaign's update, or, while it is rolled back, with what they go back to.
async fn next_devices(
    context: &Context,
    row: &WorkRow,
    view: &View,
    now: DateTime<Utc>,
    limits: PerTransport<usize>,
) -> Result<Vec<(SlotGrant, Option<FirmwareSnapshot>)>, ReconcileError> {
    if view.rollout.rollback.is_some() {
        let returning = rollout::returning(&context.db, &row.tenant, &row.campaign, now, limits).await?;
        return Ok(returning.into_iter().map(|back| (back.slot, Some(back.firmware))).collect());
    }
    let ready = rollout::ready(&context.db, &row.tenant, &row.campaign, now, limits).await?;
    Ok(ready.into_iter().map(|slot| (slot, None)).collect())
}

/// The current view of the campaign, for decisions that must not be late: a device that answers late takes a slot without a grant, so an older
/// view would grant that slot to another device. None if the view lags for long: then no slot is granted.
pub(crate) async fn newest_view(
    context: &Context,
    row: &WorkRow,
    now: DateTime<Utc>,
) -> Result<Option<View>, ReconcileError> {
    let head = context.store.log().info().await?.last_sequence;
    if context.projections.wait_patiently(&[projections::FLEET], head, VIEW_WAIT_MAX).await.is_err() {
        return Ok(None);
    }
    let view = rollout::view(&context.db, &row.tenant, &row.campaign, now).await?;
    Ok(view.filter(|view| view.rollout.position >= head))
}

/// Sends again grants that devices haven't answered.
pub(crate) async fn carry_again(
    context: &Context,
    row: &WorkRow,
    view: &View,
    which: Unanswered,
) -> Result<(), ReconcileError> {
    let (db, limit) = (&context.db, CARRIED_AGAIN_MAX);
    let mut unseen = rollout::unanswered_grants(db, &row.tenant, &row.campaign, which, limit).await?;
    // Grants of updates from before a rollback are taken back.
    unseen.retain(|unseen| unseen.back_to.is_some() == view.rollout.rollback.is_some());
    if unseen.is_empty() {
        return Ok(());
    }
    let Some(campaign) = as_seen(context, row, view).await? else { return Ok(()) };
    carry(context, row, view, &campaign, unseen).await
}

async fn carry(
    context: &Context,
    row: &WorkRow,
    view: &View,
    campaign: &Loaded<Campaign>,
    grants: Vec<UnansweredGrant>,
) -> Result<(), ReconcileError> {
    let records = grant_records(context, row, grants.iter().map(|unseen| unseen.number)).await?;
    let commands = grants.into_iter().map(|unseen| {
        let request = Box::new(request_for(context, view, &unseen));
        let grant = device_grant(row, view, &unseen);
        let UnansweredGrant { slot, number, .. } = unseen;
        let command = DeviceCommand::GrantSlot { request, grant };
        let id = CommandId::derive(&["slot", &row.campaign.to_string(), slot.device.as_str(), &number.to_string()]);
        let cause = records.get(&number).map_or(Cause::Thread, |record| Cause::Record(*record));
        let request = Request {
            correlation_id: causes::correlation_id(campaign),
            cause,
            ..Request::new(id, causes::actor(), command)
        };
        send(context, row, slot, request).boxed()
    });
    reconciler::run_bounded(commands.collect(), IN_FLIGHT_MAX).await
}

fn grant_id(row: &WorkRow, number: u64) -> CommandId {
    CommandId::derive(&["grant", &row.campaign.to_string(), &number.to_string()])
}

/// The records of these grants, from the ledger, so that a repeated command to a device names the same cause as the first one.
async fn grant_records(
    context: &Context,
    row: &WorkRow,
    numbers: impl Iterator<Item = u64>,
) -> Result<BTreeMap<u64, RecordRef>, ReconcileError> {
    let numbers: BTreeSet<u64> = numbers.collect();
    let key = Key::<Ledger>::new(&row.tenant, &row.campaign);
    let mut ledger = context.store.load(&key).await?;
    if numbers.last().is_some_and(|newest| *newest > ledger.version) {
        ledger = context.store.load_fresh(&key).await?;
    }
    let mut records = BTreeMap::new();
    for number in numbers {
        let command_id = grant_id(row, number);
        let position = match ledger.recent.find(command_id) {
            Some(outcome) => Some(outcome.sequence),
            // A ledger's version is the number of its last grant.
            None => context.store.history(&key, number, 1).await?.first().map(|grant| grant.position.sequence),
        };
        records.extend(position.map(|position| (number, RecordRef { command_id, position })));
    }
    Ok(records)
}

/// Takes back grants that devices haven't answered, for a campaign that is cancelled or rolled back. Returns their number.
pub(crate) async fn take_back(
    context: &Context,
    row: &WorkRow,
    view: &View,
    campaign: &Loaded<Campaign>,
    what: CancelScope,
) -> Result<usize, ReconcileError> {
    let (db, limit) = (&context.db, CARRIED_AGAIN_MAX);
    let mut unseen = rollout::unanswered_grants(db, &row.tenant, &row.campaign, Unanswered::All, limit).await?;
    unseen.retain(|unseen| what == CancelScope::Everything || unseen.back_to.is_none());
    let count = unseen.len();
    let cancel = |request, grant| DeviceCommand::CancelGranted { request, grant };
    give_back(context, row, view, campaign, unseen, "take_back", cancel).await?;
    Ok(count)
}

/// Takes back grants that devices haven't answered, for a campaign that is paused or kept back: their updates wait for another grant.
pub(crate) async fn withdraw(context: &Context, row: &WorkRow, view: &View) -> Result<(), ReconcileError> {
    let (db, limit) = (&context.db, CARRIED_AGAIN_MAX);
    let mut unseen = rollout::unanswered_grants(db, &row.tenant, &row.campaign, Unanswered::All, limit).await?;
    // Grants of updates from before a rollback are cancelled.
    unseen.retain(|unseen| unseen.back_to.is_some() == view.rollout.rollback.is_some());
    if unseen.is_empty() {
        return Ok(());
    }
    let Some(campaign) = as_seen(context, row, view).await? else { return Ok(()) };
    let withdraw = |request, grant| DeviceCommand::WithdrawGranted { request, grant };
    give_back(context, row, view, &campaign, unseen, "withdraw_granted", withdraw).await
}

/// Sends each device a command by which it gives its slot back. `name` is a part of the ids of the commands.
async fn give_back(
    context: &Context,
    row: &WorkRow,
    view: &View,
    campaign: &Loaded<Campaign>,
    grants: Vec<UnansweredGrant>,
    name: &str,
    command_of: fn(Box<UpdateRequest>, Grant) -> DeviceCommand,
) -> Result<(), ReconcileError> {
    let commands = grants.into_iter().map(|unseen| {
        let request = Box::new(request_for(context, view, &unseen));
        let grant = device_grant(row, view, &unseen);
        let UnansweredGrant { slot, number, .. } = unseen;
        let command = command_of(request, grant);
        let parts = [name, &row.campaign.to_string(), slot.device.as_str(), &number.to_string()];
        let request = Request {
            correlation_id: causes::correlation_id(campaign),
            cause: causes::of_stop(campaign),
            ..Request::new(CommandId::derive(&parts), causes::actor(), command)
        };
        send(context, row, slot, request).boxed()
    });
    reconciler::run_bounded(commands.collect(), IN_FLIGHT_MAX).await
}

async fn send(
    context: &Context,
    row: &WorkRow,
    slot: SlotGrant,
    request: Request<DeviceCommand>,
) -> Result<(), ReconcileError> {
    let key = Key::<Device>::new(&row.tenant, &slot.device);
    match context.store.execute(&key, request).await {
        Err(ExecuteError::Rejected(rejection)) => {
            tracing::warn!(campaign.id = %row.campaign, device.id = %slot.device, %rejection, "A device refused a slot.");
            Ok(())
        }
        other => reconciler::log_and_continue(other, key.raw()),
    }
}

/// The campaign from the log, if it is still as in the view: rows may lag behind a pause or a change of its limits.
async fn as_seen(
    context: &Context,
    row: &WorkRow,
    view: &View,
) -> Result<Option<Arc<Loaded<Campaign>>>, ReconcileError> {
    let campaign = context.store.load_fresh(&Key::<Campaign>::new(&row.tenant, &row.campaign)).await?;
    let as_seen = campaign.aggregate.status == view.rollout.status && campaign.version == view.campaign_version;
    Ok(as_seen.then_some(campaign))
}

/// The grant of an update, or of a rollback: that is a later round, with a waiting clock that runs from the grant and not from its wave, also
/// after the campaign's end.
fn device_grant(row: &WorkRow, view: &View, unseen: &UnansweredGrant) -> Grant {
    let UnansweredGrant { slot, number, back_to } = unseen;
    let spec = &view.rollout.spec;
    let (round, wait_until) = match back_to {
        Some(_) => (view.retry_round, clock::now() + TimeDelta::minutes(spec.wait_for_device_minutes.into())),
        None => {
            let waits_from =
                usize::from(slot.wave).checked_sub(1).and_then(|index| view.waits_from.get(index).copied().flatten());
            (view.update_round, wait_until(spec, waits_from, view.rollout.ends_at))
        }
    };
    Grant {
        campaign: CampaignRef { id: row.campaign, wave: slot.wave, rank: slot.rank, round },
        number: *number,
        wait_until,
    }
}

/// The waiting clock runs from the opening of the wave, after its jitter, and never after the campaign's end.
fn wait_until(spec: &CampaignSpec, waits_from: Option<DateTime<Utc>>, ends_at: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let from = waits_from.unwrap_or_else(clock::now);
    let until = from + spec.jitter() + TimeDelta::minutes(spec.wait_for_device_minutes.into());
    ends_at.map_or(until, |ends_at| until.min(ends_at))
}

/// The update that a slot is for. A rollback waits for no precondition and no digest: nothing may keep a device on a bad version.
fn request_for(context: &Context, view: &View, unseen: &UnansweredGrant) -> UpdateRequest {
    let request = update_request(context, &view.rollout.spec, &view.firmware);
    match &unseen.back_to {
        None => UpdateRequest { activate: view.rollout.activates(unseen.slot.wave, clock::now()), ..request },
        Some(firmware) => UpdateRequest {
            firmware: firmware.clone(),
            kind: UpdateKind::Rollback,
            force_update: false,
            allow_downgrade: true,
            require_digest_report: false,
            preconditions: None,
            ..request
        },
    }
}

fn update_request(context: &Context, spec: &CampaignSpec, firmware: &FirmwareSnapshot) -> UpdateRequest {
    let seconds = |minutes: u32| minutes.saturating_mul(60);
    let limits = Limits {
        wait_s: seconds(spec.wait_for_device_minutes),
        total_s: seconds(spec.timeout_minutes),
        backoff_s: context.options.retry_backoff.as_secs() as u32,
        dispatch_s: context.options.dispatch_patience.as_secs() as u32,
        ..Limits::default()
    };
    UpdateRequest {
        firmware: firmware.clone(),
        priority: spec.priority,
        kind: UpdateKind::Update,
        limits,
        max_attempts: spec.max_retries + 1,
        activate: true,
        force_update: spec.force_update,
        allow_downgrade: spec.allow_downgrade,
        require_digest_report: spec.require_digest_report,
        preconditions: spec.preconditions,
        retry_of: None,
        rolls_back: None,
    }
}
