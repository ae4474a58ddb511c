//! Every update with its phase, and the times that its clocks need.

use chrono::{DateTime, Utc};
use domain::device::{
    Clock, Clocks, Conditions, DeviceEvent as E, Limits, PendingUpdate, Phase, REASON_DIGEST_MISSING, UpdateKind,
    UpdateSpec, WaitReason, goes_first,
};
use domain::preconditions::Preconditions;
use domain::values::Priority;
use domain::window::{DeviceWindows, MaintenanceWindows};
use serde_json::{Value, json};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::device_now::DeviceNow;
use super::pauses;
use super::statistics::{Tally, UpdateStanding};
use super::timed_update::TimedUpdate;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::memory::Memory;
use crate::row::{Row as _, from_json, row};
use crate::table::{Page, Rows, Select};

/// An update.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateRow {
    pub tenant: String,
    pub device_id: String,
    pub ordinal: u32,
    pub campaign_id: Option<String>,
    pub wave: Option<u16>,
    pub firmware_id: String,
    pub component: String,
    pub version: String,
    pub kind: UpdateKind,
    pub priority: Priority,
    pub require_digest_report: bool,
    pub from_version: Option<String>,
    /// The firmware that the device was confirmed to run when the update was queued.
    pub from_firmware_id: Option<String>,
    pub retry_of: Option<u32>,
    pub max_attempts: u16,
    pub timed: TimedUpdate,
    pub message: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub wait_until: DateTime<Utc>,
    pub limits: Limits,
    pub preconditions: Option<Preconditions>,
    pub regressed_at: Option<DateTime<Utc>>,
    /// No clock runs out before this time. The first one may run out much later. None if no clock runs.
    pub due_at: Option<DateTime<Utc>>,
    /// Version of the device at the update's latest event.
    pub seq: u64,
    pub position: u64,
}

row! {
    UpdateRow = "updates" key { tenant: "text", device_id: "text", ordinal: "bigint" }
    columns {
        campaign_id, wave, firmware_id, component, version, kind, priority, require_digest_report, from_version, from_firmware_id, retry_of, max_attempts,
        message, queued_at, wait_until, regressed_at, due_at, seq, position
    }
    json { limits, preconditions }
    groups { timed: TimedUpdate }
}

pub(crate) const TABLES: &[&str] = &["updates", "update_pauses"];

/// The updates that a batch touches.
pub(crate) async fn load(
    connection: &mut PgConnection,
    memory: &mut Memory,
    batch: &[Decoded],
) -> Result<Rows<UpdateRow>, DbError> {
    let keys = batch.iter().flat_map(|record| {
        let ordinals = record.device_events().iter().filter_map(|event| event.update()).map(|update| update.ordinal);
        ordinals.map(|ordinal| key_of(record, ordinal)).collect::<Vec<_>>()
    });
    Rows::recall(connection, memory, keys.collect()).await
}

pub(crate) fn key_of(record: &Decoded, ordinal: u32) -> Vec<String> {
    vec![record.tenant(), record.id(), ordinal.to_string()]
}

/// Applies one event. `seq`: the device's version after the event. `windows`: those of the update's campaign.
pub(crate) fn apply(
    rows: &mut Rows<UpdateRow>,
    record: &Decoded,
    seq: u64,
    event: &E,
    windows: Option<DeviceWindows<'_>>,
    tally: &mut Tally,
) -> Result<(), DbError> {
    let Some(update) = event.update() else { return Ok(()) };
    if let E::UpdateQueued { spec, wait_until, .. } = event {
        let row = UpdateRow { seq, ..new_row(record, update.ordinal, spec, *wait_until) };
        tally.update_queued(record, &row.standing());
        rows.put(row);
        return Ok(());
    }
    let row = rows
        .get_mut(&key_of(record, update.ordinal))
        .ok_or_else(|| DbError::Invalid(format!("update {} of {} was never queued", update.ordinal, record.raw.key)))?;
    let windows = windows.filter(|_| row.kind == UpdateKind::Update);
    let before = row.standing();
    let has_moved = row.apply(event, record.at(), windows);
    tally.update_changed(record, &before, &row.standing(), has_moved);
    (row.seq, row.position) = (seq, record.raw.position);
    Ok(())
}

fn new_row(record: &Decoded, ordinal: u32, spec: &UpdateSpec, wait_until: DateTime<Utc>) -> UpdateRow {
    UpdateRow {
        tenant: record.tenant(),
        device_id: record.id(),
        ordinal,
        campaign_id: spec.campaign.map(|campaign| campaign.id.to_string()),
        wave: spec.campaign.map(|campaign| campaign.wave),
        firmware_id: spec.firmware.firmware_id.to_string(),
        component: spec.firmware.component.clone(),
        version: spec.firmware.version.clone(),
        kind: spec.kind,
        priority: spec.priority,
        require_digest_report: spec.require_digest_report,
        from_version: spec.from_version.clone(),
        from_firmware_id: spec.from_firmware_id.map(|id| id.to_string()),
        retry_of: spec.retry_of,
        max_attempts: spec.max_attempts,
        timed: TimedUpdate::queued(record.at()),
        message: None,
        queued_at: record.at(),
        wait_until,
        limits: spec.limits,
        preconditions: spec.preconditions,
        regressed_at: None,
        due_at: Some(wait_until),
        seq: 0,
        position: record.raw.position,
    }
}

impl UpdateRow {
    /// Whether the event brought it to a phase, be it the same again.
    fn apply(&mut self, event: &E, at: DateTime<Utc>, windows: Option<DeviceWindows<'_>>) -> bool {
        let has_moved = self.timed.apply(event, at, windows);
        match event {
            E::UpdateAttemptFailed { message, .. }
            | E::UpdateFailed { message, .. }
            | E::UpdateRejected { message, .. } => {
                self.message = message.as_ref().and_then(|message| message.plain().cloned());
            }
            E::UpdateTimedOut { .. } => self.message = None,
            E::VersionRegressed { .. } => self.regressed_at = Some(at),
            _ => {}
        }
        self.due_at = self.next_check(at, windows);
        has_moved
    }

    /// Where it counts.
    fn standing(&self) -> UpdateStanding {
        let timed = &self.timed;
        let worked = timed.ended_at.zip(timed.reached_at).map(|(ended, reached)| ended - reached - timed.idle());
        UpdateStanding {
            kind: self.kind,
            phase: timed.phase(),
            phase_since: timed.phase_since,
            attempt: timed.state.attempt,
            is_regressed: self.regressed_at.is_some(),
            worked,
        }
    }

    /// Other windows hold from `at` on: in its campaign, or because its device is in another zone.
    pub(crate) fn change_windows(
        &mut self,
        at: DateTime<Utc>,
        former: Option<DeviceWindows<'_>>,
        windows: Option<DeviceWindows<'_>>,
    ) {
        let of_update = |windows: Option<_>| windows.filter(|_| self.kind == UpdateKind::Update);
        let (former, windows) = (of_update(former), of_update(windows));
        self.timed.change_windows(at, former, windows);
        self.due_at = self.next_check(at, windows);
    }

    /// The pause of its campaign ends, after it has stood still since `from`.
    pub(crate) fn end_pause(&mut self, from: DateTime<Utc>, at: DateTime<Utc>, windows: Option<DeviceWindows<'_>>) {
        let windows = windows.filter(|_| self.kind == UpdateKind::Update);
        let from = from.max(self.timed.phase_since);
        self.wait_until += at - from;
        self.timed.end_pause(from, at, windows);
        self.due_at = self.clocks(windows).first();
    }

    fn clocks<'a>(&'a self, windows: Option<DeviceWindows<'a>>) -> Clocks<'a> {
        Clocks {
            state: &self.timed.state,
            of_campaign: self.campaign_id.is_some(),
            limits: &self.limits,
            wait_until: self.wait_until,
            reached_at: self.timed.reached_at,
            phase_since: self.timed.phase_since,
            idle: self.timed.idle(),
            windows,
        }
    }

    /// When to check the clocks next. It moves only when a clock runs out earlier, or when that check is over. Each move
    /// changes an index, so an early check costs less than a move with every phase. While an update waits for its window, the time is exact:
    /// the check relies on it.
    fn next_check(&self, at: DateTime<Utc>, windows: Option<DeviceWindows<'_>>) -> Option<DateTime<Utc>> {
        match (self.due_at, self.clocks(windows).first()) {
            (_, first) if windows.is_some() && self.timed.phase().is_waiting() => first,
            (Some(due), Some(first)) if at < due && due <= first => Some(due),
            (_, first) => first,
        }
    }

    /// Whether its device has deferred it until the maintenance window opens.
    pub(crate) fn waits_for_window(&self) -> bool {
        self.timed.state.waits_for_window() && self.campaign_id.is_some()
    }

    pub(crate) fn pending_update(&self) -> PendingUpdate {
        PendingUpdate {
            ordinal: Some(self.ordinal),
            waits_for: self.timed.phase().wait_reason(),
            not_before: self.timed.state.not_before.filter(|_| !self.waits_for_window()),
            goes_first: goes_first(self.kind, self.priority),
        }
    }
}

/// An update with its present wait reason, and the progress that the device last reported.
#[derive(Debug, Clone, PartialEq)]
pub struct UpdateView {
    pub row: UpdateRow,
    /// Why it waits, if it does.
    pub wait_reason: Option<WaitReason>,
    /// Percent of the present phase; none if the device reported it for another phase.
    pub progress: Option<i64>,
    pub bytes: Option<i64>,
    /// When the first of its clocks runs out if its device stays silent, and which; none if none runs.
    pub deadline: Option<(DateTime<Utc>, Clock)>,
}

/// Which updates to list; all parts that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct UpdateFilter {
    pub device_id: Option<String>,
    pub ordinal: Option<u32>,
    pub campaign_id: Option<String>,
    pub firmware_id: Option<String>,
    /// Any of these; empty for all.
    pub phases: Vec<String>,
    pub kind: Option<String>,
}

const FROM: &str = "updates t
 LEFT JOIN update_progress r ON r.tenant = t.tenant AND r.device_id = t.device_id AND r.ordinal = t.ordinal AND r.attempt = t.attempt";
/// Progress belongs to the phase that the device reported with it, and not to a later return to the same phase.
const PROGRESS: &str = "CASE WHEN t.open AND r.phase = t.phase AND r.at >= t.phase_since THEN r.progress END";

/// The windows of its campaign.
const WINDOWS: &str = "(SELECT c.spec->'maintenance_window' FROM rollout_campaigns c
                         WHERE c.tenant = t.tenant AND c.campaign_id = t.campaign_id)";

fn columns() -> String {
    let (update, paused, device) = (UpdateRow::columns_of("t"), pauses::PAUSED, DeviceNow::columns());
    format!("{update}, {PROGRESS}, r.bytes, {paused}, {WINDOWS}, {device}")
}

fn read(row: &PgRow, now: DateTime<Utc>) -> Result<UpdateView, DbError> {
    let first = UpdateRow::columns().count();
    let update = UpdateRow::read(row)?;
    let phase = update.timed.phase();
    let (mut wait_reason, mut deadline) = (phase.wait_reason(), None);
    if !phase.is_ended() {
        let device = DeviceNow::read(row, first + 4)?;
        let windows: Option<MaintenanceWindows> = from_json(row.try_get(first + 3)?)?;
        let windows = windows.filter(|_| update.kind == UpdateKind::Update);
        let paused = row.try_get(first + 2)?;
        deadline = update.deadline(device.as_ref(), windows.as_ref(), paused);
        if wait_reason.is_some() {
            let of_campaign = update.campaign_id.is_some();
            let explained = device.and_then(|device| {
                let met = update.preconditions.is_none_or(|preconditions| preconditions.are_met(device.telemetry, now));
                let open = windows.is_none_or(|windows| windows.at(device.timezone.as_deref(), now).is_open());
                device.availability().wait_reason(
                    &update.pending_update(),
                    Conditions { of_campaign, paused, met, open },
                    now,
                )
            });
            wait_reason = explained.or(wait_reason);
        }
    }
    let (progress, bytes) = (row.try_get(first)?, row.try_get(first + 1)?);
    Ok(UpdateView { row: update, wait_reason, progress, bytes, deadline })
}

impl UpdateRow {
    /// When the first of its clocks runs out if its device stays silent, and which. Clocks stand still while it waits in a paused campaign.
    fn deadline(
        &self,
        device: Option<&DeviceNow>,
        windows: Option<&MaintenanceWindows>,
        paused: bool,
    ) -> Option<(DateTime<Utc>, Clock)> {
        if paused && self.timed.phase().is_waiting() {
            return None;
        }
        let zone = device.and_then(|device| device.timezone.as_deref());
        let windows = windows.filter(|windows| !windows.is_empty()).map(|windows| DeviceWindows { windows, zone });
        let mut clocks = self.clocks(windows);
        let is_heard = matches!(
            self.timed.phase(),
            Phase::Accepted | Phase::Downloading | Phase::Verifying | Phase::Installing | Phase::Rebooting
        );
        let lacks_digest = self.timed.state.reason.as_deref() == Some(REASON_DIGEST_MISSING);
        if let Some(seen) = device.and_then(|device| device.telemetry).filter(|_| is_heard && !lacks_digest) {
            clocks.phase_since = clocks.phase_since.max(seen.last_seen);
        }
        clocks.earliest()
    }
}

/// Updates at `now`, newest first.
pub async fn list(
    tx: &mut ReadTx,
    filter: &UpdateFilter,
    now: DateTime<Utc>,
    after: Option<(&str, &str, u32)>,
    limit: usize,
    count: bool,
) -> Result<Page<UpdateView>, DbError> {
    let from = format!("{FROM} {}", DeviceNow::join("t"));
    let mut select = Select::new(columns(), from, "t.queued_at DESC, t.device_id DESC, t.ordinal DESC");
    select.equals("t.device_id", filter.device_id.as_ref());
    select.equals("t.campaign_id", filter.campaign_id.as_ref());
    select.equals("t.firmware_id", filter.firmware_id.as_ref());
    select.equals("t.kind", filter.kind.as_ref());
    if let Some(ordinal) = filter.ordinal {
        select.filter("t.ordinal = ($)::bigint", ordinal);
    }
    if !filter.phases.is_empty() {
        select.filter("CASE WHEN t.regressed_at IS NULL THEN t.phase ELSE 'regressed' END = ANY (SELECT jsonb_array_elements_text($))", json!(filter.phases));
    }
    let after = after.map(|(queued_at, device, ordinal)| {
        let condition =
            "(t.queued_at, t.device_id, t.ordinal) < (($ #>> '{}')::timestamptz, $ #>> '{}', ($)::bigint)".to_owned();
        (condition, vec![json!(queued_at), json!(device), Value::from(ordinal)])
    });
    let (items, more, total) = select.page(tx, after, limit, count, |row| read(row, now)).await?;
    let next = items.last().filter(|_| more).map(|update| {
        vec![update.row.queued_at.to_rfc3339(), update.row.device_id.clone(), update.row.ordinal.to_string()]
    });
    Ok(Page { items, next, total })
}
