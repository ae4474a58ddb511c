//! Read model `updates`: every update with its phase, and the times that its clocks need.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{CODE_TIMED_OUT, DeviceEvent as E, Limits, UpdateSpec, WaitReason};
use domain::preconditions::Preconditions;
use domain::sealed::Sealed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgConnection;

use super::pauses;
use super::wait_reason::WaitReasonSql;
use crate::db::{DbError, ReadTx};
use crate::decode::Decoded;
use crate::row::{row, word};
use crate::table::{Page, Rows, Select};

/// An update. `phase` is the domain's word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateRow {
    pub tenant: String,
    pub device_id: String,
    pub ordinal: u32,
    pub campaign_id: Option<String>,
    pub wave: Option<u16>,
    pub firmware_id: String,
    pub component: String,
    pub version: String,
    pub kind: String,
    pub priority: String,
    pub from_version: Option<String>,
    pub retry_of: Option<u32>,
    pub max_attempts: u16,
    pub phase: String,
    pub wait_reason: Option<String>,
    pub attempt: u16,
    pub code: Option<String>,
    pub code_class: Option<String>,
    pub message: Option<String>,
    /// Why it was superseded or cancelled, or in which phase it timed out.
    pub reason: Option<String>,
    pub queued_at: DateTime<Utc>,
    pub wait_until: DateTime<Utc>,
    /// The device's first `received`.
    pub reached_at: Option<DateTime<Utc>>,
    pub phase_since: DateTime<Utc>,
    /// End of a deferral or of the pause before another attempt.
    pub not_before: Option<DateTime<Utc>>,
    /// Seconds that the working clock stood still: staged or deferred.
    pub idle_s: f64,
    pub limits: Limits,
    pub preconditions: Option<Preconditions>,
    pub ended_at: Option<DateTime<Utc>>,
    pub regressed_at: Option<DateTime<Utc>>,
    /// Its device has refused to cancel the present attempt.
    pub cancel_refused: bool,
    /// Words of reports that came after the end.
    pub late: BTreeSet<String>,
    /// Not ended.
    pub open: bool,
    /// No clock runs out before, the first perhaps much later; none runs without it.
    pub due_at: Option<DateTime<Utc>>,
    /// Version of the device at the update's latest event.
    pub seq: u64,
    pub position: u64,
}

row! {
    UpdateRow = "updates" key { tenant: "text", device_id: "text", ordinal: "bigint" }
    columns {
        campaign_id, wave, firmware_id, component, version, kind, priority, from_version, retry_of, max_attempts,
        phase, wait_reason, attempt, code, code_class, message, reason, queued_at, wait_until, reached_at,
        phase_since, not_before, idle_s, ended_at, regressed_at, cancel_refused, open, due_at, seq, position
    }
    json { limits, preconditions, late }
}

/// An update with why it waits now, and what the device last said of its progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UpdateView {
    #[serde(flatten)]
    pub row: UpdateRow,
    /// Percent of the present phase; none when the device said it of another.
    pub progress: Option<i64>,
    pub bytes: Option<i64>,
}

pub(crate) const TABLES: &[&str] = &["updates", "update_pauses"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    // A pause concerns all waiting updates of a campaign at once, in its place in the log.
    for part in batch.split_inclusive(pauses::ends_a_part) {
        apply_part(connection, part).await?;
        pauses::run(connection, part).await?;
    }
    Ok(())
}

async fn apply_part(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let key_of = |record: &Decoded, ordinal: u32| vec![record.tenant(), record.id(), ordinal.to_string()];
    let keys = batch.iter().flat_map(|record| {
        let events = record.device_events().iter();
        events.filter_map(|event| event.update()).map(|update| key_of(record, update.ordinal)).collect::<Vec<_>>()
    });
    let mut rows = Rows::<UpdateRow>::load(connection, keys.collect()).await?;
    for record in batch {
        for (seq, event) in (record.record.first_version()..).zip(record.device_events()) {
            let Some(update) = event.update() else { continue };
            if let E::UpdateQueued { spec, wait_until, .. } = event {
                rows.put(UpdateRow { seq, ..new_row(record, update.ordinal, spec, *wait_until) });
                continue;
            }
            let key = key_of(record, update.ordinal);
            let row = rows.get_mut(&key).ok_or_else(|| {
                DbError::Invalid(format!("update {} of {} was never queued", update.ordinal, record.raw.key))
            })?;
            row.attempt = row.attempt.max(update.attempt);
            apply(row, event, record.at());
            row.due_at = row.next_look(record.at());
            row.seq = seq;
            row.position = record.raw.position;
        }
    }
    rows.save(connection).await
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
        kind: word(&spec.kind),
        priority: word(&spec.priority),
        from_version: spec.from_version.clone(),
        retry_of: spec.retry_of,
        max_attempts: spec.max_attempts,
        phase: "queued".to_owned(),
        wait_reason: None,
        attempt: 0,
        code: None,
        code_class: None,
        message: None,
        reason: None,
        queued_at: record.at(),
        wait_until,
        reached_at: None,
        phase_since: record.at(),
        not_before: None,
        idle_s: 0.0,
        limits: spec.limits,
        preconditions: spec.preconditions,
        ended_at: None,
        regressed_at: None,
        cancel_refused: false,
        late: BTreeSet::new(),
        open: true,
        due_at: Some(wait_until),
        seq: 0,
        position: record.raw.position,
    }
}

fn apply(row: &mut UpdateRow, event: &E, at: DateTime<Utc>) {
    let text = |message: &Option<Sealed<String>>| message.as_ref().and_then(|message| message.plain().cloned());
    match event {
        E::UpdateWaiting { reason, retry_at, .. } => {
            enter(row, "waiting", at);
            row.wait_reason = Some(word(reason));
            row.cancel_refused = false;
            match reason {
                WaitReason::Slot => row.not_before = None,
                WaitReason::Unresponsive => row.not_before = *retry_at,
                _ => {}
            }
        }
        E::UpdateDispatched { .. } => {
            enter(row, "dispatched", at);
            (row.not_before, row.cancel_refused) = (None, false);
        }
        E::UpdateAccepted { .. } => {
            enter(row, "accepted", at);
            row.reached_at = row.reached_at.or(Some(at));
            row.not_before = None;
        }
        E::UpdateDeferred { code, until, .. } => {
            enter(row, "deferred", at);
            row.code.clone_from(code);
            row.not_before = Some(*until);
        }
        E::UpdateDownloading { .. } => enter(row, "downloading", at),
        E::UpdateVerifying { .. } => enter(row, "verifying", at),
        E::UpdateInstalling { .. } => enter(row, "installing", at),
        E::UpdateStaged { .. } => enter(row, "staged", at),
        E::UpdateRebooting { .. } => enter(row, "rebooting", at),
        E::UpdateAttemptFailed { code, class, message, retry_at, .. } => {
            enter(row, "waiting", at);
            row.wait_reason = Some("backoff".to_owned());
            (row.code, row.code_class, row.message) = (Some(code.clone()), Some(word(class)), text(message));
            (row.not_before, row.cancel_refused) = (Some(*retry_at), false);
        }
        E::UpdateConfirmed { .. } => end(row, "confirmed", at),
        E::UpdateFailed { code, class, message, .. } => {
            end(row, "failed", at);
            (row.code, row.code_class, row.message) = (Some(code.clone()), Some(word(class)), text(message));
        }
        E::UpdateTimedOut { phase, code, .. } => {
            end(row, "timed_out", at);
            row.reason = Some(phase.clone());
            (row.code, row.code_class, row.message) = (Some(timed_out_code(code)), None, None);
        }
        E::UpdateRejected { code, message, .. } => {
            end(row, "rejected", at);
            (row.code, row.message) = (Some(code.clone()), text(message));
        }
        E::UpdateExpired { .. } => end(row, "expired", at),
        E::UpdateSuperseded { reason, .. } => {
            end(row, "superseded", at);
            row.reason = Some(reason.clone());
        }
        E::UpdateCancelling { .. } => {
            // Remembered for a refusal.
            row.reason = Some(row.phase.clone());
            enter(row, "cancelling", at);
        }
        E::UpdateCancelRefused { .. } => {
            let before = row.reason.take().unwrap_or_else(|| "accepted".to_owned());
            enter(row, &before, at);
            row.cancel_refused = true;
        }
        E::UpdateCancelled { reason, .. } => {
            end(row, "cancelled", at);
            row.reason.clone_from(reason);
        }
        E::UpdateReportedLate { status, .. } => drop(row.late.insert(status.clone())),
        E::VersionRegressed { .. } => row.regressed_at = Some(at),
        _ => {}
    }
}

/// Older events don't say which clock ran out.
pub(crate) fn timed_out_code(code: &Option<String>) -> String {
    code.clone().unwrap_or_else(|| CODE_TIMED_OUT.to_owned())
}

fn enter(row: &mut UpdateRow, phase: &str, at: DateTime<Utc>) {
    if matches!(row.phase.as_str(), "staged" | "deferred") && row.reached_at.is_some() {
        row.idle_s += (at - row.phase_since).num_milliseconds() as f64 / 1_000.0;
    }
    row.phase = phase.to_owned();
    row.phase_since = at;
    row.wait_reason = None;
}

fn end(row: &mut UpdateRow, phase: &str, at: DateTime<Utc>) {
    if row.phase == "cancelling" {
        row.reason = None;
    }
    enter(row, phase, at);
    row.ended_at = Some(at);
    row.not_before = None;
    row.open = false;
}

impl UpdateRow {
    /// When to look at the clocks next. It moves only when a clock runs out earlier, or that look is over: an index follows each move, and a
    /// look too early costs less than a move with every phase.
    fn next_look(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match (self.due_at, self.first_clock()) {
            (Some(due), Some(first)) if at < due && due <= first => Some(due),
            (_, first) => first,
        }
    }

    /// When the first of the clocks can run out. Whatever is heard of the device only makes it later.
    fn first_clock(&self) -> Option<DateTime<Utc>> {
        if !self.open {
            return None;
        }
        let phase = self.phase.as_str();
        let after = |seconds: u32| Some(self.phase_since + TimeDelta::seconds(seconds.into()));
        let waits = self.reached_at.is_none() && matches!(phase, "queued" | "waiting" | "dispatched" | "deferred");
        let works = !matches!(phase, "staged" | "deferred");
        let total =
            TimeDelta::seconds(self.limits.total_s.into()) + TimeDelta::milliseconds((self.idle_s * 1_000.0) as i64);
        let begins_by_itself = self.campaign_id.is_none()
            && matches!(self.wait_reason.as_deref(), Some("backoff" | "held" | "unresponsive"));
        let of_phase = match phase {
            "dispatched" => after(self.limits.dispatch_s),
            "downloading" => after(self.limits.downloading_s),
            "accepted" | "verifying" | "installing" | "rebooting" => after(self.limits.phase_s),
            "cancelling" => after(self.limits.cancel_s),
            "deferred" => self.not_before,
            "waiting" if begins_by_itself => self.not_before.or(Some(self.phase_since)),
            _ => None,
        };
        let clocks = [
            waits.then_some(self.wait_until),
            self.reached_at.filter(|_| works).map(|reached_at| reached_at + total),
            of_phase,
        ];
        clocks.into_iter().flatten().min()
    }
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

const FROM: &str = "updates t LEFT JOIN update_progress p ON p.tenant = t.tenant AND p.device_id = t.device_id AND p.ordinal = t.ordinal AND p.attempt = t.attempt";
/// A number belongs to the phase that the device reported with it, and not to the same phase another time.
const PROGRESS: &str = "CASE WHEN t.open AND p.phase = t.phase AND p.at >= t.phase_since THEN p.progress END";
const WAITER: WaitReasonSql = WaitReasonSql {
    devices: "devices",
    online: "(d.status = 'online')",
    preconditions: "t.preconditions",
    of_campaign: "t.campaign_id IS NOT NULL",
    paused: pauses::PAUSED,
    goes_first: "t.priority = 'critical' OR t.kind = 'rollback'",
};

fn columns(now: DateTime<Utc>) -> String {
    let reason = WAITER.reason(now);
    format!(
        "to_jsonb(t) || jsonb_build_object('progress', {PROGRESS}, 'bytes', p.bytes,
           'wait_reason', CASE WHEN t.open AND t.phase = 'waiting' THEN coalesce({reason}, t.wait_reason) END)"
    )
}

/// Updates as they are at `now`, newest first.
pub async fn list(
    tx: &mut ReadTx,
    filter: &UpdateFilter,
    now: DateTime<Utc>,
    after: Option<(&str, &str, u32)>,
    limit: usize,
    count: bool,
) -> Result<Page<UpdateView>, DbError> {
    let mut select = Select::from(FROM);
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
    let order = "t.queued_at DESC, t.device_id DESC, t.ordinal DESC";
    let (items, more, total) = select.page::<UpdateView>(tx, &columns(now), order, after, limit, count).await?;
    let next = items.last().filter(|_| more).map(|update| {
        vec![update.row.queued_at.to_rfc3339(), update.row.device_id.clone(), update.row.ordinal.to_string()]
    });
    Ok(Page { items, next, total })
}
