//! Metrics of events of network servers.

use event_store::metering::{Metric, PLAIN};

const EVENTS: &str = "waybill_network_events_total";
const MQTT: &str = "waybill_network_mqtt_messages_total";
pub(super) const BACKLOG: &str = "waybill_network_backlog_messages";
pub(super) const CONNECTED: &str = "waybill_network_mqtt_connections";
pub(super) const WANTED: &str = "waybill_network_mqtt_brokers";

pub(crate) const METRICS: [Metric; 5] = [
    Metric::Counter(
        EVENTS,
        "Events of network servers by kind and outcome: applied, copy, late, unknown_device, unknown_kind, unreadable, limited, again.",
        &[],
    ),
    Metric::Counter(MQTT, "Messages of ChirpStack's MQTT integration by outcome: stored, too_large, again.", &[]),
    Metric::Gauge(BACKLOG, "Events of network servers that wait to be handled or are being handled.", PLAIN),
    Metric::Gauge(WANTED, "Brokers of ChirpStack's MQTT integration that this process is to read.", PLAIN),
    Metric::Gauge(CONNECTED, "Connections to brokers of ChirpStack's MQTT integration that are up.", PLAIN),
];

pub(super) fn event(kind: &'static str, outcome: &'static str) {
    metrics::counter!(EVENTS, "kind" => kind, "outcome" => outcome).increment(1);
}

pub(super) fn mqtt(outcome: &'static str) {
    metrics::counter!(MQTT, "outcome" => outcome).increment(1);
}
