//! The bridge's metrics, described.

use event_store::metering::{self, Metric, PLAIN};

/// Describes them to the recorder of this process.
pub fn describe() {
    metering::describe(&METRICS);
    metering::describe(&crate::network::METRICS);
}

const METRICS: [Metric; 18] = [
    Metric::Counter("waybill_mqtt_messages_total", "Messages of devices by kind and outcome.", &[]),
    Metric::Counter(
        "waybill_dead_letters_total",
        "Dead letters of devices by reason, including notes on messages that were applied.",
        &[],
    ),
    Metric::Counter(
        "waybill_mqtt_dead_letters_dropped_total",
        "Dead letters that were counted only, because there were too many.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_unkept_lost_total",
        "Messages with QoS 0, which the broker does not store, that could not be handled when they arrived.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_progress_dropped_total",
        "Progress reports of updates that were dropped because of their rate.",
        PLAIN,
    ),
    Metric::Counter("waybill_mqtt_queue_full_total", "Messages that were given back because a queue was full.", PLAIN),
    Metric::Counter("waybill_mqtt_over_rate_total", "Messages of devices above their rate, by kind and outcome.", &[]),
    Metric::Counter("waybill_mqtt_answers_total", "Answers to devices that asked for their commands, by outcome.", &[]),
    Metric::Counter("waybill_mqtt_commands_total", "Commands published to devices, by kind and outcome.", &[]),
    Metric::Counter(
        "waybill_mqtt_devices_not_loaded_total",
        "Times that a device could not be told what to do because it could not be read from the log.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_logins_total",
        "Clients that wanted to connect to the MQTT listener, by outcome.",
        crate::callout::OUTCOMES,
    ),
    Metric::Counter(
        "waybill_mqtt_kicked_total",
        "Connections that were ended because a credential of their device was revoked or the device decommissioned.",
        PLAIN,
    ),
    Metric::Gauge("waybill_mqtt_outbound_pending", "Devices whose command still has to be published.", &[]),
    Metric::Counter(
        "waybill_lorawan_commands_total",
        "Looks at the downlink queue of a LoRaWAN device for its command, by kind and outcome.",
        &[&[("kind", "install"), ("outcome", "unavailable")]],
    ),
    Metric::Counter(
        "waybill_lorawan_downlinks_ended_total",
        "Downlinks that ChirpStack dropped or could not send, by outcome.",
        &[],
    ),
    Metric::Gauge("waybill_lorawan_outbound_pending", "LoRaWAN devices whose command is being looked at.", &[]),
    Metric::Gauge("waybill_mqtt_connected", "1 while the connection for commands to devices is up, else 0.", &[]),
    Metric::Gauge(
        "waybill_mqtt_backlog_messages",
        "Messages of devices at the broker that are not yet acknowledged: to be read, or being handled.",
        &[],
    ),
];
