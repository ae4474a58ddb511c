//! `api.DeviceService`: downlink queues.

use chirpstack::grpc::Empty;
use chirpstack::grpc::device::DeviceRequest;
use chirpstack::grpc::device_queue::{
    DeviceQueueItem, EnqueueRequest, EnqueueResponse, GetQueueRequest, GetQueueResponse, path,
};
use runtime::clock;
use tonic::Status;

use super::parse;
use crate::call::{Call, Response, Work};
use crate::radio;
use crate::store::QUEUE_MAX;

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::ENQUEUE => call.unary(enqueue).await,
        path::GET => call.unary(get).await,
        path::FLUSH => call.unary(flush).await,
        _ => return Err(call),
    })
}

/// The item gets an id of the server's.
fn enqueue(work: &mut Work<'_>, request: EnqueueRequest) -> Result<EnqueueResponse, Status> {
    let item = request.queue_item.ok_or_else(|| parse::missing("queue_item"))?;
    let dev_eui = parse::eui(&item.dev_eui)?;
    work.caller.may_use_device(work.store, &dev_eui)?;
    if !(1..=255).contains(&item.f_port) {
        return Err(parse::invalid("FPort must be between 1 - 255"));
    }
    let Some(entry) = work.store.devices.get_mut(&dev_eui) else { return Err(Status::unauthenticated("")) };
    if request.flush_queue {
        entry.queue.retain(|waiting| waiting.is_pending);
    }
    if entry.queue.len() >= QUEUE_MAX {
        return Err(Status::invalid_argument("Not allowed (Max queue size exceeded)"));
    }
    let id = clock::new_id().to_string();
    entry.queue.push_back(DeviceQueueItem {
        id: id.clone(),
        dev_eui: dev_eui.clone(),
        is_pending: false,
        f_cnt_down: 0,
        ..item
    });
    radio::send_if_class_c(work.store, work.outgoing, &dev_eui);
    Ok(EnqueueResponse { id })
}

fn get(work: &mut Work<'_>, request: GetQueueRequest) -> Result<GetQueueResponse, Status> {
    let dev_eui = parse::eui(&request.dev_eui)?;
    work.caller.may_use_device(work.store, &dev_eui)?;
    let items: Vec<DeviceQueueItem> =
        work.store.devices.get(&dev_eui).map(|entry| entry.queue.iter().cloned().collect()).unwrap_or_default();
    let total_count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    Ok(GetQueueResponse { total_count, result: if request.count_only { Vec::new() } else { items } })
}

fn flush(work: &mut Work<'_>, request: DeviceRequest) -> Result<Empty, Status> {
    let dev_eui = parse::eui(&request.dev_eui)?;
    work.caller.may_use_device(work.store, &dev_eui)?;
    if let Some(entry) = work.store.devices.get_mut(&dev_eui) {
        entry.queue.clear();
    }
    Ok(Empty {})
}
