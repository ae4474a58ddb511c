//! The rollout ledger of a campaign. Slots are granted by an event. They are not counted from rows, which may lag.
//!
//! Invariant: a grant is made only on a view that has reached the ledger's last record. Optimistic concurrency on this aggregate guarantees
//! that, so neither two process managers nor a slow projection can exceed `max_concurrent_updates`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decider::Decider;
use crate::ids::{CampaignId, DeviceId};
use crate::per_transport::{self, PACED, PerTransport};
use crate::rejection::Rejection;
use crate::values::Transport;

/// Most slots in one grant.
pub const GRANT_DEVICES_MAX: usize = 500;

/// Permission for one device to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotGrant {
    #[serde(rename = "d")]
    pub device: DeviceId,
    #[serde(rename = "w")]
    pub wave: u16,
    #[serde(rename = "r")]
    pub rank: u32,
    /// It counts with the LoRaWAN devices.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub lorawan: bool,
}

impl SlotGrant {
    pub fn transport(&self) -> Transport {
        per_transport::counted_as(self.lorawan)
    }
}

/// Number of the grants of each transport.
pub fn devices_of(grants: &[SlotGrant]) -> PerTransport<usize> {
    PerTransport::each(|transport| grants.iter().filter(|slot| slot.transport() == transport).count())
}

/// The slots of one transport, before a grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    pub in_use: u32,
    pub max_concurrent_updates: u32,
}

impl Slots {
    pub fn free(self) -> u32 {
        self.max_concurrent_updates.saturating_sub(self.in_use)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum LedgerEvent {
    #[serde(rename = "slots.granted")]
    Granted {
        /// The ledger's version after this event. It identifies the grant on devices.
        number: u64,
        grants: Vec<SlotGrant>,
        /// Grants of the whole campaign, this event included.
        granted_total: u64,
        /// Slots in use when the grant was made, without the new ones and those of LoRaWAN devices.
        in_use: u32,
        max_concurrent_updates: u32,
        /// Those of LoRaWAN devices, if the grant has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lorawan: Option<Slots>,
    },
}

crate::event_types!(LedgerEvent { Granted => "slots.granted" v 1 });

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum LedgerCommand {
    Grant {
        /// The ledger's version that the granter's view has reached.
        seen_version: u64,
        slots: PerTransport<Slots>,
        grants: Vec<SlotGrant>,
    },
}

/// State of a ledger: counters only, so that it stays small for any fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    pub version: u64,
    pub granted_total: u64,
}

crate::aggregate!(Ledger, "rollout_ledger", LedgerCommand, LedgerEvent);

impl Ledger {
    pub fn apply(&mut self, event: &LedgerEvent) {
        let LedgerEvent::Granted { number, granted_total, .. } = event;
        self.version = *number;
        self.granted_total = *granted_total;
    }
}

impl Decider for Ledger {
    type Command = LedgerCommand;
    type Id = CampaignId;

    fn decide(&self, _now: DateTime<Utc>, command: &LedgerCommand) -> Result<Vec<LedgerEvent>, Rejection> {
        let LedgerCommand::Grant { seen_version, slots, grants } = command;
        if *seen_version != self.version {
            return Err(Rejection::StaleView);
        }
        if grants.is_empty() {
            return Ok(vec![]);
        }
        let devices = devices_of(grants);
        let are_too_many = |transport: &Transport| *devices.of(*transport) > slots.of(*transport).free() as usize;
        if grants.len() > GRANT_DEVICES_MAX || PACED.iter().any(are_too_many) {
            return Err(Rejection::NoFreeSlots);
        }
        Ok(vec![LedgerEvent::Granted {
            number: self.version + 1,
            grants: grants.clone(),
            granted_total: self.granted_total + grants.len() as u64,
            in_use: slots.mqtt.in_use,
            max_concurrent_updates: slots.mqtt.max_concurrent_updates,
            lorawan: (devices.lorawan > 0).then_some(slots.lorawan),
        }])
    }

    fn exists(&self) -> bool {
        self.version > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(lorawan: bool) -> SlotGrant {
        SlotGrant { device: DeviceId::new("d").unwrap(), wave: 1, rank: 0, lorawan }
    }

    fn grant(seen_version: u64, in_use: u32, devices: usize) -> LedgerCommand {
        let mqtt = Slots { in_use, max_concurrent_updates: 10 };
        let slots = PerTransport { mqtt, lorawan: Slots { in_use: 1, max_concurrent_updates: 3 } };
        LedgerCommand::Grant { seen_version, slots, grants: vec![slot(false); devices] }
    }

    #[test]
    fn a_lagging_view_grants_nothing() {
        let mut ledger = Ledger::default();
        let first = ledger.decide(DateTime::UNIX_EPOCH, &grant(0, 0, 10)).unwrap();
        ledger.apply(&first[0]);
        assert_eq!(ledger.decide(DateTime::UNIX_EPOCH, &grant(0, 0, 10)), Err(Rejection::StaleView));
        assert_eq!(ledger.decide(DateTime::UNIX_EPOCH, &grant(1, 10, 1)), Err(Rejection::NoFreeSlots));
        assert_eq!(ledger.decide(DateTime::UNIX_EPOCH, &grant(1, 9, 1)).unwrap().len(), 1);
    }

    #[test]
    fn each_transport_has_its_own_slots() {
        let with_lorawan = |devices: usize| {
            let LedgerCommand::Grant { seen_version, slots, mut grants } = grant(0, 0, 10);
            grants.extend(vec![slot(true); devices]);
            Ledger::default().decide(DateTime::UNIX_EPOCH, &LedgerCommand::Grant { seen_version, slots, grants })
        };
        assert_eq!(with_lorawan(3), Err(Rejection::NoFreeSlots));
        let [LedgerEvent::Granted { granted_total, in_use, lorawan, .. }] = &with_lorawan(2).unwrap()[..] else {
            panic!("one event")
        };
        let slots = Slots { in_use: 1, max_concurrent_updates: 3 };
        assert_eq!((*granted_total, *in_use, *lorawan), (12, 0, Some(slots)));
    }
}
