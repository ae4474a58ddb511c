//! Devices: `api.DeviceService`, without keys and queues.

use std::collections::BTreeMap;

use prost::Message;
use prost::bytes::Bytes;

use super::unknown_fields::unknown_fields;
use super::{Client, Error, InvalidEui, Timestamp, normalise_eui};

pub mod path {
    pub const CREATE: &str = "/api.DeviceService/Create";
    pub const GET: &str = "/api.DeviceService/Get";
    pub const UPDATE: &str = "/api.DeviceService/Update";
    pub const DELETE: &str = "/api.DeviceService/Delete";
    pub const LIST: &str = "/api.DeviceService/List";
}

/// Every field of a device that ChirpStack 4.20 has: an update replaces them all.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Device {
    /// 16 hexadecimal digits, lower case in answers.
    #[prost(string, tag = "1")]
    pub dev_eui: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub description: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub application_id: String,
    /// UUID.
    #[prost(string, tag = "5")]
    pub device_profile_id: String,
    #[prost(bool, tag = "6")]
    pub skip_fcnt_check: bool,
    #[prost(bool, tag = "7")]
    pub is_disabled: bool,
    /// Never published in events.
    #[prost(btree_map = "string, string", tag = "8")]
    pub variables: BTreeMap<String, String>,
    /// Published in every event of the device.
    #[prost(btree_map = "string, string", tag = "9")]
    pub tags: BTreeMap<String, String>,
    /// 16 hexadecimal digits; zeros when it was never set. Set by the server when the device joins.
    #[prost(string, tag = "10")]
    pub join_eui: String,
}

/// Devices of a page when all are listed.
const LIST_PAGE: u32 = 200;
/// Bytes of all devices of a list.
const LISTED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Numbers of the fields that [`Device`] declares.
const DEVICE_FIELDS: std::ops::RangeInclusive<u32> = 1..=10;

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub struct DeviceStatus {
    /// Signal-to-noise ratio of the last status request in dB, -32 to 31.
    #[prost(int32, tag = "1")]
    pub margin: i32,
    #[prost(bool, tag = "2")]
    pub external_power_source: bool,
    /// Percent; -1 when it is not available.
    #[prost(float, tag = "3")]
    pub battery_level: f32,
}

/// `common.DeviceClass`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum DeviceClass {
    ClassA = 0,
    ClassB = 1,
    ClassC = 2,
}

/// A request that names a device and nothing else: of `Get`, `Delete`, `GetKeys`, `DeleteKeys` and `FlushQueue`.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct DeviceRequest {
    #[prost(string, tag = "1")]
    pub dev_eui: String,
}

impl DeviceRequest {
    pub(super) fn of(dev_eui: &str) -> Result<Self, InvalidEui> {
        Ok(Self { dev_eui: normalise_eui(dev_eui)? })
    }
}

/// A request with a device: of `Create` and `Update`. The device is kept encoded, so that it can carry fields that aren't declared here.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct WriteDeviceRequest {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub device: Option<Bytes>,
}

/// The answer of `Get`, with the device still encoded.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetDeviceResponse {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub device: Option<Bytes>,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub last_seen_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub device_status: Option<DeviceStatus>,
    #[prost(enumeration = "DeviceClass", tag = "6")]
    pub class_enabled: i32,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListDevicesRequest {
    /// Devices of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    /// Part of the name or the EUI.
    #[prost(string, tag = "3")]
    pub search: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub application_id: String,
    /// UUID, or empty for all.
    #[prost(string, tag = "5")]
    pub multicast_group_id: String,
    #[prost(enumeration = "DeviceOrder", tag = "6")]
    pub order_by: i32,
    #[prost(bool, tag = "7")]
    pub order_by_desc: bool,
    /// Only devices that have all of them.
    #[prost(btree_map = "string, string", tag = "8")]
    pub tags: BTreeMap<String, String>,
    /// UUID, or empty for all.
    #[prost(string, tag = "9")]
    pub device_profile_id: String,
}

/// `api.ListDevicesRequest.OrderBy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum DeviceOrder {
    Name = 0,
    DevEui = 1,
    LastSeenAt = 2,
    DeviceProfileName = 3,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListDevicesResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<DeviceListItem>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeviceListItem {
    #[prost(string, tag = "1")]
    pub dev_eui: String,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub last_seen_at: Option<Timestamp>,
    #[prost(string, tag = "5")]
    pub name: String,
    #[prost(string, tag = "6")]
    pub description: String,
    #[prost(string, tag = "7")]
    pub device_profile_id: String,
    #[prost(string, tag = "8")]
    pub device_profile_name: String,
    #[prost(message, optional, tag = "9")]
    pub device_status: Option<DeviceStatus>,
    /// Servers before 4.17 or so leave them out.
    #[prost(btree_map = "string, string", tag = "10")]
    pub tags: BTreeMap<String, String>,
}

/// A device as ChirpStack has it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDevice {
    pub device: Device,
    /// Encoded fields that this code doesn't know; an update sends them back as they came.
    pub unknown_fields: Bytes,
    pub created_at: Option<Timestamp>,
    pub updated_at: Option<Timestamp>,
    pub last_seen_at: Option<Timestamp>,
    pub status: Option<DeviceStatus>,
    /// The class that is in use, which changes only after a join.
    pub class: DeviceClass,
}

impl StoredDevice {
    /// The device of an answer.
    pub fn of(answer: GetDeviceResponse) -> Result<Self, Error> {
        let class = answer.class_enabled();
        let bytes = answer.device.ok_or_else(|| Error::unreadable("an answer without a device"))?;
        let (device, unknown_fields) = decode_device(&bytes).map_err(|error| Error::unreadable(error.to_string()))?;
        Ok(Self {
            device,
            unknown_fields,
            created_at: answer.created_at,
            updated_at: answer.updated_at,
            last_seen_at: answer.last_seen_at,
            status: answer.device_status,
            class,
        })
    }
}

/// The device and its fields that aren't declared here.
pub fn decode_device(bytes: &Bytes) -> Result<(Device, Bytes), prost::DecodeError> {
    Ok((Device::decode(bytes.clone())?, unknown_fields(bytes, DEVICE_FIELDS)?))
}

/// The device with the fields that aren't declared here.
#[must_use]
pub fn encode_device(device: &Device, unknown_fields: &Bytes) -> Bytes {
    let mut bytes = device.encode_to_vec();
    bytes.extend_from_slice(unknown_fields);
    bytes.into()
}

impl Client {
    /// Creates a device. [`Error::Duplicate`] when its EUI exists, also under another tenant.
    pub async fn create_device(&self, device: &Device) -> Result<(), Error> {
        self.write_device(path::CREATE, device, &Bytes::new()).await
    }

    /// The device with this EUI. [`Error::Unauthenticated`] when a tenant's key asks for a device that does not exist.
    pub async fn get_device(&self, dev_eui: &str) -> Result<StoredDevice, Error> {
        let request = DeviceRequest::of(dev_eui)?;
        StoredDevice::of(self.call(path::GET, request).await?)
    }

    /// Replaces the whole device: read it, change `stored.device`, hand it back. There is no version to compare: two writers at a time
    /// lose one's change.
    pub async fn update_device(&self, stored: &StoredDevice) -> Result<(), Error> {
        self.write_device(path::UPDATE, &stored.device, &stored.unknown_fields).await
    }

    /// Deletes a device with its keys and its queue.
    pub async fn delete_device(&self, dev_eui: &str) -> Result<(), Error> {
        self.send(path::DELETE, DeviceRequest::of(dev_eui)?).await
    }

    /// A page of an application's devices.
    pub async fn list_devices(&self, request: ListDevicesRequest) -> Result<ListDevicesResponse, Error> {
        self.call(path::LIST, request).await
    }

    /// All devices of an application in the order of their EUIs, page by page, `max` at most. A device that is created meanwhile may be
    /// missing or come twice.
    pub async fn list_all_devices(&self, application_id: &str, max: usize) -> Result<Vec<DeviceListItem>, Error> {
        let mut request = ListDevicesRequest {
            limit: LIST_PAGE,
            application_id: application_id.to_owned(),
            order_by: DeviceOrder::DevEui.into(),
            ..ListDevicesRequest::default()
        };
        let (mut devices, mut bytes) = (Vec::new(), 0);
        loop {
            let page = self.list_devices(request.clone()).await?.result;
            if page.len() > LIST_PAGE as usize {
                return Err(Error::unreadable("a page has more devices than were asked for"));
            }
            let is_last = page.len() < LIST_PAGE as usize;
            bytes += page.iter().map(::prost::Message::encoded_len).sum::<usize>();
            if bytes > LISTED_BYTES_MAX {
                return Err(Error::unreadable("the list of devices is too large"));
            }
            devices.extend(page);
            if is_last || devices.len() >= max {
                devices.truncate(max);
                return Ok(devices);
            }
            request.offset += LIST_PAGE;
        }
    }

    async fn write_device(&self, path: &'static str, device: &Device, unknown_fields: &Bytes) -> Result<(), Error> {
        let mut device = device.clone();
        device.dev_eui = normalise_eui(&device.dev_eui)?;
        if !device.join_eui.is_empty() {
            device.join_eui = normalise_eui(&device.join_eui)?;
        }
        let request = WriteDeviceRequest { device: Some(encode_device(&device, unknown_fields)) };
        self.send(path, request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_the_fields_of_a_newer_server() -> Result<(), Error> {
        let device = Device { dev_eui: "0102030405060708".to_owned(), is_disabled: true, ..Device::default() };
        let newer = Bytes::from_static(&[0x5a, 2, b'n', b'g']);
        let answer =
            GetDeviceResponse { device: Some(encode_device(&device, &newer)), class_enabled: 2, ..Default::default() };
        let stored = StoredDevice::of(answer)?;
        assert_eq!((&stored.device, &stored.unknown_fields, stored.class), (&device, &newer, DeviceClass::ClassC));
        let sent = encode_device(&stored.device, &stored.unknown_fields);
        assert!(sent.ends_with(&newer));
        Ok(())
    }

    #[test]
    fn an_answer_without_a_device_is_not_an_answer() {
        assert!(matches!(StoredDevice::of(GetDeviceResponse::default()), Err(Error::NotChirpstack { .. })));
    }
}
