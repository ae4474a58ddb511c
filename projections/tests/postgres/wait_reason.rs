//! Wait reasons: computed on read, because devices change without an event of their updates.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::CampaignId;
use domain::campaign::{CampaignCommand, CampaignSpec, PauseCause};
use domain::device::*;
use domain::preconditions::Preconditions;
use projections::{rollout, updates};
use runtime::clock;

use crate::campaigns::fleet;
use crate::fleet::{World, device, request};

/// The reasons of a campaign's members.
async fn of_members(world: &World, id: &CampaignId, now: DateTime<Utc>) -> BTreeMap<String, Option<String>> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let page = rollout::members(&mut tx, &id.to_string(), &Default::default(), now, None, 100, false).await.unwrap();
    page.items.into_iter().map(|member| (member.device_id, member.wait_reason)).collect()
}

/// The reasons of a device's updates, by ordinal.
async fn of_updates(world: &World, id: &str, now: DateTime<Utc>) -> Vec<Option<String>> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let filter = updates::UpdateFilter { device_id: Some(id.to_owned()), ..Default::default() };
    let mut items = updates::list(&mut tx, &filter, now, None, 100, false).await.unwrap().items;
    items.sort_by_key(|update| update.row.ordinal);
    items.into_iter().map(|update| update.wait_reason.map(|reason| reason.word().to_owned())).collect()
}

async fn tell(world: &World, id: &str, command: DeviceCommand) {
    world.tell::<Device>(&device(id), command).await.unwrap();
}

async fn battery(world: &World, id: &str, percent: i64) {
    let sql = "INSERT INTO device_presence (tenant, device_id, last_seen, battery_level, delivery) VALUES ('acme', $1, $2, $3, 0)
               ON CONFLICT (tenant, device_id) DO UPDATE SET battery_level = $3";
    sqlx::query(sql).bind(id).bind(clock::now()).bind(percent).execute(&world.admin().await).await.unwrap();
}

fn charged() -> Option<Preconditions> {
    serde_json::from_value(serde_json::json!({"min_battery_percent": 50})).unwrap()
}

fn one_wave_one_slot(spec: &mut CampaignSpec) {
    spec.waves.drain(..1).for_each(drop);
    (spec.max_concurrent_updates, spec.preconditions) = (1, charged());
}

const OFFLINE: DeviceCommand = DeviceCommand::MarkOffline { cause: OfflineCause::Silence };
const HOLD: DeviceCommand = DeviceCommand::Hold { until: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_an_open_wave_has_a_wait_reason() {
    let world = World::start().await;
    let ids = fleet(&world, 6).await;
    let (firmware, other) = (world.firmware("2.0.0").await, world.firmware("1.5.0").await);
    for (id, percent) in ids.iter().zip([90, 90, 90, 10, 90, 90]) {
        battery(&world, id, percent).await;
    }
    tell(&world, "d-00", OFFLINE).await;
    let id = world.campaign(&firmware, one_wave_one_slot).await;
    world.tick().await;
    tell(&world, "d-01", HOLD).await;
    tell(&world, "d-02", DeviceCommand::RequestUpdate { request: Box::new(request(&other)) }).await;
    world.tick().await;
    let now = clock::now();
    let mut reasons = of_members(&world, &id, now).await;
    let slots: Vec<Option<String>> = ["d-04", "d-05"].iter().map(|id| reasons.remove(*id).unwrap()).collect();
    assert!(slots.contains(&None) && slots.contains(&Some("slot".to_owned())), "one has begun: {slots:?}");
    let told: Vec<&str> = reasons.values().map(|reason| reason.as_deref().unwrap_or("none")).collect();
    assert_eq!(told, ["offline", "held", "busy", "precondition"]);

    // The reasons follow the changes.
    world.boots("d-00", "b2", "1.0.0").await;
    tell(&world, "d-01", DeviceCommand::Release).await;
    battery(&world, "d-03", 51).await;
    let reasons = of_members(&world, &id, now).await;
    for waiting in ["d-00", "d-01", "d-03"] {
        assert_eq!(reasons[waiting].as_deref(), Some("slot"), "{waiting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_closed_wave_have_no_wait_reason() {
    let world = World::start().await;
    let ids = fleet(&world, 5).await;
    let firmware = world.firmware("2.0.0").await;
    for id in &ids {
        tell(&world, id, OFFLINE).await;
    }
    let id = world.campaign(&firmware, |_| {}).await;
    world.tick().await;
    let reasons = of_members(&world, &id, clock::now()).await;
    assert_eq!(reasons.values().filter(|reason| reason.as_deref() == Some("offline")).count(), 1, "{reasons:?}");
    assert_eq!(reasons.values().filter(|reason| reason.is_none()).count(), 4, "{reasons:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_withdrawn_in_a_pause_waits_only_for_the_end_of_the_pause() {
    let world = World::start().await;
    fleet(&world, 1).await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |spec| spec.waves.drain(..1).for_each(drop)).await;
    world.tick().await;
    world.tick().await;
    let pause = CampaignCommand::Pause { cause: PauseCause::Operator };
    world.tell::<domain::campaign::Campaign>(&id, pause).await.unwrap();
    world.tick().await;
    let both = async || {
        let now = clock::now();
        (of_members(&world, &id, now).await["d-00"].clone(), of_updates(&world, "d-00", now).await[0].clone())
    };
    let said = |word: &str| (Some(word.to_owned()), Some(word.to_owned()));
    assert_eq!(both().await, said("withdrawn"));
    tell(&world, "d-00", OFFLINE).await;
    world.tell::<domain::campaign::Campaign>(&id, CampaignCommand::Resume { accept_failures: false }).await.unwrap();
    assert_eq!(both().await, said("offline"));
    world.boots("d-00", "b2", "1.0.0").await;
    assert_eq!(both().await, said("slot"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_reasons_of_queued_updates_follow_the_present_state() {
    let world = World::start().await;
    world.register("d-1").await;
    for version in ["2.0.0", "3.0.0", "4.0.0"] {
        let mut wanted = request(&world.firmware(version).await);
        wanted.preconditions = charged().filter(|_| version == "4.0.0");
        tell(&world, "d-1", DeviceCommand::RequestUpdate { request: Box::new(wanted) }).await;
    }
    let reasons = async |now| {
        let reasons = of_updates(&world, "d-1", now).await;
        reasons.into_iter().map(|reason| reason.unwrap_or_default()).collect::<Vec<_>>()
    };
    let now = clock::now();
    assert_eq!(reasons(now).await, ["offline", "offline", "offline"]);
    world.boots("d-1", "b1", "1.0.0").await;
    assert_eq!(reasons(now).await, ["", "busy", "busy"], "one has begun");

    world.reports("d-1", ReportStatus::Received, None).await;
    world.reports("d-1", ReportStatus::Failed, Some("download_failed")).await;
    assert_eq!(reasons(clock::now()).await, ["backoff", "busy", "busy"], "the first one keeps its turn");
    tell(&world, "d-1", HOLD).await;
    assert_eq!(reasons(clock::now()).await, ["backoff", "held", "held"]);
    let later = clock::now() + TimeDelta::hours(1);
    assert_eq!(reasons(later).await, ["held", "held", "held"], "the pause is over, but not the hold");
    tell(&world, "d-1", OFFLINE).await;
    tell(&world, "d-1", DeviceCommand::Release).await;
    assert_eq!(reasons(later).await[0], "offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_waits_for_its_preconditions_when_its_device_is_online() {
    let world = World::start().await;
    world.register("d-1").await;
    let wanted = UpdateRequest { preconditions: charged(), ..request(&world.firmware("2.0.0").await) };
    tell(&world, "d-1", DeviceCommand::RequestUpdate { request: Box::new(wanted) }).await;
    battery(&world, "d-1", 10).await;
    let reason = async || of_updates(&world, "d-1", clock::now()).await[0].clone().unwrap();
    assert_eq!(reason().await, "offline");
    world.boots("d-1", "b1", "1.0.0").await;
    assert_eq!(reason().await, "precondition");
    tell(&world, "d-1", HOLD).await;
    assert_eq!(reason().await, "held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_waits_for_an_update_that_is_between_two_attempts() {
    let world = World::start().await;
    fleet(&world, 1).await;
    let (firmware, other) = (world.firmware("2.0.0").await, world.firmware("1.5.0").await);
    tell(&world, "d-00", DeviceCommand::RequestUpdate { request: Box::new(request(&other)) }).await;
    world.reports("d-00", ReportStatus::Received, None).await;
    world.reports("d-00", ReportStatus::Failed, Some("download_failed")).await;
    let id = world.campaign(&firmware, |spec| spec.waves.drain(..1).for_each(drop)).await;
    world.tick().await;
    assert_eq!(of_members(&world, &id, clock::now()).await["d-00"].as_deref(), Some("busy"));
}
