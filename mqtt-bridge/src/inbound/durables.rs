//! The stream that nats-server's MQTT listener keeps its messages in, and the durables of the bridges in it.

/// The stream, internal to nats-server.
pub(super) const STREAM: &str = "$MQTT_msgs";
/// Begin of the names of the durables, which all bridges of an installation share.
const DURABLE_PREFIX: &str = "waybill-bridge-";

/// Name of the durable of one channel.
pub(super) fn durable_name(channel: &str) -> String {
    format!("{DURABLE_PREFIX}{channel}")
}
