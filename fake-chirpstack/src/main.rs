//! A ChirpStack for tests and the demo: a double that speaks its gRPC methods, MQTT topics and webhooks.

fn main() {}
