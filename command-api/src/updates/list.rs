//! `GET /updates`: list and filter updates, newest first.

use std::fmt::Display;
use std::str::FromStr;

use axum::Json;
use axum::extract::State;
use domain::{CampaignId, DeviceId, FirmwareId};
use projections::FLEET;
use projections::updates::UpdateFilter;
use runtime::clock;
use serde::Deserialize;
use utoipa::IntoParams;

use super::model::UpdateBody;
use crate::auth::Caller;
use crate::http::{AsOf, FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::legacy_status::phases_of;
use crate::state::App;

/// Kinds of updates.
const KINDS: [&str; 2] = ["update", "rollback"];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateFilters {
    device_id: Option<String>,
    campaign_id: Option<String>,
    firmware_id: Option<String>,
    /// A phase.
    phase: Option<String>,
    /// A status name of the old systems: means all its phases.
    status: Option<String>,
    /// A status name of the old workflow engine.
    workflow_status: Option<String>,
    kind: Option<String>,
}

impl FilterSet for UpdateFilters {}

impl UpdateFilters {
    fn into_filter(mut self) -> Result<UpdateFilter, Problem> {
        if self.kind.as_deref().is_some_and(|kind| !KINDS.contains(&kind)) {
            return Err(Problem::bad_request(format!("kind is one of {}", KINDS.join(", "))));
        }
        let mut phases: Option<Vec<&'static str>> = None;
        for (name, word) in [("phase", self.phase), ("status", self.status), ("workflow_status", self.workflow_status)]
        {
            let Some(word) = word else { continue };
            if name != "phase" && word.eq_ignore_ascii_case("rollback") {
                self.kind = Some("rollback".to_owned());
                continue;
            }
            let meant =
                phases_of(&word).ok_or_else(|| Problem::bad_request(format!("{name}: {word:?} is not known")))?;
            let meant =
                if name == "phase" { meant.into_iter().filter(|phase| *phase == word).collect() } else { meant };
            phases = Some(match phases {
                Some(before) => before.into_iter().filter(|phase| meant.contains(phase)).collect(),
                None => meant,
            });
        }
        let phases = match phases {
            Some(phases) if phases.is_empty() => vec!["none"],
            phases => phases.unwrap_or_default(),
        };
        Ok(UpdateFilter {
            device_id: id_of::<DeviceId>("device_id", self.device_id)?,
            ordinal: None,
            campaign_id: id_of::<CampaignId>("campaign_id", self.campaign_id)?,
            firmware_id: id_of::<FirmwareId>("firmware_id", self.firmware_id)?,
            phases: phases.into_iter().map(str::to_owned).collect(),
            kind: self.kind,
        })
    }
}

/// Checks an id, and returns it in the form that rows have.
fn id_of<T: FromStr + Display>(name: &str, id: Option<String>) -> Result<Option<String>, Problem> {
    let id = id.map(|id| id.parse::<T>()).transpose();
    let id = id.map_err(|_| Problem::bad_request(format!("{name} is not a valid id")))?;
    Ok(id.map(|id| id.to_string()))
}

/// List updates
///
/// Newest first.
#[utoipa::path(
    get, path = "/updates", tag = "updates", params(UpdateFilters, PageParams),
    responses((status = 200, body = List<UpdateBody>))
)]
pub(crate) async fn list_updates(
    State(app): State<App>,
    caller: Caller,
    Filters(filters): Filters<UpdateFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Json<List<UpdateBody>>, Problem> {
    let filter = filters.into_filter()?;
    min_position.wait(&app, &caller, &[FLEET]).await?;
    page(&app, &caller, &filter, &paging).await.map(Json)
}

/// A page of updates.
pub(super) async fn page(
    app: &App,
    caller: &Caller,
    filter: &UpdateFilter,
    paging: &Paging,
) -> Result<List<UpdateBody>, Problem> {
    let after = match paging.keys::<3>()? {
        Some([queued_at, device, ordinal]) => Some((Paging::time(queued_at)?, device, Paging::number(ordinal)?)),
        None => None,
    };
    let after = after.as_ref().map(|(queued_at, device, ordinal)| (queued_at.as_str(), *device, *ordinal));
    let mut tx = app.db.read(&caller.tenant).await?;
    let page = projections::updates::list(&mut tx, filter, clock::now(), after, paging.limit, paging.count).await?;
    let as_of = AsOf::now(app, &mut tx).await?;
    Ok(paging.list(page, UpdateBody::from).showing(as_of))
}
