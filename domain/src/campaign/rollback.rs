//! When a campaign may be rolled back: by an operator, or by its failure gate.

use super::{Campaign, CampaignEvent, CampaignStatus, GateKind, GateRollback, RollbackCause};
use crate::rejection::Rejection;
use crate::rollback::RollbackObstacle;

impl Campaign {
    /// Whether its devices go back, also while that is paused.
    pub fn is_rolling_back(&self) -> bool {
        let paused = self.status == CampaignStatus::Paused && self.before_pause == CampaignStatus::RollingBack;
        self.status == CampaignStatus::RollingBack || paused
    }

    fn may_roll_back(&self) -> bool {
        self.firmware.as_ref().is_some_and(|firmware| firmware.rollback_allowed)
    }

    /// What a gate that closes does: `auto_rollback` is for the failure gate.
    pub(super) fn rollback_after(&self, gate: GateKind) -> GateRollback {
        let wanted = self.spec.as_ref().is_some_and(|spec| spec.auto_rollback) && gate == GateKind::Failure;
        match (wanted, self.may_roll_back()) {
            (false, _) => GateRollback::NotWanted,
            (true, true) => GateRollback::Begun,
            (true, false) => GateRollback::NotAvailable,
        }
    }

    pub(super) fn rolling_back(&self, cause: RollbackCause) -> CampaignEvent {
        CampaignEvent::RollingBack { cause, round: self.retry_round.saturating_add(1) }
    }

    pub(super) fn roll_back(&self, cause: RollbackCause) -> Result<Vec<CampaignEvent>, Rejection> {
        match self.may_roll_back() {
            true => Ok(vec![self.rolling_back(cause)]),
            false => {
                let detail = "the campaign's firmware doesn't allow a rollback (rollback_allowed is false)";
                Err(RollbackObstacle::NotAllowed.refuses(detail.to_owned()))
            }
        }
    }
}
