//! FUOTA deployments: what waits for an image, what the two sides have to tell each other, lists and forecasts, and that rows equal a rebuild.

use std::collections::BTreeMap;

use domain::device::*;
use domain::fuota::*;
use domain::lorawan::{Parameters, Region, image_max_bytes};
use domain::lorawan_profile::{LorawanProfile, LorawanProfileCommand, ProfileFacts};
use domain::tenant::{ChirpStackConnection, Tenant, TenantCommand, TenantSpec};
use domain::{CampaignId, DeviceProfileId, FuotaDeploymentId};
use projections::{fuota, lorawan_profiles, rollout};
use runtime::clock;
use serde_json::json;

use crate::fleet::{World, device, spec};

const PROFILE: &str = "5e440683-a2fe-486f-b62a-0ed2210681b6";

impl World {
    pub(crate) async fn lorawan(&self, id: &str, n: u8) {
        let profile = Profile {
            device_model: Some("M".into()),
            lorawan_dev_eui: Some(format!("00000000000000{n:02x}")),
            chirpstack_app_id: Some("app".into()),
            device_profile_id: Some(PROFILE.into()),
            ..Profile::default()
        }
        .reached_by_identity();
        let versions = BTreeMap::from([("firmware".to_owned(), "1.0.0".to_owned())]);
        self.tell::<Device>(&device(id), DeviceCommand::Register { profile, versions }).await.unwrap();
        self.boots(id, "b1", "1.0.0").await;
    }

    /// The device gets an update of a campaign and accepts it.
    async fn accepts_update(&self, id: &str, firmware: &FirmwareSnapshot, campaign: CampaignId) {
        let request = UpdateRequest {
            firmware: firmware.clone(),
            priority: domain::values::Priority::Normal,
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
        };
        let campaign = CampaignRef { id: campaign, wave: 1, rank: 0, round: 0 };
        let grant = Grant { campaign, number: 1, wait_until: clock::now() + chrono::TimeDelta::days(1) };
        let command = DeviceCommand::GrantSlot { request: Box::new(request), grant };
        self.tell::<Device>(&device(id), command).await.unwrap();
        self.reports(id, ReportStatus::Received, None).await;
    }

    async fn has_chirpstack(&self) {
        let connection: ChirpStackConnection = serde_json::from_value(json!({
            "url": "http://lns:8080", "chirpstack_tenant_id": "t-1", "api_key": "secret:chirpstack-api-key",
        }))
        .unwrap();
        let tell = |command| self.tell::<Tenant>(&self.tenant, command);
        tell(TenantCommand::Create { spec: TenantSpec::default() }).await.unwrap();
        tell(TenantCommand::ConnectChirpStack { connection: Box::new(connection) }).await.unwrap();
    }

    async fn deployment(&self, id: FuotaDeploymentId, command: FuotaCommand) {
        self.tell::<FuotaDeployment>(&id, command).await.unwrap();
    }

    async fn transfer_ends(&self, id: FuotaDeploymentId, name: &str, outcome: TransferOutcome, reason: Option<&str>) {
        let ends = vec![DeviceEnd::new(device(name), outcome, reason)];
        self.deployment(id, FuotaCommand::EndDevices { ends }).await;
    }

    async fn waiting_for_images(&self) -> Vec<PendingTransfer> {
        self.settles().await;
        fuota::pending(&self.db, 10).await.unwrap().into_iter().map(|(_, pending)| pending).collect()
    }

    async fn transfers_say(&self) -> Vec<(String, ReportStatus, Option<String>)> {
        self.settles().await;
        let mut due: Vec<_> = fuota::reports_due(&self.db, 10)
            .await
            .unwrap()
            .into_iter()
            .map(|due| (due.device.to_string(), due.status, due.reason))
            .collect();
        due.sort_by(|one, other| one.0.cmp(&other.0));
        due
    }

    async fn taken_out(&self) -> Vec<String> {
        self.settles().await;
        let found = fuota::withdrawn(&self.db, 10).await.unwrap();
        found.into_iter().map(|(_, _, device)| device.to_string()).collect()
    }

    async fn observes_profile(&self, facts: ProfileFacts) {
        let id = DeviceProfileId::new(PROFILE).unwrap();
        self.tell::<LorawanProfile>(&id, LorawanProfileCommand::Observe { facts }).await.unwrap();
    }
}

fn names(pending: &[PendingTransfer]) -> Vec<&str> {
    pending.iter().map(|pending| pending.device.as_str()).collect()
}

fn eu868() -> ProfileFacts {
    ProfileFacts { region: Some(Region::Eu868), uplink_interval_s: 60, fragmentation: true, multicast: true }
}

fn plan_of(pending: &[PendingTransfer]) -> DeploymentPlan {
    let profiles = BTreeMap::from([(PROFILE.to_owned(), eu868())]);
    let late = clock::now() + chrono::TimeDelta::hours(2);
    gather(pending, &profiles, late).plans.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_wait_until_a_deployment_has_them_and_hear_what_it_says() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    let campaign = CampaignId(clock::new_id());
    for (n, id) in [(1, "d-1"), (2, "d-2"), (3, "d-3")] {
        world.lorawan(id, n).await;
        world.accepts_update(id, &firmware, campaign).await;
    }
    world.observes_profile(eu868()).await;
    assert!(world.waiting_for_images().await.is_empty(), "the tenant has no ChirpStack");
    world.has_chirpstack().await;
    let pending = world.waiting_for_images().await;
    assert_eq!(names(&pending), ["d-1", "d-2", "d-3"]);
    assert_eq!((pending[0].size, pending[0].sha256), (firmware.size, firmware.sha256));
    assert_eq!((pending[0].campaign, pending[0].dev_eui.as_str()), (Some(campaign), "0000000000000001"));

    let plan = plan_of(&pending);
    let id = plan.id(&world.tenant, 0);
    world.deployment(id, FuotaCommand::Plan { plan: Box::new(plan) }).await;
    assert!(world.waiting_for_images().await.is_empty() && world.transfers_say().await.is_empty());
    world.deployment(id, FuotaCommand::RecordCreated { chirpstack_id: "there".into() }).await;
    world.deployment(id, FuotaCommand::RecordStarted).await;
    let downloading = |name: &str| (name.to_owned(), ReportStatus::Downloading, None);
    assert_eq!(world.transfers_say().await, ["d-1", "d-2", "d-3"].map(downloading));
    for name in ["d-1", "d-2"] {
        let report = Report {
            ordinal: 1,
            attempt: 1,
            status: ReportStatus::Downloading,
            sha256: None,
            code: None,
            message: None,
            retry_after_s: None,
        };
        world.tell::<Device>(&device(name), DeviceCommand::ReportTransfer { report }).await.unwrap();
    }
    assert_eq!(world.transfers_say().await, [downloading("d-3")]);

    world.transfer_ends(id, "d-1", TransferOutcome::Delivered, None).await;
    world.transfer_ends(id, "d-2", TransferOutcome::Failed, Some("FragStatusReq timeout.")).await;
    let failed = ("d-2".to_owned(), ReportStatus::Failed, Some("FragStatusReq timeout.".to_owned()));
    let delivered = ("d-1".to_owned(), ReportStatus::Verifying, None);
    assert_eq!(world.transfers_say().await, [delivered, failed, downloading("d-3")]);

    // Its update is cancelled, so its place in the deployment is given up.
    let cancel = DeviceCommand::CancelForCampaign { campaign, before_round: None };
    world.tell::<Device>(&device("d-3"), cancel).await.unwrap();
    assert_eq!(world.taken_out().await, ["d-3"]);
    world.transfer_ends(id, "d-3", TransferOutcome::Withdrawn, Some(REASON_UPDATE_CHANGED)).await;
    assert!(world.taken_out().await.is_empty());
    let live = fuota::live(&world.db, 10).await.unwrap();
    assert_eq!((live.len(), live[0].id, live[0].is_ended), (1, id, true));

    world.deployment(id, FuotaCommand::RecordRemoved).await;
    world.settles().await;
    assert!(fuota::live(&world.db, 10).await.unwrap().is_empty());
    assert!(world.waiting_for_images().await.is_empty(), "nothing waits for a second deployment of the same attempt");

    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let listed = fuota::of_campaign(&mut tx, &campaign.to_string(), None, 10, true).await.unwrap();
    assert_eq!((listed.total, listed.items.len()), (Some(1), 1));
    let row = &listed.items[0];
    assert_eq!((row.phase, row.delivered, row.failed, row.withdrawn), (DeploymentPhase::Completed, 1, 1, 1));
    let details = fuota::with_devices(&mut tx, &campaign.to_string(), &id.to_string()).await.unwrap().unwrap();
    assert_eq!(details.1.len(), 3);
    assert!(fuota::with_devices(&mut tx, "other", &id.to_string()).await.unwrap().is_none());
    drop(tx);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_exclude_by_region_and_forecasts_count_by_profile() {
    let world = World::start().await;
    world.lorawan("d-1", 1).await;
    world.register("d-2").await;
    let mut firmware = world.firmware("2.0.0").await;
    firmware.size = image_max_bytes(Some(Region::Eu868)) + 1;
    let excluded = async |firmware: &FirmwareSnapshot| {
        world.settles().await;
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let spec = spec(firmware.firmware_id);
        let found = rollout::preview_candidates(&mut tx, &world.tenant, &spec, firmware, clock::now(), 10).await;
        found.unwrap().unwrap().0.into_iter().map(|candidate| candidate.excluded).collect::<Vec<_>>()
    };
    let too_large = [Some(Exclusion::TooLargeForLorawan), None];
    assert_eq!(excluded(&firmware).await, too_large, "more than any region carries");
    world.observes_profile(eu868()).await;
    assert_eq!(excluded(&firmware).await, too_large);
    firmware.size -= 1;
    assert_eq!(excluded(&firmware).await, [None, None]);

    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let (one, two) = (device("d-1"), device("d-2"));
    let devices = fuota::forecast_devices(&mut tx, &world.tenant, &[&one, &two]).await.unwrap();
    let profiles = lorawan_profiles::of_tenant(&mut tx, &world.tenant).await.unwrap();
    let forecast = forecast(1_000, &devices, &profiles);
    assert_eq!((forecast.devices, forecast.groups.len()), (1, 1));
    let expected = Parameters::plan(1_000, Region::Eu868, 60).unwrap();
    assert_eq!(forecast.groups[0].parameters.as_ref(), Some(&expected));
    drop(tx);

    // The copy of a device over there has a profile that has not been read yet.
    let network = world.tell::<Device>(&one, DeviceCommand::SeenOnline).await.unwrap().aggregate.network().cloned();
    let NetworkTarget { dev_eui, fingerprint } = network.unwrap().target.unwrap();
    let device_profile_id = "of-its-copy".to_owned();
    let wanted =
        NetworkCommand::RecordSynced { dev_eui, fingerprint, created: true, is_disabled: false, device_profile_id };
    world.tell::<Device>(&one, DeviceCommand::Network { wanted }).await.unwrap();
    world.settles().await;
    assert_eq!(lorawan_profiles::in_use(&world.db, &world.tenant, 10).await.unwrap(), ["of-its-copy"]);
    let unknown = lorawan_profiles::unknown(&world.db, 10).await.unwrap();
    assert_eq!(unknown, [(world.tenant.clone(), "of-its-copy".to_owned())]);
}
