//! A fleet over a log in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::campaign::*;
use domain::device::*;
use domain::firmware::FirmwarePolicy;
use domain::firmware::*;
use domain::values::{Percent, Sha256Digest, Threshold};
use domain::{Actor, CampaignId, CommandId, CommandOf, Decider, DeviceId, FirmwareId, Key, TenantId};
use event_store::{Committed, EventStore, ExecuteError, Log, MemoryLog, Request};
use projections::{Db, Projections};
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::server::{Server, server};
use crate::until::PATIENCE;

/// Roles belong to the server: setups of two databases at the same moment would conflict.
static MIGRATING: Mutex<()> = Mutex::const_new(());

pub(crate) struct World {
    pub(crate) server: Arc<Server>,
    pub(crate) database: String,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) memory: MemoryLog,
    pub(crate) store: EventStore,
    pub(crate) db: Db,
    pub(crate) projections: Projections,
    pub(crate) tasks: Tasks,
    pub(crate) tenant: TenantId,
}

fn order<W>(command: W) -> Request<W> {
    Request::new(CommandId(clock::new_id()), Actor::new("user:1").unwrap(), command)
}

pub(crate) fn device(id: &str) -> DeviceId {
    DeviceId::new(id).unwrap()
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::owned_by("waybill").await
    }

    pub(crate) async fn owned_by(owner: &str) -> Self {
        let server = server().await;
        let database = server.database(owner).await;
        let db = Db::connect(&server.url(owner, &database)).unwrap();
        {
            let _alone = MIGRATING.lock().await;
            db.migrate().await.unwrap();
        }
        let memory = MemoryLog::new();
        let log: Arc<dyn Log> = Arc::new(memory.clone());
        let tasks = Tasks::new();
        let projections = Projections::start(db.clone(), log.clone(), None, &tasks);
        let store = EventStore::new(log.clone());
        let tenant = TenantId::new("acme").unwrap();
        Self { server, database, log, memory, store, db, projections, tasks, tenant }
    }

    /// A connection that may do anything.
    pub(crate) async fn admin(&self) -> sqlx::PgPool {
        sqlx::PgPool::connect(&self.server.url("waybill", &self.database)).await.unwrap()
    }

    pub(crate) async fn head(&self) -> u64 {
        self.log.info().await.unwrap().last_sequence
    }

    pub(crate) async fn settles(&self) {
        self.reaches(&ALL).await;
    }

    pub(crate) async fn reaches(&self, names: &[&str]) {
        self.projections.wait_for(names, self.head().await, PATIENCE).await.unwrap();
    }

    pub(crate) async fn equals_a_replay(&self) {
        self.settles().await;
        let differences = projections::compare(&self.db, self.log.clone()).await.unwrap();
        assert!(differences.is_empty(), "{differences:#?}");
    }

    pub(crate) async fn tell<A: Decider>(
        &self,
        id: &A::Id,
        command: CommandOf<A>,
    ) -> Result<Committed<A>, ExecuteError> {
        self.tell_in(&self.tenant, id, command).await
    }

    pub(crate) async fn tell_in<A: Decider>(
        &self,
        tenant: &TenantId,
        id: &A::Id,
        command: CommandOf<A>,
    ) -> Result<Committed<A>, ExecuteError> {
        self.store.execute(&Key::<A>::new(tenant, id), order(command)).await
    }

    /// Sends a command at a time that the test chooses.
    pub(crate) async fn tell_at<A: Decider>(
        &self,
        now: DateTime<Utc>,
        id: &A::Id,
        command: CommandOf<A>,
    ) -> Committed<A> {
        self.store.execute(&Key::<A>::new(&self.tenant, id), Request { now, ..order(command) }).await.unwrap()
    }

    pub(crate) async fn register(&self, id: &str) {
        let profile =
            Profile { device_model: Some("M".into()), name: Some(id.to_uppercase().into()), ..Profile::default() };
        let versions = BTreeMap::from([("firmware".to_owned(), "1.0.0".to_owned())]);
        self.tell::<Device>(&device(id), DeviceCommand::Register { profile, versions }).await.unwrap();
    }

    pub(crate) async fn boots(&self, id: &str, boot: &str, version: &str) {
        let presence = Presence {
            session: Some(format!("{id}-{boot}")),
            boot_id: Some(boot.to_owned()),
            versions: BTreeMap::from([("firmware".to_owned(), version.to_owned())]),
            ..Presence::default()
        };
        self.tell::<Device>(&device(id), presence.into()).await.unwrap();
    }

    /// It reports how many boot slots it has.
    pub(crate) async fn has_slots(&self, id: &str, slots: u8) {
        let info = Info { slots: Some(slots), ..Info::default() };
        self.tell::<Device>(&device(id), info.into()).await.unwrap();
    }

    pub(crate) async fn reports(&self, id: &str, status: ReportStatus, code: Option<&str>) {
        let loaded = self.store.load_fresh(&Key::<Device>::new(&self.tenant, &device(id))).await.unwrap();
        let Some(live) = loaded.aggregate.live() else { return };
        let report = Report {
            ordinal: live.ordinal,
            attempt: live.attempt,
            status,
            sha256: None,
            code: code.map(str::to_owned),
            message: None,
            retry_after_s: None,
        };
        self.tell::<Device>(&device(id), report.into()).await.unwrap();
    }

    /// A device begins its live update and fails it for good.
    pub(crate) async fn fails(&self, id: &str) {
        self.reports(id, ReportStatus::Received, None).await;
        self.reports(id, ReportStatus::Failed, Some("signature_invalid")).await;
    }

    pub(crate) async fn firmware(&self, version: &str) -> FirmwareSnapshot {
        self.firmware_with(version, None).await
    }

    pub(crate) async fn firmware_with(&self, version: &str, changelog: Option<String>) -> FirmwareSnapshot {
        let id = FirmwareId::derive(&self.tenant, "M", "firmware", version);
        let metadata = serde_json::json!({
            "name": "F", "version": version, "device_model": "M", "component": "firmware", "update_type": "firmware",
            "rollback_allowed": true, "requires_reboot": true, "changelog": changelog,
        });
        let bytes = FirmwareBytes {
            size: 3,
            md5: "0".repeat(32),
            sha1: "0".repeat(40),
            sha256: Sha256Digest::of(version.as_bytes()),
            filename: None,
        };
        let metadata = Box::new(serde_json::from_value(metadata).unwrap());
        let done = self
            .tell::<Firmware>(&id, FirmwareCommand::Register { metadata, bytes, signatures: vec![] })
            .await
            .unwrap();
        done.aggregate.snapshot_for_new_work(id, &FirmwarePolicy::default()).unwrap()
    }

    /// A campaign over the whole tenant, started.
    pub(crate) async fn campaign(
        &self,
        firmware: &FirmwareSnapshot,
        change: impl FnOnce(&mut CampaignSpec),
    ) -> CampaignId {
        let id = CampaignId(clock::new_id());
        let mut spec = spec(firmware.firmware_id);
        change(&mut spec);
        self.tell::<Campaign>(&id, CampaignCommand::Create { id, spec: Box::new(spec) }).await.unwrap();
        self.tell::<Firmware>(&firmware.firmware_id, FirmwareCommand::Pin { campaign: id }).await.unwrap();
        let start = CampaignCommand::Start { plan: Uuid::nil(), firmware: Box::new(firmware.clone()), expected: None };
        self.tell::<Campaign>(&id, start).await.unwrap();
        id
    }

    /// A device's live update from its start until the new version runs.
    pub(crate) async fn installs(&self, id: &str, boot: &str, version: &str) {
        use ReportStatus as S;
        let loaded = self.store.load_fresh(&Key::<Device>::new(&self.tenant, &device(id))).await.unwrap();
        if loaded.aggregate.live().is_none() {
            return;
        }
        for status in [S::Received, S::Downloading, S::Verifying, S::Installing, S::Rebooting] {
            self.reports(id, status, None).await;
        }
        self.boots(id, boot, version).await;
    }
}

pub(crate) const ALL: [&str; 2] = [projections::FLEET, projections::ARCHIVE];

pub(crate) fn request(firmware: &FirmwareSnapshot) -> UpdateRequest {
    UpdateRequest {
        firmware: firmware.clone(),
        priority: Default::default(),
        kind: UpdateKind::Update,
        limits: Limits::default(),
        max_attempts: 3,
        activate: true,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: None,
    }
}

pub(crate) fn spec(firmware_id: FirmwareId) -> CampaignSpec {
    let percent = |value| Percent::new(value).unwrap();
    let threshold = |value| Threshold::new(value).unwrap();
    CampaignSpec {
        name: "Spring".to_owned().into(),
        description: None,
        firmware_id,
        strategy: Strategy::Staged,
        target_devices: vec![],
        target_groups: vec![],
        target_filters: TargetFilters::default(),
        target_all: true,
        rollout_percentage: Percent::ALL,
        sample_seed: None,
        max_concurrent_updates: 4,
        batch_size: None,
        lorawan: TransportLimits::default(),
        waves: [20, 100].map(|value| WaveSpec::at(percent(value))).to_vec(),
        canary_size: None,
        soak_minutes: 0,
        success_threshold_percent: None,
        failure_threshold_percent: threshold(20),
        failure_count: None,
        gate_min_settled: 2,
        min_reached_percent: threshold(80),
        wave_wait_minutes: 60,
        rate_per_minute: None,
        jitter_seconds: None,
        auto_rollback: false,
        requires_approval: false,
        scheduled_start: None,
        ends_at: None::<DateTime<Utc>>,
        timeout_minutes: 60,
        wait_for_device_minutes: 600,
        max_retries: 2,
        priority: Default::default(),
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        maintenance_window: Default::default(),
    }
}
