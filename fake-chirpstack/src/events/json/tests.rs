use std::collections::BTreeMap;

use prost_types::Duration;

use super::*;
use crate::events::messages::{
    CodeRate, CrcStatus, Delay, DownlinkTxInfo, Location, LocationSource, LogCode, LogLevel, LoraModulation,
    Modulation, Timing, TimingParameters, UplinkRxInfo, UplinkTxInfo,
};
use crate::times;

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
