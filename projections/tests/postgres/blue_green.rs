//! Blue/green: devices stage, then they switch in waves.

use domain::CampaignId;
use domain::campaign::{Advance, Campaign, CampaignCommand, CampaignStatus, Strategy};
use domain::device::{Exclusion, ReportStatus as S};
use domain::rollout::{Wait, waits};
use projections::rollout::{self, MemberFilter};
use runtime::clock;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::World;

const SLOTS: u32 = 2;

/// Two waves of the same size; an operator begins the switch.
async fn campaign(world: &World) -> CampaignId {
    let firmware = world.firmware("2.0.0").await;
    let id = world
        .campaign(&firmware, |spec| {
            spec.strategy = Strategy::BlueGreen;
            (spec.max_concurrent_updates, spec.gate_min_settled) = (SLOTS, 1);
            spec.waves[0].percentage = domain::values::Percent::new(50).unwrap();
            spec.waves[0].advance = Advance::Manual;
        })
        .await;
    world.tick().await;
    world.tick().await;
    id
}

/// The devices in each of these phases, in the campaign's order.
async fn in_phase(world: &World, id: &CampaignId, phase: &str) -> Vec<String> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let filter = MemberFilter { phases: vec![phase.to_owned()], ..MemberFilter::default() };
    let page = rollout::members(&mut tx, &id.to_string(), &filter, clock::now(), None, 100, false).await.unwrap();
    page.items.into_iter().map(|member| member.device_id).collect()
}

async fn view(world: &World, id: &CampaignId) -> rollout::View {
    world.settles().await;
    rollout::view(&world.db, &world.tenant, id, clock::now()).await.unwrap().unwrap()
}

async fn stage_all(world: &World, id: &CampaignId, devices: usize) {
    for _ in 0..devices {
        for device in in_phase(world, id, "dispatched").await {
            for status in [S::Received, S::Installing, S::Staged] {
                world.reports(&device, status, None).await;
            }
        }
        world.tick().await;
        assert!(view(world, id).await.rollout.total().in_use <= SLOTS);
    }
}

async fn switch(world: &World, id: &CampaignId, device: &str) {
    assert!(in_phase(world, id, "activating").await.contains(&device.to_owned()), "{device} is told to activate");
    world.reports(device, S::Rebooting, None).await;
    world.boots(device, "b2", "2.0.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_devices_stage_and_then_switch_in_waves() {
    let world = World::start().await;
    let ids = fleet(&world, 6).await;
    for device in &ids[..4] {
        world.has_slots(device, 2).await;
    }
    world.has_slots(&ids[4], 1).await;
    let id = campaign(&world).await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let without =
        MemberFilter { excluded: Some(rollout::LeftOut::For(Exclusion::NoStandbySlot)), ..MemberFilter::default() };
    let excluded = rollout::members(&mut tx, &id.to_string(), &without, clock::now(), None, 9, false).await.unwrap();
    assert_eq!(excluded.items.len(), 2, "one has one slot, and one never said how many it has");
    drop(tx);

    assert_eq!(in_phase(&world, &id, "dispatched").await.len(), SLOTS as usize, "staging takes slots in all waves");
    stage_all(&world, &id, 4).await;
    assert_eq!(in_phase(&world, &id, "staged").await.len(), 4);
    let staged = view(&world, &id).await;
    assert_eq!((staged.rollout.wave, staged.rollout.wave_completed, staged.rollout.total().staged), (0, true, 4));
    assert_eq!(waits(&staged.rollout, None, clock::now()), [Wait::Operator { wave: 1 }]);
    check_counts(&world, &id, SLOTS).await;
    world.equals_a_replay().await;

    world.tell::<Campaign>(&id, CampaignCommand::OpenWave { wave: 1, force: false }).await.unwrap();
    world.tick().await;
    let first = in_phase(&world, &id, "activating").await;
    assert_eq!((first.len(), in_phase(&world, &id, "staged").await.len()), (2, 2), "the second wave stays staged");
    check_counts(&world, &id, SLOTS).await;
    for device in &first {
        switch(&world, &id, device).await;
    }
    for _ in 0..3 {
        world.tick().await;
    }
    // The first wave is manual, so the second one waits for an operator, too.
    world.tell::<Campaign>(&id, CampaignCommand::OpenWave { wave: 2, force: false }).await.unwrap();
    world.tick().await;
    for device in in_phase(&world, &id, "activating").await {
        switch(&world, &id, &device).await;
    }
    for _ in 0..4 {
        world.tick().await;
    }
    assert_eq!(view(&world, &id).await.rollout.status, CampaignStatus::Completed);
    check_counts(&world, &id, SLOTS).await;
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_before_the_switch_drops_what_is_staged() {
    let world = World::start().await;
    for device in &fleet(&world, 3).await {
        world.has_slots(device, 2).await;
    }
    let id = campaign(&world).await;
    stage_all(&world, &id, 3).await;
    let cause = domain::campaign::RollbackCause::Operator;
    world.tell::<Campaign>(&id, CampaignCommand::RollBack { cause }).await.unwrap();
    world.tick().await;
    let cancelling = in_phase(&world, &id, "cancelling").await;
    assert_eq!(cancelling.len(), 3);
    for device in &cancelling {
        world.reports(device, S::Cancelled, None).await;
    }
    world.tick().await;
    assert_eq!(view(&world, &id).await.rollout.status, CampaignStatus::RolledBack);
    assert_eq!(in_phase(&world, &id, "cancelled").await.len(), 3);
    world.equals_a_replay().await;
}
