//! `GET /devices`: list and filter devices.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::GroupId;
use domain::device::SyncState;
use domain::version::VersionRequirement;
use projections::FLEET;
use projections::devices::DeviceFilter;
use serde::Deserialize;
use utoipa::IntoParams;

use super::list_at::page_at;
use super::model::DeviceBody;
use crate::access::reach;
use crate::auth::Caller;
use crate::http::problem::ProblemBody;
use crate::http::query::{includes_deleted, refused};
use crate::http::{AsOf, FilterSet, Filters, List, MinPosition, PageParams, Paging, Problem};
use crate::state::App;

/// Most ids in one request.
const IDS_MAX: usize = 200;
/// Finds versions that can't be parsed.
const UNREADABLE: &str = "unreadable";
/// Most tags in one request.
const TAGS_MAX: usize = 16;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceFilters {
    /// Repeatable, up to 200.
    #[serde(skip)]
    id: Vec<String>,
    /// `online`, `offline` or `never_seen`.
    status: Option<String>,
    device_type: Option<String>,
    device_model: Option<String>,
    hardware_version: Option<String>,
    /// An opaque id.
    owner: Option<String>,
    /// Id of a group: the members of a static one, the devices that match the filter of a dynamic one.
    group: Option<String>,
    /// Prefix of the id or name; case is ignored (beyond ASCII as far as PostgreSQL's locale knows).
    q: Option<String>,
    /// `key:value`, repeatable; all must match.
    #[serde(skip)]
    tag: Vec<String>,
    /// A version requirement such as `<2.0.0`; a bare version means exactly that one. `unreadable` finds versions that can't be compared,
    /// which no requirement finds.
    firmware_version: Option<String>,
    /// Whether there is a copy in a LoRaWAN network server, and it is up to date.
    synced: Option<bool>,
    /// `not_applicable`, `pending`, `synced` or `failed`.
    sync_state: Option<String>,
    /// Devices of this application.
    chirpstack_app_id: Option<String>,
    /// The device with this EUI: 16 hexadecimal digits.
    lorawan_dev_eui: Option<String>,
    /// `deleted` includes decommissioned devices.
    include: Option<String>,
    /// The same as `include=deleted`.
    #[serde(default)]
    decommissioned: bool,
    /// The devices as they were at this time, with all filters but `group` and without `count`. `q` is the beginning of an id or of a name that
    /// the device had then and still has. 422 for a time in the future.
    at: Option<DateTime<Utc>>,
}

/// Filters that may be given more than once.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes parameters that `DeviceFilters` reads by hand")]
pub(crate) struct RepeatableFilters {
    /// Repeatable, up to 200.
    id: Option<Vec<String>>,
    /// `key:value`, repeatable, up to 16; all must match.
    tag: Option<Vec<String>>,
}

impl FilterSet for DeviceFilters {
    const REPEATABLE: &'static [&'static str] = &["id", "tag"];

    fn set(&mut self, name: &str, values: Vec<String>) {
        match name {
            "id" => self.id = values,
            _ => self.tag = values,
        }
    }
}

impl DeviceFilters {
    fn into_filter(self) -> Result<DeviceFilter, Problem> {
        if self.id.len() > IDS_MAX || self.tag.len() > TAGS_MAX {
            return Err(Problem::bad_request(format!("at most {IDS_MAX} ids and {TAGS_MAX} tags")));
        }
        let tags = self.tag.iter().map(|tag| match tag.split_once(':') {
            Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
            None => Err(Problem::bad_request("tag is key:value")),
        });
        let unreadable = self.firmware_version.as_deref() == Some(UNREADABLE);
        let requirement = self.firmware_version.as_deref().filter(|_| !unreadable);
        let requirement = requirement.map(VersionRequirement::parse).transpose();
        if self.status.as_deref().is_some_and(|status| !["online", "offline", "never_seen"].contains(&status)) {
            return Err(Problem::bad_request("status is online, offline or never_seen"));
        }
        let word = self.sync_state.as_deref();
        let sync_state = word.map(|word| {
            SyncState::from_word(word)
                .ok_or_else(|| Problem::bad_request("sync_state is not_applicable, pending, synced or failed"))
        });
        let sync_state = sync_state.transpose()?;
        Ok(DeviceFilter {
            tags: tags.collect::<Result<_, _>>()?,
            firmware_version: requirement
                .map_err(|reason| Problem::bad_request(format!("firmware_version: {reason}")))?,
            unreadable_version: unreadable,
            synced: self.synced,
            sync_state,
            chirpstack_app_id: self.chirpstack_app_id,
            lorawan_dev_eui: self.lorawan_dev_eui.map(|eui| eui.to_ascii_lowercase()),
            ids: self.id,
            status: self.status,
            device_type: self.device_type,
            device_model: self.device_model,
            hardware_version: self.hardware_version,
            owner: self.owner,
            reach: None,
            group: None,
            matching: None,
            prefix: self.q,
            decommissioned: self.decommissioned || includes_deleted(self.include.as_deref())?,
        })
    }
}

fn group_id(text: String) -> Result<GroupId, Problem> {
    GroupId::new(text).map_err(|error| refused("group", &error.to_string()))
}

/// List devices
///
/// By id, without decommissioned ones unless `include=deleted`. With `at`, each as `GET /devices/{device_id}?at_time=` shows it; a page looks at
/// 500 devices, so it may have fewer items than `limit`, even none, and still have a `next_cursor`.
#[utoipa::path(
    get, path = "/devices", tag = "devices", params(RepeatableFilters, DeviceFilters, PageParams),
    responses(
        (status = 200, body = List<DeviceBody>),
        (status = 400, description = "A filter or a cursor is wrong, or is not kept for the past", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list_devices(
    State(app): State<App>,
    caller: Caller,
    Filters(mut filters): Filters<DeviceFilters>,
    min_position: MinPosition,
    paging: Paging,
) -> Result<Response, Problem> {
    let at = filters.at;
    let group = filters.group.take().map(group_id).transpose()?;
    let mut filter = filters.into_filter()?;
    if let Some(at) = at {
        if group.is_some() {
            return Err(refused("group", "who was a member is not kept for the past"));
        }
        min_position.wait(&app, &caller, &[FLEET]).await?;
        return Ok(Json(page_at(&app, &caller, filter, at, &paging).await?).into_response());
    }
    filter.reach = match &caller.limits {
        Some(limits) => Some(reach::of(&app, &caller.tenant, caller.actor.id(), limits).await?),
        None => None,
    };
    let after = paging.keys::<1>()?.map(|[id]| id);
    min_position.wait(&app, &caller, &[FLEET]).await?;
    let mut tx = app.db.read(&caller.tenant).await?;
    if let Some(group) = group {
        let row = projections::groups::get(&mut tx, &group).await?;
        filter.group = Some(row.ok_or_else(|| refused("group", "there is no such group"))?);
    }
    let page = projections::devices::list(&mut tx, &filter, after, paging.limit, paging.count).await?;
    let as_of = AsOf::now(&app, &mut tx).await?;
    Ok(Json(paging.list(page, DeviceBody::from).showing(as_of)).into_response())
}
