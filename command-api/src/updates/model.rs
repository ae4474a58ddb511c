//! The update in replies, from its device's aggregate or from the read model.

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{Clock, Update, UpdateOperation, UpdateState};
use domain::{DeviceId, UpdateId};
use projections::updates::UpdateView;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::{RefusalBody, WhyNot, why_not};
use crate::legacy_status::{StatusNames, status_names};

/// An update of one device.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UpdateBody {
    #[schema(example = "d-1~17")]
    pub(crate) update_id: String,
    device_id: String,
    /// Number within the device, from 1.
    ordinal: u32,
    #[serde(flatten)]
    names: StatusNames,
    firmware_id: String,
    component: String,
    version: String,
    from_version: Option<String>,
    /// `update` or `rollback`; more may be added.
    kind: String,
    priority: String,
    /// It does not leave *verifying* before the device has reported the SHA-256 of what it received.
    require_digest_report: bool,
    campaign_id: Option<String>,
    wave: Option<u16>,
    /// 0 before the first dispatch.
    attempt: u16,
    max_attempts: u16,
    /// Commands that would change it: `cancel`, `retry`. Other facts may still refuse one.
    allowed_commands: Vec<&'static str>,
    /// Why its state doesn't allow the other commands, by command.
    #[schema(value_type = BTreeMap<String, RefusalBody>)]
    why_not: WhyNot,
    /// Why it waits now.
    wait_reason: Option<String>,
    /// The device's error text.
    code: Option<String>,
    message: Option<String>,
    reason: Option<String>,
    /// Percent of the current phase; null if the device reported none for this phase, and after the end.
    progress: Option<i64>,
    bytes: Option<i64>,
    retry_of: Option<String>,
    pub(super) queued_at: Option<DateTime<Utc>>,
    /// End of the waiting clock.
    wait_until: DateTime<Utc>,
    reached_at: Option<DateTime<Utc>>,
    phase_since: Option<DateTime<Utc>>,
    /// End of a deferral, or of the pause before another attempt.
    not_before: Option<DateTime<Utc>>,
    /// When the first of its clocks runs out if its device stays silent. Null if none runs, and in replies to commands.
    deadline_at: Option<DateTime<Utc>>,
    /// Which clock that is: `wait` for the device's first answer, `work` over all attempts, `phase` for silence in this phase or the end of a pause.
    #[schema(example = "phase")]
    deadline_clock: Option<&'static str>,
    ended_at: Option<DateTime<Utc>>,
    regressed_at: Option<DateTime<Utc>>,
}

impl UpdateBody {
    /// From the device's aggregate.
    pub(crate) fn of(device: &DeviceId, update: &Update) -> Self {
        let spec = &update.spec;
        let kind = spec.kind.word();
        let id = |ordinal| UpdateId { device: device.clone(), ordinal }.to_string();
        // The waiting clock of a campaign's update began earlier, with the wave.
        let waited = TimeDelta::seconds(spec.limits.wait_s.into());
        let queued_at = spec.campaign.is_none().then(|| update.wait_until - waited);
        Self {
            update_id: id(update.ordinal),
            device_id: device.to_string(),
            ordinal: update.ordinal,
            names: status_names(update.phase.word(), kind),
            firmware_id: spec.firmware.firmware_id.to_string(),
            component: spec.firmware.component.clone(),
            version: spec.firmware.version.clone(),
            from_version: spec.from_version.clone(),
            kind: kind.to_owned(),
            priority: spec.priority.word().to_owned(),
            require_digest_report: spec.require_digest_report,
            campaign_id: spec.campaign.map(|campaign| campaign.id.to_string()),
            wave: spec.campaign.map(|campaign| campaign.wave),
            attempt: update.attempt,
            max_attempts: spec.max_attempts,
            allowed_commands: allowed(update),
            why_not: refused(update),
            wait_reason: update.phase.wait_reason().map(|reason| reason.word().to_owned()),
            code: update.code.clone(),
            message: None,
            reason: update.reason.clone(),
            progress: None,
            bytes: None,
            retry_of: spec.retry_of.map(id),
            queued_at,
            wait_until: update.wait_until,
            reached_at: None,
            phase_since: None,
            not_before: update.not_before,
            deadline_at: None,
            deadline_clock: None,
            ended_at: None,
            regressed_at: None,
        }
    }
}

impl From<UpdateView> for UpdateBody {
    fn from(view: UpdateView) -> Self {
        let (row, reason) = (view.row, view.wait_reason);
        let (state, kind) = (row.timed.state, row.kind.word());
        let phase = if row.regressed_at.is_some() { "regressed" } else { state.phase.word() };
        Self {
            update_id: format!("{}~{}", row.device_id, row.ordinal),
            ordinal: row.ordinal,
            names: status_names(phase, kind),
            firmware_id: row.firmware_id,
            component: row.component,
            version: row.version,
            from_version: row.from_version,
            kind: kind.to_owned(),
            priority: row.priority.word().to_owned(),
            require_digest_report: row.require_digest_report,
            campaign_id: row.campaign_id,
            wave: row.wave,
            attempt: state.attempt,
            max_attempts: row.max_attempts,
            allowed_commands: allowed(&state),
            why_not: refused(&state),
            wait_reason: reason.map(|reason| reason.word().to_owned()),
            code: state.code,
            message: row.message,
            reason: state.reason,
            progress: view.progress,
            bytes: view.bytes,
            retry_of: row.retry_of.map(|ordinal| format!("{}~{ordinal}", row.device_id)),
            queued_at: Some(row.queued_at),
            wait_until: row.wait_until,
            reached_at: row.timed.reached_at,
            phase_since: Some(row.timed.phase_since),
            not_before: state.not_before,
            deadline_at: view.deadline.map(|(at, _)| at),
            deadline_clock: view.deadline.map(|(_, clock)| clock_word(clock)),
            ended_at: row.timed.ended_at,
            regressed_at: row.regressed_at,
            device_id: row.device_id,
        }
    }
}

fn clock_word(clock: Clock) -> &'static str {
    match clock {
        Clock::Wait => "wait",
        Clock::Total => "work",
        Clock::Phase => "phase",
    }
}

fn allowed(state: &UpdateState) -> Vec<&'static str> {
    state.allowed_commands().into_iter().map(UpdateOperation::word).collect()
}

fn refused(state: &UpdateState) -> WhyNot {
    why_not(state.refused_commands().into_iter().map(|(command, refusal)| (command.word(), refusal)))
}

/// Path of an update.
pub(super) fn location(device: &DeviceId, ordinal: u32) -> String {
    format!("/api/v1/devices/{device}/updates/{ordinal}")
}
