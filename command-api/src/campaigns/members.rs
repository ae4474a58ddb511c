//! `GET /campaigns/{id}/devices`: who takes part, who is left out and why.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use projections::rollout::{MemberFilter, MemberView};
use projections::{CAMPAIGNS, ROLLOUT};
use serde::Deserialize;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use super::get;
use crate::auth::Viewer;
use crate::http::path::CampaignPath;
use crate::http::{FilterSet, Filters, List, MinPosition, PageParams, Paging, Path, Problem};
use crate::state::App;
use crate::words::{Words, words};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberFilters {
    /// A phase, or `planned`.
    phase: Option<String>,
    /// From 1.
    wave: Option<u16>,
    /// A reason, or `true` for all that are left out.
    excluded: Option<String>,
}

impl FilterSet for MemberFilters {}

/// A device in a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Member {
    device_id: String,
    /// 0 for devices that are left out.
    wave: u16,
    /// Place in the campaign's order, from 0.
    rank: u32,
    /// Why it is left out.
    excluded: Option<String>,
    from_version: Option<String>,
    #[serde(flatten)]
    words: Words,
    wait_reason: Option<String>,
    update_id: Option<String>,
    attempt: u16,
    code: Option<String>,
    holds_slot: bool,
    reached_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    regressed_at: Option<DateTime<Utc>>,
    late_confirmed: bool,
}

impl From<MemberView> for Member {
    fn from(member: MemberView) -> Self {
        let mut said = match member.regressed_at {
            Some(_) => words("regressed", "update"),
            // It gets no update in this campaign.
            None if member.excluded.is_some() => words("superseded", "update"),
            // Its update doesn't exist yet, which is what queued says too.
            None if member.phase == "planned" => words("queued", "update"),
            None => words(&member.phase, "update"),
        };
        if member.regressed_at.is_none() {
            said.phase = if member.excluded.is_some() { "excluded".to_owned() } else { member.phase };
        }
        Self {
            words: said,
            update_id: member.ordinal.map(|ordinal| format!("{}~{ordinal}", member.device_id)),
            device_id: member.device_id,
            wave: member.wave,
            rank: member.rank,
            excluded: member.excluded,
            from_version: member.from_version,
            wait_reason: member.wait_reason,
            attempt: member.attempt,
            code: member.code,
            holds_slot: member.holds_slot,
            reached_at: member.reached_at,
            ended_at: member.ended_at,
            regressed_at: member.regressed_at,
            late_confirmed: member.late_confirmed,
        }
    }
}

/// List a campaign's devices
///
/// In the campaign's order. Empty until it is planned. Needs role viewer.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/devices", tag = "campaigns", params(CampaignPath, MemberFilters, PageParams),
    responses((status = 200, body = List<Member>))
)]
pub(crate) async fn campaign_devices(
    State(app): State<App>,
    Viewer(caller): Viewer,
    Path(path): Path<CampaignPath>,
    Filters(filters): Filters<MemberFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<Member>>, Problem> {
    min_position.wait(&app, &[CAMPAIGNS, ROLLOUT]).await?;
    let excluded = filters.excluded.map(|reason| if reason == "true" { "*".to_owned() } else { reason });
    let filter = MemberFilter { phase: filters.phase, wave: filters.wave, excluded };
    let after = match paging.keys::<3>()? {
        Some([wave, rank, device]) => {
            let malformed = |_| Problem::bad_request("the cursor is none of ours");
            Some((wave.parse().map_err(malformed)?, rank.parse().map_err(malformed)?, device))
        }
        None => None,
    };
    let mut tx = app.db.read(&caller.tenant).await?;
    let campaign = get::row(&mut tx, path.campaign_id).await?;
    let id = campaign.campaign_id.as_str();
    let page = projections::rollout::members(&mut tx, id, &filter, after, paging.limit, paging.count).await?;
    Ok(Json(paging.list(page, Member::from)))
}
