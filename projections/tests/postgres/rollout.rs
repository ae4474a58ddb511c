//! A campaign's rows when commands, reports and operators cross.

use chrono::{DateTime, TimeDelta, Utc};
use domain::campaign::{Campaign, CampaignCommand, PauseCause};
use domain::device::{Clock, Device, DeviceCommand, OfflineCause, Report, ReportStatus as S};
use domain::ledger::{Ledger, LedgerCommand, Slots};
use domain::rollout::{RolloutStep, decide};
use domain::{CampaignId, Key};
use projections::{history, rollout};
use runtime::clock;
use sqlx::Executor as _;

use crate::campaigns::{check_counts, fleet};
use crate::fleet::{World, device};

const PAUSE: CampaignCommand = CampaignCommand::Pause { cause: PauseCause::Operator };
const RESUME: CampaignCommand = CampaignCommand::Resume { accept_failures: false };

pub(crate) async fn waves(world: &World, id: &CampaignId) -> Vec<rollout::ProgressRow> {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    rollout::progress(&mut tx, &world.tenant, id).await.unwrap()
}

pub(crate) async fn members(world: &World, id: &CampaignId) -> (Vec<rollout::MemberView>, rollout::Totals) {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let page =
        rollout::members(&mut tx, &id.to_string(), &Default::default(), clock::now(), None, 100, false).await.unwrap();
    (page.items, rollout::totals(&mut tx, &world.tenant, id).await.unwrap())
}

/// A report on the first update of a device, in any state.
pub(crate) async fn reports_first(world: &World, id: &str, status: S) {
    let report =
        Report { ordinal: 1, attempt: 1, status, sha256: None, code: None, message: None, retry_after_s: Some(60) };
    world.tell::<Device>(&device(id), report.into()).await.unwrap();
}

/// A campaign of one wave over this many devices, each with one attempt.
pub(crate) async fn one_wave(devices: usize, slots: u32) -> (World, Vec<String>, CampaignId) {
    one_wave_of_attempts(devices, slots, 1).await
}

async fn one_wave_of_attempts(devices: usize, slots: u32, attempts: u16) -> (World, Vec<String>, CampaignId) {
    let world = World::start().await;
    let ids = fleet(&world, devices).await;
    let firmware = world.firmware("2.0.0").await;
    let change = |spec: &mut domain::campaign::CampaignSpec| {
        spec.waves.drain(..1).for_each(drop);
        (spec.max_concurrent_updates, spec.max_retries, spec.gate_min_settled) = (slots, attempts - 1, 100);
    };
    let id = world.campaign(&firmware, change).await;
    world.tick().await;
    world.tick().await;
    (world, ids, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opening_time_of_a_wave_does_not_change_with_its_clocks() {
    let (world, ids, id) = one_wave(2, 4).await;
    let opened: DateTime<Utc> = waves(&world, &id).await[0].opened_at.unwrap();
    let at = |hour: i64| opened + TimeDelta::hours(hour);
    world.tell_at::<Campaign>(at(1), &id, PAUSE).await;
    world.tell_at::<Campaign>(at(3), &id, RESUME).await;
    let paused = &waves(&world, &id).await[0];
    assert_eq!(paused.opened_at, Some(opened));
    assert_eq!(paused.waits_from, Some(at(2)), "moved forward by the two hours of the pause");
    world.tick().await;
    world.fails(&ids[0]).await;
    world.settles().await;
    world.tell_at::<Campaign>(at(4), &id, CampaignCommand::Retry).await;
    let retried = &waves(&world, &id).await[0];
    assert_eq!(retried.opened_at, Some(opened));
    assert_eq!(retried.waits_from, Some(at(4)));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_running_version_confirms_an_ended_update_late() {
    let (world, ids, id) = one_wave(2, 4).await;
    for device in &ids {
        world.fails(device).await;
    }
    reports_first(&world, "d-00", S::Completed).await;
    let late = async || {
        let (members, totals) = members(&world, &id).await;
        let sum: u64 = totals.status_counts.values().sum();
        assert_eq!((sum, totals.status_counts["failed"]), (2, 2), "each device is in one phase: {totals:?}");
        let late: Vec<String> = members.iter().filter(|m| m.late_confirmed).map(|m| m.device_id.clone()).collect();
        assert_eq!(late.len() as u64, totals.late_confirmed);
        late
    };
    assert!(late().await.is_empty(), "a claim is no proof");
    world.boots("d-01", "b2", "v2.0.0").await;
    assert_eq!(late().await, ["d-01"]);
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let ran = history::list(&mut tx, "d-01", &Default::default(), None, 10, false).await.unwrap().items;
    assert_eq!((ran[1].cause.as_str(), ran[1].campaign_id.as_deref()), ("late", Some(id.to_string().as_str())));
    drop(tx);
    world.equals_a_replay().await;
    world.boots("d-01", "b3", "v2.0.0").await;
    assert_eq!(late().await, ["d-01"], "another boot of it");
    world.boots("d-01", "b4", "1.0.0").await;
    assert!(late().await.is_empty(), "it has fallen back");
    world.boots("d-01", "b5", "2.0.0").await;
    world.equals_a_replay().await;
    world.tell::<Campaign>(&id, CampaignCommand::Retry).await.unwrap();
    let (members, totals) = members(&world, &id).await;
    assert_eq!(
        (totals.status_counts["planned"], totals.status_counts["failed"]),
        (1, 1),
        "who is there isn't asked again"
    );
    let late: Vec<bool> = members.iter().map(|member| member.late_confirmed).collect();
    assert_eq!(late.iter().filter(|late| **late).count(), 1);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_granted_slot_is_in_use_until_its_grant_is_answered() {
    let (world, _, id) = one_wave(3, 1).await;
    let (all, _) = members(&world, &id).await;
    let first = all.iter().find(|member| member.phase == "dispatched").unwrap().device_id.clone();
    world.tell::<Campaign>(&id, PAUSE).await.unwrap();
    world.tick().await;
    world.tell::<Campaign>(&id, RESUME).await.unwrap();
    world.settles().await;
    let view = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap();
    let ready = rollout::ready(&world.db, &world.tenant, &id, clock::now(), 1).await.unwrap();
    assert_eq!(ready[0].device.as_str(), first);
    let grant = LedgerCommand::Grant {
        seen_version: view.ledger_version,
        slots: Slots { in_use: 0, max_concurrent_updates: 1 }.into(),
        grants: ready.clone(),
    };
    world.tell::<Ledger>(&id, grant).await.unwrap();
    // The answer to the withdrawn command arrives before the grant does.
    reports_first(&world, &first, S::Deferred).await;
    world.settles().await;
    let total = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap().rollout.total();
    assert_eq!(total.in_use, 1, "the device may begin at any moment");
    let unseen = rollout::unanswered_grants(&world.db, &world.tenant, &id, rollout::Unanswered::All, 10).await.unwrap();
    assert_eq!(unseen.len(), 1, "the grant is still to be sent");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_refuses_a_cancel_gets_no_second_one_and_keeps_the_campaign_open() {
    let (world, ids, id) = one_wave(2, 4).await;
    for device in &ids {
        world.reports(device, S::Downloading, None).await;
    }
    world.tell::<Campaign>(&id, CampaignCommand::Cancel).await.unwrap();
    world.tick().await;
    world.reports(&ids[0], S::CancelRefused, None).await;
    world.settles().await;
    check_counts(&world, &id, 4).await;
    assert!(
        rollout::cancellable(&world.db, &world.tenant, &id, rollout::CancelScope::Everything, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(rollout::has_uncancelled(&world.db, &world.tenant, &id, rollout::CancelScope::Everything).await.unwrap());
    world.equals_a_replay().await;
}

/// Two devices fail the first of two attempts. An operator accepts that. Then one of them fails for good.
#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_failure_is_not_counted_again_when_the_next_attempt_fails() {
    let (world, ids, id) = one_wave_of_attempts(4, 4, 2).await;
    for failing in &ids[..2] {
        world.reports(failing, S::Received, None).await;
        world.reports(failing, S::Failed, Some("install_failed")).await;
    }
    world.tell::<Campaign>(&id, PAUSE).await.unwrap();
    world.tell::<Campaign>(&id, CampaignCommand::Resume { accept_failures: true }).await.unwrap();
    let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(&ids[0]))).await.unwrap();
    let update = loaded.aggregate.update(1).unwrap();
    let (attempt, phase, seq) = (update.attempt, update.phase, update.seq);
    let late = DeviceCommand::Expire { ordinal: 1, attempt, phase, clock: Clock::Total, seq };
    world.tell::<Device>(&device(&ids[0]), late).await.unwrap();
    for good in &ids[2..] {
        world.installs(good, "b2", "2.0.0").await;
    }
    let wave = &waves(&world, &id).await[0];
    assert_eq!(
        (wave.counts.failed, wave.counts.accepted_ended, wave.counts.gate_failed, wave.counts.accepted_failed),
        (1, 1, 2, 2)
    );
    world.equals_a_replay().await;

    // A new update is judged like any other.
    world.tell::<Campaign>(&id, CampaignCommand::Retry).await.unwrap();
    assert_eq!(waves(&world, &id).await[0].counts.accepted_ended, 0);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_by_code_count_devices_that_are_failed_now() {
    let (world, ids, id) = one_wave_of_attempts(3, 4, 2).await;
    let by_code = async || {
        let (_, totals) = members(&world, &id).await;
        check_counts(&world, &id, 4).await;
        totals.failures_by_code.into_iter().collect::<Vec<_>>()
    };
    world.reports(&ids[0], S::Received, None).await;
    world.reports(&ids[0], S::Failed, Some("install_failed")).await;
    assert!(by_code().await.is_empty(), "it is retried");
    world.fails(&ids[1]).await;
    world.installs(&ids[2], "b2", "2.0.0").await;
    world.boots(&ids[2], "b3", "1.0.0").await;
    let both = [("signature_invalid".to_owned(), 1), ("version_regressed".to_owned(), 1)];
    assert_eq!(by_code().await, both);
    world.tell::<Campaign>(&id, CampaignCommand::Retry).await.unwrap();
    assert!(by_code().await.is_empty(), "they are retried");
    world.tick().await;
    world.installs(&ids[1], "b4", "2.0.0").await;
    assert!(by_code().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_campaign_ends_with_its_waiting_updates() {
    let (world, ids, id) = one_wave(2, 1).await;
    let offline = DeviceCommand::MarkOffline { cause: OfflineCause::Silence };
    world.tell::<Device>(&device(&ids[0]), offline).await.unwrap();
    world.tell::<Campaign>(&id, PAUSE).await.unwrap();
    world.tick().await;
    let later = clock::now() + TimeDelta::days(31);
    let view = rollout::view(&world.db, &world.tenant, &id, later).await.unwrap().unwrap().rollout;
    let Some(RolloutStep::Finish { result, evidence }) = decide(&view, later).pop() else { panic!("no end") };
    world.tell::<Campaign>(&id, CampaignCommand::Finish { result, evidence }).await.unwrap();
    let (members, _) = members(&world, &id).await;
    assert!(members.iter().any(|member| member.phase == "expired"), "a device that had no turn has an outcome");
    let pauses: i64 =
        sqlx::query_scalar("SELECT count(*) FROM update_pauses").fetch_one(&world.admin().await).await.unwrap();
    assert_eq!(pauses, 0, "clocks of waiting updates run again");
    world.tick().await;
    assert!(rollout::at_work(&world.db, None, 10).await.unwrap().is_empty(), "its firmware is unpinned");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_rebuild_unparks_a_campaign() {
    let world = World::start().await;
    fleet(&world, 2).await;
    let firmware = world.firmware("2.0.0").await;
    let admin = world.admin().await;
    admin.execute("ALTER TABLE rollout_campaigns ADD CONSTRAINT poison CHECK (status <> 'planning')").await.unwrap();
    let id = world.campaign(&firmware, |_| {}).await;
    world.tick().await;
    let parked = async || {
        let all = world.projections.status().await.unwrap();
        all.into_iter().find(|status| status.name == projections::FLEET).unwrap().parked
    };
    assert_eq!(parked().await, 1);
    admin.execute("ALTER TABLE rollout_campaigns DROP CONSTRAINT poison").await.unwrap();
    let tried = world.projections.unpark(projections::FLEET).await.unwrap();
    assert!(tried.released.is_empty(), "{tried:?}");
    let [(_, reason)] = &tried.still_parked[..] else { panic!("{tried:?}") };
    assert!(reason.contains("waybill rebuild fleet"), "{reason}");
    projections::rebuild(&world.db, world.log.clone(), projections::FLEET, |_, _| {}).await.unwrap();
    world.tick().await;
    world.tick().await;
    assert_eq!(parked().await, 0);
    let loaded = world.store.load_fresh(&Key::<Campaign>::new(&world.tenant, &id)).await.unwrap();
    assert_eq!(loaded.aggregate.wave, 1, "it continues");
    world.equals_a_replay().await;
    assert!(world.projections.unpark(projections::FLEET).await.unwrap().released.is_empty());
}
