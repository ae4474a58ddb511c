//! A firmware and a campaign for a fleet, as commands through the executor: the work of an operator over the API.

use anyhow::{Context, Result};
use domain::campaign::{Campaign, CampaignCommand, CampaignSpec, Strategy, TargetFilters, TransportLimits, WaveSpec};
use domain::device::FirmwareSnapshot;
use domain::firmware::{Firmware, FirmwareBytes, FirmwareCommand, FirmwareMetadata, FirmwarePolicy, UpdateType};
use domain::ids::name_based_uuid;
use domain::values::{Percent, Priority, Sha256Digest, Threshold};
use domain::{CampaignId, CommandId, CommandOf, Decider, FirmwareId, Key, Sealed};
use event_store::Request;
use runtime::clock;

use crate::fleet::{Fleet, MODEL, NEW_VERSION, actor};

/// Bytes of the image, which no device downloads.
const IMAGE_BYTES: u64 = 1_048_576;
/// With a rate, devices begin in batches that are due about as often as the rollout's manager looks.
const BATCHES_PER_MINUTE: u32 = 300;
/// Concurrent updates of the campaign.
pub(crate) const CONCURRENT: u32 = 500;

/// The firmware and the campaign that takes it to all devices.
pub(crate) struct Release {
    pub(crate) campaign: CampaignId,
    pub(crate) spec: CampaignSpec,
    pub(crate) facts: FirmwareSnapshot,
}

impl Fleet {
    /// Registers the firmware and drafts a campaign over all devices, in one wave, as fast as it can be.
    pub(crate) async fn release(&self, name: &str) -> Result<Release> {
        self.release_at(name, None).await
    }

    /// The same with a rate of updates.
    pub(crate) async fn release_at(&self, name: &str, rate_per_minute: Option<u32>) -> Result<Release> {
        let firmware_id = FirmwareId::derive(&self.tenant, MODEL, "firmware", NEW_VERSION);
        let key = Key::<Firmware>::new(&self.tenant, &firmware_id);
        self.operate(&key, register()).await?;
        let firmware = self.store.load_fresh(&key).await?;
        let facts = firmware.aggregate.snapshot_for_new_work(firmware_id, &FirmwarePolicy::default())?;
        let campaign = CampaignId(clock::new_id());
        let batch_size = rate_per_minute.map(|rate| (rate / BATCHES_PER_MINUTE).max(1));
        let spec = CampaignSpec { rate_per_minute, batch_size, ..spec(name, firmware_id)? };
        let command = CampaignCommand::Create { id: campaign, spec: Box::new(spec.clone()) };
        self.operate(&Key::<Campaign>::new(&self.tenant, &campaign), command).await?;
        Ok(Release { campaign, spec, facts })
    }

    /// Starts the campaign, which is in planning then.
    pub(crate) async fn start(&self, release: &Release) -> Result<()> {
        let firmware = Key::<Firmware>::new(&self.tenant, &release.spec.firmware_id);
        self.operate(&firmware, FirmwareCommand::Pin { campaign: release.campaign }).await?;
        let plan = name_based_uuid(&["bench plan", &release.campaign.to_string()]);
        let command = CampaignCommand::Start { plan, firmware: Box::new(release.facts.clone()), expected: None };
        self.operate(&Key::<Campaign>::new(&self.tenant, &release.campaign), command).await
    }

    pub(crate) async fn operate<A: Decider>(&self, key: &Key<A>, command: CommandOf<A>) -> Result<()> {
        let request = Request::new(CommandId(clock::new_id()), actor("user:bench")?, command);
        self.store.execute(key, request).await?;
        Ok(())
    }
}

fn register() -> FirmwareCommand {
    let metadata = FirmwareMetadata {
        name: "Bench firmware".to_owned(),
        version: NEW_VERSION.to_owned(),
        reported_version: None,
        device_model: MODEL.to_owned(),
        component: "firmware".to_owned(),
        update_type: UpdateType::Firmware,
        manufacturer: None,
        changelog: None,
        hardware_versions: vec![],
        min_hardware_version: None,
        max_hardware_version: None,
        requires_version: None,
        rollback_allowed: true,
        requires_reboot: true,
        is_beta: false,
        is_security_update: false,
        tags: [].into(),
        encryption: None,
    };
    let bytes = FirmwareBytes {
        size: IMAGE_BYTES,
        md5: "0".repeat(32),
        sha1: "0".repeat(40),
        sha256: Sha256Digest::of(NEW_VERSION.as_bytes()),
        filename: None,
    };
    FirmwareCommand::Register { metadata: Box::new(metadata), bytes, signatures: vec![] }
}

fn spec(name: &str, firmware_id: FirmwareId) -> Result<CampaignSpec> {
    let threshold = |percent| Threshold::new(percent).context("a threshold must be 0 to 100");
    Ok(CampaignSpec {
        name: Sealed::from(name.to_owned()),
        description: None,
        firmware_id,
        strategy: Strategy::Immediate,
        target_devices: vec![],
        target_groups: vec![],
        target_filters: TargetFilters::default(),
        target_all: true,
        rollout_percentage: Percent::ALL,
        sample_seed: None,
        max_concurrent_updates: CONCURRENT,
        batch_size: None,
        lorawan: TransportLimits::default(),
        waves: vec![WaveSpec::at(Percent::ALL)],
        canary_size: None,
        soak_minutes: 0,
        success_threshold_percent: None,
        failure_threshold_percent: threshold(20)?,
        failure_count: None,
        gate_min_settled: 10,
        min_reached_percent: threshold(0)?,
        wave_wait_minutes: 60,
        rate_per_minute: None,
        jitter_seconds: None,
        auto_rollback: false,
        requires_approval: false,
        scheduled_start: None,
        ends_at: None,
        timeout_minutes: 60,
        wait_for_device_minutes: 10_080,
        max_retries: 3,
        priority: Priority::Normal,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        maintenance_window: Default::default(),
    })
}
