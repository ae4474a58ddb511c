//! Sums of statistics equal what they count, and a fold of the log, at any time of the past.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::*;
use domain::events::DeviceEvent;
use domain::{FirmwareId, TenantId};
use event_store::{Delivery, Record};
use futures::StreamExt;
use projections::downloads::{self, Counted, DownloadedBy, Downloads, Flush};
use projections::statistics::failures::{FailedBy, failures};
use projections::statistics::populations::{GroupedBy, minute_of, populations};
use projections::statistics::series::{Step, series};
use projections::statistics::tenant::{TOTAL, statistics};
use projections::statistics::times::Times;
use runtime::clock;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device};

/// Counts of the present that differ from the rows.
const NOW_OTHERWISE: &str = "
SELECT coalesce(s.name, r.name) || ' ' || coalesce(s.number, 0) || ' instead of ' || coalesce(r.number, 0)
FROM (SELECT t.tenant, c.key AS name, c.value::bigint AS number FROM statistics t, jsonb_each_text(t.counts) c WHERE t.period = 'now') s
FULL JOIN (
  SELECT tenant, 'device.' || CASE lifecycle WHEN 'active' THEN status ELSE lifecycle END AS name, count(*) AS number
  FROM devices GROUP BY 1, 2
  UNION ALL SELECT tenant, 'update.' || CASE WHEN regressed_at IS NULL THEN phase ELSE 'regressed' END, count(*)
  FROM updates GROUP BY 1, 2
  UNION ALL SELECT tenant, 'campaign.' || status, count(*) FROM campaigns GROUP BY 1, 2) r
  ON (s.tenant, s.name) = (r.tenant, r.name)
WHERE s.number IS DISTINCT FROM r.number";

/// Numbers of devices by what they run that differ from the devices' rows.
const POPULATIONS_OTHERWISE: &str = "
SELECT coalesce(s.what, r.what) || ' ' || coalesce(s.number, 0) || ' instead of ' || coalesce(r.number, 0)
FROM (SELECT concat_ws(' ', tenant, component, device_model, hardware_version, version) AS what, devices AS number
      FROM device_populations WHERE span = 'all' AND devices <> 0) s
FULL JOIN (
  SELECT concat_ws(' ', d.tenant, v.key, coalesce(d.device_model, ''), coalesce(d.hardware_version, ''), v.value) AS what, count(*) AS number
  FROM devices d, jsonb_each_text(jsonb_build_object('firmware', '') || d.versions) v WHERE d.lifecycle = 'active' GROUP BY 1) r
  ON s.what = r.what
WHERE s.number IS DISTINCT FROM r.number";

/// Numbers of failed members that differ from the members' rows.
const FAILURES_OTHERWISE: &str = "
SELECT coalesce(s.what, r.what) || ' ' || coalesce(s.number, 0) || ' instead of ' || coalesce(r.number, 0)
FROM (SELECT concat_ws(' ', campaign_id, wave, code) AS what, sum(devices) AS number FROM campaign_failures GROUP BY 1) s
FULL JOIN (
  SELECT concat_ws(' ', m.campaign_id, m.wave, coalesce(m.code, 'unknown')) AS what, count(*) AS number
  FROM rollout_members m
  JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
  WHERE m.outcome IN ('failed', 'timed_out', 'rejected') OR m.regressed_at IS NOT NULL GROUP BY 1) r
  ON s.what = r.what
WHERE s.number IS DISTINCT FROM r.number";

/// Every sum equals the rows that it counts.
pub(crate) async fn check_sums(world: &World) {
    for (what, sql) in [("now", NOW_OTHERWISE), ("versions", POPULATIONS_OTHERWISE), ("failures", FAILURES_OTHERWISE)] {
        let otherwise: Vec<String> = sqlx::query_scalar(sql).fetch_all(&world.admin().await).await.unwrap();
        assert!(otherwise.is_empty(), "{what}: {otherwise:?}");
    }
}

/// All events of devices with the tenant, the device and the time.
async fn device_events(world: &World) -> Vec<(TenantId, String, DateTime<Utc>, DeviceEvent)> {
    let mut subscription = world.log.subscribe(1);
    let mut all = Vec::new();
    let head = world.head().await;
    while let Some(Ok(Delivery::Record(raw))) = subscription.next().await {
        let record = Record::decode(raw.position, &raw.body).unwrap();
        if raw.key.kind.as_str() == "device" {
            for event in record.decode_events::<DeviceEvent>(raw.position).unwrap() {
                all.push((raw.key.tenant.clone(), raw.key.id.clone(), record.meta.recorded_at, event));
            }
        }
        if raw.position == head {
            break;
        }
    }
    all
}

/// What a fold of the log finds: numbers by what happened, and how long each phase lasted.
#[derive(Debug, Default, PartialEq)]
struct Folded {
    counts: BTreeMap<String, i64>,
    times: BTreeMap<String, Times>,
}

/// An update of the fold.
struct Update {
    kind: &'static str,
    state: UpdateState,
    since: DateTime<Utc>,
    reached_at: Option<DateTime<Utc>>,
}

fn fold(events: &[(TenantId, String, DateTime<Utc>, DeviceEvent)]) -> Folded {
    let mut folded = Folded::default();
    let mut add = |name: String, number: i64| *folded.counts.entry(name).or_default() += number;
    let mut updates = BTreeMap::new();
    for (_, device, at, event) in events {
        let Some(of) = event.update() else { continue };
        let key = (device.clone(), of.ordinal);
        if let DeviceEvent::UpdateQueued { spec, .. } = event {
            let kind = if spec.kind == UpdateKind::Rollback { "rollback" } else { "update" };
            add(format!("{kind}.requested"), 1);
            updates.insert(key, Update { kind, state: UpdateState::queued(), since: *at, reached_at: None });
            continue;
        }
        let update: &mut Update = updates.get_mut(&key).unwrap();
        let (kind, before, attempt) = (update.kind, update.state.phase, update.state.attempt);
        let has_moved = update.state.apply(event);
        if attempt > 0 && update.state.attempt > attempt {
            add(format!("{kind}.retries"), (update.state.attempt - attempt).into());
        }
        if matches!(event, DeviceEvent::VersionRegressed { .. }) {
            add(format!("{kind}.regressed"), 1);
        }
        if !has_moved {
            continue;
        }
        folded.times.entry(before.word().to_owned()).or_default().add((*at - update.since).num_milliseconds());
        update.since = *at;
        update.reached_at = update.reached_at.or(update.state.reached.then_some(*at));
        if let Phase::Ended(outcome) = update.state.phase {
            add(format!("{kind}.{}", outcome.word()), 1);
            if let Some(reached_at) = update.reached_at.filter(|_| outcome == Outcome::Confirmed && kind == "update") {
                folded.times.entry(TOTAL.to_owned()).or_default().add((*at - reached_at).num_milliseconds());
            }
        }
    }
    folded.counts.retain(|_, number| *number != 0);
    folded
}

async fn check_days(world: &World) {
    let folded = fold(&device_events(world).await);
    let today = clock::now().date_naive();
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let found = statistics(&mut tx, today - TimeDelta::days(1), today).await.unwrap();
    let (mut counts, mut times) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, Times>::new());
    for day in found.days {
        day.counts.into_iter().for_each(|(name, number)| *counts.entry(name).or_default() += number);
        day.times.iter().for_each(|(phase, more)| times.entry(phase.clone()).or_default().merge(more));
    }
    assert_eq!(counts, folded.counts);
    // The idle time of confirmed updates is known to the row alone; without pauses there is little of it.
    let (total, of_fold) = (times.remove(TOTAL), folded.times.get(TOTAL));
    assert_eq!(total.as_ref().map(|times| times.number), of_fold.map(|times| times.number));
    let phases: BTreeMap<_, _> = folded.times.iter().filter(|(phase, _)| phase.as_str() != TOTAL).collect();
    assert_eq!(times.iter().collect::<BTreeMap<_, _>>(), phases);
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_equal_a_fold_of_the_log_and_a_rebuild_gives_the_same() {
    let world = World::start().await;
    let ids = fleet(&world, 6).await;
    world.firmware("1.0.0").await;
    let firmware = world.firmware("2.0.0").await;
    for (id, hardware) in [("d-00", "A"), ("d-01", "A"), ("d-02", "B")] {
        let info = Info { hardware_version: Some(hardware.to_owned()), ..Info::default() };
        world.tell::<Device>(&device(id), info.into()).await.unwrap();
    }
    let id = world
        .campaign(&firmware, |spec| {
            spec.failure_threshold_percent = domain::values::Threshold::new(100).unwrap();
            spec.waves.drain(..1).for_each(drop);
            spec.max_concurrent_updates = 10;
        })
        .await;
    world.tick().await;
    world.tick().await;
    world.settles().await;
    for failing in ["d-00", "d-01", "d-02"] {
        world.fails(failing).await;
    }
    world.reports("d-03", ReportStatus::Received, None).await;
    world.reports("d-03", ReportStatus::Failed, Some("download_failed")).await;
    world.installs("d-04", "b2", "2.0.0").await;
    world.installs("d-05", "b2", "2.0.0").await;
    world.boots("d-05", "b3", "1.0.0").await;
    // What the hardware is called later doesn't matter.
    let info = Info { hardware_version: Some("C".to_owned()), ..Info::default() };
    world.tell::<Device>(&device("d-02"), info.into()).await.unwrap();
    world.settles().await;
    for round in 0..2 {
        check_sums(&world).await;
        check_days(&world).await;
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        let by = [FailedBy::Code, FailedBy::HardwareVersion, FailedBy::FromVersion, FailedBy::Wave];
        let found = failures(&mut tx, &id, &by).await.unwrap();
        let groups: Vec<_> = found.groups.iter().map(|group| (group.grouped.join(" "), group.devices)).collect();
        let expected = [
            ("signature_invalid A 1.0.0 1".to_owned(), 2),
            ("signature_invalid B 1.0.0 1".to_owned(), 1),
            ("version_regressed  1.0.0 1".to_owned(), 1),
        ];
        assert_eq!((groups, found.devices), (expected.to_vec(), 4), "round {round}");
        let by_model = populations(&mut tx, "firmware", None, &[GroupedBy::DeviceModel]).await.unwrap();
        let runs: Vec<_> = by_model.groups.iter().map(|group| (group.version.as_str(), group.devices)).collect();
        assert_eq!((runs, by_model.devices), (vec![("1.0.0", 5), ("2.0.0", 1)], 6));
        assert_eq!(by_model.groups[0].grouped, ["M"]);
        drop(tx);
        // Another tenant sees nothing of it.
        let other = TenantId::new("other").unwrap();
        let mut tx = world.db.read(&other).await.unwrap();
        assert_eq!(failures(&mut tx, &id, &by).await.unwrap().devices, 0);
        assert_eq!(populations(&mut tx, "firmware", None, &[]).await.unwrap().devices, 0);
        let day = clock::now().date_naive();
        assert_eq!(statistics(&mut tx, day, day).await.unwrap(), Default::default());
        drop(tx);
        projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {}).await.unwrap();
        world.settles().await;
    }
    check_counts(&world, &id, 10).await;
    assert_eq!(ids.len(), 6);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ran_at_a_time_is_what_was_decided_before_its_minute() {
    let world = World::start().await;
    let start: DateTime<Utc> = "2029-01-31T23:58:10Z".parse().unwrap();
    let at = |minutes: i64| start + TimeDelta::minutes(minutes);
    let versions = |version: &str| BTreeMap::from([("firmware".to_owned(), version.to_owned())]);
    // Times of the log need not rise: several processes write it.
    let times = [0, 1, 3, 2, 70, 1_500, 1_499, 60 * 24 * 40, 60 * 24 * 400];
    let mut changes = Vec::new();
    for (n, minutes) in times.into_iter().enumerate() {
        let id = device(&format!("d-{n}"));
        let profile = Profile { device_model: Some("M".into()), ..Profile::default() };
        world.tell_at::<Device>(at(minutes), &id, DeviceCommand::Register { profile, versions: versions("1") }).await;
        let presence = Presence { boot_id: Some("b".into()), versions: versions("2"), ..Presence::default() };
        world.tell_at::<Device>(at(minutes + 5), &id, presence.into()).await;
        changes.extend([(at(minutes), "1", 1), (at(minutes + 5), "1", -1), (at(minutes + 5), "2", 1)]);
    }
    world.tell_at::<Device>(at(10), &device("d-0"), DeviceCommand::Decommission).await;
    changes.push((at(10), "2", -1));
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    for minutes in times.into_iter().flat_map(|minutes| [minutes, minutes + 1, minutes + 6]).chain([-10, 60 * 24 * 500])
    {
        let asked = at(minutes);
        let found = populations(&mut tx, "firmware", Some(asked), &[GroupedBy::DeviceModel]).await.unwrap();
        let mut wanted = BTreeMap::<&str, i64>::new();
        for (_, version, number) in changes.iter().filter(|(time, ..)| *time < asked - TimeDelta::seconds(10)) {
            *wanted.entry(version).or_default() += number;
        }
        wanted.retain(|_, number| *number != 0);
        let runs: BTreeMap<&str, i64> =
            found.groups.iter().map(|group| (group.version.as_str(), group.devices as i64)).collect();
        assert_eq!(runs, wanted, "{asked}");
    }
    for (step, from, to) in [
        (Step::Minute, -2, 90),
        (Step::QuarterOfAnHour, 0, 1_600),
        (Step::Hour, -70, 1_600),
        (Step::SixHours, 0, 60 * 24 * 60),
        (Step::Day, 0, 60 * 24 * 300),
        (Step::Week, 0, 60 * 24 * 500),
    ] {
        let drawn = series(&mut tx, "firmware", at(from), at(to), step).await.unwrap();
        assert!(drawn.times.len() > 20 && drawn.times.is_sorted(), "{step:?}: {:?}", drawn.times);
        assert_eq!(drawn.times.last(), Some(&minute_of(at(to))));
        for (n, time) in drawn.times.iter().enumerate() {
            let then = populations(&mut tx, "firmware", Some(*time), &[]).await.unwrap();
            let runs: BTreeMap<_, _> = then.groups.into_iter().map(|group| (group.version, group.devices)).collect();
            let lines = drawn.versions.iter().map(|(version, numbers)| (version.clone(), numbers[n]));
            assert_eq!(lines.filter(|(_, devices)| *devices > 0).collect::<BTreeMap<_, _>>(), runs, "{step:?} {time}");
            assert_eq!((drawn.devices[n], drawn.other[n]), (then.devices, 0), "{step:?} {time}");
        }
    }
    drop(tx);
    check_sums(&world).await;
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_are_listed_by_day_and_by_device_in_pages() {
    let world = World::start().await;
    world.projections.started().await;
    let firmware = FirmwareId(clock::new_id());
    let counted = |id: Option<&str>, bytes: u64| Counted {
        tenant: world.tenant.clone(),
        firmware,
        campaign: None,
        device: id.map(device),
        downloads: Downloads { started: 1, completed: 1, bytes },
    };
    let batch = [counted(Some("d-1"), 5), counted(Some("d-2"), 7), counted(None, 1), counted(Some("d-1"), 5)];
    let writer = clock::new_id();
    for number in [1, 2, 2] {
        downloads::add(&world.db, Flush { writer, number }, &batch).await.unwrap();
    }
    // A flush of yesterday.
    for table in ["download_days", "download_devices"] {
        let sql = format!("INSERT INTO {table} SELECT * FROM {table}_of_yesterday");
        let make = format!("CREATE TEMPORARY TABLE {table}_of_yesterday AS SELECT * FROM {table}");
        let mut admin = world.admin().await.acquire().await.unwrap();
        sqlx::query(&make).execute(&mut *admin).await.unwrap();
        sqlx::query(&format!("UPDATE {table}_of_yesterday SET day = day - 1")).execute(&mut *admin).await.unwrap();
        sqlx::query(&sql).execute(&mut *admin).await.unwrap();
    }
    let day_before = clock::now().date_naive() - TimeDelta::days(1);
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let day = downloads::grouped(&mut tx, &firmware, day_before, &[], None, 10, false).await.unwrap().items;
    let all = Downloads { started: 8, completed: 8, bytes: 36 };
    assert_eq!(day.iter().map(|group| group.downloads).collect::<Vec<_>>(), [all, all]);
    let (yesterday, today) = (day[0].day.unwrap(), day[1].day.unwrap());
    assert_eq!(downloads::of_days(&mut tx, today, today).await.unwrap(), BTreeMap::from([(today, all)]));
    for by in [vec![DownloadedBy::Device], vec![DownloadedBy::Day, DownloadedBy::Device]] {
        let (mut found, mut after) = (Vec::new(), None::<Vec<String>>);
        loop {
            let page =
                downloads::grouped(&mut tx, &firmware, day_before, &by, after.as_deref(), 2, true).await.unwrap();
            assert_eq!(page.total, Some(3 * by.len() as u64));
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let shown: Vec<_> =
            found.iter().map(|group| (group.device_id.as_deref().unwrap(), group.day, group.downloads.bytes)).collect();
        if by.len() == 1 {
            assert_eq!(shown, [("", None, 4), ("d-1", None, 40), ("d-2", None, 28)]);
        } else {
            let days = [Some(yesterday), Some(today)];
            let expected = [("", 2), ("d-1", 20), ("d-2", 14)];
            let expected: Vec<_> = expected.iter().flat_map(|(id, bytes)| days.map(|day| (*id, day, *bytes))).collect();
            assert_eq!(shown, expected);
        }
    }
    let mut tx = world.db.read(&TenantId::new("other").unwrap()).await.unwrap();
    assert!(
        downloads::grouped(&mut tx, &firmware, day_before, &[DownloadedBy::Device], None, 10, false)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}
