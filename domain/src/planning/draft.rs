//! A plan that is made and not written: the planner commits one, and a preview only shows one. Both are made here, so the same devices, the
//! same specification and the same seed give the same hash.

use sha2::{Digest, Sha256};

use super::{PlanCandidate, plan};
use crate::campaign::CampaignSpec;
use crate::ids::CampaignId;
use crate::plan::{PlanCounts, PlanEntry};

/// A plan that is made and not written.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanDraft {
    /// In the order of ranks, the excluded devices among them.
    pub entries: Vec<PlanEntry>,
    pub counts: PlanCounts,
    /// SHA-256 over the digest of the specification and all entries in order, hex.
    pub hash: String,
}

impl PlanDraft {
    pub fn make(seed: &str, candidates: Vec<PlanCandidate>, spec: &CampaignSpec) -> Self {
        let entries = plan(seed, candidates, spec);
        let counts = PlanCounts::of(&entries, spec.waves.len());
        let hash = hash_of(&spec.plan_digest(seed), &entries);
        Self { entries, counts, hash }
    }
}

impl CampaignSpec {
    /// Digest of what a plan depends on besides the devices: of everything but the texts.
    pub fn plan_digest(&self, seed: &str) -> String {
        // The seed counts by itself: a campaign made from a preview names the preview's.
        let spec = Self { name: String::new().into(), description: None, sample_seed: None, ..self.clone() };
        let mut hash = Sha256::new();
        hash.update(seed.as_bytes());
        // A specification has no map with other keys than strings, so writing its JSON can't fail.
        hash.update(serde_json::to_vec(&spec).unwrap_or_default());
        hex(hash)
    }

    /// The seed of the campaign's order: its own, or the campaign's id.
    pub fn seed(&self, campaign: CampaignId) -> String {
        self.sample_seed.clone().unwrap_or_else(|| campaign.to_string())
    }
}

/// SHA-256 over the specification's digest and the entries in order, each as one line, the entries as JSON.
fn hash_of(specification: &str, entries: &[PlanEntry]) -> String {
    let mut hash = Sha256::new();
    hash.update(specification.as_bytes());
    hash.update(b"\n");
    for entry in entries {
        // An entry consists of strings and numbers, so writing its JSON can't fail.
        hash.update(serde_json::to_vec(entry).unwrap_or_default());
        hash.update(b"\n");
    }
    hex(hash)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
