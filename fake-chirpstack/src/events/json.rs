//! Events as JSON, by ChirpStack's rules: fields of `integration.*` are there even when they have their default, those of `gw.*` and
//! `common.*` are not; 64-bit numbers and durations are text, bytes base64, times RFC 3339 with an offset.

use std::collections::BTreeMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_types::{Duration, Timestamp};
use serde::Serialize;

use super::messages::{
    AckEvent, DeviceInfo, DownlinkTxInfo, JoinEvent, Location, LocationEvent, LogEvent, Modulation, StatusEvent,
    TimingParameters, TxAckEvent, UplinkEvent, UplinkRxInfo, UplinkTxInfo,
};
use super::object::from_struct;
use crate::times;

pub(super) trait ToJson {
    fn to_json(&self) -> String;
}

/// A JSON object whose fields keep their order.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    fn raw(&mut self, name: &str, json: &str) -> &mut Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        // Writing to a String can't fail.
        let _ = write!(self.0, "\"{name}\":{json}");
        self
    }

    /// Always there.
    fn field(&mut self, name: &str, value: impl Serialize) -> &mut Self {
        let json = serde_json::to_string(&value).unwrap_or_else(|_| "null".to_owned());
        self.raw(name, &json)
    }

    /// There when it has another value than its default.
    fn non_default<T: Serialize + Default + PartialEq>(&mut self, name: &str, value: T) -> &mut Self {
        if value == T::default() { self } else { self.field(name, value) }
    }

    fn time(&mut self, name: &str, time: Option<&Timestamp>) -> &mut Self {
        match time {
            Some(time) => self.field(name, times::time(time).to_rfc3339()),
            None => self,
        }
    }

    fn message(&mut self, name: &str, json: Option<String>) -> &mut Self {
        match json {
            Some(json) => self.raw(name, &json),
            None => self,
        }
    }

    fn end(&self) -> String {
        format!("{}}}", self.0)
    }
}

fn bytes(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn duration(duration: &Duration) -> String {
    match duration.nanos {
        0 => format!("{}s", duration.seconds),
        nanos if nanos % 1_000_000 == 0 => format!("{}.{:03}s", duration.seconds, nanos / 1_000_000),
        nanos => format!("{}.{nanos:09}s", duration.seconds),
    }
}

fn class(device: &DeviceInfo) -> &'static str {
    use chirpstack::grpc::device::DeviceClass;
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
        let mut json = Object::new();
        json.field("deduplicationId", &self.deduplication_id)
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .field("devAddr", &self.dev_addr)
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

fn uplink_rx_info(rx_info: &UplinkRxInfo) -> String {
    let mut json = Object::new();
    json.non_default("gatewayId", rx_info.gateway_id.as_str())
        .non_default("uplinkId", rx_info.uplink_id)
        .time("gwTime", rx_info.gw_time.as_ref())
        .time("nsTime", rx_info.ns_time.as_ref());
    if let Some(since) = &rx_info.time_since_gps_epoch {
        json.field("timeSinceGpsEpoch", duration(since));
    }
    json.non_default("rssi", rx_info.rssi)
        .non_default("snr", rx_info.snr)
        .non_default("channel", rx_info.channel)
        .non_default("rfChain", rx_info.rf_chain)
        .message("location", rx_info.location.as_ref().map(location))
        .non_default("context", bytes(&rx_info.context));
    if !rx_info.metadata.is_empty() {
        json.field("metadata", &rx_info.metadata);
    }
    if rx_info.crc_status != 0 {
        json.field("crcStatus", rx_info.crc_status().name());
    }
    json.end()
}

fn location(location: &Location) -> String {
    let mut json = Object::new();
    json.non_default("latitude", location.latitude)
        .non_default("longitude", location.longitude)
        .non_default("altitude", location.altitude);
    if location.source != 0 {
        json.field("source", location.source().name());
    }
    json.non_default("accuracy", location.accuracy).end()
}

fn uplink_tx_info(tx_info: &UplinkTxInfo) -> String {
    Object::new()
        .non_default("frequency", tx_info.frequency)
        .message("modulation", tx_info.modulation.as_ref().map(modulation))
        .end()
}

fn modulation(modulation: &Modulation) -> String {
    let lora = modulation.lora.as_ref().map(|lora| {
        let mut json = Object::new();
        json.non_default("bandwidth", lora.bandwidth).non_default("spreadingFactor", lora.spreading_factor);
        if lora.code_rate != 0 {
            json.field("codeRate", lora.code_rate().name());
        }
        json.non_default("polarizationInversion", lora.polarization_inversion).end()
    });
    Object::new().message("lora", lora).end()
}

impl ToJson for JoinEvent {
    fn to_json(&self) -> String {
        Object::new()
            .field("deduplicationId", &self.deduplication_id)
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .field("devAddr", &self.dev_addr)
            .field("regionConfigId", &self.region_config_id)
            .end()
    }
}

impl ToJson for AckEvent {
    fn to_json(&self) -> String {
        Object::new()
            .field("deduplicationId", &self.deduplication_id)
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
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

fn downlink_tx_info(tx_info: &DownlinkTxInfo) -> String {
    let timing =
        tx_info.timing.as_ref().and_then(|timing| timing.parameters.as_ref()).map(|parameters| match parameters {
            TimingParameters::Immediately(_) => Object::new().raw("immediately", "{}").end(),
            TimingParameters::Delay(delay) => {
                let mut inner = Object::new();
                if let Some(delay) = &delay.delay {
                    inner.field("delay", duration(delay));
                }
                Object::new().raw("delay", &inner.end()).end()
            }
        });
    Object::new()
        .non_default("frequency", tx_info.frequency)
        .non_default("power", tx_info.power)
        .message("modulation", tx_info.modulation.as_ref().map(modulation))
        .message("timing", timing)
        .non_default("context", bytes(&tx_info.context))
        .end()
}

impl ToJson for LogEvent {
    fn to_json(&self) -> String {
        let context: &BTreeMap<String, String> = &self.context;
        Object::new()
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .field("level", self.level().name())
            .field("code", self.code().name())
            .field("description", &self.description)
            .field("context", context)
            .end()
    }
}

impl ToJson for StatusEvent {
    fn to_json(&self) -> String {
        Object::new()
            .field("deduplicationId", &self.deduplication_id)
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .field("margin", self.margin)
            .field("externalPowerSource", self.external_power_source)
            .field("batteryLevelUnavailable", self.battery_level_unavailable)
            .field("batteryLevel", self.battery_level)
            .end()
    }
}

impl ToJson for LocationEvent {
    fn to_json(&self) -> String {
        Object::new()
            .field("deduplicationId", &self.deduplication_id)
            .time("time", self.time.as_ref())
            .message("deviceInfo", self.device_info.as_ref().map(device_info))
            .message("location", self.location.as_ref().map(location))
            .end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::messages::{
        CodeRate, CrcStatus, Delay, LocationSource, LogCode, LogLevel, LoraModulation, Timing,
    };

    fn at(text: &str) -> Option<Timestamp> {
        Some(times::timestamp(text.parse().unwrap_or_default()))
    }

    fn device() -> Option<DeviceInfo> {
        Some(DeviceInfo {
            tenant_id: "t".to_owned(),
            tenant_name: "tenant".to_owned(),
            application_id: "a".to_owned(),
            application_name: "app".to_owned(),
            device_profile_id: "p".to_owned(),
            device_profile_name: "profile".to_owned(),
            device_name: "abp-1".to_owned(),
            dev_eui: "0101010101010101".to_owned(),
            tags: BTreeMap::from([("fw".to_owned(), "1.0.0".to_owned())]),
            device_class_enabled: 0,
        })
    }

    const DEVICE: &str = "\"deviceInfo\":{\"tenantId\":\"t\",\"tenantName\":\"tenant\",\"applicationId\":\"a\",\"applicationName\":\"app\",\
         \"deviceProfileId\":\"p\",\"deviceProfileName\":\"profile\",\"deviceName\":\"abp-1\",\"devEui\":\"0101010101010101\",\
         \"deviceClassEnabled\":\"CLASS_A\",\"tags\":{\"fw\":\"1.0.0\"}}";

    fn lora(polarization_inversion: bool) -> Option<Modulation> {
        let code_rate = CodeRate::Cr45.into();
        Some(Modulation {
            lora: Some(LoraModulation { bandwidth: 125_000, spreading_factor: 7, polarization_inversion, code_rate }),
        })
    }

    #[test]
    fn an_uplink_reads_as_a_real_server_writes_it() {
        let event = UplinkEvent {
            deduplication_id: "0677a3f2".to_owned(),
            time: at("2026-11-21T03:39:50.977Z"),
            device_info: device(),
            dev_addr: "00112233".to_owned(),
            adr: true,
            dr: 5,
            f_port: 10,
            data: vec![0x2a, 7],
            object: serde_json::json!({"temperature": 21}).as_object().map(crate::events::to_struct),
            rx_info: vec![UplinkRxInfo {
                gateway_id: "0016c001f153a14c".to_owned(),
                uplink_id: 163_422_526,
                gw_time: at("2026-11-21T03:39:50.977889Z"),
                ns_time: at("2026-11-21T03:39:51.011883650Z"),
                time_since_gps_epoch: Some(Duration { seconds: 1_479_267_608, nanos: 977_000_000 }),
                rssi: -57,
                snr: 9.5,
                channel: 2,
                rf_chain: 1,
                location: Some(Location {
                    latitude: 52.3740364,
                    longitude: 4.9144401,
                    altitude: 10.5,
                    source: LocationSource::Gps.into(),
                    accuracy: 0.0,
                }),
                context: vec![0x63, 0x57, 0xbe, 0x13],
                metadata: BTreeMap::from([("region_common_name".to_owned(), "EU868".to_owned())]),
                crc_status: CrcStatus::CrcOk.into(),
            }],
            tx_info: Some(UplinkTxInfo { frequency: 868_100_000, modulation: lora(false) }),
            region_config_id: "eu868".to_owned(),
            ..UplinkEvent::default()
        };
        let expected = [
            "{\"deduplicationId\":\"0677a3f2\",\"time\":\"2026-11-21T03:39:50.977+00:00\",",
            DEVICE,
            ",\"devAddr\":\"00112233\",\"adr\":true,\"dr\":5,\"fCnt\":0,\"fPort\":10,\"confirmed\":false,\"data\":\"Kgc=\",",
            "\"object\":{\"temperature\":21.0},\"rxInfo\":[{\"gatewayId\":\"0016c001f153a14c\",\"uplinkId\":163422526,",
            "\"gwTime\":\"2026-11-21T03:39:50.977889+00:00\",\"nsTime\":\"2026-11-21T03:39:51.011883650+00:00\",",
            "\"timeSinceGpsEpoch\":\"1479267608.977s\",\"rssi\":-57,\"snr\":9.5,\"channel\":2,\"rfChain\":1,",
            "\"location\":{\"latitude\":52.3740364,\"longitude\":4.9144401,\"altitude\":10.5,\"source\":\"GPS\"},",
            "\"context\":\"Y1e+Ew==\",\"metadata\":{\"region_common_name\":\"EU868\"},\"crcStatus\":\"CRC_OK\"}],",
            "\"txInfo\":{\"frequency\":868100000,\"modulation\":{\"lora\":{\"bandwidth\":125000,\"spreadingFactor\":7,",
            "\"codeRate\":\"CR_4_5\"}}},\"regionConfigId\":\"eu868\"}",
        ];
        assert_eq!(event.to_json(), expected.concat());
    }

    #[test]
    fn defaults_are_there_at_the_top_and_absent_below() {
        let event = UplinkEvent { rx_info: vec![UplinkRxInfo::default()], ..UplinkEvent::default() };
        assert_eq!(
            event.to_json(),
            "{\"deduplicationId\":\"\",\"devAddr\":\"\",\"adr\":false,\"dr\":0,\"fCnt\":0,\"fPort\":0,\"confirmed\":false,\
             \"data\":\"\",\"rxInfo\":[{}],\"regionConfigId\":\"\"}"
        );
    }

    #[test]
    fn a_transmission_has_its_timing_and_a_status_its_battery_as_a_float() {
        let event = TxAckEvent {
            downlink_id: 1_624_439_947,
            time: at("2026-11-21T03:39:55.009167576Z"),
            device_info: device(),
            queue_item_id: "f7e80a14".to_owned(),
            f_cnt_down: 2,
            gateway_id: "0016c001f153a14c".to_owned(),
            tx_info: Some(DownlinkTxInfo {
                frequency: 868_100_000,
                power: 16,
                modulation: lora(true),
                timing: Some(Timing {
                    parameters: Some(TimingParameters::Delay(Delay { delay: Some(Duration { seconds: 1, nanos: 0 }) })),
                }),
                context: vec![0x63, 0x90, 0x08, 0xc8],
            }),
        };
        assert!(event.to_json().ends_with(
            "\"gatewayId\":\"0016c001f153a14c\",\"txInfo\":{\"frequency\":868100000,\"power\":16,\"modulation\":{\"lora\":\
             {\"bandwidth\":125000,\"spreadingFactor\":7,\"codeRate\":\"CR_4_5\",\"polarizationInversion\":true}},\
             \"timing\":{\"delay\":{\"delay\":\"1s\"}},\"context\":\"Y5AIyA==\"}}"
        ));
        let status = StatusEvent { margin: 10, battery_level: 78.74016, ..StatusEvent::default() };
        assert!(status.to_json().ends_with(
            "\"margin\":10,\"externalPowerSource\":false,\"batteryLevelUnavailable\":false,\"batteryLevel\":78.74016}"
        ));
    }

    #[test]
    fn a_log_names_level_and_code_and_has_a_context() {
        let event = LogEvent {
            time: at("2026-11-21T03:40:12.666164094Z"),
            device_info: device(),
            level: LogLevel::Error.into(),
            code: LogCode::DownlinkGateway.into(),
            description: "TOO_LATE".to_owned(),
            context: BTreeMap::new(),
        };
        let expected = [
            "{\"time\":\"2026-11-21T03:40:12.666164094+00:00\",",
            DEVICE,
            ",\"level\":\"ERROR\",\"code\":\"DOWNLINK_GATEWAY\",\"description\":\"TOO_LATE\",\"context\":{}}",
        ];
        assert_eq!(event.to_json(), expected.concat());
    }
}
