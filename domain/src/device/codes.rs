//! Failure codes of the device protocol: a closed list plus `x_…`, each in a class that says what follows.

use serde::{Deserialize, Serialize};

/// Longest code, in bytes.
pub const CODE_MAX_BYTES: usize = 32;
/// Tries that an image failure leaves: it is retried once.
pub const IMAGE_ATTEMPTS_MAX: u16 = 2;

/// What follows from a failure code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeClass {
    /// Not now. Never a failure.
    Defer,
    /// The bytes didn't arrive: tried again up to the update's attempts.
    Transfer,
    /// The image didn't run: tried again once.
    Image,
    /// It can't ever work on this device.
    Final,
}

/// The device is at work on other bytes than it was told to fetch.
pub const CODE_WRONG_BYTES: &str = "digest_mismatch";
/// The code that the server writes when a working device falls silent.
pub const CODE_SILENT: &str = "x_silent";
/// The code that the server writes when an update takes longer than all its attempts together may.
pub const CODE_TIMED_OUT: &str = "x_timed_out";

/// The class of a code; unknown ones are counted as the image's fault, which is tried again once and seen by the gates.
pub fn class_of(code: &str) -> CodeClass {
    match code {
        "no_space" | "busy" | "low_battery" | "user_postponed" => CodeClass::Defer,
        "download_failed" | "url_expired" | "digest_mismatch" => CodeClass::Transfer,
        "signature_invalid" | "unsupported" | "wrong_model" | "downgrade_refused" | "standby_mismatch" => {
            CodeClass::Final
        }
        _ => CodeClass::Image,
    }
}

/// Whether a code is one of the protocol's or an `x_…` of the device maker's.
pub fn is_code(code: &str) -> bool {
    const IMAGE: [&str; 4] = ["install_failed", "boot_failed", "health_check_failed", "version_regressed"];
    let own = code.strip_prefix("x_").is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    });
    code.len() <= CODE_MAX_BYTES && (own || class_of(code) != CodeClass::Image || IMAGE.contains(&code))
}
