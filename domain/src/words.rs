//! Words of enums, as events, rows, requests and replies spell them. They are derived from the names of the variants, in snake case.

/// Gives enums that derive the traits of strum their words.
macro_rules! words {
    ($($name:ty),+ $(,)?) => {$(
        impl $name {
            /// All variants, in the order of their declaration.
            pub fn all() -> impl Iterator<Item = Self> {
                <Self as strum::VariantArray>::VARIANTS.iter().copied()
            }

            /// Its name in events, rows, requests and replies.
            pub fn word(self) -> &'static str {
                self.into()
            }

            pub fn from_word(word: &str) -> Option<Self> {
                word.parse().ok()
            }
        }
    )+};
}

use crate::api_key::ApiKeyStatus;
use crate::campaign::{Bound, CampaignStatus, GateKind, OperatorCommand, Strategy, Verdict};
use crate::device::{
    CodeClass, CommandReportStatus, CommandState, DeviceOperation, Exclusion, Lifecycle, LorawanKey, Outcome,
    Reachability, ReportStatus, SyncState, UpdateKind, UpdateOperation, WaitReason,
};
use crate::firmware::{FirmwareStatus, UpdateType};
use crate::fuota::{DeploymentPhase, MulticastClass, TransferOutcome};
use crate::group::GroupKind;
use crate::lorawan::Region;
use crate::registration_token::RegistrationTokenStatus;
use crate::rollback::RollbackObstacle;
use crate::tenant::TenantStatus;
use crate::values::{Priority, Transport};
use crate::window::Day;

words!(
    ApiKeyStatus,
    Bound,
    CampaignStatus,
    CodeClass,
    CommandReportStatus,
    CommandState,
    Day,
    DeploymentPhase,
    DeviceOperation,
    Exclusion,
    FirmwareStatus,
    GateKind,
    GroupKind,
    Lifecycle,
    MulticastClass,
    Region,
    LorawanKey,
    RollbackObstacle,
    OperatorCommand,
    Outcome,
    Priority,
    Reachability,
    RegistrationTokenStatus,
    ReportStatus,
    Strategy,
    SyncState,
    TenantStatus,
    TransferOutcome,
    Transport,
    UpdateKind,
    UpdateOperation,
    UpdateType,
    Verdict,
    WaitReason,
);

#[cfg(test)]
mod tests {
    use super::*;

    fn agrees<T: serde::Serialize + Copy>(all: impl Iterator<Item = T>, word: impl Fn(T) -> &'static str) {
        for value in all {
            assert_eq!(serde_json::to_value(value).unwrap(), word(value));
        }
    }

    #[test]
    fn events_and_rows_spell_enums_alike() {
        agrees(ApiKeyStatus::all(), ApiKeyStatus::word);
        agrees(CampaignStatus::all(), CampaignStatus::word);
        agrees(CodeClass::all(), CodeClass::word);
        agrees(CommandReportStatus::all(), CommandReportStatus::word);
        agrees(CommandState::all(), CommandState::word);
        agrees(Day::all(), Day::word);
        agrees(DeploymentPhase::all(), DeploymentPhase::word);
        agrees(Exclusion::all(), Exclusion::word);
        agrees(FirmwareStatus::all(), FirmwareStatus::word);
        agrees(GroupKind::all(), GroupKind::word);
        agrees(Lifecycle::all(), Lifecycle::word);
        agrees(OperatorCommand::all(), OperatorCommand::word);
        agrees(Outcome::all(), Outcome::word);
        agrees(Priority::all(), Priority::word);
        agrees(Reachability::all(), Reachability::word);
        agrees(RegistrationTokenStatus::all(), RegistrationTokenStatus::word);
        agrees(Region::all(), Region::word);
        agrees(ReportStatus::all(), ReportStatus::word);
        agrees(Strategy::all(), Strategy::word);
        agrees(TransferOutcome::all(), TransferOutcome::word);
        agrees(LorawanKey::all(), LorawanKey::word);
        agrees(SyncState::all(), SyncState::word);
        agrees(Transport::all(), Transport::word);
        agrees(UpdateKind::all(), UpdateKind::word);
        agrees(UpdateType::all(), UpdateType::word);
        agrees(WaitReason::all(), WaitReason::word);
        assert_eq!(WaitReason::from_word("backoff"), Some(WaitReason::Backoff));
        assert_eq!(WaitReason::from_word("Backoff"), None);
    }
}
