//! What operators list, and what process managers ask of clocks and presence.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::*;
use domain::firmware::{Firmware, FirmwareCommand};
use domain::version::VersionRequirement;
use event_store::clock;
use projections::{deadlines, devices, presence, updates};
use sqlx::Executor as _;

use crate::fleet::{World, device, request};

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
        loop {
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
    assert_eq!(ids(unseen).await, ["d-4"], "who was taken back wasn't seen since");
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_are_listed_newest_first() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    for n in 0..5 {
        world.register(&format!("d-{n}")).await;
        let wish = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
        world.tell::<Device>(&device(&format!("d-{n}")), wish).await.unwrap();
    }
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None::<Vec<String>>);
    loop {
        let key = after.as_ref().map(|key| (key[0].as_str(), key[1].as_str(), key[2].parse().unwrap()));
        let page = updates::list(&mut tx, &Default::default(), key, 2, false).await.unwrap();
        found.extend(page.items.iter().map(|update| update.row.device_id.clone()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, ["d-4", "d-3", "d-2", "d-1", "d-0"]);
    let filter = updates::UpdateFilter { phases: vec!["confirmed".into()], ..Default::default() };
    assert!(updates::list(&mut tx, &filter, None, 2, false).await.unwrap().items.is_empty());

    assert!(updates::withdrawn(&world.db, 10).await.unwrap().is_empty());
    world.tell::<Firmware>(&firmware.firmware_id, FirmwareCommand::Delete).await.unwrap();
    world.settles().await;
    let gone = updates::withdrawn(&world.db, 10).await.unwrap();
    assert_eq!(gone.len(), 5, "nobody waits for what is deleted");
    assert!(gone.iter().all(|(_, _, id)| *id == firmware.firmware_id));
}

/// A device, when it was last heard, and when its will came.
type Heard<'a> = (&'a str, DateTime<Utc>, Option<DateTime<Utc>>);

async fn hears(world: &World, caught_up: DateTime<Utc>, heard: &[Heard<'_>]) {
    let admin = world.admin().await;
    sqlx::query(
        "INSERT INTO projection_checkpoints (name, version, incarnation_ms, caught_up_at) VALUES ('presence', 1, 0, $1)
         ON CONFLICT (name) DO UPDATE SET caught_up_at = $1",
    )
    .bind(caught_up)
    .execute(&admin)
    .await
    .unwrap();
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
async fn devices_are_gone_by_will_or_silence_and_never_while_nobody_listens() {
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
    let gone = async || {
        let found =
            presence::gone(&world.db, now, Duration::from_secs(30), Duration::from_secs(3_600), 10).await.unwrap();
        found
            .into_iter()
            .map(|(_, device, cause)| (device.to_string(), cause == OfflineCause::Will))
            .collect::<BTreeSet<_>>()
    };
    hears(&world, now, &heard).await;
    assert_eq!(gone().await, [("silent".to_owned(), false), ("will".to_owned(), true)].into());
    hears(&world, ago(60), &heard).await;
    assert!(gone().await.is_empty(), "telemetry lags");
}

#[tokio::test(flavor = "multi_thread")]
async fn clocks_run_out_when_they_should() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    for id in ["offline", "dispatched", "loading", "deferred"] {
        world.register(id).await;
        if id != "offline" {
            world.boots(id, "b1", "1.0.0").await;
        }
        let wish = DeviceCommand::RequestUpdate { request: Box::new(request(&firmware)) };
        world.tell::<Device>(&device(id), wish).await.unwrap();
    }
    world.reports("loading", ReportStatus::Downloading, None).await;
    world.reports("deferred", ReportStatus::Deferred, None).await;
    world.settles().await;
    let start = clock::now();
    let due = async |after_s: i64, heard_s: i64, listens: bool| {
        let now = start + TimeDelta::seconds(after_s);
        let caught_up = if listens { now } else { start - TimeDelta::hours(1) };
        hears(&world, caught_up, &[("loading", start + TimeDelta::seconds(heard_s), None)]).await;
        let found = deadlines::due(&world.db, now, 100).await.unwrap();
        found.into_iter().map(|due| (due.device.to_string(), due.clock)).collect::<Vec<_>>()
    };
    let has = |found: &[(String, Clock)], id: &str, clock| found.iter().any(|due| *due == (id.to_owned(), clock));
    assert!(due(60, 0, true).await.is_empty());
    let found = due(130, 0, true).await;
    assert!(has(&found, "dispatched", Clock::Phase) && found.len() == 1, "{found:?}");
    assert!(due(130, 0, false).await.is_empty(), "silence isn't judged while nobody listens");
    assert!(has(&due(650, 0, true).await, "loading", Clock::Phase));
    assert!(!has(&due(650, 600, true).await, "loading", Clock::Phase), "it was heard since");
    assert!(has(&due(950, 940, true).await, "deferred", Clock::Phase));
    assert!(has(&due(3_700, 3_690, false).await, "loading", Clock::Total));
    let found = due(8 * 24 * 3_600, 0, false).await;
    assert!(has(&found, "offline", Clock::Wait) && has(&found, "dispatched", Clock::Wait), "{found:?}");
    assert!(!has(&found, "deferred", Clock::Total), "a deferral doesn't use up the working clock");
}
