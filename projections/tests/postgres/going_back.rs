//! Slots of devices that go back.

use domain::campaign::{Campaign, CampaignCommand, CampaignSpec, CampaignStatus, RollbackCause};
use domain::device::{CampaignRef, Device, DeviceCommand, Grant, UpdateKind, UpdateRequest};
use domain::ledger::{Ledger, LedgerCommand};
use projections::rollout::{self, Unanswered};
use runtime::clock;

use crate::campaigns::fleet;
use crate::fleet::{World, request};

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_to_go_back_stays_unanswered_while_the_device_loses_the_version() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    world.firmware("1.0.0").await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |spec: &mut CampaignSpec| drop(spec.waves.drain(..1))).await;
    world.tick().await;
    world.tick().await;
    world.installs(&ids[0], "b2", "2.0.0").await;
    let cause = RollbackCause::Operator;
    world.tell::<Campaign>(&id, CampaignCommand::RollBack { cause }).await.unwrap();
    world.settles().await;
    let (now, db, tenant) = (clock::now(), &world.db, &world.tenant);
    let view = rollout::view(db, tenant, &id, now).await.unwrap().unwrap();
    let returning = rollout::returning(db, tenant, &id, now, 10).await.unwrap();
    let grants: Vec<_> = returning.into_iter().map(|back| back.slot).collect();
    let slots = view.rollout.slots();
    let command = LedgerCommand::Grant { seen_version: view.ledger_version, slots, grants };
    world.tell::<Ledger>(&id, command).await.unwrap();
    // The device falls back before the process manager, which has crashed, tells it.
    world.boots(&ids[0], "b3", "1.0.0").await;
    world.settles().await;
    let unseen = rollout::unanswered_grants(db, tenant, &id, Unanswered::All, 10).await.unwrap().pop().unwrap();
    let campaign = CampaignRef { id, wave: unseen.slot.wave, rank: unseen.slot.rank, round: view.retry_round };
    let grant = Grant { campaign, number: unseen.number, wait_until: now + chrono::TimeDelta::days(1) };
    let back_to = request(&unseen.back_to.unwrap());
    let request = Box::new(UpdateRequest { kind: UpdateKind::Rollback, ..back_to });
    world.tell::<Device>(&unseen.slot.device, DeviceCommand::GrantSlot { request, grant }).await.unwrap();
    world.tick().await;
    let view = rollout::view(db, tenant, &id, now).await.unwrap().unwrap();
    assert_eq!((view.rollout.total().in_use, view.rollout.status), (0, CampaignStatus::RolledBack));
    world.equals_a_replay().await;
}
