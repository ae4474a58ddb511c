//! Messages of package `integration` of ChirpStack 4, and the parts of `gw` and `common` in them. Fields that are not read are left out:
//! unknown fields are skipped.

use std::collections::HashMap;

use prost::{Enumeration, Message};
use prost_types::{Struct, Timestamp};

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeviceInfo {
    #[prost(string, tag = "3")]
    pub(super) application_id: String,
    #[prost(string, tag = "8")]
    pub(super) dev_eui: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(double, tag = "1")]
    pub(super) latitude: f64,
    #[prost(double, tag = "2")]
    pub(super) longitude: f64,
    #[prost(double, tag = "3")]
    pub(super) altitude: f64,
    #[prost(int32, tag = "4")]
    pub(super) source: i32,
    #[prost(float, tag = "5")]
    pub(super) accuracy: f32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UplinkRxInfo {
    #[prost(string, tag = "1")]
    pub(super) gateway_id: String,
    #[prost(message, optional, tag = "3")]
    pub(super) gw_time: Option<Timestamp>,
    #[prost(int32, tag = "6")]
    pub(super) rssi: i32,
    #[prost(float, tag = "7")]
    pub(super) snr: f32,
    #[prost(message, optional, tag = "12")]
    pub(super) location: Option<Location>,
    #[prost(message, optional, tag = "17")]
    pub(super) ns_time: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UplinkTxInfo {
    #[prost(uint32, tag = "1")]
    pub(super) frequency: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) modulation: Option<Modulation>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Modulation {
    #[prost(message, optional, tag = "3")]
    pub(super) lora: Option<LoraModulationInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LoraModulationInfo {
    #[prost(uint32, tag = "1")]
    pub(super) bandwidth: u32,
    #[prost(uint32, tag = "2")]
    pub(super) spreading_factor: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct KeyEnvelope {
    #[prost(string, tag = "1")]
    pub(super) kek_label: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) aes_key: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinServerContext {
    #[prost(string, tag = "1")]
    pub(super) session_key_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) app_s_key: Option<KeyEnvelope>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UplinkEvent {
    #[prost(string, tag = "1")]
    pub(super) deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub(super) dev_addr: String,
    #[prost(bool, tag = "5")]
    pub(super) adr: bool,
    #[prost(uint32, tag = "6")]
    pub(super) dr: u32,
    #[prost(uint32, tag = "7")]
    pub(super) f_cnt: u32,
    #[prost(uint32, tag = "8")]
    pub(super) f_port: u32,
    #[prost(bool, tag = "9")]
    pub(super) confirmed: bool,
    #[prost(bytes = "vec", tag = "10")]
    pub(super) data: Vec<u8>,
    #[prost(message, optional, tag = "11")]
    pub(super) object: Option<Struct>,
    #[prost(message, repeated, tag = "12")]
    pub(super) rx_info: Vec<UplinkRxInfo>,
    #[prost(message, optional, tag = "13")]
    pub(super) tx_info: Option<UplinkTxInfo>,
    #[prost(message, optional, tag = "15")]
    pub(super) join_server_context: Option<JoinServerContext>,
}

/// Also every other event of which only the device matters.
#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinEvent {
    #[prost(string, tag = "1")]
    pub(super) deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub(super) dev_addr: String,
}

/// The beginning that all events but `log` and `txack` share.
#[derive(Clone, PartialEq, Message)]
pub(super) struct AnyEvent {
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AckEvent {
    #[prost(string, tag = "1")]
    pub(super) deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub(super) queue_item_id: String,
    #[prost(bool, tag = "5")]
    pub(super) acknowledged: bool,
    #[prost(uint32, tag = "6")]
    pub(super) f_cnt_down: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxAckEvent {
    #[prost(uint32, tag = "1")]
    pub(super) downlink_id: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub(super) queue_item_id: String,
    #[prost(uint32, tag = "5")]
    pub(super) f_cnt_down: u32,
    #[prost(string, tag = "6")]
    pub(super) gateway_id: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub(super) enum LogLevel {
    Info = 0,
    Warning = 1,
    Error = 2,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LogEvent {
    #[prost(message, optional, tag = "1")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "2")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(enumeration = "LogLevel", tag = "3")]
    pub(super) level: i32,
    #[prost(int32, tag = "4")]
    pub(super) code: i32,
    #[prost(string, tag = "5")]
    pub(super) description: String,
    #[prost(map = "string, string", tag = "6")]
    pub(super) context: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusEvent {
    #[prost(string, tag = "1")]
    pub(super) deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(int32, tag = "5")]
    pub(super) margin: i32,
    #[prost(bool, tag = "6")]
    pub(super) external_power_source: bool,
    #[prost(bool, tag = "7")]
    pub(super) battery_level_unavailable: bool,
    #[prost(float, tag = "8")]
    pub(super) battery_level: f32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LocationEvent {
    #[prost(string, tag = "1")]
    pub(super) deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(message, optional, tag = "4")]
    pub(super) location: Option<Location>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IntegrationEvent {
    #[prost(string, tag = "1")]
    pub(super) deduplication_id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub(super) device_info: Option<DeviceInfo>,
    #[prost(string, tag = "4")]
    pub(super) integration_name: String,
    #[prost(string, tag = "5")]
    pub(super) event_type: String,
    #[prost(message, optional, tag = "6")]
    pub(super) object: Option<Struct>,
}
