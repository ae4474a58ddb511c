//! `GET /campaigns/{id}`: a campaign now, from the read models; or at an earlier time, from EVENTS.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::campaign::{Campaign, CampaignStatus};
use domain::{CampaignId, Key};
use projections::campaigns::{CampaignFilter, CampaignRow};
use projections::{FLEET, ReadTx};
use runtime::clock;

use super::model::CampaignBody;
use super::waits;
use crate::auth::Caller;
use crate::http::past::{AsItWas, Beginning, MomentParams, as_it_was};
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{Filters, MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

const BEGINNING: Beginning =
    Beginning { unknown: "no such campaign", only_at: "the campaign was created only at", fact: "created_at" };

/// Get a campaign
///
/// With `at_time` or `at_position`, its state at that time or position.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}", tag = "campaigns", params(CampaignPath, MomentParams, PositionParams),
    responses(
        (status = 200, body = AsItWas<CampaignBody>),
        (status = 404, description = "Unknown, or not yet created then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A time or position in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_campaign(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<CampaignPath>,
    Filters(moment): Filters<MomentParams>,
    min_position: MinPosition,
) -> Result<Response, Problem> {
    let id = path.campaign_id;
    let key = Key::<Campaign>::new(&caller.tenant, &id);
    if let Some(at) = moment.moment(&app).await? {
        min_position.of_this_log(&app).await?;
        return as_it_was(&app, &key, at, &BEGINNING, |loaded| CampaignBody::past(id, loaded)).await;
    }
    let reading = ReadOfOne::begin(&app, &caller, min_position, &[FLEET], &key).await?;
    let (mut tx, row) = found(&app, &caller, id, reading).await?;
    let waits_for = waits::of_campaign(&mut tx, &caller.tenant, &id, &row, clock::now()).await?;
    let (version, resource) = (row.version, CampaignBody::from(row).waiting_for(waits_for));
    Ok(Found { version, resource }.into_response())
}

/// The campaign's row, with the transaction that read it; 404 when the log has no such campaign.
pub(crate) async fn row(
    app: &App,
    caller: &Caller,
    id: CampaignId,
    read_models: &[&str],
) -> Result<(ReadTx, CampaignRow), Problem> {
    let key = Key::<Campaign>::new(&caller.tenant, &id);
    found(app, caller, id, ReadOfOne::waited(app, read_models, &key)).await
}

async fn found(
    app: &App,
    caller: &Caller,
    id: CampaignId,
    mut reading: ReadOfOne<'_, Campaign>,
) -> Result<(ReadTx, CampaignRow), Problem> {
    let filter = CampaignFilter { id: Some(id.to_string()), ..CampaignFilter::default() };
    loop {
        let mut tx = app.db.read(&caller.tenant).await?;
        let page = projections::campaigns::list(&mut tx, &filter, None, 1, false).await?;
        if let Some(row) = page.items.into_iter().next() {
            return Ok((tx, row));
        }
        drop(tx);
        reading.look_again(BEGINNING.unknown, |campaign| campaign.status != CampaignStatus::Deleted).await?;
    }
}
