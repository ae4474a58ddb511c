//! What the members of a campaign that is, or was, rolled back go back to.
//!
//! It is the firmware of the version that a device ran when its update was queued. It is looked up each time: a firmware that is uploaded during
//! a rollback makes it possible for the devices that came from it.

use domain::device::FirmwareSnapshot;
use domain::rollback::RollbackObstacle;

use super::rows::CampaignRow;
use crate::db::{DbError, ReadTx};
use crate::fleet::firmware_catalog::{FirmwareCatalog, FormerFirmware};

/// What a member's device ran before the campaign's update, as its update's row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Former {
    pub(super) version: Option<String>,
    pub(super) firmware_id: Option<String>,
}

impl Former {
    fn firmware(&self) -> Option<FormerFirmware<'_>> {
        let version = self.version.as_deref()?;
        Some(FormerFirmware { version, firmware_id: self.firmware_id.as_deref() })
    }
}

pub(super) struct RollbackTargets {
    /// Of the campaign's latest rollback.
    pub(super) round: u16,
    campaign: FirmwareSnapshot,
    catalog: FirmwareCatalog,
}

impl RollbackTargets {
    /// None for a campaign that was never rolled back.
    pub(super) async fn of(tx: &mut ReadTx, row: &CampaignRow) -> Result<Option<Self>, DbError> {
        let (Some(rollback), Some(firmware)) = (&row.rollback, &row.firmware) else { return Ok(None) };
        let (model, component) = (&firmware.device_model, &firmware.component);
        let catalog = FirmwareCatalog::read(tx, &row.tenant, model, component).await?;
        Ok(Some(Self { round: rollback.round, campaign: firmware.clone(), catalog }))
    }

    /// Why a device can't go back.
    pub(super) fn obstacle(&self, former: &Former) -> Option<RollbackObstacle> {
        match former.firmware() {
            Some(former) => self.catalog.rollback_target(self.campaign.expected(), former).err(),
            None => Some(RollbackObstacle::NoPreviousVersion),
        }
    }

    pub(super) fn snapshot(&self, former: &Former) -> Option<FirmwareSnapshot> {
        self.catalog.snapshot(former.firmware()?)
    }
}
