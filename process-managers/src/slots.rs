//! Grants slots and carries grants to the devices.
//!
//! The ledger decides whether the view was fresh enough; the device decides what becomes of the slot. A grant that a device hasn't
//! answered is carried again under the same command id.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignSpec};
use domain::device::{CampaignRef, Device, DeviceCommand, FirmwareFacts, Grant, Limits, UpdateKind, UpdateRequest};
use domain::ledger::{Ledger, LedgerCommand, SlotGrant};
use domain::{CommandId, Key};
use event_store::{ExecuteError, Request, clock};
use futures::FutureExt;
use projections::rollout::{self, View, WorkRow};

use crate::Context;
use crate::loops::{self, TickError};
use crate::rollout::actor;

/// Device commands under way at the same time.
const IN_FLIGHT_MAX: usize = 64;
/// Grants carried again in one tick.
pub(crate) const CARRIED_AGAIN_MAX: usize = 500;

/// Grants at most `devices_max` slots to devices that are ready; says whether any was granted.
pub(crate) async fn grant(context: &Context, row: &WorkRow, view: &View, devices_max: u32) -> Result<bool, TickError> {
    let now = clock::now();
    let ready = rollout::ready(&context.db, &row.tenant, &row.campaign, now, devices_max as usize).await?;
    if ready.is_empty() || !is_as_seen(context, row, view).await? {
        return Ok(false);
    }
    let spec = &view.rollout.spec;
    let wish = LedgerCommand::Grant {
        seen_version: view.ledger_version,
        in_use: view.rollout.total().in_use,
        max_concurrent_updates: spec.max_concurrent_updates,
        grants: ready.clone(),
    };
    let number = view.ledger_version + 1;
    let command = CommandId::derive(&["grant", &row.campaign.to_string(), &number.to_string()]);
    let mut request = Request::new(command, actor(), wish);
    request.correlation_id = Some(row.campaign.0);
    match context.store.execute(&Key::<Ledger>::new(&row.tenant, &row.campaign), request).await {
        Ok(_) => {}
        // Somebody else granted first, or the view lags: the next look decides again.
        Err(ExecuteError::Rejected(_) | ExecuteError::Conflict | ExecuteError::CommandIdReused) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    metrics::counter!("waybill_slots_granted_total").increment(ready.len() as u64);
    // Granting took its time: what was decided for the campaign meanwhile comes first.
    if !is_as_seen(context, row, view).await? {
        return Ok(false);
    }
    carry(context, row, view, ready.into_iter().map(|slot| (slot, number)).collect()).await?;
    Ok(true)
}

/// Carries grants that devices haven't answered once more.
pub(crate) async fn carry_again(context: &Context, row: &WorkRow, view: &View) -> Result<(), TickError> {
    let unseen = rollout::granted_unseen(&context.db, &row.tenant, &row.campaign, CARRIED_AGAIN_MAX).await?;
    if unseen.is_empty() || !is_as_seen(context, row, view).await? {
        return Ok(());
    }
    carry(context, row, view, unseen).await
}

async fn carry(context: &Context, row: &WorkRow, view: &View, grants: Vec<(SlotGrant, u64)>) -> Result<(), TickError> {
    let request = update_request(context, &view.rollout.spec, &view.firmware);
    let commands = grants.into_iter().map(|(slot, number)| {
        let grant = device_grant(row, view, &slot, number);
        let wish = DeviceCommand::GrantSlot { request: Box::new(request.clone()), grant };
        send(context, row, slot, number, wish).boxed()
    });
    loops::all(commands.collect(), IN_FLIGHT_MAX).await
}

/// Takes back grants that devices haven't answered, for a campaign that is cancelled. Says how many there were.
pub(crate) async fn take_back(context: &Context, row: &WorkRow, view: &View) -> Result<usize, TickError> {
    let unseen = rollout::granted_unseen(&context.db, &row.tenant, &row.campaign, CARRIED_AGAIN_MAX).await?;
    let count = unseen.len();
    let request = update_request(context, &view.rollout.spec, &view.firmware);
    let commands = unseen.into_iter().map(|(slot, number)| {
        let grant = device_grant(row, view, &slot, number);
        let wish = DeviceCommand::CancelGranted { request: Box::new(request.clone()), grant };
        send(context, row, slot, number, wish).boxed()
    });
    loops::all(commands.collect(), IN_FLIGHT_MAX).await?;
    Ok(count)
}

async fn send(
    context: &Context,
    row: &WorkRow,
    slot: SlotGrant,
    number: u64,
    wish: DeviceCommand,
) -> Result<(), TickError> {
    let verb = if matches!(wish, DeviceCommand::GrantSlot { .. }) { "slot" } else { "take_back" };
    let parts = [verb, &row.campaign.to_string(), slot.device.as_str(), &number.to_string()];
    let mut request = Request::new(CommandId::derive(&parts), actor(), wish);
    request.correlation_id = Some(row.campaign.0);
    let cause = CommandId::derive(&["grant", &row.campaign.to_string(), &number.to_string()]);
    request.causation_id = Some(cause.0);
    let key = Key::<Device>::new(&row.tenant, &slot.device);
    match context.store.execute(&key, request).await {
        Err(ExecuteError::Rejected(rejection)) => {
            tracing::warn!(campaign.id = %row.campaign, device.id = %slot.device, %rejection, "A device refused a slot.");
            Ok(())
        }
        other => loops::alone(other, key.raw()),
    }
}

/// Whether the campaign is as the view has it, by its own word from the log: rows may lag behind a pause or a change of its limits.
async fn is_as_seen(context: &Context, row: &WorkRow, view: &View) -> Result<bool, TickError> {
    let campaign = context.store.load_fresh(&Key::<Campaign>::new(&row.tenant, &row.campaign)).await?;
    Ok(campaign.aggregate.status == view.rollout.status && campaign.version == view.campaign_version)
}

fn device_grant(row: &WorkRow, view: &View, slot: &SlotGrant, number: u64) -> Grant {
    let campaign = CampaignRef { id: row.campaign, wave: slot.wave, rank: slot.rank, round: view.retry_round };
    let waits_from =
        usize::from(slot.wave).checked_sub(1).and_then(|index| view.waits_from.get(index).copied().flatten());
    Grant { campaign, number, wait_until: wait_until(&view.rollout.spec, waits_from, view.rollout.ends_at) }
}

/// The waiting clock runs from the opening of the wave, and never beyond the campaign's end.
fn wait_until(spec: &CampaignSpec, waits_from: Option<DateTime<Utc>>, ends_at: Option<DateTime<Utc>>) -> DateTime<Utc> {
    let from = waits_from.unwrap_or_else(clock::now);
    let until = from + TimeDelta::minutes(spec.wait_for_device_minutes.into());
    ends_at.map_or(until, |ends_at| until.min(ends_at))
}

fn update_request(context: &Context, spec: &CampaignSpec, firmware: &FirmwareFacts) -> UpdateRequest {
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
        preconditions: spec.preconditions,
        retry_of: None,
    }
}
