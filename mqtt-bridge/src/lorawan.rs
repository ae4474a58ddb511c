//! LoRaWAN devices, which are reached through the ChirpStack of their tenant.
//!
//! The bytes are those of the compact codec ([`codec`]). Commands go out as downlinks: [`downlinks`] is their way, beside the retained topics of
//! MQTT, for the one owner of outbound.

pub(crate) mod clients;
pub(crate) mod codec;
mod device_queue;
pub(crate) mod downlinks;
pub(crate) mod ended;

pub(crate) use ended::DownlinksEnded;
