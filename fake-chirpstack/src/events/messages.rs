//! `integration.*` with the parts of `gw.*` and `common.*` that they carry.

use std::collections::BTreeMap;

use chirpstack::grpc::device::DeviceClass;
use prost_types::{Duration, Struct, Timestamp};

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct DeviceInfo {
    #[prost(string, tag = "1")]
    pub tenant_id: String,
    #[prost(string, tag = "2")]
    pub tenant_name: String,
    #[prost(string, tag = "3")]
    pub application_id: String,
    #[prost(string, tag = "4")]
    pub application_name: String,
    #[prost(string, tag = "5")]
    pub device_profile_id: String,
    #[prost(string, tag = "6")]
    pub device_profile_name: String,
    #[prost(string, tag = "7")]
    pub device_name: String,
    #[prost(string, tag = "8")]
    pub dev_eui: String,
    #[prost(btree_map = "string, string", tag = "9")]
    pub tags: BTreeMap<String, String>,
    #[prost(enumeration = "DeviceClass", tag = "10")]
    pub device_class_enabled: i32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UplinkEvent {
    #[prost(string, tag = "1")]
    pub deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub dev_addr: String,
    #[prost(bool, tag = "5")]
    pub adr: bool,
    #[prost(uint32, tag = "6")]
    pub dr: u32,
    #[prost(uint32, tag = "7")]
    pub f_cnt: u32,
    #[prost(uint32, tag = "8")]
    pub f_port: u32,
    #[prost(bool, tag = "9")]
    pub confirmed: bool,
    #[prost(bytes = "vec", tag = "10")]
    pub data: Vec<u8>,
    #[prost(message, optional, tag = "11")]
    pub object: Option<Struct>,
    #[prost(message, repeated, tag = "12")]
    pub rx_info: Vec<UplinkRxInfo>,
    #[prost(message, optional, tag = "13")]
    pub tx_info: Option<UplinkTxInfo>,
    #[prost(string, tag = "16")]
    pub region_config_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct UplinkRxInfo {
    #[prost(string, tag = "1")]
    pub gateway_id: String,
    #[prost(uint32, tag = "2")]
    pub uplink_id: u32,
    #[prost(message, optional, tag = "3")]
    pub gw_time: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub time_since_gps_epoch: Option<Duration>,
    #[prost(int32, tag = "6")]
    pub rssi: i32,
    #[prost(float, tag = "7")]
    pub snr: f32,
    #[prost(uint32, tag = "8")]
    pub channel: u32,
    #[prost(uint32, tag = "9")]
    pub rf_chain: u32,
    #[prost(message, optional, tag = "12")]
    pub location: Option<Location>,
    #[prost(bytes = "vec", tag = "13")]
    pub context: Vec<u8>,
    #[prost(btree_map = "string, string", tag = "15")]
    pub metadata: BTreeMap<String, String>,
    #[prost(enumeration = "CrcStatus", tag = "16")]
    pub crc_status: i32,
    #[prost(message, optional, tag = "17")]
    pub ns_time: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub struct Location {
    #[prost(double, tag = "1")]
    pub latitude: f64,
    #[prost(double, tag = "2")]
    pub longitude: f64,
    #[prost(double, tag = "3")]
    pub altitude: f64,
    #[prost(enumeration = "LocationSource", tag = "4")]
    pub source: i32,
    #[prost(float, tag = "5")]
    pub accuracy: f32,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct UplinkTxInfo {
    #[prost(uint32, tag = "1")]
    pub frequency: u32,
    #[prost(message, optional, tag = "2")]
    pub modulation: Option<Modulation>,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Modulation {
    #[prost(message, optional, tag = "3")]
    pub lora: Option<LoraModulation>,
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct LoraModulation {
    #[prost(uint32, tag = "1")]
    pub bandwidth: u32,
    #[prost(uint32, tag = "2")]
    pub spreading_factor: u32,
    #[prost(bool, tag = "4")]
    pub polarization_inversion: bool,
    #[prost(enumeration = "CodeRate", tag = "5")]
    pub code_rate: i32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct JoinEvent {
    #[prost(string, tag = "1")]
    pub deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub dev_addr: String,
    #[prost(string, tag = "7")]
    pub region_config_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct AckEvent {
    #[prost(string, tag = "1")]
    pub deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub queue_item_id: String,
    #[prost(bool, tag = "5")]
    pub acknowledged: bool,
    #[prost(uint32, tag = "6")]
    pub f_cnt_down: u32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct TxAckEvent {
    #[prost(uint32, tag = "1")]
    pub downlink_id: u32,
    #[prost(message, optional, tag = "2")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub queue_item_id: String,
    #[prost(uint32, tag = "5")]
    pub f_cnt_down: u32,
    #[prost(string, tag = "6")]
    pub gateway_id: String,
    #[prost(message, optional, tag = "7")]
    pub tx_info: Option<DownlinkTxInfo>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DownlinkTxInfo {
    #[prost(uint32, tag = "1")]
    pub frequency: u32,
    #[prost(int32, tag = "2")]
    pub power: i32,
    #[prost(message, optional, tag = "3")]
    pub modulation: Option<Modulation>,
    #[prost(message, optional, tag = "6")]
    pub timing: Option<Timing>,
    #[prost(bytes = "vec", tag = "7")]
    pub context: Vec<u8>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct Timing {
    #[prost(oneof = "TimingParameters", tags = "1, 2")]
    pub parameters: Option<TimingParameters>,
}

#[derive(Clone, Copy, PartialEq, ::prost::Oneof)]
pub enum TimingParameters {
    #[prost(message, tag = "1")]
    Immediately(Immediately),
    #[prost(message, tag = "2")]
    Delay(Delay),
}

#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Immediately {}

#[derive(Clone, Copy, PartialEq, ::prost::Message)]
pub struct Delay {
    #[prost(message, optional, tag = "1")]
    pub delay: Option<Duration>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LogEvent {
    #[prost(message, optional, tag = "1")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub device_info: Option<DeviceInfo>,
    #[prost(enumeration = "LogLevel", tag = "3")]
    pub level: i32,
    #[prost(enumeration = "LogCode", tag = "4")]
    pub code: i32,
    #[prost(string, tag = "5")]
    pub description: String,
    #[prost(btree_map = "string, string", tag = "6")]
    pub context: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct StatusEvent {
    #[prost(string, tag = "1")]
    pub deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub device_info: Option<DeviceInfo>,
    #[prost(int32, tag = "5")]
    pub margin: i32,
    #[prost(bool, tag = "6")]
    pub external_power_source: bool,
    #[prost(bool, tag = "7")]
    pub battery_level_unavailable: bool,
    #[prost(float, tag = "8")]
    pub battery_level: f32,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct LocationEvent {
    #[prost(string, tag = "1")]
    pub deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub device_info: Option<DeviceInfo>,
    #[prost(message, optional, tag = "4")]
    pub location: Option<Location>,
}

/// `gw.CRCStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum CrcStatus {
    NoCrc = 0,
    BadCrc = 1,
    CrcOk = 2,
}

impl CrcStatus {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NoCrc => "NO_CRC",
            Self::BadCrc => "BAD_CRC",
            Self::CrcOk => "CRC_OK",
        }
    }
}

/// `common.LocationSource`, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum LocationSource {
    Unknown = 0,
    Gps = 1,
    Config = 2,
    GeoResolverGnss = 5,
}

impl LocationSource {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Gps => "GPS",
            Self::Config => "CONFIG",
            Self::GeoResolverGnss => "GEO_RESOLVER_GNSS",
        }
    }
}

/// `gw.CodeRate`, as far as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum CodeRate {
    CrUndefined = 0,
    Cr45 = 1,
}

impl CodeRate {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CrUndefined => "CR_UNDEFINED",
            Self::Cr45 => "CR_4_5",
        }
    }
}

/// `integration.LogLevel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum LogLevel {
    Info = 0,
    Warning = 1,
    Error = 2,
}

impl LogLevel {
    /// As it stands in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        }
    }
}

/// `integration.LogCode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum LogCode {
    Unknown = 0,
    DownlinkPayloadSize = 1,
    UplinkCodec = 2,
    DownlinkCodec = 3,
    Otaa = 4,
    UplinkFCntReset = 5,
    UplinkMic = 6,
    UplinkFCntRetransmission = 7,
    DownlinkGateway = 8,
    RelayNewEndDevice = 9,
    FCntDown = 10,
    Expired = 11,
}

impl LogCode {
    pub(crate) const ALL: [Self; 12] = [
        Self::Unknown,
        Self::DownlinkPayloadSize,
        Self::UplinkCodec,
        Self::DownlinkCodec,
        Self::Otaa,
        Self::UplinkFCntReset,
        Self::UplinkMic,
        Self::UplinkFCntRetransmission,
        Self::DownlinkGateway,
        Self::RelayNewEndDevice,
        Self::FCntDown,
        Self::Expired,
    ];

    /// As it stands in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::DownlinkPayloadSize => "DOWNLINK_PAYLOAD_SIZE",
            Self::UplinkCodec => "UPLINK_CODEC",
            Self::DownlinkCodec => "DOWNLINK_CODEC",
            Self::Otaa => "OTAA",
            Self::UplinkFCntReset => "UPLINK_F_CNT_RESET",
            Self::UplinkMic => "UPLINK_MIC",
            Self::UplinkFCntRetransmission => "UPLINK_F_CNT_RETRANSMISSION",
            Self::DownlinkGateway => "DOWNLINK_GATEWAY",
            Self::RelayNewEndDevice => "RELAY_NEW_END_DEVICE",
            Self::FCntDown => "F_CNT_DOWN",
            Self::Expired => "EXPIRED",
        }
    }
}
