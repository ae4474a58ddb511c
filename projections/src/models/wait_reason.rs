//! Why an update waits, as things are: what its latest event said, held against its device now.
//!
//! An event says why an update begins to wait. What becomes of the device afterwards changes the reason without an event, so every
//! reader asks here. The order is the one in which a device decides.

use chrono::{DateTime, SecondsFormat, Utc};

use super::preconditions;
use crate::sql::is_held;

/// Whether another update of the device in `d` keeps its turn until its next attempt.
const BETWEEN_ATTEMPTS: &str = "EXISTS (SELECT FROM updates o WHERE o.tenant = d.tenant AND o.device_id = d.device_id
                 AND o.open AND o.wait_reason = 'backoff' AND o.ordinal IS DISTINCT FROM t.ordinal)";

/// What SQL calls things where rows `t` have the `wait_reason`, `not_before` and `ordinal` of an update, which may be still to come.
pub(crate) struct WaitReasonSql {
    /// The table of devices.
    pub(crate) devices: &'static str,
    /// Whether the device in `d` can be reached.
    pub(crate) online: &'static str,
    /// The preconditions, as JSON.
    pub(crate) preconditions: &'static str,
    /// Whether a campaign says when it begins.
    pub(crate) of_campaign: &'static str,
    /// Whether that campaign is paused.
    pub(crate) paused: &'static str,
    /// Whether it goes ahead of another update that is between two attempts.
    pub(crate) goes_first: &'static str,
}

impl WaitReasonSql {
    /// The reason of a waiting `t` at `now`; none when its device isn't known.
    pub(crate) fn reason(&self, now: DateTime<Utc>) -> String {
        let Self { devices, online, preconditions, of_campaign, paused, goes_first } = self;
        let now = format!("'{}'::timestamptz", now.to_rfc3339_opts(SecondsFormat::Micros, true));
        let held = is_held(&now);
        let hold = preconditions::hold_at(preconditions, &now);
        format!(
            "(SELECT CASE
               WHEN t.wait_reason IN ('backoff', 'unresponsive') AND t.not_before > {now} THEN t.wait_reason
               WHEN t.wait_reason = 'unresponsive' AND NOT {online} THEN t.wait_reason
               WHEN t.wait_reason = 'withdrawn' AND {paused} THEN t.wait_reason
               WHEN {held} THEN 'held'
               WHEN d.live_ordinal IS NOT NULL AND d.live_ordinal IS DISTINCT FROM t.ordinal THEN 'busy'
               WHEN t.wait_reason IS DISTINCT FROM 'backoff' AND {BETWEEN_ATTEMPTS} AND NOT ({goes_first}) THEN 'busy'
               WHEN NOT {online} THEN 'offline'
               WHEN jsonb_typeof({preconditions}) = 'object' AND NOT coalesce(p.device_id IS NOT NULL AND {hold}, false)
                 THEN 'precondition'
               WHEN {of_campaign} THEN 'slot'
               WHEN t.wait_reason IN ('offline', 'held') THEN 'busy'
               ELSE t.wait_reason END
             FROM {devices} d LEFT JOIN device_presence p ON p.tenant = d.tenant AND p.device_id = d.device_id
             WHERE d.tenant = t.tenant AND d.device_id = t.device_id)"
        )
    }
}
