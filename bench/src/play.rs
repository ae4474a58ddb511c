//! Writes campaigns straight into the log at full speed: the commands of planner, process managers and devices, without these.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::Result;
use chrono::TimeDelta;
use domain::campaign::{Campaign, CampaignCommand, PlanSummary};
use domain::device::{CampaignRef, Device, DeviceCommand, Grant, Limits, UpdateKind, UpdateRequest};
use domain::ids::name_based_uuid;
use domain::ledger::{GRANT_DEVICES_MAX, Ledger, LedgerCommand, SlotGrant, Slots};
use domain::plan::{CHUNK_DEVICES_MAX, PlanChunk, PlanChunkId, PlanCommand, PlanEntry, RANK_ALGORITHM};
use domain::planning::{PlanCandidate, plan};
use domain::{CampaignId, CommandId, Key};
use event_store::Request;
use runtime::clock;
use uuid::Uuid;

use crate::fleet::{Fleet, OLD_VERSION, actor, device_id, for_each, is_failing, is_offline, newest_update, number_of};
use crate::release::{CONCURRENT, Release};

const MANAGER: &str = "process-manager:rollout";

impl Fleet {
    /// A campaign over some devices: plan, grants, and the updates of the online ones, up to the given number.
    pub(crate) async fn play(&self, name: &str, devices: Range<usize>, updates_max: usize) -> Result<CampaignId> {
        let release = self.release(name).await?;
        self.play_release(&release, devices, updates_max).await?;
        Ok(release.campaign)
    }

    /// The same of a campaign that is drafted.
    pub(crate) async fn play_release(
        &self,
        release: &Release,
        devices: Range<usize>,
        updates_max: usize,
    ) -> Result<()> {
        self.start(release).await?;
        let entries = self.write_plan(release, devices).await?;
        let online = |entry: &&PlanEntry| number_of(&entry.device).is_some_and(|n| !is_offline(n));
        let slots: Vec<SlotGrant> = entries.iter().filter(online).take(updates_max).map(slot).collect();
        for (seen_version, grants) in (0..).zip(slots.chunks(GRANT_DEVICES_MAX)) {
            self.grant(release, seen_version, grants).await?;
            for_each(grants, |slot| self.begin_and_update(release, slot, seen_version + 1)).await?;
        }
        Ok(())
    }

    async fn write_plan(&self, release: &Release, devices: Range<usize>) -> Result<Vec<PlanEntry>> {
        let candidates = devices.map(|n| {
            let from_version = Some(OLD_VERSION.to_owned());
            Ok(PlanCandidate { device: device_id(n)?, excluded: None, from_version, lorawan: false })
        });
        let entries = plan("bench", candidates.collect::<Result<_>>()?, &release.spec);
        let id = name_based_uuid(&["bench plan", &release.campaign.to_string()]);
        let chunks: Vec<_> = (0u32..).zip(entries.chunks(CHUNK_DEVICES_MAX)).collect();
        let summary = PlanSummary {
            drift: None,
            plan: id,
            chunks: chunks.len() as u32,
            devices: entries.len() as u32,
            excluded: BTreeMap::new(),
            waves: vec![entries.len() as u32],
            seed: "bench".to_owned(),
            algorithm: RANK_ALGORITHM.to_owned(),
            at_position: self.head().await?,
            plan_hash: "0".repeat(64),
        };
        for (index, entries) in chunks {
            self.write_chunk(release, id, index, entries).await?;
        }
        let command = CampaignCommand::RecordPlan { summary: Box::new(summary) };
        let key = Key::<Campaign>::new(&self.tenant, &release.campaign);
        self.store.execute(&key, Request::new(CommandId(clock::new_id()), actor(MANAGER)?, command)).await?;
        Ok(entries)
    }

    async fn write_chunk(&self, release: &Release, plan: Uuid, index: u32, entries: &[PlanEntry]) -> Result<()> {
        let command = PlanCommand::Write { campaign: release.campaign, plan, index, entries: entries.to_vec() };
        let key = Key::<PlanChunk>::new(&self.tenant, &PlanChunkId { plan, index });
        self.store.execute(&key, Request::new(CommandId(clock::new_id()), actor(MANAGER)?, command)).await?;
        Ok(())
    }

    async fn grant(&self, release: &Release, seen_version: u64, grants: &[SlotGrant]) -> Result<()> {
        let command = LedgerCommand::Grant {
            seen_version,
            slots: Slots { in_use: 0, max_concurrent_updates: CONCURRENT }.into(),
            grants: grants.to_vec(),
        };
        let key = Key::<Ledger>::new(&self.tenant, &release.campaign);
        self.store.execute(&key, Request::new(CommandId(clock::new_id()), actor(MANAGER)?, command)).await?;
        Ok(())
    }

    async fn begin_and_update(&self, release: &Release, slot: &SlotGrant, number: u64) -> Result<()> {
        let campaign = CampaignRef { id: release.campaign, wave: slot.wave, rank: slot.rank, round: 0 };
        let wait_until = clock::now() + TimeDelta::minutes(release.spec.wait_for_device_minutes.into());
        let grant = Grant { campaign, number, wait_until };
        let command = DeviceCommand::GrantSlot { request: Box::new(update_request(release)), grant };
        let key = Key::<Device>::new(&self.tenant, &slot.device);
        let request = Request::new(CommandId(clock::new_id()), actor(MANAGER)?, command);
        let (ordinal, attempt) = newest_update(&self.store.execute(&key, request).await?)?;
        match number_of(&slot.device) {
            Some(n) => self.update(n, ordinal, attempt, is_failing(n)).await,
            None => Ok(()),
        }
    }
}

fn slot(entry: &PlanEntry) -> SlotGrant {
    SlotGrant { device: entry.device.clone(), wave: entry.wave, rank: entry.rank, lorawan: entry.lorawan }
}

/// The request of the process manager.
fn update_request(release: &Release) -> UpdateRequest {
    UpdateRequest {
        firmware: release.facts.clone(),
        priority: release.spec.priority,
        kind: UpdateKind::Update,
        limits: Limits::default(),
        max_attempts: release.spec.max_retries + 1,
        activate: true,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: None,
    }
}
