//! What gateways have received and sent, as JSON: messages of `gw.*` and `common.*`, without fields that have their default.

use super::super::messages::{DownlinkTxInfo, Location, Modulation, TimingParameters, UplinkRxInfo, UplinkTxInfo};
use super::fields::{Object, bytes, duration};

pub(super) fn uplink_rx_info(rx_info: &UplinkRxInfo) -> String {
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

pub(super) fn location(location: &Location) -> String {
    let mut json = Object::new();
    json.non_default("latitude", location.latitude)
        .non_default("longitude", location.longitude)
        .non_default("altitude", location.altitude);
    if location.source != 0 {
        json.field("source", location.source().name());
    }
    json.non_default("accuracy", location.accuracy).end()
}

pub(super) fn uplink_tx_info(tx_info: &UplinkTxInfo) -> String {
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

pub(super) fn downlink_tx_info(tx_info: &DownlinkTxInfo) -> String {
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
