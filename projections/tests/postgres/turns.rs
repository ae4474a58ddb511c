//! The order of several campaigns on one device.

use domain::campaign::{Campaign, CampaignCommand, CampaignSpec, PauseCause};
use domain::device::{Device, DeviceCommand, ReportStatus as S};
use domain::values::Priority;
use domain::{CampaignId, Key};
use projections::rollout;
use runtime::clock;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device};

async fn over_everybody(world: &World, version: &str, priority: Priority) -> CampaignId {
    let firmware = world.firmware(version).await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.gate_min_settled, spec.priority) = (10, 100, priority);
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    world.tick().await;
    id
}

async fn ready(world: &World, campaign: &CampaignId) -> usize {
    world.settles().await;
    rollout::ready(&world.db, &world.tenant, campaign, clock::now(), 10).await.unwrap().len()
}

/// Confirmed and superseded devices, when nothing is under way any more.
async fn outcomes(world: &World, campaign: &CampaignId) -> (u32, u32) {
    world.settles().await;
    let view = rollout::view(&world.db, &world.tenant, campaign, clock::now()).await.unwrap().unwrap();
    let total = view.rollout.total();
    assert_eq!(total.in_use, 0);
    (total.confirmed, total.superseded)
}

/// Of the device's live update.
async fn ordinal(world: &World, id: &str) -> Option<u32> {
    let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(id))).await.unwrap();
    loaded.aggregate.live().map(|live| live.ordinal)
}

#[tokio::test(flavor = "multi_thread")]
async fn between_two_attempts_only_critical_campaigns_may_take_a_device() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    let first = over_everybody(&world, "2.0.0", Priority::Normal).await;
    world.reports(&ids[0], S::Received, None).await;
    world.reports(&ids[0], S::Failed, Some("download_failed")).await;
    let second = over_everybody(&world, "2.1.0", Priority::Normal).await;
    assert_eq!((ready(&world, &second).await, ordinal(&world, &ids[0]).await), (0, None));
    let critical = over_everybody(&world, "2.2.0", Priority::Critical).await;
    assert_eq!(ordinal(&world, &ids[0]).await, Some(2));
    world.installs(&ids[0], "b2", "2.2.0").await;
    world.tick().await;
    for (campaign, outcome) in [(&first, (0, 1)), (&second, (0, 1)), (&critical, (1, 0))] {
        check_counts(&world, campaign, 10).await;
        assert_eq!(outcomes(&world, campaign).await, outcome);
    }
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_that_was_overtaken_goes_on_with_a_new_update() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    let first = over_everybody(&world, "2.1.0", Priority::Normal).await;
    assert_eq!(ordinal(&world, &ids[0]).await, Some(1));
    world.tell::<Campaign>(&first, CampaignCommand::Pause { cause: PauseCause::Operator }).await.unwrap();
    world.tell::<Device>(&device(&ids[0]), DeviceCommand::Withdraw { campaign: first }).await.unwrap();
    over_everybody(&world, "2.0.0", Priority::Normal).await;
    assert_eq!(ordinal(&world, &ids[0]).await, Some(2));
    world.installs(&ids[0], "b2", "2.0.0").await;
    world.tell::<Campaign>(&first, CampaignCommand::Resume { accept_failures: false }).await.unwrap();
    world.tick().await;
    assert_eq!(ordinal(&world, &ids[0]).await, Some(3), "the device would ignore ordinal 1");
    check_counts(&world, &first, 10).await;
    world.installs(&ids[0], "b3", "2.1.0").await;
    assert_eq!(outcomes(&world, &first).await, (1, 0));
    check_counts(&world, &first, 10).await;
    world.equals_a_replay().await;
}

/// A passing state excludes no device: a campaign that starts right after another of the same firmware was cancelled takes all devices.
#[tokio::test(flavor = "multi_thread")]
async fn devices_with_another_update_of_the_firmware_are_enrolled_and_updated() {
    let world = World::start().await;
    let ids = fleet(&world, 3).await;
    let first = over_everybody(&world, "2.0.0", Priority::Normal).await;
    world.reports(&ids[0], S::Downloading, None).await;
    world.tell::<Campaign>(&first, CampaignCommand::Cancel).await.unwrap();
    let second = over_everybody(&world, "2.0.0", Priority::Normal).await;
    let view = rollout::view(&world.db, &world.tenant, &second, clock::now()).await.unwrap().unwrap();
    assert_eq!((view.rollout.total().enrolled, ready(&world, &second).await), (3, 0), "they are busy");
    for id in &ids {
        world.reports(id, S::Cancelled, None).await;
    }
    world.tick().await;
    world.tick().await;
    for id in &ids {
        world.installs(id, "b2", "2.0.0").await;
    }
    assert_eq!(outcomes(&world, &second).await, (3, 0));
    check_counts(&world, &second, 10).await;
    world.equals_a_replay().await;
}

/// During its trial the device reports the version, and may still fall back from it.
#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_an_update_under_way_does_not_exclude_its_device() {
    let world = World::start().await;
    let ids = fleet(&world, 2).await;
    let firmware = world.firmware("2.0.0").await;
    for id in &ids {
        let command = DeviceCommand::RequestUpdate { request: Box::new(crate::fleet::request(&firmware)) };
        world.tell::<Device>(&device(id), command).await.unwrap();
        world.reports(id, S::Installing, None).await;
        let presence = domain::device::Presence {
            boot_id: Some("b2".to_owned()),
            versions: [("firmware".to_owned(), "2.0.0".to_owned())].into(),
            trial: true,
            ..Default::default()
        };
        world.tell::<Device>(&device(id), presence.into()).await.unwrap();
    }
    let campaign = over_everybody(&world, "2.0.0", Priority::Normal).await;
    let view = rollout::view(&world.db, &world.tenant, &campaign, clock::now()).await.unwrap().unwrap();
    assert_eq!(view.rollout.total().enrolled, 2);
    // One keeps the version, one falls back and fails for good.
    world.boots(&ids[0], "b2", "2.0.0").await;
    world.boots(&ids[1], "b3", "1.0.0").await;
    let cancel = DeviceCommand::CancelUpdate { ordinal: 1 };
    world.tell::<Device>(&device(&ids[1]), cancel).await.unwrap();
    world.tick().await;
    world.installs(&ids[1], "b4", "2.0.0").await;
    assert_eq!(outcomes(&world, &campaign).await, (1, 1));
    world.equals_a_replay().await;
}
