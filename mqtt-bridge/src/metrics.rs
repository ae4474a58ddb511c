//! The bridge's metrics, described.

use event_store::metering::{self, Metric, PLAIN};

/// Describes them to the recorder of this process.
pub fn describe() {
    metering::describe(&METRICS);
}

const METRICS: [Metric; 13] = [
    Metric::Counter("waybill_mqtt_messages_total", "Messages of devices by kind and outcome.", &[]),
    Metric::Counter(
        "waybill_dead_letters_total",
        "Messages of devices that were set aside or taken in part, by reason.",
        &[],
    ),
    Metric::Counter(
        "waybill_mqtt_dead_letters_dropped_total",
        "Dead letters that were counted only, because there were too many.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_unkept_lost_total",
        "Messages that nobody keeps (QoS 0) and that could not be handled when they came.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_progress_dropped_total",
        "Progress of updates that came more often than it is kept.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_queue_full_total",
        "Times that reading stopped because the queues of devices were full.",
        PLAIN,
    ),
    Metric::Counter(
        "waybill_mqtt_over_rate_total",
        "Messages of devices that send more than is taken, by kind and what became of them.",
        &[],
    ),
    Metric::Counter("waybill_mqtt_answers_total", "Answers to devices that asked for their commands, by outcome.", &[]),
    Metric::Counter("waybill_mqtt_commands_total", "Commands published to devices, by kind and outcome.", &[]),
    Metric::Counter(
        "waybill_mqtt_devices_not_loaded_total",
        "Times that a device could not be told what to do because it could not be read from the log.",
        PLAIN,
    ),
    Metric::Gauge("waybill_mqtt_outbound_pending", "Devices that are to be told something and haven't been yet.", &[]),
    Metric::Gauge("waybill_mqtt_connected", "1 while the connection for commands to devices is up, else 0.", &[]),
    Metric::Gauge(
        "waybill_mqtt_backlog_messages",
        "Messages of devices at the broker that are not yet acknowledged: to be read, or being worked on.",
        &[],
    ),
];
