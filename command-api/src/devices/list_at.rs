//! `GET /devices?at=`: the devices as they were at an earlier time.
//!
//! The read models say which devices may have been so; what each of them was then comes from EVENTS, as for one device.

use chrono::{DateTime, Utc};
use domain::device::{Device, Lifecycle, SyncState};
use domain::values::FIRMWARE_COMPONENT;
use domain::version::FirmwareVersion;
use domain::{DeviceId, Key};
use projections::ReadTx;
use projections::devices::DeviceFilter;
use projections::past::{Candidates, VERSIONS_MAX, devices_known_at, devices_with, versions_at};

use super::model::DeviceBody;
use crate::auth::Caller;
use crate::http::past::{AsItWas, as_they_were, past_time};
use crate::http::query::refused;
use crate::http::{AsOf, List, Paging, Problem};
use crate::state::App;

/// Most devices that are looked at for one page.
const LOOKED_AT_MAX: usize = 500;

/// A page of the devices that matched at that time. It may be short and still have a `next_cursor`.
pub(super) async fn page_at(
    app: &App,
    caller: &Caller,
    filter: DeviceFilter,
    at: DateTime<Utc>,
    paging: &Paging,
) -> Result<List<AsItWas<DeviceBody>>, Problem> {
    let at = past_time("at", at)?;
    caller.unlimited("the past of /devices")?;
    if paging.count {
        return Err(refused("count", "the past is not counted; /stats/versions?at= has numbers"));
    }
    if filter.decommissioned && has_version(&filter) {
        return Err(refused("include", "versions of decommissioned devices are not kept for the past"));
    }
    let after = paging.keys::<1>()?.map(|[id]| id);
    let mut tx = app.db.read(&caller.tenant).await?;
    let Candidates { ids, next } = candidates(&mut tx, &filter, at, after).await?;
    let as_of = AsOf::at(app, &mut tx, at).await?;
    drop(tx);
    let devices: Vec<DeviceId> = ids.iter().filter_map(|id| DeviceId::new(id.as_str()).ok()).collect();
    let keys = devices.iter().map(|id| Key::<Device>::new(&caller.tenant, id)).collect();
    let (items, looked) = as_they_were(app, keys, at, paging.limit, |id, loaded| {
        let (id, device) = (DeviceId::new(id).ok()?, &loaded.aggregate);
        let shown = || DeviceBody::of(&id, device, loaded.origin.as_deref()).held_at(device, at);
        matched(&filter, id.as_str(), device).then(shown)
    })
    .await?;
    let rest = devices.get(looked).and(devices.get(looked.saturating_sub(1))).map(|last| vec![last.to_string()]);
    Ok(paging.keyed(items, rest.or(next)).showing(as_of))
}

fn has_version(filter: &DeviceFilter) -> bool {
    filter.firmware_version.is_some() || filter.unreadable_version
}

async fn candidates(
    tx: &mut ReadTx,
    filter: &DeviceFilter,
    at: DateTime<Utc>,
    after: Option<&str>,
) -> Result<Candidates, Problem> {
    if !has_version(filter) {
        return Ok(devices_known_at(tx, at, &filter.ids, filter.prefix.as_deref(), after, LOOKED_AT_MAX).await?);
    }
    let versions = versions_at(tx, at, |version| runs(filter, version)).await?;
    if versions.len() > VERSIONS_MAX {
        let reason = format!("{} versions of that time fit, and {VERSIONS_MAX} are the most", versions.len());
        return Err(refused("firmware_version", &reason));
    }
    Ok(devices_with(tx, &versions, at, after, LOOKED_AT_MAX).await?)
}

fn runs(filter: &DeviceFilter, version: &str) -> bool {
    let meets = filter.firmware_version.as_ref().is_none_or(|requirement| requirement.matches(version));
    meets && (!filter.unreadable_version || FirmwareVersion::parse(version).is_none())
}

/// Whether a device was as the filter wants. A prefix was looked up before: names of the past are not searched.
fn matched(filter: &DeviceFilter, id: &str, device: &Device) -> bool {
    fn is<T: PartialEq + ?Sized>(wanted: Option<&T>, found: Option<&T>) -> bool {
        wanted.is_none() || wanted == found
    }
    let profile = &device.profile;
    let begins = |prefix: &String| {
        let (prefix, id) = (prefix.to_lowercase(), id.to_lowercase());
        let name = profile.name.as_ref().and_then(|name| name.plain()).map(|name| name.to_lowercase());
        id.starts_with(&prefix) || name.is_some_and(|name| name.starts_with(&prefix))
    };
    let state = device.sync_state();
    (filter.decommissioned || device.lifecycle == Lifecycle::Active)
        && (filter.ids.is_empty() || filter.ids.iter().any(|wanted| wanted == id))
        && filter.prefix.as_ref().is_none_or(begins)
        && is(filter.status.as_deref(), Some(device.reachability.word()))
        && is(filter.device_type.as_ref(), profile.device_type.as_ref())
        && is(filter.device_model.as_ref(), profile.device_model.as_ref())
        && is(filter.hardware_version.as_ref(), profile.hardware_version.as_ref())
        && is(filter.owner.as_ref(), profile.owner.as_ref())
        && is(filter.chirpstack_app_id.as_ref(), profile.chirpstack_app_id.as_ref())
        && is(filter.lorawan_dev_eui.as_ref(), profile.lorawan_dev_eui.as_ref())
        && filter.sync_state.is_none_or(|wanted| wanted == state)
        && filter.synced.is_none_or(|wanted| wanted == (state == SyncState::Synced))
        && filter.tags.iter().all(|(key, value)| profile.tags.get(key) == Some(value))
        && (!has_version(filter)
            || device.versions.get(FIRMWARE_COMPONENT).is_some_and(|version| runs(filter, version)))
}
