//! Maintenance windows: who is released, in which zone, and what stands still meanwhile.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Adjustments, Campaign, CampaignCommand, CampaignSpec, PauseCause, RollbackCause};
use domain::change::Change;
use domain::device::{
    Arrival, CampaignRef, Clock, Device, DeviceCommand, Grant, Phase, ProfilePatch, Report, ReportStatus as S,
};
use domain::ledger::{Ledger, LedgerCommand, Slots};
use domain::rollout::{Wait, waits};
use domain::values::Percent;
use domain::window::{Day, MaintenanceWindows};
use domain::{CampaignId, Key};
use projections::rollout::{self, MemberFilter, Unanswered};
use runtime::clock;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device, request};

/// Opens each day at this time, for an hour.
fn daily(opens: DateTime<Utc>, timezone: &str) -> MaintenanceWindows {
    let days: Vec<&str> = Day::all().map(Day::word).collect();
    let window = serde_json::json!([{"days": days, "start": opens.format("%H:%M").to_string(), "duration_minutes": 60,
        "timezone": timezone}]);
    serde_json::from_value(window).unwrap()
}

/// A campaign that has granted what it can.
async fn campaign(world: &World, windows: MaintenanceWindows) -> CampaignId {
    let id = planned(world, windows).await;
    world.tick().await;
    id
}

async fn planned(world: &World, windows: MaintenanceWindows) -> CampaignId {
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.gate_min_settled, spec.maintenance_window) = (10, 100, windows);
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    id
}

async fn moves(world: &World, id: &str, zone: &str) {
    let patch = ProfilePatch { timezone: Change::Set(zone.to_owned()), ..ProfilePatch::default() };
    world.tell::<Device>(&device(id), DeviceCommand::Amend { patch, versions: Default::default() }).await.unwrap();
}

/// A device defers its live update for its window, which is closed or not.
async fn defers(world: &World, id: &str, window_closed: bool) {
    let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(id))).await.unwrap();
    let live = loaded.aggregate.live().unwrap();
    let report = Report {
        ordinal: live.ordinal,
        attempt: live.attempt,
        status: S::Deferred,
        sha256: None,
        code: Some("window_closed".to_owned()),
        message: None,
        retry_after_s: None,
    };
    let arrival = Arrival { window_closed, ..Arrival::default() };
    world.tell::<Device>(&device(id), DeviceCommand::from(report).arrived(arrival)).await.unwrap();
}

/// A campaign whose only device is between two attempts. Half an hour is left of its window, and almost an hour of its working clock.
async fn between_attempts(world: &World, now: DateTime<Utc>, timezone: &str) -> (CampaignId, String) {
    let device = fleet(world, 1).await.remove(0);
    let id = campaign(world, daily(now - TimeDelta::minutes(30), timezone)).await;
    world.reports(&device, S::Received, None).await;
    world.reports(&device, S::Failed, Some("download_failed")).await;
    (id, device)
}

/// Minutes from `now` until the clocks of the only update are checked next.
async fn due_in(world: &World, now: DateTime<Utc>) -> i64 {
    world.settles().await;
    let admin = world.admin().await;
    let due: DateTime<Utc> = sqlx::query_scalar("SELECT due_at FROM updates").fetch_one(&admin).await.unwrap();
    (due - now).num_minutes()
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
    // The device without a zone counts as one of UTC.
    moves(&world, &ids[0], "Etc/GMT-6").await;
    moves(&world, &ids[1], "Etc/GMT-6").await;
    moves(&world, &ids[2], "Etc/GMT+3").await;
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
    moves(&world, &ids[0], "UTC").await;
    assert_eq!(released(&world, &id, now).await, (vec![ids[0].clone(), ids[3].clone()], (2, 2)));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_window_stops_the_working_clock_of_an_update_that_waits() {
    let world = World::start().await;
    let now = clock::now();
    between_attempts(&world, now, "UTC").await;
    // Half of its hour is left today.
    assert!((23 * 60..25 * 60).contains(&due_in(&world, now).await));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_windows_and_another_zone_move_the_working_clock_of_an_update_that_waits() {
    let world = World::start().await;
    let now = clock::now();
    let (id, device) = between_attempts(&world, now, "device").await;
    assert!((23 * 60..25 * 60).contains(&due_in(&world, now).await));
    // Three hours behind UTC the window opens in two and a half hours.
    moves(&world, &device, "Etc/GMT+3").await;
    let due = due_in(&world, now).await;
    assert!((200..212).contains(&due), "{due}");
    adjust(&world, &id, Change::Set(daily(now + TimeDelta::hours(6), "UTC"))).await;
    let due = due_in(&world, now).await;
    assert!((410..422).contains(&due), "{due}");
    adjust(&world, &id, Change::Clear).await;
    let due = due_in(&world, now).await;
    assert!((55..62).contains(&due), "{due}: the time that a window was closed doesn't count afterwards");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_the_working_clock_once_also_while_the_window_is_closed() {
    let world = World::start().await;
    let now = clock::now();
    let (id, device) = between_attempts(&world, now, "UTC").await;
    let tell = async |minutes: i64, command| {
        world.tell_at::<Campaign>(now + TimeDelta::minutes(minutes), &id, command).await;
    };
    tell(1, CampaignCommand::Pause { cause: PauseCause::Operator }).await;
    tell(5 * 60, CampaignCommand::Resume { accept_failures: false }).await;
    // Tomorrow's window is open long enough for what is left of the hour.
    let due = due_in(&world, now).await;
    assert!((24 * 60 + 20..24 * 60 + 31).contains(&due), "{due}");
    // In the open window the attempt begins, with the same end.
    let device_id = crate::fleet::device(&device);
    let at = now + TimeDelta::minutes(23 * 60 + 40);
    world.tell_at::<Device>(at, &device_id, DeviceCommand::SeenOnline).await;
    let slot = rollout::ready(&world.db, &world.tenant, &id, at, 10).await.unwrap().remove(0);
    let campaign = CampaignRef { id, wave: slot.wave, rank: slot.rank, round: 0 };
    let firmware = world.firmware("2.0.0").await;
    let grant = Grant { campaign, number: 2, wait_until: at };
    let command = DeviceCommand::GrantSlot { request: Box::new(request(&firmware)), grant };
    world.tell_at::<Device>(at, &slot.device, command).await;
    world.settles().await;
    let admin = world.admin().await;
    let ends = "SELECT extract(epoch FROM reached_at + make_interval(secs => 3600 + idle_s))::float8 FROM updates";
    let ends: f64 = sqlx::query_scalar(ends).fetch_one(&admin).await.unwrap();
    let ends = (ends - now.timestamp() as f64) / 60.0;
    assert!((24.0 * 60.0 + 20.0..24.0 * 60.0 + 31.0).contains(&ends), "{ends}");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_cancel_has_ended_moves_no_clock_again() {
    let world = World::start().await;
    let now = clock::now();
    let (id, _) = between_attempts(&world, now, "UTC").await;
    adjust(&world, &id, Change::Clear).await;
    let tell = async |minutes: i64, command| {
        world.tell_at::<Campaign>(now + TimeDelta::minutes(minutes), &id, command).await;
    };
    tell(1, CampaignCommand::Pause { cause: PauseCause::Operator }).await;
    tell(61, CampaignCommand::Cancel).await;
    let due = due_in(&world, now).await;
    assert!((115..122).contains(&due), "{due}");
    tell(121, CampaignCommand::RollBack { cause: RollbackCause::Operator }).await;
    assert_eq!(due_in(&world, now).await, due);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_is_sent_again_only_while_the_window_of_its_device_is_open() {
    let world = World::start().await;
    let ids = fleet(&world, 2).await;
    moves(&world, &ids[1], "Etc/GMT+3").await;
    let now = clock::now();
    let id = planned(&world, daily(now - TimeDelta::minutes(30), "device")).await;
    let later = now + TimeDelta::hours(3);
    let mut grants = Vec::new();
    for at in [now, later] {
        grants.extend(rollout::ready(&world.db, &world.tenant, &id, at, 10).await.unwrap());
    }
    assert_eq!(grants.len(), 2);
    let command =
        LedgerCommand::Grant { seen_version: 0, slots: Slots { in_use: 0, max_concurrent_updates: 10 }.into(), grants };
    world.tell::<Ledger>(&id, command).await.unwrap();
    world.settles().await;
    let sent = async |which| {
        let unseen = rollout::unanswered_grants(&world.db, &world.tenant, &id, which, 10).await.unwrap();
        let mut names: Vec<String> = unseen.iter().map(|unseen| unseen.slot.device.to_string()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(sent(Unanswered::All).await, ids);
    assert_eq!(sent(Unanswered::MayBegin(now)).await, ids[..1]);
    assert_eq!(sent(Unanswered::MayBegin(later)).await, ids[1..]);
    assert_eq!(sent(Unanswered::MayBegin(now + TimeDelta::hours(9))).await, [""; 0]);
    assert_eq!(sent(Unanswered::NotReached).await, ids, "to expire they need no window");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_wave_that_was_opened_early_count_beside_many_others() {
    let world = World::start().await;
    fleet(&world, 1_050).await;
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut CampaignSpec| {
        spec.waves[0].percentage = Percent::new(99).unwrap();
        spec.maintenance_window = daily(clock::now() + TimeDelta::hours(6), "UTC");
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    world.tell::<Campaign>(&id, CampaignCommand::OpenWave { wave: 2, force: true }).await.unwrap();
    world.settles().await;
    let closed = |view: rollout::View| view.rollout.waves.iter().map(|wave| wave.closed).collect::<Vec<u32>>();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let shown = rollout::view_in(&mut tx, &world.tenant, &id, clock::now()).await.unwrap().unwrap();
    let enrolled = shown.rollout.waves[1].enrolled;
    assert_eq!(closed(shown), [1_000, enrolled], "the first wave is counted up to a limit");
    let decided = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap();
    let slots = decided.rollout.spec.max_concurrent_updates;
    let closed = closed(decided);
    assert!(closed[0] >= slots && closed[1] == enrolled, "{closed:?} for {slots} slots");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_deferred_for_its_window_begins_as_soon_as_one_is_open() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    let now = clock::now();
    let id = campaign(&world, daily(now - TimeDelta::minutes(30), "UTC")).await;
    world.reports(&ids[0], S::Received, None).await;
    adjust(&world, &id, Change::Set(daily(now + TimeDelta::hours(6), "UTC"))).await;
    defers(&world, &ids[0], true).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_deferred_in_an_open_window_waits_for_its_time() {
    let world = World::start().await;
    let ids = fleet(&world, 1).await;
    let now = clock::now();
    let id = campaign(&world, daily(now - TimeDelta::minutes(30), "UTC")).await;
    world.reports(&ids[0], S::Received, None).await;
    defers(&world, &ids[0], false).await;
    assert_eq!(released(&world, &id, clock::now()).await, (vec![], (0, 0)));
    let over = clock::now() + TimeDelta::minutes(16);
    let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(&ids[0]))).await.unwrap();
    let update = loaded.aggregate.update(1).unwrap();
    let (phase, seq) = (Phase::Deferred, update.seq);
    let command = DeviceCommand::Expire { ordinal: 1, attempt: 1, phase, clock: Clock::Phase, seq };
    world.tell_at::<Device>(over, &device(&ids[0]), command).await;
    assert_eq!(released(&world, &id, clock::now()).await, (ids, (1, 0)));
    world.equals_a_replay().await;
}
