//! LoRaWAN devices have slots of their own in a campaign.

use domain::CampaignId;
use domain::campaign::{Adjustments, Campaign, CampaignCommand, CampaignSpec, RollbackCause, TransportAdjustments};
use domain::change::Change;
use domain::per_transport::PerTransport;
use domain::rollout::{Wait, waits};
use domain::values::Transport;
use projections::rollout;
use runtime::clock;

use crate::campaigns::fleet;
use crate::fleet::World;

async fn view(world: &World, id: &CampaignId) -> rollout::View {
    world.settles().await;
    rollout::view(&world.db, &world.tenant, id, clock::now()).await.unwrap().unwrap()
}

async fn in_use(world: &World, id: &CampaignId) -> (u32, u32) {
    let PerTransport { mqtt, lorawan } = view(world, id).await.rollout.total().slots_in_use();
    (mqtt, lorawan)
}

async fn ticks(world: &World) {
    for _ in 0..4 {
        world.tick().await;
    }
}

/// Slots of transports that are all taken: devices that are ready, slots in use, and all slots.
async fn taken(world: &World, id: &CampaignId) -> Vec<(Transport, u32, u32, u32)> {
    let waits = waits(&view(world, id).await.rollout, None, clock::now());
    let slots = waits.into_iter().filter_map(|wait| match wait {
        Wait::Slots { transport, ready, in_use, max_concurrent_updates } => {
            Some((transport, ready, in_use, max_concurrent_updates))
        }
        _ => None,
    });
    slots.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lorawan_devices_hold_no_slots_of_other_devices_and_the_reverse() {
    let world = World::start().await;
    let ids = fleet(&world, 5).await;
    for n in 1..=4 {
        world.lorawan(&format!("l-{n}"), n).await;
    }
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.gate_min_settled) = (3, 100);
        spec.lorawan.max_concurrent_updates = Some(2);
    };
    let id = world.campaign(&firmware, change).await;
    ticks(&world).await;
    assert_eq!(in_use(&world, &id).await, (3, 2));
    assert_eq!(taken(&world, &id).await, [(Transport::Lorawan, 2, 2, 2), (Transport::Mqtt, 2, 3, 3)]);
    // The others go on to their end while LoRaWAN devices hold their slots.
    for _ in 0..2 {
        for device in &ids {
            world.installs(device, "b2", "2.0.0").await;
        }
        ticks(&world).await;
    }
    assert_eq!(in_use(&world, &id).await, (0, 2));
    assert_eq!(view(&world, &id).await.rollout.total().confirmed, 5);
    let lorawan = TransportAdjustments { max_concurrent_updates: Change::Clear, ..TransportAdjustments::default() };
    let changes = Box::new(Adjustments { lorawan, ..Adjustments::default() });
    world.tell::<Campaign>(&id, CampaignCommand::Adjust { changes }).await.unwrap();
    ticks(&world).await;
    assert_eq!(in_use(&world, &id).await, (0, 3), "as many as the campaign says, of its own");
    world.equals_a_replay().await;

    // Those that have it go back in the same way.
    for n in 1..=3 {
        world.installs(&format!("l-{n}"), "b2", "2.0.0").await;
    }
    let cause = RollbackCause::Operator;
    world.tell::<Campaign>(&id, CampaignCommand::RollBack { cause }).await.unwrap();
    world.firmware("1.0.0").await;
    ticks(&world).await;
    let (mqtt, lorawan) = in_use(&world, &id).await;
    assert!(mqtt == 3 && (1..=3).contains(&lorawan), "{mqtt} and {lorawan} go back");
    world.equals_a_replay().await;
}
