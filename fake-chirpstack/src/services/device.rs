//! `api.DeviceService`: devices.

use bytes::Bytes;
use chirpstack::grpc::Empty;
use chirpstack::grpc::device::{
    Device, DeviceListItem, DeviceOrder, DeviceRequest, GetDeviceResponse, ListDevicesRequest, ListDevicesResponse,
    WriteDeviceRequest, decode_device, encode_device, path,
};
use tonic::Status;

use super::{page, parse};
use crate::auth::does_not_exist;
use crate::call::{Call, Response, Work};
use crate::store::{DEVICES_MAX, DeviceEntry, Store};

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::CREATE => call.unary(create).await,
        path::GET => call.unary(get).await,
        path::UPDATE => call.unary(update).await,
        path::DELETE => call.unary(delete).await,
        path::LIST => call.unary(list).await,
        _ => return Err(call),
    })
}

fn create(work: &mut Work<'_>, request: WriteDeviceRequest) -> Result<Empty, Status> {
    let (device, unknown_fields) = read_device(request)?;
    work.caller.may_use_application(work.store, &device.application_id)?;
    if work.store.devices.contains_key(&device.dev_eui) {
        return Err(Status::internal("UNIQUE constraint failed: device.dev_eui"));
    }
    if !work.store.profiles.contains_key(&device.device_profile_id) {
        return Err(Status::internal("FOREIGN KEY constraint failed"));
    }
    if work.store.devices.len() >= DEVICES_MAX {
        return Err(Status::invalid_argument("Not allowed (Max number of devices exceeded for tenant)"));
    }
    work.store.devices.insert(device.dev_eui.clone(), DeviceEntry::new(device, unknown_fields));
    Ok(Empty {})
}

fn get(work: &mut Work<'_>, request: DeviceRequest) -> Result<GetDeviceResponse, Status> {
    let dev_eui = parse::eui(&request.dev_eui)?;
    work.caller.may_use_device(work.store, &dev_eui)?;
    let entry = entry(work.store, &dev_eui)?;
    Ok(GetDeviceResponse {
        device: Some(encode_device(&entry.stored.object, &entry.unknown_fields)),
        created_at: Some(entry.stored.created_at),
        updated_at: Some(entry.stored.updated_at),
        last_seen_at: entry.last_seen_at,
        device_status: entry.status,
        class_enabled: entry.class.into(),
    })
}

/// Replaces all fields.
fn update(work: &mut Work<'_>, request: WriteDeviceRequest) -> Result<Empty, Status> {
    let (device, unknown_fields) = read_device(request)?;
    work.caller.may_use_device(work.store, &device.dev_eui)?;
    work.caller.may_use_application(work.store, &device.application_id)?;
    work.caller.may_use_profile(work.store, &device.device_profile_id)?;
    let entry = entry(work.store, &device.dev_eui)?;
    entry.stored.replace(device);
    entry.unknown_fields = unknown_fields;
    Ok(Empty {})
}

fn delete(work: &mut Work<'_>, request: DeviceRequest) -> Result<Empty, Status> {
    let dev_eui = parse::eui(&request.dev_eui)?;
    work.caller.may_use_device(work.store, &dev_eui)?;
    work.store.devices.remove(&dev_eui).map(|_| Empty {}).ok_or_else(|| does_not_exist(&dev_eui))
}

fn list(work: &mut Work<'_>, request: ListDevicesRequest) -> Result<ListDevicesResponse, Status> {
    let application_id = parse::uuid(&request.application_id)?;
    work.caller.may_use_application(work.store, &application_id)?;
    let order = request.order_by();
    let mut items: Vec<DeviceListItem> = work
        .store
        .devices
        .values()
        .filter(|entry| {
            entry.stored.object.application_id == application_id && is_wanted(&entry.stored.object, &request)
        })
        .map(|entry| item(work.store, entry))
        .collect();
    items.sort_by(|one, other| match order {
        DeviceOrder::Name => one.name.cmp(&other.name),
        DeviceOrder::DevEui => one.dev_eui.cmp(&other.dev_eui),
        DeviceOrder::LastSeenAt => {
            let seconds = |item: &DeviceListItem| item.last_seen_at.map(|time| (time.seconds, time.nanos));
            seconds(one).cmp(&seconds(other))
        }
        DeviceOrder::DeviceProfileName => one.device_profile_name.cmp(&other.device_profile_name),
    });
    if request.order_by_desc {
        items.reverse();
    }
    let (total_count, result) = page(items, request.limit, request.offset);
    Ok(ListDevicesResponse { total_count, result })
}

fn is_wanted(device: &Device, request: &ListDevicesRequest) -> bool {
    (request.search.is_empty() || device.name.contains(&request.search) || device.dev_eui.contains(&request.search))
        && (request.device_profile_id.is_empty() || device.device_profile_id == request.device_profile_id)
        && request.tags.iter().all(|(key, value)| device.tags.get(key) == Some(value))
}

fn item(store: &Store, entry: &DeviceEntry) -> DeviceListItem {
    let device = &entry.stored.object;
    let profile = store.profiles.get(&device.device_profile_id);
    DeviceListItem {
        dev_eui: device.dev_eui.clone(),
        created_at: Some(entry.stored.created_at),
        updated_at: Some(entry.stored.updated_at),
        last_seen_at: entry.last_seen_at,
        name: device.name.clone(),
        description: device.description.clone(),
        device_profile_id: device.device_profile_id.clone(),
        device_profile_name: profile.map(|profile| profile.object.name.clone()).unwrap_or_default(),
        device_status: entry.status,
        tags: device.tags.clone(),
    }
}

fn entry<'a>(store: &'a mut Store, dev_eui: &str) -> Result<&'a mut DeviceEntry, Status> {
    store.devices.get_mut(dev_eui).ok_or_else(|| does_not_exist(dev_eui))
}

/// The device of a request with its ids as they are stored, and the fields that only a newer server would know.
fn read_device(request: WriteDeviceRequest) -> Result<(Device, Bytes), Status> {
    let bytes = request.device.ok_or_else(|| parse::missing("device"))?;
    let (mut device, unknown_fields) = decode_device(&bytes).map_err(|error| Status::internal(error.to_string()))?;
    device.dev_eui = parse::eui(&device.dev_eui)?;
    device.application_id = parse::uuid(&device.application_id)?;
    device.device_profile_id = parse::uuid(&device.device_profile_id)?;
    device.join_eui = parse::optional_eui(&device.join_eui)?;
    if device.name.is_empty() {
        return Err(parse::invalid("name is not set"));
    }
    Ok((device, unknown_fields))
}
