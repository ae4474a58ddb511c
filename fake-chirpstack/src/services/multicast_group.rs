//! `api.MulticastGroupService`.

use chirpstack::grpc::Empty;
use chirpstack::grpc::multicast_group::{
    DeleteMulticastGroupRequest, ListMulticastGroupsRequest, ListMulticastGroupsResponse, MulticastGroupListItem, path,
};
use tonic::Status;

use super::{page, parse};
use crate::auth::does_not_exist;
use crate::call::{Call, Response, Work};

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::LIST => call.unary(list).await,
        path::DELETE => call.unary(delete).await,
        _ => return Err(call),
    })
}

fn list(work: &mut Work<'_>, request: ListMulticastGroupsRequest) -> Result<ListMulticastGroupsResponse, Status> {
    let application_id = parse::uuid(&request.application_id)?;
    work.caller.may_use_application(work.store, &application_id)?;
    let mut items: Vec<MulticastGroupListItem> = work
        .store
        .multicast_groups
        .values()
        .filter(|group| group.application_id == application_id && group.name.contains(&request.search))
        .cloned()
        .collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let (total_count, result) = page(items, request.limit, request.offset);
    Ok(ListMulticastGroupsResponse { total_count, result })
}

fn delete(work: &mut Work<'_>, request: DeleteMulticastGroupRequest) -> Result<Empty, Status> {
    let id = parse::uuid(&request.id)?;
    work.caller.may_use_multicast_group(work.store, &id)?;
    work.store.multicast_groups.remove(&id).map(|_| Empty {}).ok_or_else(|| does_not_exist(&id))
}
