//! Plans: the devices of a campaign with order and wave, and the excluded ones with the reason, in chunks. Written once, never changed.
//! [`crate::planning`] makes them.
//!
//! Chunks count only after `campaign.planned` names their plan. The order is `sha256(seed ‖ device id)`, so anyone can recompute it, and
//! raising a sample only adds devices.

mod drift;

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use drift::{
    ChangedDevice, DRIFT_DEVICES_MAX, ExpectedPlan, OnDrift, Place, PlanChanges, PlanDrift, PreviewedPlan, Unexplained,
};

use crate::decider::Decider;
use crate::device::Exclusion;
use crate::ids::{CampaignId, DeviceId};
use crate::rejection::Rejection;

/// Name of the ordering algorithm, in `campaign.planned`.
pub const RANK_ALGORITHM: &str = "sha256-rank-v1";
/// Most devices in one chunk. With the longest ids and versions a chunk stays below the log's largest record.
pub const CHUNK_DEVICES_MAX: usize = 2_500;

/// One device of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanEntry {
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// Position in the order, from 0, among all devices that are eligible (sampled or not), so that a sample can be raised. 0 for excluded
    /// devices.
    #[serde(rename = "r")]
    pub rank: u32,
    /// From 1; 0 for excluded ones.
    #[serde(rename = "w")]
    pub wave: u16,
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub excluded: Option<Exclusion>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<String>,
    /// It is a LoRaWAN device, and counts with them until the campaign ends.
    #[serde(rename = "l", default, skip_serializing_if = "std::ops::Not::not")]
    pub lorawan: bool,
}

/// How many devices a plan takes and leaves out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanCounts {
    /// Devices that take part.
    pub devices: u32,
    /// Excluded devices, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub excluded: BTreeMap<Exclusion, u32>,
    /// Devices of each wave, in order.
    pub waves: Vec<u32>,
}

impl PlanCounts {
    /// Counts the entries of a plan with this many waves.
    pub fn of(entries: &[PlanEntry], waves: usize) -> Self {
        let mut counts = Self { waves: vec![0; waves], ..Self::default() };
        for entry in entries {
            match entry.excluded {
                Some(reason) => *counts.excluded.entry(reason).or_insert(0) += 1,
                None => {
                    counts.devices += 1;
                    if let Some(wave) = counts.waves.get_mut(usize::from(entry.wave).wrapping_sub(1)) {
                        *wave += 1;
                    }
                }
            }
        }
        counts
    }
}

/// `{plan}-{index}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PlanChunkId {
    pub plan: Uuid,
    pub index: u32,
}

impl fmt::Display for PlanChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.plan, self.index)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum PlanEvent {
    #[serde(rename = "plan.chunk_written")]
    ChunkWritten { campaign: CampaignId, plan: Uuid, index: u32, entries: Vec<PlanEntry> },
}

crate::event_types!(PlanEvent { ChunkWritten => "plan.chunk_written" v 1 });

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum PlanCommand {
    Write { campaign: CampaignId, plan: Uuid, index: u32, entries: Vec<PlanEntry> },
}

/// State of a chunk: whether it has been written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanChunk {
    written: Option<(Uuid, u32)>,
}

crate::aggregate!(PlanChunk, "campaign_plan", PlanCommand, PlanEvent);

impl PlanChunk {
    pub fn apply(&mut self, event: &PlanEvent) {
        let PlanEvent::ChunkWritten { plan, index, .. } = event;
        self.written = Some((*plan, *index));
    }
}

impl Decider for PlanChunk {
    type Command = PlanCommand;
    type Id = PlanChunkId;

    fn decide(&self, _now: DateTime<Utc>, command: &PlanCommand) -> Result<Vec<PlanEvent>, Rejection> {
        let PlanCommand::Write { campaign, plan, index, entries } = command;
        if self.written.is_some() {
            return Ok(vec![]);
        }
        if entries.len() > CHUNK_DEVICES_MAX {
            let reason = format!("more than {CHUNK_DEVICES_MAX} devices in one chunk");
            return Err(Rejection::Invalid { field: "entries".into(), reason });
        }
        let (campaign, plan, index, entries) = (*campaign, *plan, *index, entries.clone());
        Ok(vec![PlanEvent::ChunkWritten { campaign, plan, index, entries }])
    }

    fn exists(&self) -> bool {
        self.written.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_chunk_fits_a_record() {
        let entry = PlanEntry {
            device: DeviceId::new("x".repeat(64)).unwrap(),
            rank: u32::MAX,
            wave: 100,
            excluded: None,
            from_version: Some("v".repeat(64)),
            lorawan: true,
        };
        let bytes = serde_json::to_vec(&vec![entry; CHUNK_DEVICES_MAX]).unwrap().len();
        assert!(bytes < 500_000, "{bytes}");
    }
}
