//! Calls of ChirpStack's gRPC API (version 4.12 and later, read from 4.20): messages written by hand, one file per service, and the [`Client`].
//!
//! A file holds the messages that a service's calls need, the paths of the calls and the calls themselves. A message that is only read
//! declares what Waybill reads; one that is written back declares every field. Field numbers are compared with ChirpStack's own classes by
//! `fake-chirpstack/tests`.
//!
//! Start with [`Client`] and [`Error`].

pub mod application;
mod client;
mod connection;
mod connector;
pub mod device;
pub mod device_keys;
pub mod device_profile;
pub mod device_queue;
mod error;
mod eui;
pub mod fuota;
pub mod gateway;
pub mod multicast_group;
mod probe;
mod unknown_fields;

pub use client::Client;
pub use connection::{ApiKey, ClientIdentity, Connection, InvalidConnection};
pub use error::{Error, Retry};
pub use eui::{InvalidEui, normalise_eui};
pub use probe::KeyState;
pub use prost_types::{Struct, Timestamp};

/// `google.protobuf.Empty`: what calls without an answer answer.
#[derive(Clone, Copy, PartialEq, Eq, ::prost::Message)]
pub struct Empty {}
