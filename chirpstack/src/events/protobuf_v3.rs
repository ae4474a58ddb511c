//! Messages of package `integration` of ChirpStack 3. They begin with a number where those of version 4 begin with bytes.

use prost::Message;
use prost_types::Timestamp;

use super::protobuf::LoraModulationInfo;

/// The beginning that all events share.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Device {
    #[prost(uint64, tag = "1")]
    pub(super) application_id: u64,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) dev_eui: Vec<u8>,
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
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UplinkRxInfo {
    #[prost(bytes = "vec", tag = "1")]
    pub(super) gateway_id: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
    #[prost(int32, tag = "5")]
    pub(super) rssi: i32,
    #[prost(double, tag = "6")]
    pub(super) lora_snr: f64,
    #[prost(message, optional, tag = "11")]
    pub(super) location: Option<Location>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UplinkTxInfo {
    #[prost(uint32, tag = "1")]
    pub(super) frequency: u32,
    #[prost(message, optional, tag = "3")]
    pub(super) lora_modulation_info: Option<LoraModulationInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UplinkEvent {
    #[prost(message, repeated, tag = "5")]
    pub(super) rx_info: Vec<UplinkRxInfo>,
    #[prost(message, optional, tag = "6")]
    pub(super) tx_info: Option<UplinkTxInfo>,
    #[prost(bool, tag = "7")]
    pub(super) adr: bool,
    #[prost(uint32, tag = "8")]
    pub(super) dr: u32,
    #[prost(uint32, tag = "9")]
    pub(super) f_cnt: u32,
    #[prost(uint32, tag = "10")]
    pub(super) f_port: u32,
    #[prost(bytes = "vec", tag = "11")]
    pub(super) data: Vec<u8>,
    #[prost(string, tag = "12")]
    pub(super) object_json: String,
    #[prost(bool, tag = "14")]
    pub(super) confirmed_uplink: bool,
    #[prost(bytes = "vec", tag = "15")]
    pub(super) dev_addr: Vec<u8>,
    #[prost(message, optional, tag = "16")]
    pub(super) published_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinEvent {
    #[prost(bytes = "vec", tag = "5")]
    pub(super) dev_addr: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AckEvent {
    #[prost(bool, tag = "5")]
    pub(super) acknowledged: bool,
    #[prost(uint32, tag = "6")]
    pub(super) f_cnt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TxAckEvent {
    #[prost(uint32, tag = "5")]
    pub(super) f_cnt: u32,
    #[prost(bytes = "vec", tag = "7")]
    pub(super) gateway_id: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ErrorEvent {
    #[prost(int32, tag = "5")]
    pub(super) r#type: i32,
    #[prost(string, tag = "6")]
    pub(super) error: String,
    #[prost(uint32, tag = "7")]
    pub(super) f_cnt: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StatusEvent {
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
    #[prost(message, optional, tag = "5")]
    pub(super) location: Option<Location>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IntegrationEvent {
    #[prost(string, tag = "6")]
    pub(super) integration_name: String,
    #[prost(string, tag = "7")]
    pub(super) event_type: String,
    #[prost(string, tag = "8")]
    pub(super) object_json: String,
}
