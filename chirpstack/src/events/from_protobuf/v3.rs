//! Version 3.

use super::super::dedup::{self, Ids};
use super::super::fields::{Notes, cut};
use super::super::from_json::numbered_code;
use super::super::kind::Kind;
use super::super::payload::{self, Decoded};
use super::super::protobuf_v3 as pb;
use super::super::radio::{Gateway, Position, Reception};
use super::super::{
    Ack, DESCRIPTION_MAX_CHARS, DevEui, Dialect, Event, Integration, Join, Log, LogLevel, NAME_MAX_CHARS, NetworkEvent,
    TxAck, Unreadable, Uplink,
};
use super::{decode, gateway_time, location, port, source, status, text, time};

pub(super) fn read(body: &[u8], kind: Result<Kind, &str>) -> Result<NetworkEvent, Unreadable> {
    let device: pb::Device = decode(body)?;
    let dev_eui = DevEui::of_bytes(&device.dev_eui).ok_or_else(|| Unreadable::new("no device EUI"))?;
    let (mut notes, mut at) = (Notes::default(), None);
    let event = match kind {
        Err(name) => Event::Other { name: cut(name, NAME_MAX_CHARS) },
        Ok(Kind::Uplink) => {
            let event: pb::UplinkEvent = decode(body)?;
            at = time(event.published_at.as_ref());
            Event::Uplink(Box::new(uplink(event, &mut notes)?))
        }
        Ok(Kind::Join) => Event::Join(Join { dev_addr: bytes(&decode::<pb::JoinEvent>(body)?.dev_addr) }),
        Ok(Kind::Ack) => {
            let pb::AckEvent { acknowledged, f_cnt } = decode(body)?;
            Event::Ack(Ack { queue_item_id: None, f_cnt_down: Some(f_cnt), acknowledged })
        }
        Ok(Kind::TxAck) => {
            let pb::TxAckEvent { f_cnt, gateway_id } = decode(body)?;
            Event::TxAck(TxAck { queue_item_id: None, f_cnt_down: Some(f_cnt), gateway_id: bytes(&gateway_id) })
        }
        Ok(Kind::Log) => {
            let pb::ErrorEvent { r#type, error, f_cnt } = decode(body)?;
            let code = usize::try_from(r#type).ok().and_then(|code| numbered_code(code, true));
            Event::Log(Log {
                level: LogLevel::Error,
                code: code.unwrap_or_else(|| "UNKNOWN".to_owned()),
                description: cut(&error, DESCRIPTION_MAX_CHARS),
                context: vec![("f_cnt".to_owned(), f_cnt.to_string())],
            })
        }
        Ok(Kind::Status) => {
            let event: pb::StatusEvent = decode(body)?;
            status(event.margin, event.external_power_source, event.battery_level_unavailable, event.battery_level)
        }
        Ok(Kind::Location) => location(decode::<pb::LocationEvent>(body)?.location.and_then(|place| position(&place)))?,
        Ok(Kind::Integration) => {
            let event: pb::IntegrationEvent = decode(body)?;
            let object = serde_json::from_str(&event.object_json).ok();
            Event::Integration(Integration {
                name: text(event.integration_name).unwrap_or_default(),
                event_type: text(event.event_type).unwrap_or_default(),
                object: object.map(payload::bounded).transpose()?,
            })
        }
    };
    Ok(NetworkEvent {
        dialect: Dialect::V3Protobuf,
        application_id: Some(device.application_id.to_string()),
        time: at.or_else(|| gateway_time(&event)),
        dedup_key: dedup::key(&dev_eui, &event, &Ids::default()),
        dev_eui,
        event,
        ignored: notes.into_texts(),
    })
}

fn bytes(bytes: &[u8]) -> Option<String> {
    text(hex::encode(bytes))
}

fn uplink(event: pb::UplinkEvent, notes: &mut Notes) -> Result<Uplink, Unreadable> {
    let decoded = match serde_json::from_str(&event.object_json) {
        _ if event.object_json.trim().is_empty() => Decoded::Absent,
        Ok(value) => Decoded::Value(value),
        Err(_) => Decoded::Text(event.object_json),
    };
    let payload = payload::choose(decoded, &event.data, false, notes)?;
    let reception = Reception::of(event.rx_info.iter().map(gateway));
    let transmission = event.tx_info.unwrap_or_default();
    let lora = transmission.lora_modulation_info;
    Ok(Uplink {
        dev_addr: bytes(&event.dev_addr),
        f_cnt: Some(event.f_cnt),
        f_port: port(event.f_port),
        dr: Some(event.dr),
        adr: event.adr,
        confirmed: event.confirmed_uplink,
        frequency_hz: (transmission.frequency > 0).then_some(transmission.frequency),
        spreading_factor: lora.as_ref().map(|lora| lora.spreading_factor),
        bandwidth_hz: lora.as_ref().map(|lora| lora.bandwidth.saturating_mul(1_000)),
        battery_level: payload.fields().and_then(payload::battery),
        data: event.data,
        payload,
        signal_strength: reception.signal_strength,
        best_gateway: reception.best,
        gateways: reception.gateways,
    })
}

fn gateway(info: &pb::UplinkRxInfo) -> Gateway {
    Gateway {
        id: bytes(&info.gateway_id),
        rssi: Some(info.rssi),
        snr: Some(info.lora_snr).filter(|snr| snr.is_finite()),
        position: info.location.as_ref().and_then(position),
        time: time(info.time.as_ref()),
    }
}

fn position(place: &pb::Location) -> Option<Position> {
    Position {
        latitude: place.latitude,
        longitude: place.longitude,
        altitude: Some(place.altitude),
        accuracy: None,
        source: source(place.source),
    }
    .checked()
}
