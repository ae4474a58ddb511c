//! `api.DeviceProfileService`.

use chirpstack::grpc::device_profile::{
    DeviceProfileListItem, GetDeviceProfileRequest, GetDeviceProfileResponse, ListDeviceProfilesRequest,
    ListDeviceProfilesResponse, path,
};
use tonic::Status;

use super::{page, parse};
use crate::auth::does_not_exist;
use crate::call::{Call, Response, Work};

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::GET => call.unary(get).await,
        path::LIST => call.unary(list).await,
        _ => return Err(call),
    })
}

fn get(work: &mut Work<'_>, request: GetDeviceProfileRequest) -> Result<GetDeviceProfileResponse, Status> {
    let id = parse::uuid(&request.id)?;
    work.caller.may_use_profile(work.store, &id)?;
    let stored = work.store.profiles.get(&id).ok_or_else(|| does_not_exist(&id))?;
    Ok(GetDeviceProfileResponse {
        device_profile: Some(stored.object.clone()),
        created_at: Some(stored.created_at),
        updated_at: Some(stored.updated_at),
    })
}

fn list(work: &mut Work<'_>, request: ListDeviceProfilesRequest) -> Result<ListDeviceProfilesResponse, Status> {
    let tenant_id = parse::uuid(&request.tenant_id)?;
    work.caller.may_use_tenant(&tenant_id)?;
    let mut items: Vec<DeviceProfileListItem> = work
        .store
        .profiles
        .values()
        .filter(|stored| stored.object.tenant_id == tenant_id && stored.object.name.contains(&request.search))
        .map(|stored| DeviceProfileListItem {
            id: stored.object.id.clone(),
            created_at: Some(stored.created_at),
            updated_at: Some(stored.updated_at),
            name: stored.object.name.clone(),
            region: stored.object.region,
            mac_version: stored.object.mac_version,
            supports_otaa: stored.object.supports_otaa,
            supports_class_b: stored.object.supports_class_b,
            supports_class_c: stored.object.supports_class_c,
        })
        .collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let (total_count, result) = page(items, request.limit, request.offset);
    Ok(ListDeviceProfilesResponse { total_count, result })
}
