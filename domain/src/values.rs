//! Small values with fallible constructors. Code that has such a value does not check it again.

use std::fmt;
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Longest component name, in bytes.
pub const COMPONENT_MAX_BYTES: usize = 32;
/// Longest version text, in bytes.
pub const VERSION_MAX_BYTES: usize = 64;
/// Longest name, model or other short text, in characters.
pub const SHORT_TEXT_MAX_CHARS: usize = 128;
/// Longest free text (descriptions, changelogs), in characters.
pub const LONG_TEXT_MAX_CHARS: usize = 4_096;
/// Most tags or attributes of one thing.
pub const TAGS_MAX: usize = 64;
/// Longest soak, waiting or working time: 1 year, in minutes.
pub const MINUTES_MAX: u32 = 365 * 24 * 60;
/// Years that a given time may have. Times in this range can be stored and computed with everywhere.
pub const YEARS: RangeInclusive<i32> = 1970..=9999;
/// The component that `firmware_version` stands for.
pub const FIRMWARE_COMPONENT: &str = "firmware";

/// 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Percent(u8);

impl Percent {
    pub const ALL: Self = Self(100);

    pub fn new(value: u8) -> Option<Self> {
        (1..=100).contains(&value).then_some(Self(value))
    }

    pub fn get(self) -> u8 {
        self.0
    }

    /// `ceil(count × percent / 100)`.
    pub fn of_rounded_up(self, count: u64) -> u64 {
        (count * u64::from(self.0)).div_ceil(100)
    }
}

impl TryFrom<u8> for Percent {
    type Error = String;
    fn try_from(value: u8) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("{value} is not between 1 and 100"))
    }
}

impl From<Percent> for u8 {
    fn from(percent: Percent) -> u8 {
        percent.0
    }
}

/// A threshold: 0 to 100 percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Threshold(u8);

impl Threshold {
    pub fn new(value: u8) -> Option<Self> {
        (value <= 100).then_some(Self(value))
    }

    pub fn get(self) -> u8 {
        self.0
    }
}

impl TryFrom<u8> for Threshold {
    type Error = String;
    fn try_from(value: u8) -> Result<Self, String> {
        Self::new(value).ok_or_else(|| format!("{value} is not between 0 and 100"))
    }
}

impl From<Threshold> for u8 {
    fn from(threshold: Threshold) -> u8 {
        threshold.0
    }
}

/// A SHA-256, 64 lower-case hex digits in text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256Digest(pub [u8; 32]);

impl Sha256Digest {
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Reads 64 hex digits of either case.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Sha256Digest {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        Self::from_hex(&text).ok_or_else(|| format!("{text:?} is not 64 hex digits"))
    }
}

impl From<Sha256Digest> for String {
    fn from(digest: Sha256Digest) -> String {
        digest.to_string()
    }
}

/// Whether a text can name a component: `[a-z0-9][a-z0-9_-]{0,31}`.
pub fn is_component(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= COMPONENT_MAX_BYTES
        && word(bytes[0])
        && bytes.iter().all(|b| word(*b) || matches!(b, b'_' | b'-'))
}

/// Whether a text can be a version: 1 to 64 printable ASCII characters that need no escaping in JSON.
pub fn is_version_text(text: &str) -> bool {
    (1..=VERSION_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\')
}

/// Whether a text is short enough for a name and has no control characters.
pub fn is_short_text(text: &str) -> bool {
    (1..=SHORT_TEXT_MAX_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// Whether a given time is in [`YEARS`].
pub fn is_usable_time(time: DateTime<Utc>) -> bool {
    YEARS.contains(&time.year())
}

/// Priority of an update among those of its device.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
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
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    Low,
    #[default]
    Normal,
    High,
    Critical,
}

/// How a device is reached.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Transport {
    #[default]
    Mqtt,
    Lorawan,
    Ddi,
}

impl Transport {
    /// The transport of a device with this identity: a LoRaWAN EUI means LoRaWAN, and a device without one uses MQTT.
    #[must_use]
    pub fn following(self, lorawan_dev_eui: Option<&str>) -> Self {
        match (lorawan_dev_eui, self) {
            (Some(_), _) => Self::Lorawan,
            (None, Self::Lorawan) => Self::Mqtt,
            (None, other) => other,
        }
    }
}
