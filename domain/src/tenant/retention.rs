//! How long a tenant keeps what isn't an event. Events are kept for ever.

use serde::{Deserialize, Serialize};
use strum::VariantArray;

use crate::campaign::Violation;
use crate::change::Change;

/// Fewest days of each kind.
pub const RETENTION_MIN_DAYS: u16 = 1;
/// Most days of telemetry: those of the stream TELEMETRY.
pub const TELEMETRY_MAX_DAYS: u16 = 7;
/// Days of the logs of updates where the tenant has set none.
pub const UPDATE_LOGS_DEFAULT_DAYS: u16 = 30;
/// Most days of the logs of updates.
pub const UPDATE_LOGS_MAX_DAYS: u16 = 365;
/// Days of the downloads of single devices where the tenant has set none.
pub const DEVICE_DOWNLOADS_DEFAULT_DAYS: u16 = 400;
/// Most days of the downloads of single devices.
pub const DEVICE_DOWNLOADS_MAX_DAYS: u16 = 1_100;
/// Most days of dead letters: those of the stream DEAD_LETTERS.
pub const DEAD_LETTERS_MAX_DAYS: u16 = 30;

/// What is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
pub enum Kept {
    /// Measurements, and notices of network servers. Without a setting the latest value of each measurement stays.
    Telemetry,
    UpdateLogs,
    /// Which device downloaded which firmware on which day.
    DeviceDownloads,
    DeadLetters,
}

impl Kept {
    /// Its field in [`Retention`].
    pub const fn field(self) -> &'static str {
        match self {
            Self::Telemetry => "telemetry_days",
            Self::UpdateLogs => "update_log_days",
            Self::DeviceDownloads => "device_download_days",
            Self::DeadLetters => "dead_letter_days",
        }
    }

    /// For tenants without a setting.
    pub const fn default_days(self) -> u16 {
        match self {
            Self::Telemetry => TELEMETRY_MAX_DAYS,
            Self::UpdateLogs => UPDATE_LOGS_DEFAULT_DAYS,
            Self::DeviceDownloads => DEVICE_DOWNLOADS_DEFAULT_DAYS,
            Self::DeadLetters => DEAD_LETTERS_MAX_DAYS,
        }
    }

    pub const fn max_days(self) -> u16 {
        match self {
            Self::Telemetry => TELEMETRY_MAX_DAYS,
            Self::UpdateLogs => UPDATE_LOGS_MAX_DAYS,
            Self::DeviceDownloads => DEVICE_DOWNLOADS_MAX_DAYS,
            Self::DeadLetters => DEAD_LETTERS_MAX_DAYS,
        }
    }
}

/// For how many days a tenant keeps what isn't an event; absent: [`Kept::default_days`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Retention {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub telemetry_days: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_log_days: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_download_days: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_days: Option<u16>,
}

/// A change of [`Retention`]; `null` goes back to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RetentionPatch {
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub telemetry_days: Change<u16>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub update_log_days: Change<u16>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub device_download_days: Change<u16>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub dead_letter_days: Change<u16>,
}

impl Retention {
    /// What the tenant has set.
    pub fn set(&self, kept: Kept) -> Option<u16> {
        match kept {
            Kept::Telemetry => self.telemetry_days,
            Kept::UpdateLogs => self.update_log_days,
            Kept::DeviceDownloads => self.device_download_days,
            Kept::DeadLetters => self.dead_letter_days,
        }
    }

    #[must_use]
    pub(super) fn patched(mut self, patch: &RetentionPatch) -> Self {
        let RetentionPatch { telemetry_days, update_log_days, device_download_days, dead_letter_days } = patch;
        telemetry_days.apply_to(&mut self.telemetry_days);
        update_log_days.apply_to(&mut self.update_log_days);
        device_download_days.apply_to(&mut self.device_download_days);
        dead_letter_days.apply_to(&mut self.dead_letter_days);
        self
    }

    /// All violations, in the order of the fields.
    pub(super) fn violations(&self) -> impl Iterator<Item = Violation> {
        let outside = |kept: &Kept| {
            let days = self.set(*kept)?;
            let (field, max) = (kept.field(), kept.max_days());
            let is_usable = (RETENTION_MIN_DAYS..=max).contains(&days);
            (!is_usable).then(|| (format!("retention.{field}"), format!("{RETENTION_MIN_DAYS} to {max} days")))
        };
        Kept::VARIANTS.iter().filter_map(outside)
    }
}
