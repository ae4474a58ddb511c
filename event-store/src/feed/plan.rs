//! Public form of plans: the members of a campaign, including those that end without an update.

use domain::plan::{PlanEntry, PlanEvent};
use serde_json::{Value, json};

use super::Public;
use super::data::{V1, object, word};

impl Public for PlanEvent {
    fn public(&self, _id: &str) -> Option<(u16, Value)> {
        let Self::ChunkWritten { campaign, plan, index, entries } = self;
        let members: Vec<Value> = entries.iter().map(member).collect();
        let data = json!({ "campaign_id": campaign, "plan": plan, "chunk": index, "members": members });
        Some((V1, data))
    }
}

/// A member with its wave, or an excluded device with the reason.
fn member(entry: &PlanEntry) -> Value {
    object(json!({
        "device_id": entry.device,
        "wave": (entry.wave > 0).then_some(entry.wave),
        "reason": entry.excluded.map(|reason| word(&reason)),
    }))
}
