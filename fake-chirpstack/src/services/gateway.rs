//! `api.GatewayService`.

use chirpstack::grpc::gateway::{GatewayListItem, ListGatewaysRequest, ListGatewaysResponse, path};
use tonic::Status;

use super::{page, parse};
use crate::call::{Call, Response, Work};

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::LIST => call.unary(list).await,
        _ => return Err(call),
    })
}

fn list(work: &mut Work<'_>, request: ListGatewaysRequest) -> Result<ListGatewaysResponse, Status> {
    let tenant_id = parse::uuid(&request.tenant_id)?;
    work.caller.may_use_tenant(&tenant_id)?;
    let is_wanted = |gateway: &&GatewayListItem| {
        gateway.tenant_id == tenant_id
            && (gateway.name.contains(&request.search) || gateway.gateway_id.contains(&request.search))
    };
    let items = work.store.gateways.values().filter(is_wanted).cloned().collect();
    let (total_count, result) = page(items, request.limit, request.offset);
    Ok(ListGatewaysResponse { total_count, result })
}
