//! Devices with LoRaWAN: how they say in a few bytes what others say in JSON, and how they are told what to do.
//!
//! The bytes are those of the compact codec ([`codec`]). Commands go out as downlinks: [`downlinks`] is their way, beside the retained topics of
//! MQTT, for the one owner of outbound.

pub(crate) mod clients;
pub mod codec;
mod device_queue;
pub(crate) mod downlinks;
pub(crate) mod ended;
