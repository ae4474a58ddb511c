//! Devices on the air: what they send, and what is sent to them.

mod describe;
mod downlink;
mod uplink;

use serde::{Deserialize, Serialize};

pub use downlink::{Downlink, DownlinkFate};
pub(crate) use downlink::{resolve_pending, send_if_class_c, send_next};
pub(crate) use uplink::{deployment_answer, join, location, log, status, uplink};

use crate::events::Event;

/// What work on the store puts out.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) events: Vec<Event>,
    pub(crate) downlinks: Vec<Downlink>,
}

impl Outgoing {
    pub(crate) fn event(&mut self, event: impl Into<Event>) {
        self.events.push(event.into());
    }
}

/// What a device sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Uplink {
    pub dev_eui: String,
    /// 0: no port and no data.
    #[serde(default)]
    pub f_port: u32,
    /// Hexadecimal.
    #[serde(default)]
    pub data: String,
    /// What the codec of the profile made of it.
    #[serde(default)]
    pub object: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default)]
    pub confirmed: bool,
    /// 0 to 5; 5 is the fastest.
    #[serde(default = "fastest")]
    pub dr: u32,
    /// The frame counter; the next one when absent.
    #[serde(default)]
    pub f_cnt: Option<u32>,
    /// Sets the bit that acknowledges a confirmed downlink.
    #[serde(default = "yes")]
    pub acknowledges: bool,
    #[serde(default = "usual_rssi")]
    pub rssi: i32,
    #[serde(default = "usual_snr")]
    pub snr: f32,
    /// Gateways that hear it.
    #[serde(default = "one")]
    pub gateways: u32,
}

impl Uplink {
    /// An unconfirmed uplink in good conditions.
    #[must_use]
    pub fn new(dev_eui: &str, f_port: u32, data: &[u8]) -> Self {
        Self {
            dev_eui: dev_eui.to_owned(),
            f_port,
            data: hex::encode(data),
            object: None,
            confirmed: false,
            dr: fastest(),
            f_cnt: None,
            acknowledges: true,
            rssi: usual_rssi(),
            snr: usual_snr(),
            gateways: one(),
        }
    }
}

fn fastest() -> u32 {
    5
}

fn yes() -> bool {
    true
}

fn usual_rssi() -> i32 {
    -57
}

fn usual_snr() -> f32 {
    9.5
}

fn one() -> u32 {
    1
}
