//! Events as JSON, by ChirpStack's rules: fields of `integration.*` are there even when they have their default, those of `gw.*` and
//! `common.*` are not; 64-bit numbers and durations are text, bytes base64, times RFC 3339 with an offset.

mod fields;
mod radio;
#[cfg(test)]
mod tests;

use chirpstack::grpc::device::DeviceClass;
use prost_types::Timestamp;

use self::fields::{Object, bytes};
use self::radio::{downlink_tx_info, location, uplink_rx_info, uplink_tx_info};
use super::messages::{AckEvent, DeviceInfo, JoinEvent, LocationEvent, LogEvent, StatusEvent, TxAckEvent, UplinkEvent};
use super::object::from_struct;

pub(super) trait ToJson {
    fn to_json(&self) -> String;
}

/// How most events begin.
fn head(deduplication_id: &str, time: Option<&Timestamp>, device: Option<&DeviceInfo>) -> Object {
    let mut json = Object::new();
    json.field("deduplicationId", deduplication_id).time("time", time).message("deviceInfo", device.map(device_info));
    json
}

fn class(device: &DeviceInfo) -> &'static str {
    match device.device_class_enabled() {
        DeviceClass::ClassA => "CLASS_A",
        DeviceClass::ClassB => "CLASS_B",
        DeviceClass::ClassC => "CLASS_C",
    }
}

fn device_info(device: &DeviceInfo) -> String {
    Object::new()
        .field("tenantId", &device.tenant_id)
        .field("tenantName", &device.tenant_name)
        .field("applicationId", &device.application_id)
        .field("applicationName", &device.application_name)
        .field("deviceProfileId", &device.device_profile_id)
        .field("deviceProfileName", &device.device_profile_name)
        .field("deviceName", &device.device_name)
        .field("devEui", &device.dev_eui)
        .field("deviceClassEnabled", class(device))
        .field("tags", &device.tags)
        .end()
}

impl ToJson for UplinkEvent {
    fn to_json(&self) -> String {
        let mut json = head(&self.deduplication_id, self.time.as_ref(), self.device_info.as_ref());
        json.field("devAddr", &self.dev_addr)
            .field("adr", self.adr)
            .field("dr", self.dr)
            .field("fCnt", self.f_cnt)
            .field("fPort", self.f_port)
            .field("confirmed", self.confirmed)
            .field("data", bytes(&self.data));
        if let Some(object) = &self.object {
            json.field("object", from_struct(object));
        }
        let rx_info: Vec<String> = self.rx_info.iter().map(uplink_rx_info).collect();
        json.raw("rxInfo", &format!("[{}]", rx_info.join(",")))
            .message("txInfo", self.tx_info.as_ref().map(uplink_tx_info))
            .field("regionConfigId", &self.region_config_id)
            .end()
    }
}

impl ToJson for JoinEvent {
    fn to_json(&self) -> String {
        head(&self.deduplication_id, self.time.as_ref(), self.device_info.as_ref())
            .field("devAddr", &self.dev_addr)
            .field("regionConfigId", &self.region_config_id)
            .end()
    }
}

impl ToJson for AckEvent {
    fn to_json(&self) -> String {
        head(&self.deduplication_id, self.time.as_ref(), self.device_info.as_ref())
            .field("queueItemId", &self.queue_item_id)
            .field("acknowledged", self.acknowledged)
            .field("fCntDown", self.f_cnt_down)
            .end()
    }
}

impl ToJson for TxAckEvent {
    fn to_json(&self) -> String {
        Object::new()
            .field("downlinkId", self.downlink_id)
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .field("queueItemId", &self.queue_item_id)
            .field("fCntDown", self.f_cnt_down)
            .field("gatewayId", &self.gateway_id)
            .message("txInfo", self.tx_info.as_ref().map(downlink_tx_info))
            .end()
    }
}

impl ToJson for LogEvent {
    fn to_json(&self) -> String {
        Object::new()
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .field("level", self.level().name())
            .field("code", self.code().name())
            .field("description", &self.description)
            .field("context", &self.context)
            .end()
    }
}

impl ToJson for StatusEvent {
    fn to_json(&self) -> String {
        head(&self.deduplication_id, self.time.as_ref(), self.device_info.as_ref())
            .field("margin", self.margin)
            .field("externalPowerSource", self.external_power_source)
            .field("batteryLevelUnavailable", self.battery_level_unavailable)
            .field("batteryLevel", self.battery_level)
            .end()
    }
}

impl ToJson for LocationEvent {
    fn to_json(&self) -> String {
        head(&self.deduplication_id, self.time.as_ref(), self.device_info.as_ref())
            .message("location", self.location.as_ref().map(location))
            .end()
    }
}
