//! Finds the devices that a vulnerability or a package concerns: documents say which firmware is affected, and the history of devices says
//! who runs it or ran it.
//!
//! Documents count as they are now, also for an earlier time: the question is what is known today of the firmware that ran then.

mod devices;
mod firmware;

use chrono::{DateTime, NaiveDate, Utc};
use documents::Exposure;
use domain::FirmwareId;

use crate::db::{DbError, ReadTx};

pub use devices::{ExposedDevice, list_devices};

/// Most firmware that is looked at, the newest first.
pub const FIRMWARE_MAX: usize = 2_000;
/// Most fixes that are named for one firmware.
pub const FIXES_MAX: usize = 8;
/// Most days on which the number of devices with a fix changed, the latest ones.
pub const DAYS_MAX: usize = 90;

/// A question: about a vulnerability, a package, or a vulnerability in a package.
#[derive(Debug, Clone)]
pub struct ExposureQuery {
    /// In capitals.
    pub vulnerability: Option<String>,
    /// A canonical package URL without version.
    pub package: Option<String>,
    /// Of the package; none for every version.
    pub version: Option<String>,
    /// The time: the firmware that devices ran then counts.
    pub at: DateTime<Utc>,
    /// Leave out devices that are decommissioned now. For questions about the present.
    pub in_service: bool,
}

/// Devices by what they ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExposureCounts {
    pub affected: u64,
    pub under_investigation: u64,
    pub not_affected: u64,
    /// No document is about the firmware that they ran, or it is not known.
    pub unknown: u64,
    /// Affected devices that have a fix for each of their affected components.
    pub fix_offered: u64,
}

/// A firmware, its exposure, and the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposedFirmware {
    pub firmware_id: FirmwareId,
    pub status: String,
    pub device_model: String,
    pub component: String,
    pub version: String,
    pub exposure: Exposure,
    /// What the deciding VEX says. None if only an SBOM decides.
    pub vex_status: Option<String>,
    pub justification: Option<String>,
    /// The document that decides.
    pub document_id: Option<String>,
    /// Newer firmware for the same hardware that is not affected, the newest first.
    pub fixes: Vec<FirmwareId>,
    /// Devices that ran it.
    pub devices: u64,
}

/// The answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposureReport {
    pub counts: ExposureCounts,
    /// Firmware that a document is about, the newest first.
    pub firmware: Vec<ExposedFirmware>,
    /// The tenant has more firmware than [`FIRMWARE_MAX`]. The oldest is left out.
    pub more_firmware: bool,
    /// Documents that are not read yet: until then the answer may lack what they say.
    pub unread_documents: u64,
    /// Devices that ran a fix at the end of each day on which that changed, oldest first.
    pub ran_fix: Vec<(NaiveDate, u64)>,
}

/// Answers a question about a whole tenant.
pub async fn report(tx: &mut ReadTx, query: &ExposureQuery) -> Result<ExposureReport, DbError> {
    let judged = firmware::judge(tx, query).await?;
    let counts = devices::count(tx, query, &judged).await?;
    let per_firmware = devices::count_by_firmware(tx, query, &judged).await?;
    let ran_fix = devices::ran_fix(tx, query, &judged).await?;
    let firmware::Judged { all, more, unread_documents, .. } = judged;
    let firmware = all.into_iter().filter(|one| one.exposure != Exposure::Unknown).map(|one| {
        let devices = per_firmware.get(&one.firmware_id.to_string()).copied().unwrap_or_default();
        ExposedFirmware { devices, ..one }
    });
    Ok(ExposureReport { counts, firmware: firmware.collect(), more_firmware: more, unread_documents, ran_fix })
}
