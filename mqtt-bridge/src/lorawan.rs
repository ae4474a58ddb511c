//! How devices with LoRaWAN say in a few bytes what others say in JSON.

pub mod codec;
