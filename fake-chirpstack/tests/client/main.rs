//! The client of the crate `chirpstack` against the double: errors, faults and the life of devices and deployments.
#![expect(clippy::unwrap_used, reason = "a test that can't go on ends")]

mod deployments;
mod devices;
mod errors;
mod events;
mod faults;
mod mqtt;
mod support;
mod tls;
