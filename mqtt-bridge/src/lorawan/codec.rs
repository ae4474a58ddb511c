//! The compact codec of the device protocol, on its own port, both ways. Numbers are big-endian, and every message fits the smallest payload
//! of all regions.
//!
//! Bytes after the known ones are ignored, so that later versions may add some.

use domain::device::ReportStatus;
use domain::ids::ORDINAL_MAX;
use domain::values::Sha256Digest;

/// The port of these messages.
pub(crate) const PORT: u8 = 20;
/// Codes from this number on are the firmware's own: `x_128` to `x_255`.
const OWN_CODES: u8 = 128;

const INSTALL: u8 = 0x01;
const CANCEL: u8 = 0x02;
const ACTIVATE: u8 = 0x03;
const REPORT: u8 = 0x81;
const VERSION: u8 = 0x82;
const FIRMWARE: u8 = 0x83;

/// Statuses by number, from 1.
const STATUSES: [ReportStatus; 12] = [
    ReportStatus::Received,
    ReportStatus::Deferred,
    ReportStatus::Downloading,
    ReportStatus::Verifying,
    ReportStatus::Installing,
    ReportStatus::Staged,
    ReportStatus::Rebooting,
    ReportStatus::Completed,
    ReportStatus::Failed,
    ReportStatus::Rejected,
    ReportStatus::Cancelled,
    ReportStatus::CancelRefused,
];
/// Codes by number, from 1.
const CODES: [&str; 17] = [
    "no_space",
    "busy",
    "low_battery",
    "user_postponed",
    "window_closed",
    "download_failed",
    "url_expired",
    "digest_mismatch",
    "install_failed",
    "boot_failed",
    "health_check_failed",
    "version_regressed",
    "signature_invalid",
    "unsupported",
    "wrong_model",
    "downgrade_refused",
    "standby_mismatch",
];

/// A message of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UpMessage {
    /// A report on an update; progress in per cent.
    Report { ordinal: u16, attempt: u8, status: ReportStatus, progress: Option<u8>, code: Option<u8> },
    /// After a boot: the number of the boot, and the version that runs.
    Version { boot: u8, version: [u8; 3] },
    /// The same with the first bytes of the firmware's SHA-256 in place of a version.
    Firmware { boot: u8, firmware_short: u32 },
}

/// A message to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DownMessage {
    Install { ordinal: u16, attempt: u8, firmware_short: u32, activate: bool },
    Cancel { ordinal: u16 },
    Activate { ordinal: u16 },
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAMessage {
    #[error("empty")]
    Empty,
    #[error("the first byte is {0:#04x}, which is no message to Waybill")]
    Unknown(u8),
    #[error("{0} bytes are missing")]
    TooShort(usize),
    #[error("status {0} is not known")]
    Status(u8),
    #[error("ordinals and attempts begin with 1")]
    Zero,
}

/// The first four bytes of a firmware's SHA-256.
pub(crate) fn firmware_short(sha256: &Sha256Digest) -> u32 {
    let hex = sha256.to_string();
    hex.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

/// The word for a code; a number without one is unknown.
pub(crate) fn code_word(number: u8) -> Option<String> {
    match number {
        0 => None,
        OWN_CODES.. => Some(format!("x_{number}")),
        _ => Some(CODES.get(usize::from(number) - 1).map_or_else(|| "x_unknown".to_owned(), |word| (*word).to_owned())),
    }
}

fn status_of(number: u8) -> Result<ReportStatus, NotAMessage> {
    let known = usize::from(number).checked_sub(1).and_then(|index| STATUSES.get(index));
    known.copied().ok_or(NotAMessage::Status(number))
}

/// The next `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], NotAMessage> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(|| NotAMessage::TooShort(N - bytes.len()))?;
    *bytes = rest;
    Ok(*taken)
}

fn ordinal(bytes: &mut &[u8]) -> Result<u16, NotAMessage> {
    match u16::from_be_bytes(take(bytes)?) {
        0 => Err(NotAMessage::Zero),
        ordinal => Ok(ordinal),
    }
}

fn attempt(bytes: &mut &[u8]) -> Result<u8, NotAMessage> {
    match take::<1>(bytes)? {
        [0] => Err(NotAMessage::Zero),
        [attempt] => Ok(attempt),
    }
}

impl UpMessage {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NotAMessage> {
        let (first, mut rest) = bytes.split_first().ok_or(NotAMessage::Empty)?;
        let rest = &mut rest;
        Ok(match *first {
            REPORT => Self::Report {
                ordinal: ordinal(rest)?,
                attempt: attempt(rest)?,
                status: status_of(take::<1>(rest)?[0])?,
                progress: Some(take::<1>(rest)?[0]).filter(|progress| *progress <= 100),
                code: rest.first().copied().filter(|code| *code > 0),
            },
            VERSION => Self::Version { boot: take::<1>(rest)?[0], version: take(rest)? },
            FIRMWARE => Self::Firmware { boot: take::<1>(rest)?[0], firmware_short: u32::from_be_bytes(take(rest)?) },
            other => return Err(NotAMessage::Unknown(other)),
        })
    }
}

impl DownMessage {
    /// The message of an update whose ordinal and attempt fit.
    pub(crate) fn install(ordinal: u32, attempt: u16, sha256: &Sha256Digest, activate: bool) -> Option<Self> {
        let (ordinal, attempt) = (short_ordinal(ordinal)?, u8::try_from(attempt).ok()?);
        Some(Self::Install { ordinal, attempt, firmware_short: firmware_short(sha256), activate })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
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
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, NotAMessage> {
        let (first, mut rest) = bytes.split_first().ok_or(NotAMessage::Empty)?;
        let rest = &mut rest;
        Ok(match *first {
            INSTALL => Self::Install {
                ordinal: ordinal(rest)?,
                attempt: attempt(rest)?,
                firmware_short: u32::from_be_bytes(take(rest)?),
                activate: take::<1>(rest)?[0] != 0,
            },
            CANCEL => Self::Cancel { ordinal: ordinal(rest)? },
            ACTIVATE => Self::Activate { ordinal: ordinal(rest)? },
            other => return Err(NotAMessage::Unknown(other)),
        })
    }
}

/// An ordinal in two bytes; none if it needs more.
pub(crate) fn short_ordinal(ordinal: u32) -> Option<u16> {
    u16::try_from(ordinal).ok().filter(|short| (1..=ORDINAL_MAX).contains(&u32::from(*short)))
}

#[cfg(test)]
mod tests {
    use domain::device::is_code;
    use proptest::prelude::*;

    use super::*;

    /// Bytes of the smallest payload of all regions.
    const MESSAGE_MAX_BYTES: usize = 11;
    /// Stands for a progress that isn't known.
    const NO_PROGRESS: u8 = 0xff;

    impl UpMessage {
        /// As a device writes it.
        fn encode(&self) -> Vec<u8> {
            match self {
                Self::Report { ordinal, attempt, status, progress, code } => {
                    let number = STATUSES.iter().position(|known| known == status).unwrap() + 1;
                    let mut bytes = vec![REPORT];
                    bytes.extend(ordinal.to_be_bytes());
                    bytes.extend([*attempt, u8::try_from(number).unwrap(), progress.unwrap_or(NO_PROGRESS)]);
                    bytes.extend(code);
                    bytes
                }
                Self::Version { boot, version: [major, minor, patch] } => vec![VERSION, *boot, *major, *minor, *patch],
                Self::Firmware { boot, firmware_short } => {
                    let mut bytes = vec![FIRMWARE, *boot];
                    bytes.extend(firmware_short.to_be_bytes());
                    bytes
                }
            }
        }
    }

    fn up() -> impl Strategy<Value = UpMessage> {
        prop_oneof![
            (1_u16.., 1_u8.., 0_usize..STATUSES.len(), prop::option::of(0_u8..=100), prop::option::of(1_u8..))
                .prop_map(|(ordinal, attempt, status, progress, code)| UpMessage::Report {
                    ordinal,
                    attempt,
                    status: STATUSES[status],
                    progress,
                    code
                }),
            (any::<u8>(), any::<[u8; 3]>()).prop_map(|(boot, version)| UpMessage::Version { boot, version }),
            (any::<u8>(), any::<u32>()).prop_map(|(boot, firmware_short)| UpMessage::Firmware { boot, firmware_short }),
        ]
    }

    fn down() -> impl Strategy<Value = DownMessage> {
        prop_oneof![
            (1_u16.., 1_u8.., any::<u32>(), any::<bool>()).prop_map(|(ordinal, attempt, firmware_short, activate)| {
                DownMessage::Install { ordinal, attempt, firmware_short, activate }
            }),
            (1_u16..).prop_map(|ordinal| DownMessage::Cancel { ordinal }),
            (1_u16..).prop_map(|ordinal| DownMessage::Activate { ordinal }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_reads_back_and_fits(up in up(), down in down(), more in prop::collection::vec(any::<u8>(), 0..4)) {
            let (mut up_bytes, mut down_bytes) = (up.encode(), down.encode());
            prop_assert!(up_bytes.len() <= MESSAGE_MAX_BYTES && down_bytes.len() <= MESSAGE_MAX_BYTES);
            prop_assert_eq!(UpMessage::decode(&up_bytes), Ok(up.clone()));
            prop_assert_eq!(DownMessage::decode(&down_bytes), Ok(down));
            for end in 0..up_bytes.len() {
                let cut = UpMessage::decode(&up_bytes[..end]);
                let only_code_is_missing = matches!(&up, UpMessage::Report { code: Some(_), .. }) && end == up_bytes.len() - 1;
                prop_assert_eq!(cut.is_ok(), only_code_is_missing);
            }
            let has_room = !matches!(up, UpMessage::Report { code: None, .. });
            up_bytes.extend(&more);
            down_bytes.extend(&more);
            if has_room {
                prop_assert_eq!(UpMessage::decode(&up_bytes), Ok(up), "later versions may add bytes");
            }
            prop_assert_eq!(DownMessage::decode(&down_bytes), Ok(down));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            UpMessage::decode(&bytes).ok();
            DownMessage::decode(&bytes).ok();
        }
    }

    #[test]
    fn every_code_is_one_of_the_protocol() {
        assert_eq!(code_word(0), None);
        assert!((1..=u8::MAX).all(|number| is_code(&code_word(number).unwrap())));
        assert_eq!((code_word(1).as_deref(), code_word(200).as_deref()), (Some("no_space"), Some("x_200")));
        assert_eq!(code_word(100).as_deref(), Some("x_unknown"));
    }

    #[test]
    fn a_firmware_is_named_by_the_first_bytes_of_its_digest() {
        let sha256 = Sha256Digest::from_hex(&format!("89abcdef{}", "0".repeat(56))).unwrap();
        assert_eq!(firmware_short(&sha256), 0x89ab_cdef);
        let message = DownMessage::install(7, 2, &sha256, true).unwrap();
        assert_eq!(message.encode(), [1, 0, 7, 2, 0x89, 0xab, 0xcd, 0xef, 1]);
        assert_eq!(DownMessage::install(70_000, 1, &sha256, true), None);
        assert_eq!(DownMessage::install(7, 256, &sha256, true), None);
    }
}
