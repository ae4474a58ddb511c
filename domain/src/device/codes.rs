//! Failure codes of the device protocol: a closed list plus `x_…`. The class of a code decides what follows.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Longest code, in bytes.
pub const CODE_MAX_BYTES: usize = 32;
/// Attempts after which an image failure is final: it is retried once.
pub const IMAGE_ATTEMPTS_MAX: u16 = 2;

/// What follows from a failure code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum CodeClass {
    /// The device asks for a later time. Not a failure.
    Defer,
    /// The bytes did not arrive: retried up to the update's attempts.
    Transfer,
    /// The image did not run: retried once.
    Image,
    /// It can never work on this device.
    Final,
}

/// The device is at work on other bytes than it was told to fetch.
pub const CODE_WRONG_BYTES: &str = "digest_mismatch";
/// A confirmed version, or the one of the present attempt, is gone again.
pub const CODE_VERSION_REGRESSED: &str = "version_regressed";
/// The device may not begin to install now, because the maintenance window of its campaign is closed.
pub const CODE_WINDOW_CLOSED: &str = "window_closed";
/// Code of the server for a working device that stays silent too long.
pub const CODE_SILENT: &str = "x_silent";
/// Code of the server for an update that exceeds the time for all attempts together.
pub const CODE_TIMED_OUT: &str = "x_timed_out";

/// Code of the server for a device that went on without the report of its digest that the update requires.
pub const CODE_DIGEST_MISSING: &str = "x_digest_missing";

/// The class of a code. Unknown codes count as failures of the image: retried once, and counted by the gates.
pub fn class_of(code: &str) -> CodeClass {
    match code {
        "no_space" | "busy" | "low_battery" | "user_postponed" | CODE_WINDOW_CLOSED => CodeClass::Defer,
        "download_failed" | "url_expired" | "digest_mismatch" => CodeClass::Transfer,
        "signature_invalid" | "unsupported" | "wrong_model" | "downgrade_refused" | "standby_mismatch" => {
            CodeClass::Final
        }
        _ => CodeClass::Image,
    }
}

/// Whether a code is in the protocol's list or an `x_…` of the device maker.
pub fn is_code(code: &str) -> bool {
    const IMAGE: [&str; 4] = ["install_failed", "boot_failed", "health_check_failed", CODE_VERSION_REGRESSED];
    let own = code.strip_prefix("x_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    });
    code.len() <= CODE_MAX_BYTES && (own || class_of(code) != CodeClass::Image || IMAGE.contains(&code))
}
