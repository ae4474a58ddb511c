//! A small process manager that drives campaigns by the read models.

use std::collections::BTreeMap;

use domain::campaign::*;
use domain::device::*;
use domain::firmware::*;
use domain::ledger::{Ledger, LedgerCommand};
use domain::per_transport::PerTransport;
use domain::plan::{PlanChunk, PlanChunkId, PlanCommand};
use domain::planning::plan;
use domain::rollout::{RolloutStep, decide};
use projections::rollout;
use runtime::clock;
use uuid::Uuid;

use crate::fleet::{World, request};

impl World {
    /// One round over all campaigns, as process managers do.
    pub(crate) async fn tick(&self) {
        self.settles().await;
        for row in rollout::at_work(&self.db, None, 100).await.unwrap() {
            match row.status {
                CampaignStatus::Planning => self.plan(&row).await,
                status if status.is_terminal() => {
                    let command = FirmwareCommand::Unpin { campaign: row.campaign };
                    self.tell::<Firmware>(&row.spec.firmware_id, command).await.unwrap();
                }
                _ => self.roll(&row).await,
            }
        }
        self.settles().await;
    }

    async fn plan(&self, row: &rollout::WorkRow) {
        // Other campaigns may have moved on in the same round.
        self.settles().await;
        let firmware = row.firmware.clone().unwrap();
        let now = clock::now();
        let (candidates, at_position) =
            rollout::plan_candidates(&self.db, &row.tenant, &row.spec, &firmware, row.planning_position, now)
                .await
                .unwrap()
                .unwrap();
        assert_eq!(at_position, self.head().await);
        let entries = plan("seed", candidates, &row.spec);
        // The first plan is never committed, as after a crash: it must not count.
        let plan_id = |number: u128| Uuid::from_u128(row.campaign.0.as_u128() ^ number);
        for id in [plan_id(1), plan_id(2)] {
            let command = PlanCommand::Write { campaign: row.campaign, plan: id, index: 0, entries: entries.clone() };
            self.tell::<PlanChunk>(&PlanChunkId { plan: id, index: 0 }, command).await.unwrap();
        }
        let of_wave = |wave: usize| entries.iter().filter(|entry| usize::from(entry.wave) == wave).count() as u32;
        let summary = PlanSummary {
            plan: plan_id(2),
            chunks: 1,
            devices: entries.iter().filter(|entry| entry.excluded.is_none()).count() as u32,
            excluded: entries.iter().filter_map(|entry| entry.excluded).fold(BTreeMap::new(), |mut counts, reason| {
                *counts.entry(reason).or_insert(0) += 1;
                counts
            }),
            waves: (1..=row.spec.waves.len()).map(of_wave).collect(),
            seed: "seed".into(),
            algorithm: "sha256-rank-v1".into(),
            at_position,
            plan_hash: String::new(),
            drift: None,
        };
        self.tell::<Campaign>(&row.campaign, CampaignCommand::RecordPlan { summary: Box::new(summary) }).await.unwrap();
    }

    async fn roll(&self, row: &rollout::WorkRow) {
        use CampaignCommand as C;
        let now = clock::now();
        let view = rollout::view(&self.db, &row.tenant, &row.campaign, now).await.unwrap().unwrap();
        for decision in decide(&view.rollout, now) {
            let command = match decision {
                RolloutStep::Grant { devices_max } => {
                    self.grant(row, &view, devices_max).await;
                    continue;
                }
                RolloutStep::CompleteStaging { evidence } => C::CompleteStaging { evidence },
                RolloutStep::CancelStaged => {
                    self.cancel(row, rollout::CancelScope::Staged, view.retry_round + 1).await;
                    continue;
                }
                RolloutStep::PassGate { wave, evidence } => C::PassGate { wave, evidence },
                RolloutStep::BreakSoak { wave, evidence } => C::BreakSoak { wave, evidence },
                RolloutStep::CompleteWave { wave, evidence } => C::CompleteWave { wave, evidence },
                RolloutStep::CloseGate { gate, wave, threshold_percent, evidence } => {
                    C::CloseGate { gate, wave, threshold_percent, evidence }
                }
                RolloutStep::WithdrawUnanswered => {
                    for device in rollout::withdrawable(&self.db, &row.tenant, &row.campaign, 500).await.unwrap() {
                        let command = DeviceCommand::Withdraw { campaign: row.campaign };
                        self.tell::<Device>(&device, command).await.unwrap();
                    }
                    continue;
                }
                RolloutStep::CancelUpdates => {
                    let rolling_back = view.rollout.rollback.is_some();
                    let last = if rolling_back { view.update_round } else { view.retry_round };
                    let what = match rolling_back {
                        true => rollout::CancelScope::AllButRollbacks,
                        false => rollout::CancelScope::Everything,
                    };
                    self.cancel(row, what, last + 1).await;
                    continue;
                }
                RolloutStep::FinishCancel => C::FinishCancel,
                RolloutStep::FinishRollback { evidence } => C::FinishRollback { evidence },
                RolloutStep::Finish { result, evidence } => C::Finish { result, evidence },
            };
            self.tell::<Campaign>(&row.campaign, command).await.unwrap();
        }
    }

    async fn cancel(&self, row: &rollout::WorkRow, what: rollout::CancelScope, before_round: u16) {
        for device in rollout::cancellable(&self.db, &row.tenant, &row.campaign, what, 500).await.unwrap() {
            let before_round = Some(before_round);
            let command = DeviceCommand::CancelForCampaign { campaign: row.campaign, before_round };
            self.tell::<Device>(&device, command).await.unwrap();
        }
    }

    async fn grant(&self, row: &rollout::WorkRow, view: &rollout::View, devices_max: PerTransport<u32>) {
        let now = clock::now();
        let (db, tenant) = (&self.db, &row.tenant);
        let limit = PerTransport { mqtt: devices_max.mqtt as usize, lorawan: devices_max.lorawan as usize };
        let ready = match view.rollout.rollback {
            None => rollout::ready(db, tenant, &row.campaign, now, limit).await.unwrap(),
            Some(_) => {
                let back = rollout::returning(db, tenant, &row.campaign, now, limit).await.unwrap();
                back.into_iter().map(|back| back.slot).collect()
            }
        };
        assert!(!ready.is_empty(), "the view counted devices that are ready");
        let command = LedgerCommand::Grant {
            seen_version: view.ledger_version,
            slots: view.rollout.slots(),
            grants: ready.clone(),
        };
        self.tell::<Ledger>(&row.campaign, command).await.unwrap();
        self.settles().await;
        let which = rollout::Unanswered::All;
        let unseen = rollout::unanswered_grants(&self.db, &row.tenant, &row.campaign, which, 500).await.unwrap();
        assert_eq!(unseen.len(), ready.len(), "no device has answered yet");
        for rollout::UnansweredGrant { slot, number, back_to } in unseen {
            let round = if back_to.is_some() { view.retry_round } else { view.update_round };
            let campaign = CampaignRef { id: row.campaign, wave: slot.wave, rank: slot.rank, round };
            let wait_until = now + chrono::TimeDelta::days(1);
            let kind = if back_to.is_some() { UpdateKind::Rollback } else { UpdateKind::Update };
            let firmware = back_to.as_ref().unwrap_or(&view.firmware);
            let activate = back_to.is_some() || view.rollout.activates(slot.wave, now);
            let request = Box::new(UpdateRequest { priority: row.spec.priority, kind, activate, ..request(firmware) });
            let command = DeviceCommand::GrantSlot { request, grant: Grant { campaign, number, wait_until } };
            self.tell::<Device>(&slot.device, command).await.unwrap();
        }
    }
}
