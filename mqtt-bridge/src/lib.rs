//! Devices in and out over MQTT.
//!
//! Inward: a durable consumer on the broker's own store ([`inbound`]) hands each message of a device to the aggregate that judges it.
//! Outward: level-triggered publishing of what each device should be doing ([`outbound`]). Every topic is built and parsed by
//! [`topics::DeviceTopic`]; payloads are wire types of their own ([`wire`]). Start at [`Bridge::start`].
//!
//! Invariants: the broker is told that a message is done only after what follows from it is stored; nothing is ever read from a topic
//! that carries commands; one writer per device; broker details stay in `link` and `inbound::mqtt_msgs`.
//!
//! To add a topic: a channel in `topics`, its payload in `wire`, its filter if it goes up, its arm in `inbound::handler`, its line in
//! docs/device-protocol.md.

mod bridge;
pub mod command;
mod inbound;
mod link;
pub mod metrics;
mod outbound;
pub mod topics;
pub mod wire;

pub use bridge::{Bridge, BridgeOptions};
pub use command::{LinkRequest, Links};
pub use inbound::Backlog;
pub use link::BrokerAddress;
pub use outbound::{DeviceRef, LiveDevices};
