//! One update: bringing one firmware to a device, in one or more attempts.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::mark::Mark;
use super::messages::ReportStatus;
use super::progress::UpdateState;
use super::update_spec::UpdateSpec;

/// One update of a device: where it stands, and what only its device decides with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    pub ordinal: u32,
    pub spec: UpdateSpec,
    #[serde(flatten)]
    pub state: UpdateState,
    /// Attempt of the next dispatch; equal to `attempt` while the current attempt has not failed.
    pub next_attempt: u16,
    /// The latest grant that was applied, so that a repeated one has no effect.
    pub grant: u64,
    pub image_failures: u16,
    /// End of the waiting clock.
    pub wait_until: DateTime<Utc>,
    /// Boot at the first `received` of this attempt.
    pub accepted_boot: Option<String>,
    /// Boot during which this attempt reached the point of no return.
    pub installing_boot: Option<String>,
    /// The device reported `completed` in this attempt.
    pub claimed: bool,
    /// There is evidence that the device has restarted since installing, or restarts now: its report, its last will, or a new session.
    pub restart_seen: bool,
    /// The latest session since installing, of a device that reports no boot ids.
    pub session: Option<String>,
    /// The device reported the SHA-256 of what it received in this attempt. Only for updates that require it.
    pub digest_reported: bool,
    /// How far the device has gone in this attempt without the report of its digest that the update requires.
    pub went_on_to: Option<ReportStatus>,
    /// The version was proven to run but for the report of the digest.
    pub runs_without_digest: bool,
    /// Deferrals so far, without those for a closed maintenance window.
    pub deferrals: u16,
    /// Duration that the device asked for in its latest deferral, in seconds.
    pub deferred_for_s: Option<u32>,
    /// The latest attempt that the device has answered, deferrals included.
    pub answered: u16,
    /// Consecutive dispatches without an answer.
    pub unanswered: u16,
    /// It was told to activate what it has staged, and that was not withdrawn.
    #[serde(default)]
    pub told_to_activate: bool,
    /// The latest attempt ended with wrong bytes, so the reported version alone is no proof.
    pub wrong_bytes: bool,
    /// The update that this one continues was dispatched to the device.
    pub told_before: bool,
    /// Aggregate version of its latest event.
    pub seq: u64,
    /// Aggregate version of the event that last changed the command to the device.
    pub command_seq: u64,
    /// The newest message of the device that changed the update.
    pub newest_report: Option<Mark>,
}

/// Where it stands can be asked of the update itself.
impl Deref for Update {
    type Target = UpdateState;

    fn deref(&self) -> &UpdateState {
        &self.state
    }
}

impl Update {
    /// Whether it can no longer be taken back: it is installing, or the device has refused to cancel it.
    pub fn is_past_return(&self) -> bool {
        self.cancel_refused || self.has_begun_to_install()
    }
}
