//! What a campaign waits for, in replies: computed by the rollout policy, with the reasons of the waiting devices.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::campaign::CampaignStatus;
use domain::rollout::{Wait, waits, waits_before_start};
use domain::{CampaignId, TenantId};
use projections::campaigns::CampaignRow;
use projections::{ReadTx, rollout};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::Problem;

/// One thing that a campaign waits for.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({"kind": "operator", "detail": "an operator to open wave 3", "wave": 3}))]
pub(crate) struct WaitBody {
    /// `operator` (to start it, to change a rejected one, or to open `wave`), `approval`, `scheduled_start`, `resume`, `accept` (a gate is
    /// closed), `firmware` (it is withdrawn), `freeze` (of the tenant), `signatures` (of the firmware, by keys that the tenant trusts), `plan`,
    /// `soak`, `slots`, `rate`, `jitter`, `window` (the maintenance window to open, for `count` ready devices or for `wave`),
    /// `working_devices`, and `{reason}_devices` for devices that can't begin now: `offline_devices`, `busy_devices`, `held_devices`,
    /// `precondition_devices`, `backoff_devices`, `deferred_devices` …, or `idle_devices` if no reason is known. More may be added.
    kind: String,
    /// The same as a sentence.
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<u16>,
    /// The latest end of the wait, if a time ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<DateTime<Utc>>,
    /// Number of devices; for `{reason}_devices` at most 1,000 are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl WaitBody {
    fn of(wait: &Wait) -> Self {
        let wave = match wait {
            Wait::Operator { wave } | Wait::Soak { wave, .. } | Wait::Jitter { wave, .. } => Some(*wave),
            Wait::Window { wave, .. } => *wave,
            _ => None,
        };
        let count = match wait {
            Wait::Slots { ready, .. } | Wait::Rate { ready, .. } => Some(u64::from(*ready)),
            Wait::Window { devices, .. } => Some(u64::from(*devices)).filter(|count| *count > 0),
            Wait::WorkingDevices { count, .. } | Wait::IdleDevices { count, .. } => Some(u64::from(*count)),
            _ => None,
        };
        Self { kind: wait.kind().to_owned(), detail: wait.sentence(), wave, until: wait.until(), count }
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// As the end of a sentence that begins with *the campaign waits for*.
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn until(&self) -> Option<DateTime<Utc>> {
        self.until
    }

    /// Devices that wait for one reason.
    fn of_devices(reason: &str, count: u64, until: Option<DateTime<Utc>>) -> Self {
        let devices = if count == 1 { "device" } else { "devices" };
        let at_most = until.map_or_else(String::new, |until| {
            format!(", at most until {}", until.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        });
        let detail = format!("{count} {} {devices}{at_most}", reason.replace('_', " "));
        Self { kind: format!("{reason}_devices"), detail, wave: None, until, count: Some(count) }
    }
}

/// What the campaign of a row waits for; empty if it has ended or continues by itself.
pub(crate) async fn of_campaign(
    tx: &mut ReadTx,
    tenant: &TenantId,
    id: &CampaignId,
    row: &CampaignRow,
    now: DateTime<Utc>,
) -> Result<Vec<WaitBody>, Problem> {
    let status = CampaignStatus::from_word(&row.status).unwrap_or_default();
    let live = status.is_live();
    if row.started_at.is_none() {
        let before = waits_before_start(status, row.spec.scheduled_start, row.paused_by);
        return Ok(before.iter().map(WaitBody::of).collect());
    }
    let Some(view) = (if live { rollout::view_in(tx, tenant, id, now).await? } else { None }) else {
        return Ok(vec![]);
    };
    let named = waits(&view.rollout, row.paused_by, now);
    let idle = named.iter().any(|wait| matches!(wait, Wait::IdleDevices { .. }));
    let reasons = if idle { rollout::wait_reasons(tx, &row.campaign_id, now).await? } else { BTreeMap::new() };
    Ok(named.iter().flat_map(|wait| bodies(wait, &reasons)).collect())
}

fn bodies(wait: &Wait, reasons: &BTreeMap<String, u64>) -> Vec<WaitBody> {
    match wait {
        Wait::IdleDevices { until, .. } if !reasons.is_empty() => {
            reasons.iter().map(|(reason, count)| WaitBody::of_devices(reason, *count, *until)).collect()
        }
        other => vec![WaitBody::of(other)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_told_apart_by_their_reason() {
        let until: DateTime<Utc> = "2030-01-01T00:00:00Z".parse().unwrap();
        let wait = Wait::IdleDevices { count: 9, until: Some(until) };
        let reasons = BTreeMap::from([("busy".to_owned(), 1), ("offline".to_owned(), 8)]);
        let told: Vec<(String, String)> =
            bodies(&wait, &reasons).into_iter().map(|body| (body.kind, body.detail)).collect();
        let expected = [
            ("busy_devices", "1 busy device, at most until 2030-01-01T00:00:00Z"),
            ("offline_devices", "8 offline devices, at most until 2030-01-01T00:00:00Z"),
        ];
        assert_eq!(told, expected.map(|(kind, detail)| (kind.to_owned(), detail.to_owned())));
        let unknown = bodies(&wait, &BTreeMap::new());
        assert_eq!((unknown[0].kind.as_str(), unknown[0].count), ("idle_devices", Some(9)));
        let operator = bodies(&Wait::Operator { wave: 3 }, &BTreeMap::new());
        assert_eq!((operator[0].detail.as_str(), operator[0].wave), ("an operator to open wave 3", Some(3)));
    }
}
