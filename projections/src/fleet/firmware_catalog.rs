//! The firmware for one component of a model: where a rollback finds the firmware of a version that a device reports.

use domain::FirmwareId;
use domain::device::FirmwareSnapshot;
use domain::firmware::{FirmwareMetadata, FirmwarePolicy};
use domain::rollback::RollbackObstacle;
use domain::version::TargetVersion;

use super::firmware::FirmwareRow;
use super::signatures;
use crate::db::{DbError, ReadTx};
use crate::row::Row as _;

/// Firmware that is looked through, the newest first.
const FIRMWARE_MAX: i64 = 2_000;

/// What a device ran before.
#[derive(Debug, Clone, Copy)]
pub struct FormerFirmware<'a> {
    /// As the device reported it.
    pub version: &'a str,
    /// The firmware that it was confirmed to run, if any.
    pub firmware_id: Option<&'a str>,
}

/// All firmware for one component of a model, deleted and withdrawn ones, too.
#[derive(Debug, Default)]
pub struct FirmwareCatalog {
    rows: Vec<FirmwareRow>,
    policy: FirmwarePolicy,
}

impl FirmwareCatalog {
    pub async fn read(tx: &mut ReadTx, tenant: &str, device_model: &str, component: &str) -> Result<Self, DbError> {
        let sql = format!(
            "SELECT {} FROM firmware t WHERE t.tenant = $1 AND t.device_model = $2 AND t.component = $3
             ORDER BY t.created_at DESC, t.firmware_id LIMIT {FIRMWARE_MAX}",
            FirmwareRow::columns_of("t")
        );
        let query = sqlx::query(&sql).bind(tenant).bind(device_model).bind(component);
        let rows = query.fetch_all(&mut *tx.0).await?.iter().map(FirmwareRow::read).collect::<Result<_, _>>()?;
        Ok(Self { rows, policy: signatures::policy(tx, tenant).await? })
    }

    /// The firmware that a device ran. Among several that devices report alike, the one that it was confirmed to run, then one that may be
    /// given out.
    fn of(&self, former: FormerFirmware<'_>) -> Option<&FirmwareRow> {
        let is_run = |row: &&FirmwareRow| row.metadata.expected().is_met_by(former.version);
        let confirmed = |row: &&FirmwareRow| former.firmware_id == Some(row.firmware_id.as_str());
        let usable = |row: &&FirmwareRow| row.status != "withdrawn" && row.status != "deleted";
        let mut run = self.rows.iter().filter(is_run);
        run.clone().find(confirmed).or_else(|| run.clone().find(usable)).or_else(|| run.next())
    }

    /// The firmware to install so that a device runs this one again.
    pub fn target(&self, former: FormerFirmware<'_>) -> Result<FirmwareId, RollbackObstacle> {
        match self.of(former) {
            None => Err(RollbackObstacle::FirmwareUnknown),
            Some(row) if row.status == "deleted" => Err(RollbackObstacle::FirmwareUnknown),
            Some(row) if row.status == "withdrawn" => Err(RollbackObstacle::FirmwareWithdrawn),
            Some(row) => row.firmware_id.parse().map(FirmwareId).map_err(|_| RollbackObstacle::FirmwareUnknown),
        }
    }

    /// The firmware to install so that a device that runs `left` runs again what it ran before.
    pub(crate) fn rollback_target(
        &self,
        left: TargetVersion<'_>,
        former: FormerFirmware<'_>,
    ) -> Result<FirmwareId, RollbackObstacle> {
        // It ran the same version before, so there is nothing to go back to.
        if left.is_met_by(former.version) { Err(RollbackObstacle::NoPreviousVersion) } else { self.target(former) }
    }

    /// All firmware from which devices may be rolled back (`rollback_allowed`).
    pub(crate) fn all_that_may_be_left(&self) -> impl Iterator<Item = &FirmwareRow> {
        self.rows.iter().filter(|row| row.metadata.rollback_allowed)
    }

    pub(crate) fn that_may_be_left(&self, firmware_id: &str) -> Option<&FirmwareMetadata> {
        self.all_that_may_be_left().find(|row| row.firmware_id == firmware_id).map(|row| &row.metadata)
    }

    /// For a new update, also if the firmware was taken away just now: the update ends as others of that firmware do.
    pub(crate) fn snapshot(&self, former: FormerFirmware<'_>) -> Option<FirmwareSnapshot> {
        let row = self.of(former)?;
        let id = row.firmware_id.parse().map(FirmwareId).ok()?;
        let lack = self.policy.lack(&row.signatures, &row.documents);
        Some(FirmwareSnapshot { lack, ..row.metadata.snapshot(id, &row.bytes) })
    }

    /// Whether a device that runs this version may be rolled back. It may if its firmware is not known.
    pub fn may_be_left(&self, running: &str) -> bool {
        self.of(FormerFirmware { version: running, firmware_id: None }).is_none_or(|row| row.metadata.rollback_allowed)
    }
}
