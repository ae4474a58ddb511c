//! Lists of operators, and the queries of process managers on clocks and presence.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::Key;
use domain::device::*;
use domain::firmware::{Deletion, Firmware, FirmwareCommand};
use domain::version::VersionRequirement;
use projections::deadlines::DueClock;
use projections::watermark::Watermark;
use projections::{deadlines, devices, presence, updates};
use runtime::clock;
use sqlx::Executor as _;

use crate::fleet::{World, device, request};

/// More pages than any list here has.
const PAGES_MAX: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_filtered_and_paged() {
    let world = World::start().await;
    for (n, version) in ["1.0.0", "1.9.0", "2.0.0-rc.1", "2.0.0", "odd"].iter().enumerate() {
        world.register(&format!("d-{n}")).await;
        world.boots(&format!("d-{n}"), "b1", version).await;
    }
    world.register("x-1").await;
    let tags = serde_json::from_value(serde_json::json!({"tags": {"site": "north"}})).unwrap();
    let amend = DeviceCommand::Amend { patch: tags, versions: Default::default() };
    world.tell::<Device>(&device("d-1"), amend).await.unwrap();
    world.tell::<Device>(&device("d-4"), DeviceCommand::Decommission).await.unwrap();
    world.settles().await;
    let ids = async |filter: devices::DeviceFilter| {
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let (mut found, mut after) = (Vec::new(), None::<String>);
        for _ in 0..PAGES_MAX {
            let page = devices::list(&mut tx, &filter, after.as_deref(), 2, true).await.unwrap();
            found.extend(page.items.iter().map(|device| device.row.device_id.clone()));
            match page.next {
                Some(next) => after = Some(next[0].clone()),
                None => {
                    assert_eq!(page.total, Some(found.len() as u64));
                    return found;
                }
            }
        }
        panic!("pages without end: {found:?}")
    };
    let filter = devices::DeviceFilter::default;
    let versions = |text: &str| Some(VersionRequirement::parse(text).unwrap());
    assert_eq!(ids(filter()).await, ["d-0", "d-1", "d-2", "d-3", "x-1"]);
    assert_eq!(ids(devices::DeviceFilter { firmware_version: versions("1.9.0"), ..filter() }).await, ["d-1"]);
    let older = devices::DeviceFilter { firmware_version: versions("<2.0.0"), ..filter() };
    assert_eq!(ids(older).await, ["d-0", "d-1", "d-2", "x-1"]);
    let tagged = devices::DeviceFilter { tags: vec![("site".into(), "north".into())], ..filter() };
    assert_eq!(ids(tagged).await, ["d-1"]);
    assert_eq!(ids(devices::DeviceFilter { prefix: Some("X-".into()), ..filter() }).await, ["x-1"]);
    assert_eq!(
        ids(devices::DeviceFilter { prefix: Some("d-".into()), decommissioned: true, ..filter() }).await.len(),
        5
    );
    assert_eq!(ids(devices::DeviceFilter { status: Some("never_seen".into()), ..filter() }).await, ["x-1"]);
    let named = devices::DeviceFilter { ids: vec!["d-3".into(), "none".into()], ..filter() };
    assert_eq!(ids(named).await, ["d-3"]);
    let synced = |is: bool| devices::DeviceFilter { synced: Some(is), ..filter() };
    assert_eq!((ids(synced(true)).await.len(), ids(synced(false)).await.len()), (0, 5));

    world.boots("x-1", "b1", "nightly").await;
    world.register("d-4").await;
    world.settles().await;
    assert_eq!(ids(devices::DeviceFilter { unreadable_version: true, ..filter() }).await, ["x-1"]);
    let unseen = devices::DeviceFilter { status: Some("never_seen".into()), ..filter() };
    assert_eq!(ids(unseen).await, ["d-4"], "a recommissioned device counts as never seen");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_searched_by_a_prefix_of_id_or_name_in_any_case() {
    let world = World::start().await;
    for (id, name) in [("AB-1", "Prüfstand"), ("ab-2", "100% ok"), ("x_1", "Ab initio"), ("xy1", "lab")] {
        world.register(id).await;
        let patch = serde_json::from_value(serde_json::json!({"name": name})).unwrap();
        world.tell::<Device>(&device(id), DeviceCommand::Amend { patch, versions: Default::default() }).await.unwrap();
    }
    world.settles().await;
    let found = async |prefix: &str| {
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let filter = devices::DeviceFilter { prefix: Some(prefix.to_owned()), ..Default::default() };
        let page = devices::list(&mut tx, &filter, None, 10, false).await.unwrap();
        page.items.into_iter().map(|device| device.row.device_id).collect::<BTreeSet<_>>()
    };
    let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(found("ab").await, ids(&["AB-1", "ab-2", "x_1"]));
    assert_eq!(found("AB-").await, ids(&["AB-1", "ab-2"]));
    assert_eq!(found("pRüF").await, ids(&["AB-1"]));
    assert_eq!(found("x_").await, ids(&["x_1"]));
    assert_eq!((found("100%").await, found("%").await, found("_").await), (ids(&["ab-2"]), ids(&[]), ids(&[])));
    assert_eq!(found("").await.len(), 4);

    let mut tx = world.admin().await.begin().await.unwrap();
    tx.execute("SET LOCAL enable_seqscan = off; SET LOCAL ROLE waybill_reader; SET LOCAL waybill.tenant = 'acme'")
        .await
        .unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT 1 FROM devices t WHERE t.name_lower ~>=~ lower('Ab') AND t.name_lower ~<~ (lower('Ab') || chr(1114111))",
    )
    .fetch_all(&mut *tx)
    .await
    .unwrap();
    let served = plan.iter().any(|line| line.contains("Index Cond") && line.contains("name_lower"));
    assert!(served, "an index serves it under row-level security: {plan:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_listed_newest_first() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    for n in 0..5 {
        world.register(&format!("d-{n}")).await;
        let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
        world.tell::<Device>(&device(&format!("d-{n}")), command).await.unwrap();
    }
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None::<Vec<String>>);
    for pages in 0.. {
        assert!(pages < PAGES_MAX, "pages without end: {found:?}");
        let key = after.as_ref().map(|key| (key[0].as_str(), key[1].as_str(), key[2].parse().unwrap()));
        let page = updates::list(&mut tx, &Default::default(), clock::now(), key, 2, false).await.unwrap();
        found.extend(page.items.iter().map(|update| update.row.device_id.clone()));
        for update in &page.items {
            assert_eq!(update.deadline, Some((update.row.wait_until, Clock::Wait)), "nobody has answered yet");
        }
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, ["d-4", "d-3", "d-2", "d-1", "d-0"]);
    let filter = updates::UpdateFilter { phases: vec!["confirmed".into()], ..Default::default() };
    assert!(updates::list(&mut tx, &filter, clock::now(), None, 2, false).await.unwrap().items.is_empty());

    assert!(projections::withdrawals::due(&world.db, 10).await.unwrap().is_empty());
    world
        .tell::<Firmware>(
            &firmware.firmware_id,
            FirmwareCommand::Delete(Deletion { forced: true, rollback_need: None }),
        )
        .await
        .unwrap();
    world.settles().await;
    let gone = projections::withdrawals::due(&world.db, 10).await.unwrap();
    assert_eq!(gone.len(), 5, "all updates of a deleted firmware are found");
    assert!(gone.iter().all(|(_, _, id)| *id == firmware.firmware_id));
}

/// A device, the time of its last message, and the time of its will.
type LatestTelemetry<'a> = (&'a str, DateTime<Utc>, Option<DateTime<Utc>>);

async fn hears(world: &World, heard: &[LatestTelemetry<'_>]) {
    let admin = world.admin().await;
    admin.execute("DELETE FROM device_presence").await.unwrap();
    for (id, seen, will) in heard {
        sqlx::query("INSERT INTO device_presence (tenant, device_id, last_seen, will_at, delivery) VALUES ('acme', $1, $2, $3, 0)")
            .bind(id)
            .bind(seen)
            .bind(will)
            .execute(&admin)
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_go_offline_by_will_or_silence_only_while_telemetry_is_followed() {
    let world = World::start().await;
    for id in ["will", "fresh", "silent", "seen"] {
        world.register(id).await;
        world.boots(id, "b1", "1.0.0").await;
    }
    world.settles().await;
    let now = clock::now();
    let ago = |seconds| now - TimeDelta::seconds(seconds);
    let heard = [
        ("will", ago(100), Some(ago(60))),
        ("fresh", ago(100), Some(ago(5))),
        ("silent", ago(4_000), None),
        ("seen", ago(10), None),
    ];
    let gone = async |watermark: Watermark| {
        let (debounce, silence) = (Duration::from_secs(30), Duration::from_secs(3_600));
        let found = presence::gone(&world.db, &watermark, now, debounce, silence, 10).await.unwrap();
        found
            .into_iter()
            .map(|(_, device, cause)| (device.to_string(), cause == OfflineCause::Will))
            .collect::<BTreeSet<_>>()
    };
    hears(&world, &heard).await;
    let all = || [("silent".to_owned(), false), ("will".to_owned(), true)].into();
    let long_ago = ago(10_000);
    assert_eq!(gone(Watermark::Until { until: now, since: long_ago }).await, all());
    assert_eq!(gone(Watermark::Until { until: ago(-60), since: long_ago }).await, all(), "the bridge's clock is ahead");
    assert!(gone(Watermark::Unknown).await.is_empty() && gone(Watermark::Absent).await.is_empty());
    assert!(gone(Watermark::Until { until: ago(2_000), since: long_ago }).await.is_empty(), "a backlog is unread");
    assert!(gone(Watermark::Until { until: now, since: ago(20) }).await.is_empty(), "just back from an outage");
    let debounced = gone(Watermark::Until { until: now, since: ago(31) }).await;
    assert_eq!(debounced, [("will".to_owned(), true)].into(), "a will counts again when it is debounced");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_returned_while_they_were_marked_offline_are_found() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    let offline = async |id: &str, cause| {
        world.tell::<Device>(&device(id), DeviceCommand::MarkOffline { cause }).await.unwrap();
    };
    for id in ["back", "away", "silent", "mute", "online", "scrapped", "cancelled"] {
        world.register(id).await;
        world.boots(id, "b1", "1.0.0").await;
    }
    let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
    world.tell::<Device>(&device("mute"), command).await.unwrap();
    let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
    world.tell::<Device>(&device("cancelled"), command).await.unwrap();
    world.reports("cancelled", ReportStatus::Received, None).await;
    for id in ["back", "away", "cancelled"] {
        offline(id, OfflineCause::Will).await;
    }
    // An event that changes only an update also raises the version of its device.
    world.tell::<Device>(&device("cancelled"), DeviceCommand::CancelUpdate { ordinal: 1 }).await.unwrap();
    for id in ["silent", "mute"] {
        offline(id, OfflineCause::Silence).await;
    }
    world.tell::<Device>(&device("scrapped"), DeviceCommand::Decommission).await.unwrap();
    world.settles().await;
    let now = clock::now();
    let ago = |seconds| now - TimeDelta::seconds(seconds);
    let seen = |id, seconds| (id, ago(seconds), None);
    let all =
        [seen("back", 1), ("away", ago(50), Some(ago(45))), seen("silent", 61), seen("mute", 1), seen("online", 1)];
    hears(&world, &[&all[..], &[seen("scrapped", 1), seen("cancelled", 1)]].concat()).await;
    let found = presence::mistaken(&world.db, now, Duration::from_secs(60), 10).await.unwrap();
    let mut found: Vec<(String, u64)> = found.into_iter().map(|(_, id, version)| (id.to_string(), version)).collect();
    found.sort();
    let row = devices::get(&mut world.db.read(&world.tenant).await.unwrap(), &world.tenant, "back").await;
    let cancelled = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device("cancelled"))).await.unwrap();
    let expected =
        [("back".to_owned(), row.unwrap().unwrap().row.version), ("cancelled".to_owned(), cancelled.version)];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_run_out_at_their_deadlines() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    for id in ["offline", "dispatched", "loading", "deferred", "unproved"] {
        world.register(id).await;
        if id != "offline" {
            world.boots(id, "b1", "1.0.0").await;
        }
        let require_digest_report = id == "unproved";
        let command = DeviceCommand::RequestUpdate {
            request: Box::new(UpdateRequest { require_digest_report, ..request(&firmware) }),
        };
        world.tell::<Device>(&device(id), command).await.unwrap();
    }
    world.reports("loading", ReportStatus::Downloading, None).await;
    world.reports("deferred", ReportStatus::Deferred, None).await;
    // Its digest is missing, and it is not silent.
    world.reports("unproved", ReportStatus::Installing, None).await;
    world.settles().await;
    let start = clock::now();
    let at = |second: i64| start + TimeDelta::seconds(second);
    let due_by = async |after_s: i64, heard_s: i64, watermark: Watermark| {
        hears(&world, &[("loading", at(heard_s), None), ("unproved", at(after_s), None)]).await;
        let found = deadlines::due(&world.db, &watermark, at(after_s), 100).await.unwrap();
        found.into_iter().map(|due| (due.device.to_string(), due.clock)).collect::<Vec<_>>()
    };
    let due = async |after_s: i64, heard_s: i64, listens: bool| {
        let watermark =
            if listens { Watermark::Until { until: at(after_s), since: at(-3_600) } } else { Watermark::Absent };
        due_by(after_s, heard_s, watermark).await
    };
    let has = |found: &[(String, Clock)], id: &str, clock| found.iter().any(|due| *due == (id.to_owned(), clock));
    assert!(due(60, 0, true).await.is_empty());
    let found = due(130, 0, true).await;
    assert!(has(&found, "dispatched", Clock::Phase) && found.len() == 1, "{found:?}");
    assert!(due(130, 0, false).await.is_empty(), "silence isn't judged while TELEMETRY isn't followed");
    let found = due(310, 0, true).await;
    assert!(has(&found, "unproved", Clock::Phase), "{found:?}");
    assert!(has(&due(650, 0, true).await, "loading", Clock::Phase));
    assert!(!has(&due(650, 600, true).await, "loading", Clock::Phase), "it sent a message since");
    assert!(has(&due(950, 940, true).await, "deferred", Clock::Phase));
    assert!(has(&due(3_700, 3_690, false).await, "loading", Clock::Total));
    let found = due(8 * 24 * 3_600, 0, false).await;
    assert!(has(&found, "offline", Clock::Wait) && has(&found, "dispatched", Clock::Wait), "{found:?}");
    assert!(!has(&found, "deferred", Clock::Total), "a deferral doesn't use up the working clock");

    let until = |until: i64, since: i64| Watermark::Until { until: at(until), since: at(since) };
    for watermark in [until(500, -3_600), Watermark::Unknown] {
        let found = due_by(3_700, 0, watermark).await;
        assert!(!found.iter().any(|(id, _)| id == "loading"), "its messages are unread: {found:?}");
    }
    assert!(has(&due_by(3_700, 0, until(3_650, -3_600)).await, "loading", Clock::Total));
    assert!(has(&due_by(700, 0, until(650, -3_600)).await, "loading", Clock::Phase));
    assert!(due_by(700, 0, until(700, 650)).await.is_empty(), "the limits start again after an outage");
    assert!(has(&due_by(780, 0, until(780, 650)).await, "dispatched", Clock::Phase));
    assert!(has(&due_by(700, 0, until(9_999, -3_600)).await, "loading", Clock::Phase), "the bridge's clock is ahead");
    assert!(has(&due_by(950, 940, until(0, 0)).await, "deferred", Clock::Phase), "its end is no silence");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_waits_for_another_reason_begins_when_a_hold_runs_out() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    world.register("d-1").await;
    let command = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
    world.tell::<Device>(&device("d-1"), command).await.unwrap();
    let until = clock::now() + TimeDelta::hours(1);
    world.tell::<Device>(&device("d-1"), DeviceCommand::Hold { until: Some(until) }).await.unwrap();
    world.boots("d-1", "b1", "1.0.0").await;
    world.settles().await;
    let due = async |now| deadlines::due(&world.db, &Watermark::Absent, now, 10).await.unwrap();
    assert!(due(until - TimeDelta::milliseconds(1)).await.is_empty());
    let found = due(until).await;
    assert_eq!((found.len(), found[0].phase), (1, Phase::Waiting(WaitReason::Offline)));
    let DueClock { ordinal, attempt, phase, clock, seq, .. } = found[0];
    world.tell_at::<Device>(until, &device("d-1"), DeviceCommand::Expire { ordinal, attempt, phase, clock, seq }).await;
    world.settles().await;
    assert!(due(until + TimeDelta::seconds(1)).await.is_empty(), "it has begun and isn't found again");
}
