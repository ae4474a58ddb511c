//! `GET /campaigns/{id}`

use axum::extract::State;
use domain::campaign::{Campaign, CampaignStatus};
use domain::{CampaignId, Key};
use projections::campaigns::{CampaignFilter, CampaignRow};
use projections::{CAMPAIGNS, ReadTx};

use super::model::CampaignBody;
use crate::auth::{Caller, Viewer};
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{MinPosition, Path, PositionParams, Problem, ReadOfOne};
use crate::state::App;

/// Get a campaign
///
/// Needs role viewer.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}", tag = "campaigns", params(CampaignPath, PositionParams),
    responses(
        (status = 200, body = CampaignBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_campaign(
    State(app): State<App>,
    Viewer(caller): Viewer,
    Path(path): Path<CampaignPath>,
    min_position: MinPosition,
) -> Result<Found<CampaignBody>, Problem> {
    let key = Key::<Campaign>::new(&caller.tenant, &path.campaign_id);
    let reading = ReadOfOne::begin(&app, &caller, min_position, &[CAMPAIGNS], &key).await?;
    let (_, row) = found(&app, &caller, path.campaign_id, reading).await?;
    Ok(Found { version: row.version, resource: CampaignBody::from(row) })
}

/// The campaign's row, with the transaction that sees it; 404 when the log knows no such campaign.
pub(super) async fn row(
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
        reading.look_again("no such campaign", |campaign| campaign.status != CampaignStatus::Deleted).await?;
    }
}
