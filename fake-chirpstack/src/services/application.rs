//! `api.ApplicationService`.

use chirpstack::grpc::application::{
    ApplicationListItem, GetApplicationRequest, GetApplicationResponse, ListApplicationsRequest,
    ListApplicationsResponse, path,
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

fn get(work: &mut Work<'_>, request: GetApplicationRequest) -> Result<GetApplicationResponse, Status> {
    let id = parse::uuid(&request.id)?;
    work.caller.may_use_application(work.store, &id)?;
    let stored = work.store.applications.get(&id).ok_or_else(|| does_not_exist(&id))?;
    Ok(GetApplicationResponse {
        application: Some(stored.object.clone()),
        created_at: Some(stored.created_at),
        updated_at: Some(stored.updated_at),
    })
}

fn list(work: &mut Work<'_>, request: ListApplicationsRequest) -> Result<ListApplicationsResponse, Status> {
    let tenant_id = parse::uuid(&request.tenant_id)?;
    work.caller.may_use_tenant(&tenant_id)?;
    let mut items: Vec<ApplicationListItem> = work
        .store
        .applications
        .values()
        .filter(|stored| stored.object.tenant_id == tenant_id && stored.object.name.contains(&request.search))
        .map(|stored| ApplicationListItem {
            id: stored.object.id.clone(),
            created_at: Some(stored.created_at),
            updated_at: Some(stored.updated_at),
            name: stored.object.name.clone(),
            description: stored.object.description.clone(),
        })
        .collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let (total_count, result) = page(items, request.limit, request.offset);
    Ok(ListApplicationsResponse { total_count, result })
}
