//! What each transport has of its own in a campaign: slots, rate, and devices that are ready (ADR 78).

use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::values::Transport;

/// The transports that are counted apart. What is not LoRaWAN counts as MQTT.
pub const PACED: [Transport; 2] = [Transport::Lorawan, Transport::Mqtt];

/// A value of each transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerTransport<T> {
    pub mqtt: T,
    pub lorawan: T,
}

impl<T> PerTransport<T> {
    pub fn of(&self, transport: Transport) -> &T {
        if transport == Transport::Lorawan { &self.lorawan } else { &self.mqtt }
    }

    pub fn of_mut(&mut self, transport: Transport) -> &mut T {
        if transport == Transport::Lorawan { &mut self.lorawan } else { &mut self.mqtt }
    }

    pub fn each(value: impl Fn(Transport) -> T) -> Self {
        Self { mqtt: value(Transport::Mqtt), lorawan: value(Transport::Lorawan) }
    }
}

/// The same for each.
impl<T: Copy> From<T> for PerTransport<T> {
    fn from(value: T) -> Self {
        Self { mqtt: value, lorawan: value }
    }
}

impl<T: Copy + Add<Output = T>> PerTransport<T> {
    pub fn sum(&self) -> T {
        self.mqtt + self.lorawan
    }
}

impl PerTransport<u32> {
    /// `total` devices, of which `lorawan` are LoRaWAN devices.
    pub fn of_total(total: u32, lorawan: u32) -> Self {
        Self { mqtt: total.saturating_sub(lorawan), lorawan }
    }
}

/// The transport that a device counts with in plans and grants.
pub fn counted_as(lorawan: bool) -> Transport {
    if lorawan { Transport::Lorawan } else { Transport::Mqtt }
}
