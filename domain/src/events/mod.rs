//! All events of all aggregates, for readers that follow the whole log.

use serde::{Deserialize, Serialize};

pub use crate::campaign::CampaignEvent;
pub use crate::claim::ClaimEvent;
pub use crate::device::DeviceEvent;
pub use crate::firmware::FirmwareEvent;
pub use crate::ledger::LedgerEvent;
pub use crate::plan::PlanEvent;

/// An event of any aggregate: the type's name is unique over all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AnyEvent {
    Device(DeviceEvent),
    Firmware(FirmwareEvent),
    Campaign(CampaignEvent),
    Plan(PlanEvent),
    Ledger(LedgerEvent),
    Claim(ClaimEvent),
}

/// The aggregate types and the event types each of them writes, with schema versions.
pub fn catalogue() -> Vec<(&'static str, &'static [(&'static str, u16)])> {
    use cqrs_es::Aggregate;
    vec![
        (crate::device::Device::TYPE, DeviceEvent::TYPES),
        (crate::firmware::Firmware::TYPE, FirmwareEvent::TYPES),
        (crate::campaign::Campaign::TYPE, CampaignEvent::TYPES),
        (crate::plan::PlanChunk::TYPE, PlanEvent::TYPES),
        (crate::ledger::Ledger::TYPE, LedgerEvent::TYPES),
        (crate::claim::Claim::TYPE, ClaimEvent::TYPES),
    ]
}

#[cfg(test)]
pub(crate) mod tests;
