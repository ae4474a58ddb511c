//! `api.DeviceService`: root keys.

use chirpstack::grpc::Empty;
use chirpstack::grpc::device::DeviceRequest;
use chirpstack::grpc::device_keys::{DeviceKeys, GetDeviceKeysResponse, WriteDeviceKeysRequest, path};
use tonic::Status;

use super::parse;
use crate::auth::does_not_exist;
use crate::call::{Call, Response, Work};
use crate::store::{DeviceEntry, Stored};

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::CREATE => call.unary(create).await,
        path::GET => call.unary(get).await,
        path::UPDATE => call.unary(update).await,
        path::DELETE => call.unary(delete).await,
        _ => return Err(call),
    })
}

fn create(work: &mut Work<'_>, request: WriteDeviceKeysRequest) -> Result<Empty, Status> {
    let keys = request.device_keys.ok_or_else(|| parse::missing("device_keys"))?;
    let entry = device(work, &keys.dev_eui)?;
    let keys = read_keys(keys)?;
    if entry.keys.is_some() {
        return Err(Status::internal("UNIQUE constraint failed: device_keys.dev_eui"));
    }
    entry.keys = Some(Stored::new(keys));
    Ok(Empty {})
}

fn get(work: &mut Work<'_>, request: DeviceRequest) -> Result<GetDeviceKeysResponse, Status> {
    let entry = device(work, &request.dev_eui)?;
    let keys = entry.keys.as_ref().ok_or_else(|| does_not_exist(&request.dev_eui))?;
    Ok(GetDeviceKeysResponse {
        device_keys: Some(keys.object.clone()),
        created_at: Some(keys.created_at),
        updated_at: Some(keys.updated_at),
    })
}

fn update(work: &mut Work<'_>, request: WriteDeviceKeysRequest) -> Result<Empty, Status> {
    let keys = request.device_keys.ok_or_else(|| parse::missing("device_keys"))?;
    let entry = device(work, &keys.dev_eui)?;
    let stored = entry.keys.as_mut().ok_or_else(|| does_not_exist(&keys.dev_eui))?;
    stored.replace(read_keys(keys)?);
    Ok(Empty {})
}

fn delete(work: &mut Work<'_>, request: DeviceRequest) -> Result<Empty, Status> {
    let entry = device(work, &request.dev_eui)?;
    entry.keys.take().map(|_| Empty {}).ok_or_else(|| does_not_exist(&request.dev_eui))
}

fn device<'a>(work: &'a mut Work<'_>, dev_eui: &str) -> Result<&'a mut DeviceEntry, Status> {
    let dev_eui = parse::eui(dev_eui)?;
    work.caller.may_use_device(work.store, &dev_eui)?;
    work.store.devices.get_mut(&dev_eui).ok_or_else(|| does_not_exist(&dev_eui))
}

fn read_keys(keys: DeviceKeys) -> Result<DeviceKeys, Status> {
    Ok(DeviceKeys {
        dev_eui: parse::eui(&keys.dev_eui)?,
        nwk_key: parse::key(&keys.nwk_key)?,
        app_key: parse::optional_key(&keys.app_key)?,
        gen_app_key: parse::optional_key(&keys.gen_app_key)?,
    })
}
