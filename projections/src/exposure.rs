//! Which devices a vulnerability or a package concerns: what documents say of each firmware, and which devices run it or ran it.
//!
//! Documents count as they are now, also for an earlier time: the question is what is known today of what ran then.

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

/// What is asked for: a vulnerability, a package, or a vulnerability in a package.
#[derive(Debug, Clone)]
pub struct ExposureQuery {
    /// In capitals.
    pub vulnerability: Option<String>,
    /// A canonical package URL without version.
    pub package: Option<String>,
    /// Of the package; none for every version.
    pub version: Option<String>,
    /// What ran then.
    pub at: DateTime<Utc>,
    /// Devices that are out of service now don't count. For the present.
    pub in_service: bool,
}

/// Devices by what they ran.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExposureCounts {
    pub affected: u64,
    pub under_investigation: u64,
    pub not_affected: u64,
    /// They ran what no document speaks of, or no known firmware.
    pub unknown: u64,
    /// Affected ones for all of whose affected firmware there is a fix.
    pub fix_offered: u64,
}

/// A firmware, and why it is what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposedFirmware {
    pub firmware_id: FirmwareId,
    pub status: String,
    pub device_model: String,
    pub component: String,
    pub version: String,
    pub exposure: Exposure,
    /// What the VEX says that counts.
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
    /// Those of which a document speaks, the newest first.
    pub firmware: Vec<ExposedFirmware>,
    /// There is more firmware than is looked at.
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
