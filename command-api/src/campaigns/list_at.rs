//! `GET /campaigns?at=`: the campaigns as they were at an earlier time, each from EVENTS.

use chrono::{DateTime, Utc};
use domain::campaign::{Campaign, CampaignStatus};
use domain::{CampaignId, Key};
use projections::campaigns::CampaignFilter;
use projections::past::campaigns_known_at;

use super::model::CampaignBody;
use crate::auth::Caller;
use crate::http::past::{AsItWas, as_they_were, past_time};
use crate::http::query::refused;
use crate::http::{AsOf, List, Paging, Problem};
use crate::state::App;

/// Most campaigns that are looked at for one page.
const LOOKED_AT_MAX: usize = 200;

/// A page of the campaigns that matched at that time, newest first. It may be short and still have a `next_cursor`.
pub(super) async fn page_at(
    app: &App,
    caller: &Caller,
    filter: CampaignFilter,
    at: DateTime<Utc>,
    paging: &Paging,
) -> Result<List<AsItWas<CampaignBody>>, Problem> {
    let at = past_time("at", at)?;
    if paging.count {
        return Err(refused("count", "the past is not counted"));
    }
    let after = match paging.keys::<2>()? {
        Some([created_at, id]) => Some((Paging::time(created_at)?, id)),
        None => None,
    };
    let after = after.as_ref().map(|(created_at, id)| (created_at.as_str(), *id));
    let mut tx = app.db.read(&caller.tenant).await?;
    let (known, more) = campaigns_known_at(&mut tx, at, after, LOOKED_AT_MAX).await?;
    let as_of = AsOf::at(app, &mut tx, at).await?;
    drop(tx);
    let ids = known.iter().map(|one| one.id.parse().map(CampaignId)).collect::<Result<Vec<_>, _>>();
    let ids = ids.map_err(Problem::internal)?;
    let keys = ids.iter().map(|id| Key::<Campaign>::new(&caller.tenant, id)).collect();
    let (items, looked) = as_they_were(app, keys, at, paging.limit, |id, loaded| {
        let id = CampaignId(id.parse().ok()?);
        if matched(&filter, caller, &loaded.aggregate) { CampaignBody::past(id, loaded) } else { None }
    })
    .await?;
    let last = known.get(looked.saturating_sub(1)).filter(|_| more || looked < known.len());
    let next = last.map(|last| vec![last.created_at.to_rfc3339(), last.id.clone()]);
    Ok(paging.keyed(items, next).showing(as_of))
}

/// Whether a campaign was as the filter wants, and within the groups of a caller whose role is limited to some.
fn matched(filter: &CampaignFilter, caller: &Caller, campaign: &Campaign) -> bool {
    let Some(spec) = &campaign.spec else { return false };
    (filter.deleted || campaign.status != CampaignStatus::Deleted)
        && filter.status.as_deref().is_none_or(|wanted| wanted == campaign.status.word())
        && filter.firmware_id.as_ref().is_none_or(|wanted| *wanted == spec.firmware_id.to_string())
        && filter.strategy.as_deref().is_none_or(|wanted| wanted == spec.strategy.word())
        && caller.limits.as_ref().is_none_or(|limits| spec.stays_within(&limits.groups))
}
