//! `GET /campaigns/{id}`

use axum::extract::State;
use domain::CampaignId;
use projections::campaigns::{CampaignFilter, CampaignRow};
use projections::{CAMPAIGNS, ReadTx};

use super::model::CampaignBody;
use crate::auth::Viewer;
use crate::http::path::CampaignPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::Found;
use crate::http::{MinPosition, Path, PositionParams, Problem};
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
    min_position.wait(&app, &caller, &[CAMPAIGNS]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    let row = row(&mut tx, path.campaign_id).await?;
    Ok(Found { version: row.version, resource: CampaignBody::from(row) })
}

/// The campaign's row, or that there is none.
pub(super) async fn row(tx: &mut ReadTx, id: CampaignId) -> Result<CampaignRow, Problem> {
    let filter = CampaignFilter { id: Some(id.to_string()), ..CampaignFilter::default() };
    let page = projections::campaigns::list(tx, &filter, None, 1, false).await?;
    page.items.into_iter().next().ok_or_else(|| Problem::not_found("no such campaign"))
}
