//! Who has received an uplink, and how well.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};

use super::fields::{self, Notes};
use super::{GATEWAYS_MAX, eui};

/// A gateway that has received an uplink.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Gateway {
    pub id: Option<String>,
    /// dBm.
    pub rssi: Option<i32>,
    /// dB.
    pub snr: Option<f64>,
    pub position: Option<Position>,
    #[serde(skip)]
    pub(super) time: Option<DateTime<Utc>>,
}

/// Where something is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Position {
    pub latitude: f64,
    pub longitude: f64,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altitude: Option<f64>,
    /// Metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// How it was found, in ChirpStack's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Position {
    /// A position on Earth. The point without any value is none: version 3 sends zeros for "not known".
    pub(super) fn checked(self) -> Option<Self> {
        let is_on_earth = (-90.0..=90.0).contains(&self.latitude) && (-180.0..=180.0).contains(&self.longitude);
        let is_known = self.latitude != 0.0 || self.longitude != 0.0 || self.altitude.is_some_and(|it| it != 0.0);
        (is_on_earth && is_known).then_some(self)
    }

    pub(super) fn of_json(object: &Map<String, Value>, notes: &mut Notes) -> Option<Self> {
        let zero = |value: &f64| *value != 0.0;
        Self {
            latitude: fields::real(object, &["latitude"], notes).unwrap_or(0.0),
            longitude: fields::real(object, &["longitude"], notes).unwrap_or(0.0),
            altitude: fields::real(object, &["altitude"], notes),
            accuracy: fields::real(object, &["accuracy"], notes).filter(zero),
            source: source(fields::field(object, &["source"])),
        }
        .checked()
    }
}

/// Names of the sources, by number.
pub(super) const SOURCES: [&str; 7] =
    ["UNKNOWN", "GPS", "CONFIG", "GEO_RESOLVER_TDOA", "GEO_RESOLVER_RSSI", "GEO_RESOLVER_GNSS", "GEO_RESOLVER_WIFI"];

fn source(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(word) => Some(fields::cut(word, super::NAME_MAX_CHARS)),
        Value::Number(number) => SOURCES.get(usize::try_from(number.as_u64()?).ok()?).map(|word| (*word).to_owned()),
        _ => None,
    }
}

/// All gateways of an uplink.
#[derive(Debug, Default)]
pub(super) struct Reception {
    pub(super) gateways: usize,
    pub(super) signal_strength: Option<i32>,
    pub(super) best: Option<Gateway>,
}

impl Reception {
    pub(super) fn of(gateways: impl IntoIterator<Item = Gateway>) -> Self {
        let mut reception = Self::default();
        for gateway in gateways.into_iter().take(GATEWAYS_MAX) {
            reception.gateways += 1;
            reception.signal_strength = reception.signal_strength.max(gateway.rssi);
            if reception.best.as_ref().is_none_or(|best| is_better(&gateway, best)) {
                reception.best = Some(gateway);
            }
        }
        reception
    }
}

/// By signal-to-noise ratio, then by strength.
fn is_better(gateway: &Gateway, best: &Gateway) -> bool {
    let snr = |gateway: &Gateway| gateway.snr.unwrap_or(f64::NEG_INFINITY);
    snr(gateway).total_cmp(&snr(best)).then(gateway.rssi.cmp(&best.rssi)).is_gt()
}

/// The gateways in a JSON body. In version 4 an absent value is zero: its protobuf leaves out zeros.
pub(super) fn of_json(body: &Map<String, Value>, absent_is_zero: bool, notes: &mut Notes) -> Reception {
    let list = fields::field(body, &["rxInfo", "rx_info"]);
    let items: &[Value] = match list {
        None => &[],
        Some(Value::Array(items)) => items,
        Some(_) => {
            notes.add("rxInfo is no list");
            &[]
        }
    };
    let objects: Vec<&Map<String, Value>> = items.iter().filter_map(Value::as_object).collect();
    if objects.len() != items.len() {
        notes.add("rxInfo has an item that is no object");
    }
    Reception::of(objects.into_iter().take(GATEWAYS_MAX).map(|object| gateway(object, absent_is_zero, notes)))
}

fn gateway(object: &Map<String, Value>, absent_is_zero: bool, notes: &mut Notes) -> Gateway {
    let has_rssi = fields::has(object, &["rssi"]);
    let has_snr = fields::has(object, &["snr", "loRaSNR", "lora_snr"]);
    let id = fields::text(object, &["gatewayId", "gatewayID", "gateway_id", "mac"]);
    Gateway {
        id: id.map(|id| eui::gateway_id(&id)),
        rssi: fields::whole(object, &["rssi"], notes).or((!has_rssi && absent_is_zero).then_some(0)),
        snr: fields::real(object, &["snr", "loRaSNR", "lora_snr"], notes)
            .or((!has_snr && absent_is_zero).then_some(0.0)),
        position: fields::child(object, &["location"]).and_then(|place| Position::of_json(place, notes)),
        time: fields::time(object, &["gwTime", "gw_time"])
            .or_else(|| fields::time(object, &["nsTime", "ns_time"]))
            .or_else(|| fields::time(object, &["time"])),
    }
}
