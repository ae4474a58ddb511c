//! Campaigns that only the rollout read model drives.

use domain::campaign::{CampaignCommand, CampaignStatus, PauseCause};
use domain::device::{Device, DeviceCommand, OfflineCause, Phase, ReportStatus as S};
use domain::firmware::Firmware;
use domain::{CampaignId, Key};
use projections::{campaigns, devices, history, rollout, updates};
use runtime::clock;

use crate::fleet::{World, device};
use crate::statistics::check_sums;

/// Rounds after which a campaign must have moved.
const TICKS_MAX: usize = 60;

pub(crate) async fn fleet(world: &World, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|n| format!("d-{n:02}")).collect();
    for id in &ids {
        world.register(id).await;
        world.boots(id, "b1", "1.0.0").await;
    }
    ids
}

async fn status(world: &World, id: &CampaignId) -> String {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let filter = campaigns::CampaignFilter { id: Some(id.to_string()), ..Default::default() };
    campaigns::list(&mut tx, &filter, None, 1, false).await.unwrap().items.remove(0).status
}

/// Members whose readiness columns differ from what follows from member, device and campaign.
const READY_OTHERWISE: &str = "
SELECT m.device_id || ' ' || coalesce(u.phase, '-') || ' ' || m.ready || ' ' || coalesce(m.ready_at::text, '-')
FROM rollout_members m
JOIN rollout_campaigns c ON c.tenant = m.tenant AND c.campaign_id = m.campaign_id AND c.plan = m.plan
JOIN devices d ON d.tenant = m.tenant AND d.device_id = m.device_id
LEFT JOIN updates u ON u.tenant = m.tenant AND u.device_id = m.device_id AND u.ordinal = m.ordinal AND m.before_retry IS NULL
WHERE (c.at_work OR (m.ordinal IS NOT NULL AND m.before_retry IS NULL)) AND (m.ready OR coalesce(m.ready_at <= now(), false)) IS DISTINCT FROM (
  m.excluded IS NULL AND NOT m.holds_slot AND m.outcome IS NULL AND coalesce(u.phase IN ('queued', 'waiting', 'staged'), true)
  AND (u.not_before IS NULL OR u.not_before <= now())
  AND (d.lifecycle = 'decommissioned' OR (
    d.status = 'online' AND (d.live_ordinal IS NULL OR coalesce(u.phase = 'staged' AND d.live_ordinal = u.ordinal, false)) AND NOT (d.held AND (d.hold_until IS NULL OR d.hold_until > now()))
    AND (c.spec->>'priority' = 'critical' OR coalesce(u.wait_reason = 'backoff', false) OR NOT EXISTS (
      SELECT FROM updates o WHERE o.tenant = d.tenant AND o.device_id = d.device_id AND o.ordinal IS DISTINCT FROM u.ordinal
        AND o.open AND o.wait_reason = 'backoff')))))";

/// Versions whose counts differ from the devices' rows.
const VERSIONS_OTHERWISE: &str = "
SELECT coalesce(c.version, d.version) || ' ' || coalesce(c.active, 0) || ' ' || coalesce(d.active, 0)
FROM device_version_counts c
FULL JOIN (SELECT t.tenant, v.key AS component, v.value AS version, count(*) FILTER (WHERE t.lifecycle = 'active') AS active,
             count(*) FILTER (WHERE t.lifecycle = 'decommissioned') AS decommissioned
           FROM devices t, jsonb_each_text(t.versions) v GROUP BY 1, 2, 3) d
  ON (c.tenant, c.component, c.version) = (d.tenant, d.component, d.version)
WHERE c.active IS DISTINCT FROM d.active OR c.decommissioned IS DISTINCT FROM d.decommissioned";

const PHASES: [&str; 25] = [
    "rolling_back",
    "rolled_back",
    "rollback_failed",
    "planned",
    "queued",
    "waiting",
    "dispatched",
    "accepted",
    "deferred",
    "downloading",
    "verifying",
    "installing",
    "staged",
    "activating",
    "rebooting",
    "cancelling",
    "confirmed",
    "failed",
    "timed_out",
    "rejected",
    "expired",
    "superseded",
    "cancelled",
    "regressed",
    "excluded",
];

/// The view's counts must equal those of the members' rows. No more slots may be in use than allowed.
pub(crate) async fn check_counts(world: &World, id: &CampaignId, max: u32) {
    let otherwise: Vec<String> = sqlx::query_scalar(READY_OTHERWISE).fetch_all(&world.admin().await).await.unwrap();
    assert!(otherwise.is_empty(), "{otherwise:?}");
    let otherwise: Vec<String> = sqlx::query_scalar(VERSIONS_OTHERWISE).fetch_all(&world.admin().await).await.unwrap();
    assert!(otherwise.is_empty(), "versions: {otherwise:?}");
    check_sums(world).await;
    let Some(view) = rollout::view(&world.db, &world.tenant, id, clock::now()).await.unwrap() else { return };
    let total = view.rollout.total();
    assert!(total.in_use <= max, "{} slots in use", total.in_use);
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let page = rollout::members(&mut tx, &id.to_string(), &Default::default(), clock::now(), None, 1_000, false)
        .await
        .unwrap();
    let count =
        |is: &dyn Fn(&rollout::MemberView) -> bool| page.items.iter().filter(|member| is(member)).count() as u32;
    assert_eq!(total.in_use, count(&|m| m.holds_slot));
    let totals = rollout::totals(&mut tx, &world.tenant, id).await.unwrap();
    assert_eq!(totals.failures_by_code.values().sum::<u64>(), u64::from(total.failed), "{totals:?}");

    let known = |phase: &str| totals.status_counts.get(phase).copied().unwrap_or(0);
    for (phase, count) in PHASES.map(|phase| (phase.to_owned(), known(phase))) {
        let filter = rollout::MemberFilter { phases: vec![phase.clone()], ..Default::default() };
        let found =
            rollout::members(&mut tx, &id.to_string(), &filter, clock::now(), None, 1_000, false).await.unwrap().items;
        assert_eq!(found.len() as u64, count, "{phase}");
    }
    for (left_out, is) in [(rollout::LeftOut::Yes, true), (rollout::LeftOut::No, false)] {
        let filter = rollout::MemberFilter { excluded: Some(left_out), ..Default::default() };
        let found =
            rollout::members(&mut tx, &id.to_string(), &filter, clock::now(), None, 1_000, false).await.unwrap().items;
        assert!(found.iter().all(|member| member.excluded.is_some() == is), "{left_out:?}");
        assert_eq!(found.len() as u32, count(&|m| m.excluded.is_some() == is), "{left_out:?}");
    }
    assert_eq!(total.confirmed, count(&|m| m.phase == "confirmed" && m.regressed_at.is_none()));
    let phases = [rollout::ROLLED_BACK, rollout::ROLLBACK_FAILED, rollout::ROLLING_BACK];
    let back = phases.map(|phase| count(&|m| m.displayed_phase == phase));
    assert_eq!([total.rolled_back, total.rollback_failed, total.rolling_back], back);
    assert_eq!(total.reached, count(&|m| m.reached_at.is_some()));
    assert_eq!(total.gate_failed, count(&|m| m.gate_failed));
    assert_eq!(total.gate_settled, count(&|m| m.gate_failed || m.confirmed_ever));
    let failed = ["failed", "timed_out", "rejected"];
    assert_eq!(total.failed, count(&|m| m.regressed_at.is_some() || failed.contains(&m.phase.as_str())));
    let accepted = |m: &rollout::MemberView| {
        m.failure_accepted && (m.regressed_at.is_some() || failed.contains(&m.phase.as_str()))
    };
    assert_eq!(total.accepted_ended, count(&accepted));
    assert_eq!(total.staged, count(&|m| m.phase == "staged"));
    let rests = |m: &rollout::MemberView| ["deferred", "staged"].contains(&m.phase.as_str());
    assert_eq!(
        total.working,
        count(&|m| { m.phase == "cancelling" || (m.reached_at.is_some() && m.ended_at.is_none() && !rests(m)) })
    );
    for member in page.items.iter().filter(|member| member.ordinal.is_some()) {
        let key = Key::<Device>::new(&world.tenant, &device(&member.device_id));
        let loaded = world.store.load_fresh(&key).await.unwrap();
        let update = loaded.aggregate.update(member.ordinal.unwrap()).unwrap();
        if member.retry_of == member.ordinal {
            // It is to be retried. Later events of the old update change nothing.
            assert_eq!((member.phase.as_str(), update.phase.is_ended()), ("planned", true), "{}", member.device_id);
            continue;
        }
        assert_eq!(member.phase, update.phase.word(), "{}", member.device_id);
        assert_eq!((member.attempt, member.reached_at.is_some()), (update.attempt, update.reached));
        // Of the two only one is open.
        let back = member.rollback_ordinal.map(|ordinal| loaded.aggregate.update(ordinal).unwrap());
        let update = back.unwrap_or(update);
        // Every grant has been answered here. A cancel keeps the slot.
        if update.phase != Phase::Cancelling {
            let begun = matches!(update.phase, Phase::Dispatched | Phase::Activating) || update.phase.is_working();
            assert_eq!(member.holds_slot, begun, "{} {:?}", member.device_id, update.phase);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_campaign_runs_to_its_end() {
    let world = World::start().await;
    let ids = fleet(&world, 10).await;
    let firmware = world.firmware("2.0.0").await;
    world.tell::<Device>(&device("d-09"), DeviceCommand::Hold { until: None }).await.unwrap();
    let id = world.campaign(&firmware, |_| {}).await;
    for _ in 0..TICKS_MAX {
        world.tick().await;
        check_counts(&world, &id, 4).await;
        for device in &ids {
            world.installs(device, "b2", "2.0.0").await;
            world.settles().await;
            check_counts(&world, &id, 4).await;
        }
        if status(&world, &id).await == "completed" {
            break;
        }
    }
    assert_eq!(status(&world, &id).await, "completed");
    world.tick().await;
    assert!(rollout::at_work(&world.db, None, 10).await.unwrap().is_empty(), "its firmware is unpinned");
    let pinned = world.store.load_fresh(&Key::<Firmware>::new(&world.tenant, &firmware.firmware_id)).await.unwrap();
    assert!(pinned.aggregate.pinned_by.is_empty());

    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let waves = rollout::progress(&mut tx, &world.tenant, &id).await.unwrap();
    assert_eq!(
        waves.iter().map(|wave| (wave.counts.enrolled, wave.counts.confirmed)).collect::<Vec<_>>(),
        [(2, 2), (7, 7)]
    );
    let totals = rollout::totals(&mut tx, &world.tenant, &id).await.unwrap();
    assert_eq!((totals.status_counts["confirmed"], totals.status_counts["excluded"]), (9, 1));
    assert!(totals.average_update_seconds.is_some());
    let ran = history::list(&mut tx, "d-00", &Default::default(), None, 10, false).await.unwrap().items;
    assert_eq!(ran.iter().map(|row| row.cause.as_str()).collect::<Vec<_>>(), ["registered", "confirmed"]);
    assert_eq!(ran[1].campaign_id, Some(id.to_string()));
    let row = devices::get(&mut tx, &world.tenant, "d-00").await.unwrap().unwrap().row;
    assert_eq!((row.firmware_version.as_deref(), row.live_ordinal), (Some("2.0.0"), None));
    drop(tx);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_close_the_gate_and_accepting_them_opens_it() {
    let world = World::start().await;
    let ids = fleet(&world, 10).await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |spec| spec.max_retries = 0).await;
    for _ in 0..TICKS_MAX {
        world.tick().await;
        for device in &ids {
            world.fails(device).await;
        }
        if status(&world, &id).await == "paused" {
            break;
        }
    }
    assert_eq!(status(&world, &id).await, "paused");
    let view = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap().rollout;
    assert_eq!((view.wave, view.total().failed, view.failed_devices.len()), (1, 2, 2));
    world.tell::<domain::campaign::Campaign>(&id, CampaignCommand::Resume { accept_failures: true }).await.unwrap();
    for _ in 0..TICKS_MAX {
        world.tick().await;
        check_counts(&world, &id, 4).await;
        for device in &ids {
            world.installs(device, "b2", "2.0.0").await;
        }
        if status(&world, &id).await == "completed_with_failures" {
            break;
        }
    }
    assert_eq!(status(&world, &id).await, "completed_with_failures");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_withdraws_commands_a_cancel_ends_updates_and_a_refusal_resumes_one() {
    let world = World::start().await;
    let ids = fleet(&world, 5).await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |spec| spec.waves.drain(..1).for_each(drop)).await;
    world.tick().await;
    world.tick().await;
    let view = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap().rollout;
    assert_eq!(view.total().in_use, 4);
    let pause = CampaignCommand::Pause { cause: PauseCause::Operator };
    world.tell::<domain::campaign::Campaign>(&id, pause).await.unwrap();
    world.tick().await;
    let view = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap().rollout;
    assert_eq!((view.total().in_use, view.total().ready), (0, 5), "withdrawn commands give their slots back");
    world.tell::<domain::campaign::Campaign>(&id, CampaignCommand::Resume { accept_failures: false }).await.unwrap();
    world.tick().await;
    for device in &ids {
        world.reports(device, S::Downloading, None).await;
    }
    world.tell::<domain::campaign::Campaign>(&id, CampaignCommand::Cancel).await.unwrap();
    world.tick().await;
    let refusing = ids.iter().find(|id| {
        let id = device(id);
        futures::executor::block_on(world.store.load_fresh(&Key::<Device>::new(&world.tenant, &id)))
            .is_ok_and(|loaded| loaded.aggregate.live().is_some())
    });
    let refusing = refusing.unwrap();
    world.reports(refusing, S::CancelRefused, None).await;
    world.settles().await;
    check_counts(&world, &id, 4).await;
    for device in ids.iter().filter(|id| *id != refusing) {
        world.reports(device, S::Cancelled, None).await;
    }
    world.installs(refusing, "b2", "2.0.0").await;
    for _ in 0..TICKS_MAX {
        world.tick().await;
        if status(&world, &id).await == CampaignStatus::Cancelled.word() {
            break;
        }
    }
    assert_eq!(status(&world, &id).await, "cancelled");
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let all = updates::list(&mut tx, &Default::default(), clock::now(), None, 100, true).await.unwrap();
    assert!(all.items.iter().all(|update| update.row.timed.phase().is_ended()), "{all:?}");
    drop(tx);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_cancelled_before_its_plan_ends() {
    let world = World::start().await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |_| {}).await;
    world.tell::<domain::campaign::Campaign>(&id, CampaignCommand::Cancel).await.unwrap();
    world.tick().await;
    assert_eq!(status(&world, &id).await, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_devices_that_could_begin_are_ready() {
    let world = World::start().await;
    let ids = fleet(&world, 6).await;
    let firmware = world.firmware("2.0.0").await;
    let other = world.firmware("1.5.0").await;
    let id = world
        .campaign(&firmware, |spec| {
            spec.waves.drain(..1).for_each(drop);
            spec.max_concurrent_updates = 1;
        })
        .await;
    world.tick().await;
    let offline = DeviceCommand::MarkOffline { cause: OfflineCause::Silence };
    world.tell::<Device>(&device(&ids[0]), offline).await.unwrap();
    world.tell::<Device>(&device(&ids[1]), DeviceCommand::Hold { until: None }).await.unwrap();
    let busy = DeviceCommand::RequestUpdate { request: Box::new(crate::fleet::request(&other)) };
    world.tell::<Device>(&device(&ids[2]), busy).await.unwrap();
    world.settles().await;
    let now = clock::now();
    let ready = rollout::ready(&world.db, &world.tenant, &id, now, 10).await.unwrap();
    let mut names: Vec<&str> = ready.iter().map(|slot| slot.device.as_str()).collect();
    assert!(ready.is_sorted_by_key(|slot| slot.rank));
    names.sort_unstable();
    assert_eq!(names, ["d-03", "d-04", "d-05"]);
    let later = now + chrono::TimeDelta::minutes(600);
    let ready = rollout::ready(&world.db, &world.tenant, &id, later, 10).await.unwrap();
    assert_eq!(ready.len(), 6, "devices whose waiting time is over are ready to end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_reads_the_devices_that_the_planner_reads() {
    let world = World::start().await;
    let ids = fleet(&world, 12).await;
    world.tell::<Device>(&device(&ids[2]), DeviceCommand::Hold { until: None }).await.unwrap();
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |_| {}).await;
    world.settles().await;
    let spec = rollout::at_work(&world.db, None, 10).await.unwrap().remove(0).spec;
    let now = clock::now();
    let planned = rollout::plan_candidates(&world.db, &world.tenant, &spec, &firmware, 0, now).await.unwrap().unwrap();
    let previewed = async |devices_max| {
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        rollout::preview_candidates(&mut tx, &world.tenant, &spec, &firmware, now, devices_max).await.unwrap()
    };
    assert_eq!(previewed(12).await, Some(planned));
    assert_eq!(previewed(11).await, None, "more devices than allowed");
    let mut tx = world.db.read(&domain::TenantId::new("other").unwrap()).await.unwrap();
    let other = rollout::preview_candidates(&mut tx, &world.tenant, &spec, &firmware, now, 12).await.unwrap().unwrap();
    assert_eq!(other.0, [], "a reader of another tenant sees no devices");
    drop(tx);

    for id in &ids {
        world.tick().await;
        world.installs(id, "b2", "2.0.0").await;
    }
    let times = async |firmware: Option<&domain::FirmwareId>| {
        world.settles().await;
        let mut tx = world.db.read(&world.tenant).await.unwrap();
        rollout::update_times(&mut tx, firmware).await.unwrap().confirmed
    };
    let confirmed = {
        let view = rollout::view(&world.db, &world.tenant, &id, now).await.unwrap().unwrap();
        u64::from(view.rollout.total().confirmed)
    };
    assert!(confirmed > 0);
    assert_eq!((times(None).await, times(Some(&firmware.firmware_id)).await), (confirmed, confirmed));
    let unused = world.firmware("3.0.0").await;
    assert_eq!(times(Some(&unused.firmware_id)).await, 0);
}
