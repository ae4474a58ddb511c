//! `PATCH /campaigns/{id}`: new values for a campaign that is under way.

use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::Key;
use domain::campaign::{Adjustments, Campaign, CampaignCommand, TransportAdjustments};
use domain::change::Change;
use domain::values::{Percent, Threshold};
use domain::window::MaintenanceWindows;
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::CampaignBody;
use super::parts;
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{CommandRequest, Patch, Path, Problem, Reply};
use crate::state::App;

/// New values. Absent fields keep their values; `null` clears optional ones.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"max_concurrent_updates": 200, "rate_per_minute": 60, "reason": "the night shift is over"}))]
pub(crate) struct AdjustRequest {
    max_concurrent_updates: Option<u32>,
    /// Applies from the change on.
    #[schema(value_type = Option<u32>)]
    rate_per_minute: Change<u32>,
    #[schema(value_type = Option<u32>)]
    batch_size: Change<u32>,
    /// Of its LoRaWAN devices. `null` in a field: as in the campaign.
    #[schema(value_type = Option<parts::TransportLimits>)]
    lorawan: TransportAdjustments,
    /// Can only be raised: devices that were not sampled join the last wave.
    #[schema(value_type = Option<u8>)]
    rollout_percentage: Option<Percent>,
    #[schema(value_type = Option<u8>)]
    success_threshold_percent: Change<Threshold>,
    #[schema(value_type = Option<u8>)]
    failure_threshold_percent: Option<Threshold>,
    #[schema(value_type = Option<u32>)]
    failure_count: Change<u32>,
    gate_min_settled: Option<u32>,
    #[schema(value_type = Option<u8>)]
    min_reached_percent: Option<Threshold>,
    wave_wait_minutes: Option<u32>,
    /// For waves without their own value.
    soak_minutes: Option<u32>,
    /// In the future. It can't be cleared: a running campaign always has an end.
    #[schema(value_type = Option<DateTime<Utc>>)]
    ends_at: Change<DateTime<Utc>>,
    /// Applies to slots at once, and to devices that are updating within seconds. A device that has a permission to install keeps it for at most an
    /// hour. If the campaign had no window before, a device that the new command doesn't reach may install at any time.
    #[schema(value_type = Option<Vec<parts::MaintenanceWindow>>)]
    maintenance_window: Change<MaintenanceWindows>,
    reason: Option<String>,
}

impl AdjustRequest {
    fn into_changes(self) -> Adjustments {
        Adjustments {
            max_concurrent_updates: self.max_concurrent_updates,
            rate_per_minute: self.rate_per_minute,
            batch_size: self.batch_size,
            lorawan: self.lorawan,
            rollout_percentage: self.rollout_percentage,
            success_threshold_percent: self.success_threshold_percent,
            failure_threshold_percent: self.failure_threshold_percent,
            failure_count: self.failure_count,
            gate_min_settled: self.gate_min_settled,
            min_reached_percent: self.min_reached_percent,
            wave_wait_minutes: self.wave_wait_minutes,
            soak_minutes: self.soak_minutes,
            ends_at: self.ends_at,
            maintenance_window: self.maintenance_window,
        }
    }
}

/// Change a running campaign
///
/// For running and paused campaigns; a draft is replaced with `PUT`. When a limit is lowered, slots in use stay in use.
#[utoipa::path(
    patch, path = "/campaigns/{campaign_id}", tag = "campaigns", request_body = AdjustRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn adjust_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Patch(mut wanted)): CommandRequest<Patch<AdjustRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let reason = wanted.reason.take();
    let command = CampaignCommand::Adjust { changes: Box::new(wanted.into_changes()) };
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    let done = app.command(&caller, &envelope, &key, command, reason).await?;
    Ok(done.reply(CampaignBody::done(path.campaign_id, &done)?))
}
