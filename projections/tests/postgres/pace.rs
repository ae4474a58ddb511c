//! The rate at which a campaign's slots are granted.

use chrono::TimeDelta;
use domain::campaign::{Adjustments, Campaign, CampaignCommand};
use domain::change::Change;
use domain::rollout::{RolloutStep, decide};
use domain::{CampaignId, Key};
use projections::rollout;
use runtime::clock;

use crate::campaigns::fleet;
use crate::fleet::World;

/// Devices that may be granted this many seconds from now.
async fn grantable(world: &World, id: &CampaignId, second: i64) -> u32 {
    world.settles().await;
    let now = clock::now() + TimeDelta::seconds(second);
    let view = rollout::view(&world.db, &world.tenant, id, now).await.unwrap().unwrap().rollout;
    match decide(&view, now)[..] {
        [RolloutStep::Grant { devices_max }] => devices_max.sum(),
        _ => 0,
    }
}

async fn adjust(world: &World, id: &CampaignId, rate_per_minute: Change<u32>) {
    let changes = Box::new(Adjustments { rate_per_minute, ..Adjustments::default() });
    world.tell::<Campaign>(id, CampaignCommand::Adjust { changes }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_rate_changes_set_when_the_next_device_may_begin() {
    let world = World::start().await;
    fleet(&world, 8).await;
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut domain::campaign::CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.rate_per_minute, spec.batch_size) = (100, Some(1), Some(3));
    };
    let id = world.campaign(&firmware, change).await;
    for _ in 0..4 {
        world.tick().await;
    }
    let ledger = world.store.load_fresh(&Key::<domain::ledger::Ledger>::new(&world.tenant, &id)).await.unwrap();
    assert_eq!(ledger.aggregate.granted_total, 3, "a batch, and nothing within the next minute");
    assert_eq!(grantable(&world, &id, 20).await, 0);
    assert_eq!(grantable(&world, &id, 90).await, 1);
    assert_eq!(grantable(&world, &id, 3_600).await, 3);
    adjust(&world, &id, Change::Set(4)).await;
    assert_eq!(grantable(&world, &id, 20).await, 1, "a quarter of a minute each, from now on");
    world.equals_a_replay().await;
    adjust(&world, &id, Change::Clear).await;
    world.tick().await;
    assert_eq!(grantable(&world, &id, 0).await, 2, "six of eight have begun");
    world.equals_a_replay().await;
}
