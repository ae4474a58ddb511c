//! Device profiles: `api.DeviceProfileService`. Read only: the fields that decide how a device can be reached.

use std::collections::BTreeMap;

use super::{Client, Error, Timestamp};

pub mod path {
    pub const GET: &str = "/api.DeviceProfileService/Get";
    pub const LIST: &str = "/api.DeviceProfileService/List";
}

/// `common.Region`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ::prost::Enumeration)]
#[repr(i32)]
pub enum Region {
    Eu868 = 0,
    Us915 = 2,
    Cn779 = 3,
    Eu433 = 4,
    Au915 = 5,
    Cn470 = 6,
    As923 = 7,
    Kr920 = 8,
    In865 = 9,
    Ru864 = 10,
    Ism2400 = 11,
    As9232 = 12,
    As9233 = 13,
    As9234 = 14,
}

impl Region {
    /// Its name in ChirpStack.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Eu868 => "EU868",
            Self::Us915 => "US915",
            Self::Cn779 => "CN779",
            Self::Eu433 => "EU433",
            Self::Au915 => "AU915",
            Self::Cn470 => "CN470",
            Self::As923 => "AS923",
            Self::Kr920 => "KR920",
            Self::In865 => "IN865",
            Self::Ru864 => "RU864",
            Self::Ism2400 => "ISM2400",
            Self::As9232 => "AS923_2",
            Self::As9233 => "AS923_3",
            Self::As9234 => "AS923_4",
        }
    }
}

/// `common.MacVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum MacVersion {
    Lorawan100 = 0,
    Lorawan101 = 1,
    Lorawan102 = 2,
    Lorawan103 = 3,
    Lorawan104 = 4,
    Lorawan110 = 5,
}

/// `api.Ts003Version`, `api.Ts004Version` and `api.Ts005Version`: the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ::prost::Enumeration)]
#[repr(i32)]
pub enum PackageVersion {
    NotImplemented = 0,
    V100 = 1,
    V200 = 2,
}

/// The packages of the application layer that a device's firmware has.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct AppLayerParams {
    /// Clock synchronisation.
    #[prost(enumeration = "PackageVersion", tag = "1")]
    pub ts003_version: i32,
    #[prost(uint32, tag = "2")]
    pub ts003_f_port: u32,
    /// Fragmented data blocks.
    #[prost(enumeration = "PackageVersion", tag = "3")]
    pub ts004_version: i32,
    #[prost(uint32, tag = "4")]
    pub ts004_f_port: u32,
    /// Remote multicast set-up.
    #[prost(enumeration = "PackageVersion", tag = "5")]
    pub ts005_version: i32,
    #[prost(uint32, tag = "6")]
    pub ts005_f_port: u32,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct DeviceProfile {
    /// UUID.
    #[prost(string, tag = "1")]
    pub id: String,
    /// UUID; empty for a profile of all tenants.
    #[prost(string, tag = "2")]
    pub tenant_id: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(enumeration = "Region", tag = "4")]
    pub region: i32,
    #[prost(enumeration = "MacVersion", tag = "5")]
    pub mac_version: i32,
    #[prost(bool, tag = "10")]
    pub flush_queue_on_activate: bool,
    /// Seconds between uplinks; paces every step of a FUOTA deployment.
    #[prost(uint32, tag = "11")]
    pub uplink_interval: u32,
    #[prost(bool, tag = "13")]
    pub supports_otaa: bool,
    #[prost(bool, tag = "14")]
    pub supports_class_b: bool,
    #[prost(bool, tag = "15")]
    pub supports_class_c: bool,
    /// Seconds.
    #[prost(uint32, tag = "16")]
    pub class_b_timeout: u32,
    #[prost(uint32, tag = "17")]
    pub class_b_ping_slot_periodicity: u32,
    /// Seconds.
    #[prost(uint32, tag = "20")]
    pub class_c_timeout: u32,
    #[prost(btree_map = "string, string", tag = "25")]
    pub tags: BTreeMap<String, String>,
    #[prost(string, tag = "26")]
    pub description: String,
    /// Name of the server's region configuration; empty for all of the region.
    #[prost(string, tag = "29")]
    pub region_config_id: String,
    /// Absent when the device has none of them.
    #[prost(message, optional, tag = "54")]
    pub app_layer_params: Option<AppLayerParams>,
    #[prost(string, tag = "56")]
    pub firmware_version: String,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct GetDeviceProfileRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetDeviceProfileResponse {
    #[prost(message, optional, tag = "1")]
    pub device_profile: Option<DeviceProfile>,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListDeviceProfilesRequest {
    /// Profiles of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    /// Part of the name.
    #[prost(string, tag = "3")]
    pub search: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub tenant_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListDeviceProfilesResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<DeviceProfileListItem>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeviceProfileListItem {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(enumeration = "Region", tag = "5")]
    pub region: i32,
    #[prost(enumeration = "MacVersion", tag = "6")]
    pub mac_version: i32,
    #[prost(bool, tag = "8")]
    pub supports_otaa: bool,
    #[prost(bool, tag = "9")]
    pub supports_class_b: bool,
    #[prost(bool, tag = "10")]
    pub supports_class_c: bool,
}

impl Client {
    pub async fn get_device_profile(&self, id: &str) -> Result<DeviceProfile, Error> {
        let answer: GetDeviceProfileResponse =
            self.call(path::GET, GetDeviceProfileRequest { id: id.to_owned() }).await?;
        answer.device_profile.ok_or_else(|| Error::unreadable("an answer without a device profile"))
    }

    /// A page of a tenant's device profiles.
    pub async fn list_device_profiles(
        &self,
        request: ListDeviceProfilesRequest,
    ) -> Result<ListDeviceProfilesResponse, Error> {
        self.call(path::LIST, request).await
    }
}
