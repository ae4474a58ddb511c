//! Regions of LoRaWAN, and how a multicast is sent in each.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Bytes of a frame's payload that a fragment can't use: the command and the number of the fragment (TS004).
const FRAGMENT_HEADER_BYTES: u16 = 3;

/// A region, by its name in ChirpStack.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Region {
    Eu868,
    Us915,
    Cn779,
    Eu433,
    Au915,
    Cn470,
    As923,
    #[serde(rename = "AS923_2")]
    #[strum(serialize = "AS923_2")]
    As923Second,
    #[serde(rename = "AS923_3")]
    #[strum(serialize = "AS923_3")]
    As923Third,
    #[serde(rename = "AS923_4")]
    #[strum(serialize = "AS923_4")]
    As923Fourth,
    Kr920,
    In865,
    Ru864,
    Ism2400,
}

/// How the fragments of an image are sent in a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Hz. The channel of the second receive window, where devices of class C always listen.
    pub frequency_hz: u32,
    pub data_rate: u8,
    /// Longest payload of a frame at that data rate, in bytes.
    pub payload_max_bytes: u16,
}

impl Channel {
    /// Longest fragment, in bytes.
    pub fn fragment_bytes(self) -> u16 {
        self.payload_max_bytes - FRAGMENT_HEADER_BYTES
    }
}

impl Region {
    /// The fastest data rate of 125 kHz, or 500 kHz where downlinks have that: a full frame at a slower one takes more of the channel than
    /// the duty cycle of EU868 allows at one frame in five seconds.
    pub fn channel(self) -> Channel {
        let channel = |frequency_hz, data_rate| Channel { frequency_hz, data_rate, payload_max_bytes: 242 };
        match self {
            Self::Eu868 => channel(869_525_000, 5),
            Self::Us915 | Self::Au915 => channel(923_300_000, 10),
            Self::Cn779 => channel(786_000_000, 5),
            Self::Eu433 => channel(434_665_000, 5),
            Self::Cn470 => channel(505_300_000, 5),
            Self::As923 => channel(923_200_000, 5),
            Self::As923Second => channel(921_400_000, 5),
            Self::As923Third => channel(916_600_000, 5),
            Self::As923Fourth => channel(917_300_000, 5),
            Self::Kr920 => channel(921_900_000, 5),
            Self::In865 => channel(866_550_000, 5),
            Self::Ru864 => channel(869_100_000, 5),
            Self::Ism2400 => channel(2_423_000_000, 5),
        }
    }
}
