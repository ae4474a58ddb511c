//! Public form of campaigns, with their names unless these are sealed. Descriptions are not public.

use domain::campaign::{CampaignEvent, CampaignSpec, PlanSummary};
use serde_json::{Value, json};

use super::Public;
use super::data::{V1, evidence, firmware, object, word};

impl Public for CampaignEvent {
    fn public(&self, id: &str) -> Option<(u16, Value)> {
        let data = match self {
            Self::Created { spec, .. } | Self::Amended { spec, .. } => specification(spec),
            Self::Adjusted { changes, sample } => {
                let sample =
                    sample.as_ref().map(|sample| json!({ "devices": sample.devices, "wave_devices": sample.waves }));
                object(json!({ "changes": changes, "sample": sample }))
            }
            Self::Retried { round, ends_at } => object(json!({ "round": round, "ends_at": ends_at })),
            Self::Deleted {}
            | Self::ApprovalRequested { .. }
            | Self::Approved { .. }
            | Self::Rejected { .. }
            | Self::Started {}
            | Self::Cancelling {}
            | Self::Cancelled {} => json!({}),
            Self::Scheduled { at, .. } => json!({ "scheduled_start": at }),
            Self::PlanningStarted { firmware: snapshot, ends_at, .. } => {
                object(json!({ "firmware": firmware(snapshot), "ends_at": ends_at }))
            }
            Self::Planned { summary } => plan(summary),
            Self::PlanRefused { summary, returns_to } => {
                let mut data = plan(summary);
                data["returns_to"] = returns_to.word().into();
                data
            }
            Self::Staged { evidence: seen } => json!({ "evidence": evidence(seen) }),
            Self::WaveOpened { wave, manual, forced } => {
                object(json!({ "wave": wave, "manual": manual, "forced": forced.then_some(true) }))
            }
            Self::GatePassed { wave, evidence: seen, soak_minutes } => {
                json!({ "wave": wave, "evidence": evidence(seen), "soak_minutes": soak_minutes })
            }
            Self::SoakBroken { wave, evidence: seen } | Self::WaveCompleted { wave, evidence: seen } => {
                json!({ "wave": wave, "evidence": evidence(seen) })
            }
            Self::GateClosed { gate, wave, threshold_percent, evidence: seen, rollback } => object(json!({
                "gate": word(gate),
                "wave": wave,
                "threshold_percent": threshold_percent,
                "evidence": evidence(seen),
                "rollback": word(rollback),
            })),
            Self::Paused { cause } => json!({ "cause": word(cause) }),
            Self::Resumed { accept_failures } => json!({ "accept_failures": accept_failures }),
            Self::RollingBack { cause, round } => json!({ "cause": word(cause), "round": round }),
            Self::RolledBack { evidence: seen } => json!({ "evidence": seen }),
            Self::Finished { result, evidence: seen } => json!({ "result": word(result), "evidence": evidence(seen) }),
        };
        Some((V1, with_id(id, data)))
    }
}

fn with_id(id: &str, mut data: Value) -> Value {
    data["campaign_id"] = id.into();
    data
}

fn specification(spec: &CampaignSpec) -> Value {
    let waves: Vec<_> = spec.waves.iter().map(|wave| wave.percentage.get()).collect();
    object(json!({
        "name": spec.name.plain(),
        "firmware_id": spec.firmware_id,
        "strategy": spec.strategy.word(),
        "rollout_percentage": spec.rollout_percentage.get(),
        "max_concurrent_updates": spec.max_concurrent_updates,
        "wave_percentages": waves,
        "failure_threshold_percent": spec.failure_threshold_percent.get(),
        "priority": word(&spec.priority),
    }))
}

fn plan(summary: &PlanSummary) -> Value {
    json!({
        "devices": summary.devices,
        "excluded": word(&summary.excluded),
        "wave_devices": summary.waves,
        "algorithm": summary.algorithm,
        "at_position": summary.at_position,
        "plan_hash": summary.plan_hash,
    })
}
