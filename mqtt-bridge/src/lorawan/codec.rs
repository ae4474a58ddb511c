//! The compact codec of the device protocol, on its own port. Numbers are big-endian, and every message fits the smallest payload of all regions.

use domain::ids::ORDINAL_MAX;
use domain::values::Sha256Digest;

/// The port of these messages.
pub const PORT: u8 = 20;

const INSTALL: u8 = 0x01;
const CANCEL: u8 = 0x02;
const ACTIVATE: u8 = 0x03;

/// A message to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownMessage {
    Install { ordinal: u16, attempt: u8, firmware_short: u32, activate: bool },
    Cancel { ordinal: u16 },
    Activate { ordinal: u16 },
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no message to a device")]
pub struct NotAMessage;

/// The first four bytes of a firmware's SHA-256.
pub fn firmware_short(sha256: &Sha256Digest) -> u32 {
    let [b3, b2, b1, b0, ..] = sha256.0;
    u32::from_be_bytes([b3, b2, b1, b0])
}

impl DownMessage {
    /// The message of an update whose ordinal and attempt fit.
    pub fn install(ordinal: u32, attempt: u16, sha256: &Sha256Digest, activate: bool) -> Option<Self> {
        let (ordinal, attempt) = (short_ordinal(ordinal)?, u8::try_from(attempt).ok()?);
        Some(Self::Install { ordinal, attempt, firmware_short: firmware_short(sha256), activate })
    }

    pub fn encode(&self) -> Vec<u8> {
        let ordinal = |first: u8, ordinal: u16| [&[first][..], &ordinal.to_be_bytes()].concat();
        match *self {
            Self::Install { ordinal: number, attempt, firmware_short, activate } => {
                let mut bytes = ordinal(INSTALL, number);
                bytes.push(attempt);
                bytes.extend(firmware_short.to_be_bytes());
                bytes.push(u8::from(activate));
                bytes
            }
            Self::Cancel { ordinal: number } => ordinal(CANCEL, number),
            Self::Activate { ordinal: number } => ordinal(ACTIVATE, number),
        }
    }

    /// As a device reads it.
    pub fn decode(bytes: &[u8]) -> Result<Self, NotAMessage> {
        match *bytes {
            [INSTALL, o1, o0, attempt, f3, f2, f1, f0, activate] => Ok(Self::Install {
                ordinal: u16::from_be_bytes([o1, o0]),
                attempt,
                firmware_short: u32::from_be_bytes([f3, f2, f1, f0]),
                activate: activate != 0,
            }),
            [CANCEL, o1, o0] => Ok(Self::Cancel { ordinal: u16::from_be_bytes([o1, o0]) }),
            [ACTIVATE, o1, o0] => Ok(Self::Activate { ordinal: u16::from_be_bytes([o1, o0]) }),
            _ => Err(NotAMessage),
        }
    }
}

/// An ordinal in two bytes; none if it needs more.
pub fn short_ordinal(ordinal: u32) -> Option<u16> {
    u16::try_from(ordinal).ok().filter(|short| (1..=ORDINAL_MAX).contains(&u32::from(*short)))
}
