//! Devices and groups that a campaign names one by one. Each must be known, otherwise a misspelt id would be ignored.

use axum::http::StatusCode;
use domain::campaign::CampaignSpec;
use domain::group::Group;
use domain::{GroupId, Key};
use event_store::StoreError;
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use crate::auth::Caller;
use crate::devices::is_known;
use crate::http::{FieldError, Problem};
use crate::state::App;

/// Devices that are looked up at once.
const IN_FLIGHT_MAX: usize = 256;
/// Most unknown devices named in a reply.
const NAMED_MAX: usize = 20;

/// 422 naming devices that were never registered, and groups that don't exist; 403 if the caller may not target them.
pub(super) async fn known_targets(app: &App, caller: &Caller, spec: &CampaignSpec) -> Result<(), Problem> {
    caller.may_target(spec)?;
    let looks = spec
        .target_devices
        .iter()
        .cloned()
        .enumerate()
        .map(async |(index, id)| Ok::<_, StoreError>((!is_known(app, caller, &id).await?).then_some((index, id))));
    let mut unknown: Vec<FieldError> = futures::stream::iter(looks)
        .buffered(IN_FLIGHT_MAX)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .map_ok(|(index, id)| FieldError::new(format!("target_devices[{index}]"), format!("no device {id}")))
        .take(NAMED_MAX)
        .try_collect()
        .await?;
    for (index, id) in missing_groups(app, caller, spec).await? {
        unknown.push(FieldError::new(format!("target_groups[{index}]"), format!("no group {id}")));
    }
    if unknown.is_empty() { Ok(()) } else { Err(Problem::invalid_fields(unknown)) }
}

/// 409 naming target groups that have been deleted since the draft was written.
pub(super) async fn groups_exist(app: &App, caller: &Caller, spec: &CampaignSpec) -> Result<(), Problem> {
    let missing = missing_groups(app, caller, spec).await?;
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<&str> = missing.iter().map(|(_, id)| id.as_str()).collect();
    let detail = format!("the campaign targets groups that don't exist any more: {}", groups.join(", "));
    let problem = Problem::new(StatusCode::CONFLICT, "target_group_gone", detail);
    Err(problem.with_facts(json!({ "groups": groups })))
}

/// Target groups that don't exist, with their places in the specification.
async fn missing_groups<'a>(
    app: &App,
    caller: &Caller,
    spec: &'a CampaignSpec,
) -> Result<Vec<(usize, &'a GroupId)>, Problem> {
    let mut missing = Vec::new();
    for (index, id) in spec.target_groups.iter().enumerate() {
        if !app.store.load_fresh(&Key::<Group>::new(&caller.tenant, id)).await?.aggregate.is_active() {
            missing.push((index, id));
        }
    }
    Ok(missing)
}
