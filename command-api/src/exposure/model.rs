//! Exposure in replies.

use chrono::{DateTime, NaiveDate, Utc};
use projections::exposure::{ExposedDevice, ExposedFirmware, ExposureCounts, ExposureReport};
use serde::Serialize;
use utoipa::ToSchema;

/// What is known of the devices of a tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExposureBody {
    /// What ran then is counted.
    at: DateTime<Utc>,
    devices: ExposureNumbers,
    /// Firmware of which a document speaks, the newest first; at most 2,000.
    firmware: Vec<ExposedFirmwareBody>,
    /// The tenant has more firmware, which is not looked at.
    more_firmware: bool,
    /// Documents that were just uploaded and are not read yet. While there are any, the answer may lack what they say.
    unread_documents: u64,
    /// Devices that ran a fix at the end of each day (UTC) on which their number changed; the latest 90 such days.
    ran_fix: Vec<FixDay>,
}

/// Devices by what they ran. The four states add up to all devices.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExposureNumbers {
    affected: u64,
    under_investigation: u64,
    /// A VEX says so (`not_affected`, `fixed`), or an SBOM lacks the package.
    not_affected: u64,
    /// No document speaks of what they ran.
    unknown: u64,
    /// Of the affected ones: there is newer firmware for their hardware that is not affected.
    fix_offered: u64,
}

/// A firmware of which a document speaks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExposedFirmwareBody {
    firmware_id: String,
    /// `active`, `deprecated`, `withdrawn` or `deleted`.
    status: String,
    device_model: String,
    component: String,
    version: String,
    /// `affected`, `under_investigation` or `not_affected`.
    exposure: &'static str,
    /// What the latest VEX says; null if only an SBOM speaks.
    vex_status: Option<String>,
    justification: Option<String>,
    /// The document that decides.
    document_id: Option<String>,
    /// Newer firmware for the same hardware that is not affected, the newest first; at most 8.
    fixes: Vec<String>,
    /// Devices that ran it.
    devices: u64,
}

/// Devices that ran a fix.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FixDay {
    day: NaiveDate,
    devices: u64,
}

/// A device that an answer counts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExposedDeviceBody {
    device_id: String,
    device_model: String,
    component: String,
    version: String,
    firmware_id: String,
    /// Since when it ran that version.
    since: DateTime<Utc>,
    /// The newest firmware for it that is not affected.
    fix: Option<String>,
}

impl ExposureBody {
    pub(super) fn of(at: DateTime<Utc>, report: ExposureReport) -> Self {
        let ExposureReport { counts, firmware, more_firmware, unread_documents, ran_fix } = report;
        let ExposureCounts { affected, under_investigation, not_affected, unknown, fix_offered } = counts;
        Self {
            at,
            devices: ExposureNumbers { affected, under_investigation, not_affected, unknown, fix_offered },
            firmware: firmware.into_iter().map(ExposedFirmwareBody::from).collect(),
            more_firmware,
            unread_documents,
            ran_fix: ran_fix.into_iter().map(|(day, devices)| FixDay { day, devices }).collect(),
        }
    }
}

impl From<ExposedFirmware> for ExposedFirmwareBody {
    fn from(one: ExposedFirmware) -> Self {
        Self {
            firmware_id: one.firmware_id.to_string(),
            status: one.status,
            device_model: one.device_model,
            component: one.component,
            version: one.version,
            exposure: one.exposure.word(),
            vex_status: one.vex_status,
            justification: one.justification,
            document_id: one.document_id,
            fixes: one.fixes.iter().map(ToString::to_string).collect(),
            devices: one.devices,
        }
    }
}

impl From<ExposedDevice> for ExposedDeviceBody {
    fn from(device: ExposedDevice) -> Self {
        let ExposedDevice { device_id, device_model, component, version, firmware_id, since, fix } = device;
        Self { device_id, device_model, component, version, firmware_id, since, fix }
    }
}
