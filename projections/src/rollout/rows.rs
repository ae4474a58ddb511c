//! Rows of the rollout read model.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::campaign::CampaignSpec;
use domain::device::FirmwareSnapshot;
use domain::values::Priority;
use event_store::RecordRef;
use serde::{Deserialize, Serialize};

use crate::row::row;

/// A campaign as the policy needs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignRow {
    pub tenant: String,
    pub campaign_id: String,
    pub status: String,
    pub before_pause: Option<String>,
    /// Planning, running, paused or cancelling.
    pub at_work: bool,
    pub spec: CampaignSpec,
    pub firmware: Option<FirmwareSnapshot>,
    /// The plan that `campaign.planned` named.
    pub plan: Option<String>,
    /// Position at which planning began.
    pub planning_position: u64,
    /// Its firmware is pinned by it.
    pub pinned: bool,
    pub wave: u16,
    pub wave_completed: bool,
    pub soaking_since: Option<DateTime<Utc>>,
    pub paused_at: Option<DateTime<Utc>>,
    /// An operator accepted the failures while the present wave was open.
    pub accepted: bool,
    pub ledger_version: u64,
    pub granted_total: u64,
    /// When the intervals of all devices granted so far are over, where the rate is limited.
    pub paced_until: Option<DateTime<Utc>>,
    pub ends_at: Option<DateTime<Utc>>,
    /// How often failed devices were let begin again.
    pub retry_round: u16,
    /// Version of the aggregate.
    pub version: u64,
    pub position: u64,
}

row! {
    CampaignRow = "rollout_campaigns" key { tenant: "text", campaign_id: "text" }
    columns {
        status, before_pause, at_work, plan, planning_position, pinned, wave, wave_completed, soaking_since,
        paused_at, accepted, ledger_version, granted_total, paced_until, ends_at, retry_round, version, position
    }
    json { spec, firmware }
}

impl CampaignRow {
    /// Its updates go before those that wait for their next attempt.
    pub(super) fn is_urgent(&self) -> bool {
        self.spec.priority == Priority::Critical
    }
}

/// Counts of one wave; see [`domain::rollout::Counts`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressRow {
    pub tenant: String,
    pub campaign_id: String,
    pub wave: u16,
    pub opened_at: Option<DateTime<Utc>>,
    /// From when the clocks of its devices run: its opening or the latest retry, moved on by the time spent paused.
    pub waits_from: Option<DateTime<Utc>>,
    pub completed_at: Option<DateTime<Utc>>,
    pub enrolled: i64,
    pub reached: i64,
    pub confirmed: i64,
    pub failed: i64,
    pub gate_failed: i64,
    pub gate_settled: i64,
    pub in_use: i64,
    pub working: i64,
    pub expired: i64,
    pub cancelled: i64,
    pub superseded: i64,
    pub accepted_failed: i64,
    pub accepted_settled: i64,
    pub accepted_ended: i64,
    /// The record that last changed how many of its devices were reached, settled or ended.
    pub last_outcome: Option<RecordRef>,
    /// The record that last changed how many of its devices failed.
    pub last_failure: Option<RecordRef>,
}

row! {
    ProgressRow = "campaign_progress" key { tenant: "text", campaign_id: "text", wave: "bigint" }
    columns {
        opened_at, waits_from, completed_at, enrolled, reached, confirmed, failed, gate_failed, gate_settled, in_use,
        working, expired, cancelled, superseded, accepted_failed, accepted_settled, accepted_ended
    }
    json { last_outcome, last_failure }
}

/// How a member's update had ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastOutcome {
    pub(super) phase: String,
    pub(super) code: Option<String>,
    pub(super) attempt: u16,
    pub(super) reached_at: Option<DateTime<Utc>>,
    pub(super) ended_at: Option<DateTime<Utc>>,
    pub(super) regressed_at: Option<DateTime<Utc>>,
    pub(super) late_confirmed: bool,
    /// An operator has accepted it, also while it was kept aside.
    pub(super) failure_accepted: bool,
    pub(super) retry_of: Option<u32>,
}

/// A device in a campaign. `phase` is `planned` until its update is queued.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberRow {
    pub tenant: String,
    pub campaign_id: String,
    pub plan: String,
    pub device_id: String,
    pub rank: u32,
    pub wave: u16,
    pub excluded: Option<String>,
    pub from_version: Option<String>,
    pub phase: String,
    pub wait_reason: Option<String>,
    /// The phase before a cancel was sent.
    pub before_cancel: Option<String>,
    pub ordinal: Option<u32>,
    /// The device said that it can't be cancelled any more.
    pub cancel_refused: bool,
    /// The ended update that a new one is to try again; what is heard of it changes nothing here any more.
    pub retry_of: Option<u32>,
    pub attempt: u16,
    pub holds_slot: bool,
    pub grant_number: u64,
    /// The device has answered the latest grant; until then the slot is held, whatever else is heard of it.
    pub grant_seen: bool,
    pub reached_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub not_before: Option<DateTime<Utc>>,
    pub gate_failed: bool,
    /// An operator has accepted its fault: the failure gate doesn't count it again.
    pub gate_accepted: bool,
    /// Of this very update: the success gate doesn't count it either.
    pub failure_accepted: bool,
    pub confirmed_ever: bool,
    pub regressed_at: Option<DateTime<Utc>>,
    /// Its update ended otherwise, and yet the device says now that it runs the version.
    pub late_confirmed: bool,
    pub code: Option<String>,
    /// While it is to begin again and has no new update yet.
    pub before_retry: Option<PastOutcome>,
    /// Nothing in the member or its device keeps it from beginning.
    pub ready: bool,
    /// From then on nothing does; none when it is ready, or something must happen first.
    pub ready_at: Option<DateTime<Utc>>,
}

row! {
    MemberRow = "rollout_members" key { tenant: "text", campaign_id: "text", plan: "text", device_id: "text" }
    columns {
        rank, wave, excluded, from_version, phase, wait_reason, before_cancel, ordinal, cancel_refused, retry_of,
        attempt, holds_slot, grant_number, grant_seen, reached_at, ended_at, not_before, gate_failed, gate_accepted,
        failure_accepted, confirmed_ever, regressed_at, late_confirmed, code,
        ready, ready_at
    }
    json { before_retry }
}

/// A campaign's update that isn't confirmed, or has regressed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrackedUpdate {
    pub(super) campaign: String,
    pub(super) component: String,
    pub(super) version: String,
    #[serde(default)]
    pub(super) reported_version: Option<String>,
    pub(super) ended: bool,
    /// Its version runs: when it was queued, or by the device's own word since.
    pub(super) runs: bool,
    /// The latest attempt brought other bytes under this version.
    pub(super) wrong_bytes: bool,
}

/// Whether a device could begin something, and what campaigns sent to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeviceRow {
    pub(crate) tenant: String,
    pub(crate) device_id: String,
    pub(crate) online: bool,
    pub(crate) held: bool,
    pub(crate) hold_until: Option<DateTime<Utc>>,
    pub(crate) decommissioned: bool,
    pub(crate) live_ordinal: Option<u32>,
    /// The update that waits for its next attempt: others wait for it, unless they are critical.
    pub(crate) between_attempts: Option<u32>,
    /// Updates of campaigns that aren't confirmed or have regressed, by ordinal.
    pub(crate) sent: BTreeMap<u32, TrackedUpdate>,
}

row! {
    DeviceRow = "rollout_devices" key { tenant: "text", device_id: "text" }
    columns {
        online, held, hold_until, decommissioned, live_ordinal, between_attempts
    }
    json { sent }
}
