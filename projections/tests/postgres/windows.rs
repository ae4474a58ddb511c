//! Maintenance windows: who is released, in which zone, and what stands still meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use domain::CampaignId;
use domain::campaign::{Adjustments, Campaign, CampaignCommand, CampaignSpec};
use domain::change::Change;
use domain::device::{Device, DeviceCommand, ProfilePatch, ReportStatus as S};
use domain::rollout::{Wait, waits};
use domain::window::{Day, MaintenanceWindows};
use projections::rollout::{self, MemberFilter};
use runtime::clock;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device};

/// Opens each day at this time, for an hour.
fn daily(opens: DateTime<Utc>, timezone: &str) -> MaintenanceWindows {
    let days: Vec<&str> = Day::all().map(Day::word).collect();
    let window = serde_json::json!([{"days": days, "start": opens.format("%H:%M").to_string(), "duration_minutes": 60,
        "timezone": timezone}]);
    serde_json::from_value(window).unwrap()
}

async fn campaign(world: &World, windows: MaintenanceWindows) -> CampaignId {
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.gate_min_settled, spec.maintenance_window) = (10, 100, windows);
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    world.tick().await;
    id
}

async fn adjust(world: &World, id: &CampaignId, windows: Change<MaintenanceWindows>) {
    let changes = Adjustments { maintenance_window: windows, ..Adjustments::default() };
    world.tell::<Campaign>(id, CampaignCommand::Adjust { changes: Box::new(changes) }).await.unwrap();
}

/// The devices that may be granted, in the order of their names, and the counts of ready devices and of those with a closed window.
async fn released(world: &World, id: &CampaignId, now: DateTime<Utc>) -> (Vec<String>, (u32, u32)) {
    world.settles().await;
    let ready = rollout::ready(&world.db, &world.tenant, id, now, 100).await.unwrap();
    let mut names: Vec<String> = ready.iter().map(|slot| slot.device.to_string()).collect();
    names.sort_unstable();
    let total = rollout::view(&world.db, &world.tenant, id, now).await.unwrap().unwrap().rollout.total();
    (names, (total.ready, total.closed))
}

async fn phases(world: &World, id: &CampaignId) -> Vec<(String, Option<String>)> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let filter = MemberFilter::default();
    let page = rollout::members(&mut tx, &id.to_string(), &filter, clock::now(), None, 100, false).await.unwrap();
    page.items.into_iter().map(|member| (member.phase, member.wait_reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_granted_only_while_the_window_is_open() {
    let world = World::start().await;
    let ids = fleet(&world, 3).await;
    let now = clock::now();
    let id = campaign(&world, daily(now + TimeDelta::hours(6), "UTC")).await;
    assert_eq!(released(&world, &id, now).await, (vec![], (0, 3)));
    assert_eq!(phases(&world, &id).await, vec![("planned".to_owned(), Some("window".to_owned())); 3]);
    let opens = now + TimeDelta::hours(6) + TimeDelta::minutes(1);
    assert_eq!(released(&world, &id, opens).await, (ids.clone(), (3, 0)));
    let view = rollout::view(&world.db, &world.tenant, &id, now).await.unwrap().unwrap();
    let named = waits(&view.rollout, None, now);
    assert!(matches!(named[..], [Wait::Window { devices: 3, wave: None, until }] if until <= opens), "{named:?}");

    adjust(&world, &id, Change::Set(daily(now - TimeDelta::minutes(30), "UTC"))).await;
    world.tick().await;
    assert_eq!(phases(&world, &id).await, vec![("dispatched".to_owned(), None); 3]);
    world.installs(&ids[0], "b2", "2.0.0").await;
    adjust(&world, &id, Change::Clear).await;
    for id in &ids[1..] {
        world.installs(id, "b2", "2.0.0").await;
    }
    world.tick().await;
    check_counts(&world, &id, 10).await;
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn windows_that_follow_devices_release_each_zone_at_its_time() {
    let world = World::start().await;
    let ids = fleet(&world, 4).await;
    let moves = |id: &str, zone: &str| {
        let patch = ProfilePatch { timezone: Change::Set(zone.to_owned()), ..ProfilePatch::default() };
        let (id, command) = (device(id), DeviceCommand::Amend { patch, versions: Default::default() });
        let world = &world;
        async move { drop(world.tell::<Device>(&id, command).await.unwrap()) }
    };
    // The device without a zone counts as one of UTC.
    moves(&ids[0], "Etc/GMT-6").await;
    moves(&ids[1], "Etc/GMT-6").await;
    moves(&ids[2], "Etc/GMT+3").await;
    let now = clock::now();
    let id = campaign(&world, daily(now + TimeDelta::hours(12), "UTC")).await;
    assert_eq!(released(&world, &id, now).await, (vec![], (0, 4)));
    // From here on each device has its own window. In UTC it is open now.
    adjust(&world, &id, Change::Set(daily(now - TimeDelta::minutes(30), "device"))).await;
    assert_eq!(released(&world, &id, now).await, (vec![ids[3].clone()], (1, 3)));
    let ahead = now - TimeDelta::hours(6);
    assert_eq!(released(&world, &id, ahead).await, (ids[..2].to_vec(), (2, 2)));
    assert_eq!(released(&world, &id, now + TimeDelta::hours(3)).await, (vec![ids[2].clone()], (1, 3)));
    assert_eq!(released(&world, &id, now + TimeDelta::hours(9)).await, (vec![], (0, 4)));
    moves(&ids[0], "UTC").await;
    assert_eq!(released(&world, &id, now).await, (vec![ids[0].clone(), ids[3].clone()], (2, 2)));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_stops_the_working_clock_of_an_update_that_waits() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    let now = clock::now();
    campaign(&world, daily(now - TimeDelta::minutes(30), "UTC")).await;
    world.reports(&ids[0], S::Received, None).await;
    world.reports(&ids[0], S::Failed, Some("download_failed")).await;
    world.settles().await;
    let admin = world.admin().await;
    let due = async || {
        let due: DateTime<Utc> = sqlx::query_scalar("SELECT due_at FROM updates").fetch_one(&admin).await.unwrap();
        due - now
    };
    // Half of its hour is left today.
    assert!(due().await > TimeDelta::hours(23) && due().await < TimeDelta::hours(25));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_deferred_for_its_window_begins_as_soon_as_one_is_open() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    let now = clock::now();
    let id = campaign(&world, daily(now - TimeDelta::minutes(30), "UTC")).await;
    world.reports(&ids[0], S::Received, None).await;
    adjust(&world, &id, Change::Set(daily(now + TimeDelta::hours(6), "UTC"))).await;
    world.reports(&ids[0], S::Deferred, Some("window_closed")).await;
    assert_eq!(released(&world, &id, now).await, (vec![], (0, 1)));
    let opens = now + TimeDelta::hours(6) + TimeDelta::minutes(1);
    assert_eq!(released(&world, &id, opens).await, (ids.clone(), (1, 0)));
    adjust(&world, &id, Change::Clear).await;
    world.tick().await;
    assert_eq!(phases(&world, &id).await, [("dispatched".to_owned(), None)]);
    world.installs(&ids[0], "b2", "2.0.0").await;
    world.tick().await;
    check_counts(&world, &id, 10).await;
    world.equals_a_replay().await;
}
