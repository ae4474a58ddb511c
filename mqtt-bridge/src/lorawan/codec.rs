//! The compact codec of LoRaWAN devices: big-endian, at most 11 bytes, so that every message fits the slowest data rate.

use domain::values::Sha256Digest;

/// The port of uplinks and downlinks in this codec.
pub const F_PORT: u8 = 20;
const _: () = assert!(F_PORT >= 1 && F_PORT <= 223, "application ports of LoRaWAN");

const INSTALL: u8 = 0x01;
const CANCEL: u8 = 0x02;
const ACTIVATE: u8 = 0x03;

/// A command to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downlink {
    /// Install the image whose SHA-256 begins with `firmware_short`. `activate`: also run it; otherwise stop when it is staged.
    Install { ordinal: u16, attempt: u8, firmware_short: u32, activate: bool },
    /// Stop the update if it is not installing yet.
    Cancel { ordinal: u16 },
    /// Run what the update has staged.
    Activate { ordinal: u16 },
}

impl Downlink {
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Install { ordinal, attempt, firmware_short, activate } => {
                let mut bytes = message(INSTALL, ordinal);
                bytes.push(attempt);
                bytes.extend(firmware_short.to_be_bytes());
                bytes.push(u8::from(activate));
                bytes
            }
            Self::Cancel { ordinal } => message(CANCEL, ordinal),
            Self::Activate { ordinal } => message(ACTIVATE, ordinal),
        }
    }

    /// None if it is no command of this codec.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [INSTALL, o1, o0, attempt, f3, f2, f1, f0, activate @ (0 | 1)] => Some(Self::Install {
                ordinal: u16::from_be_bytes([o1, o0]),
                attempt,
                firmware_short: u32::from_be_bytes([f3, f2, f1, f0]),
                activate: activate == 1,
            }),
            [CANCEL, o1, o0] => Some(Self::Cancel { ordinal: u16::from_be_bytes([o1, o0]) }),
            [ACTIVATE, o1, o0] => Some(Self::Activate { ordinal: u16::from_be_bytes([o1, o0]) }),
            _ => None,
        }
    }
}

fn message(kind: u8, ordinal: u16) -> Vec<u8> {
    let [o1, o0] = ordinal.to_be_bytes();
    vec![kind, o1, o0]
}

/// The first four bytes of the SHA-256 of an image.
pub fn firmware_short(sha256: &Sha256Digest) -> u32 {
    let [b3, b2, b1, b0, ..] = sha256.0;
    u32::from_be_bytes([b3, b2, b1, b0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_the_bytes_of_the_protocol_and_read_back() {
        let sha256 = Sha256Digest::from_hex(&format!("a1b2c3d4{}", "00".repeat(28))).unwrap();
        let install =
            Downlink::Install { ordinal: 0x0102, attempt: 3, firmware_short: firmware_short(&sha256), activate: true };
        for (downlink, bytes) in [
            (install, &[1, 1, 2, 3, 0xa1, 0xb2, 0xc3, 0xd4, 1][..]),
            (Downlink::Cancel { ordinal: 65_535 }, &[2, 255, 255]),
            (Downlink::Activate { ordinal: 7 }, &[3, 0, 7]),
        ] {
            assert_eq!(downlink.encode(), bytes);
            assert_eq!(Downlink::decode(bytes), Some(downlink));
        }
    }

    #[test]
    fn what_others_send_is_no_command() {
        for bytes in [&[][..], &[1], &[1, 0, 1, 1, 0, 0, 0, 0, 2], &[2, 0], &[2, 0, 1, 0], &[4, 0, 1], &[0x81, 0, 1]] {
            assert_eq!(Downlink::decode(bytes), None, "{bytes:?}");
        }
    }
}
