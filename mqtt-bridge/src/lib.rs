//! The bridge to devices: over MQTT, and over LoRaWAN behind network servers.
//!
//! Inbound: durable consumers on the broker's own store ([`inbound`]) pass each message of a device to its aggregate. Outbound:
//! level-triggered sending of each device's current command ([`outbound`]), over MQTT or as a downlink ([`lorawan`]). Who may connect is
//! decided in [`callout`]. Every topic is built and parsed by [`topics::DeviceTopic`]; payloads are wire types of their own ([`wire`]). Start
//! at [`Bridge::start`].
//!
//! Events of network servers come by a queue of their own (`network`) to the same handler; [`lorawan`] has the compact codec.
//!
//! Invariants: a message is acknowledged only after its effects are stored; no topic with commands is ever read; one writer per device;
//! broker details stay in `link` and `inbound::mqtt_msgs`.
//!
//! To add a topic: a channel in `topics`, its payload in `wire`, its filter if devices publish to it, its arm in `inbound::handler`, its
//! line in docs/device-protocol.md.

mod bridge;
pub mod callout;
mod changed_tenants;
mod checkpoint;
pub mod command;
mod device_ref;
mod dispatch_rules;
mod event_name;
#[cfg(test)]
mod hostile_tests;
mod inbound;
pub mod install_window;
mod jetstream_request;
mod limits;
mod link;
mod lorawan;
pub mod metrics;
mod network;
mod outbound;
pub mod topics;
mod way;
pub mod wire;

pub use bridge::{Bridge, BridgeOptions, NetworkOptions};
pub use command::{LinkRequest, Links};
pub use device_ref::DeviceRef;
pub use inbound::Backlog;
pub use link::BrokerAddress;
pub use network::{BrokerCounts, BrokerTls, TlsSettings};
pub use outbound::LiveDevices;
