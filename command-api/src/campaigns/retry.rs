//! `POST /campaigns/{id}/retry`: new updates for devices that failed or expired.
//!
//! An ended campaign continues with them, so its firmware is pinned again: before, so that it can't be deleted, and once more after,
//! because the pin may just have been removed at the campaign's end.

use axum::extract::State;
use axum::http::StatusCode;
use domain::campaign::{Campaign, CampaignCommand};
use domain::firmware::FirmwareCommand;
use domain::{Key, Rejection};

use super::model::CampaignBody;
use super::start::{correlation_of, pin, take_pin};
use crate::auth::Caller;
use crate::devices::ReasonRequest;
use crate::http::commands::CommandHeaders;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;
use crate::updates::usable_firmware;

/// Retry a campaign's failed devices
///
/// Devices that failed, expired or fell back begin again, each with a new update; failures that gates have counted stay counted. A campaign
/// that ended with failures runs again. Devices that run the version anyway (`late_confirmed`) are not retried; `retryable` of the status
/// is the number of devices to retry. 409 if there are none.
#[utoipa::path(
    post, path = "/campaigns/{campaign_id}/retry", tag = "campaigns", request_body = ReasonRequest,
    params(CampaignPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<CampaignBody>),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn retry_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<CampaignBody>, Problem> {
    let id = path.campaign_id;
    let key = Key::<Campaign>::new(&caller.tenant, &id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return Ok(done.reply(CampaignBody::done(id, &done)?));
    }
    let loaded = app.store.load_fresh(&key).await?;
    let spec = loaded.aggregate.spec.as_ref().ok_or(Rejection::CampaignUnknown)?;
    app.command(&caller, &envelope.as_dry_run(), &key, CampaignCommand::Retry, None).await?;
    usable_firmware(&app, &caller, spec.firmware_id).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let totals = projections::rollout::totals(&mut tx, &caller.tenant, &id).await?;
    if totals.retryable == 0 {
        let detail = match totals.late_confirmed {
            0 => "no device of the campaign has failed or expired".to_owned(),
            late => format!(
                "no device to retry: {late} devices whose update ended without success run the version anyway (late_confirmed)"
            ),
        };
        return Err(Problem::new(StatusCode::CONFLICT, "nothing_to_retry", detail));
    }
    drop(tx);
    let envelope = envelope.going_on_with(correlation_of(&loaded));
    if !envelope.dry_run {
        take_pin(&app, &caller, &envelope, id, spec.firmware_id).await?;
    }
    let done = app.command(&caller, &envelope, &key, CampaignCommand::Retry, wanted.reason).await?;
    if !done.dry_run {
        let command = FirmwareCommand::Pin { campaign: id };
        pin(&app, &caller, &envelope, spec.firmware_id, command).await?;
    }
    Ok(done.reply(CampaignBody::done(id, &done)?))
}
