//! Events of network servers (ChirpStack): from the queue NETWORK to the handler of device messages.
//!
//! Webhooks put events into the queue, and so does [`foreign`], which reads ChirpStack's MQTT integration. [`queue`] reads it; [`intake`] finds the
//! device of an event by the claim of its EUI, and gives the event to the handler of device messages: an uplink becomes the same `status` or
//! report that a device with MQTT would send, and measurements.
//!
//! Invariant: an event is acknowledged only after its effects are stored. Events come in no order, and may come twice.

pub(crate) mod backlog;
mod device;
mod foreign;
mod intake;
mod metrics;
mod order;
mod parts;
mod queue;
mod wire;
mod workers;

pub use foreign::{BrokerCounts, BrokerTls, TlsSettings};
pub(crate) use foreign::{ForeignBrokers, follow as follow_foreign_brokers};
pub(crate) use intake::Intake;
pub(crate) use metrics::METRICS;
pub(crate) use queue::run as read_queue;
