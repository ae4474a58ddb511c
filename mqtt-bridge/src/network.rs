//! Events of network servers (ChirpStack): from the queue NETWORK to the handler that judges what devices say.
//!
//! Webhooks put events into the queue, and so does [`foreign`], which reads ChirpStack's MQTT integration. [`queue`] reads it; [`intake`] finds the
//! device of an event by the claim of its EUI, and gives what the event says to the handler of device messages: an uplink becomes the same
//! `status` or report that a device with MQTT would send, and measurements.
//!
//! Invariant: an event is acknowledged only after its effects are stored. Events come in no order, and may come twice.

mod device;
mod downlink;
mod foreign;
mod intake;
mod metrics;
mod order;
mod parts;
mod queue;
mod wire;
mod workers;

pub use downlink::{DownlinkEnd, DownlinkHook, DownlinkOutcome, HookUnavailable};
pub use foreign::TlsSettings;
pub(crate) use foreign::{ForeignBrokers, follow as follow_foreign_brokers};
pub(crate) use intake::Intake;
pub(crate) use metrics::METRICS;
pub(crate) use queue::{oldest, run as read_queue};
#[cfg(test)]
pub(crate) use wire::wire_of;
