//! Outcomes that stay, and late confirmations of them.

use chrono::TimeDelta;
use domain::campaign::{Campaign, CampaignCommand, PauseCause};
use domain::device::{CampaignRef, Device, DeviceCommand, Grant, OfflineCause, Outcome, Phase, ReportStatus as S};
use domain::ledger::{Ledger, LedgerCommand, SlotGrant, Slots};
use domain::rollout::{RolloutStep, decide};
use domain::{CampaignId, Key};
use projections::rollout;
use runtime::clock;

use crate::campaigns::check_counts;
use crate::fleet::{World, device, request};
use crate::rollout::{members, one_wave, waves};

/// An operator resumes the campaign and accepts what has failed so far.
async fn accepts_failures(world: &World, id: &CampaignId) {
    tell(world, id, CampaignCommand::Pause { cause: PauseCause::Operator }).await;
    tell(world, id, CampaignCommand::Resume { accept_failures: true }).await;
}

async fn tell(world: &World, id: &CampaignId, command: CampaignCommand) {
    world.tell::<Campaign>(id, command).await.unwrap();
    world.settles().await;
}

async fn goes(world: &World, id: &str) {
    let command = DeviceCommand::MarkOffline { cause: OfflineCause::Silence };
    world.tell::<Device>(&device(id), command).await.unwrap();
}

async fn phases(world: &World, id: &CampaignId) -> Vec<(String, u64)> {
    world.settles().await;
    check_counts(world, id, 10).await;
    members(world, id).await.1.status_counts.into_iter().collect()
}

async fn late(world: &World, id: &CampaignId) -> Vec<String> {
    let (members, totals) = members(world, id).await;
    let late: Vec<String> = members.into_iter().filter(|m| m.late_confirmed).map(|m| m.device_id).collect();
    assert_eq!(late.len() as u64, totals.late_confirmed);
    late
}

async fn is_retryable(world: &World, id: &CampaignId) -> bool {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    rollout::totals(&mut tx, &world.tenant, id).await.unwrap().retryable > 0
}

async fn last_phase(world: &World, id: &str) -> (u32, Phase) {
    let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(id))).await.unwrap();
    let last = loaded.aggregate.last_ordinal;
    (last, loaded.aggregate.update(last).unwrap().phase)
}

/// Grants a slot that the view offers, although the state may have changed since.
async fn grant(world: &World, id: &CampaignId, view: &rollout::View, slot: SlotGrant) -> Grant {
    let command = LedgerCommand::Grant {
        seen_version: view.ledger_version,
        slots: Slots { in_use: 0, max_concurrent_updates: 10 }.into(),
        grants: vec![slot.clone()],
    };
    world.tell::<Ledger>(id, command).await.unwrap();
    let campaign = CampaignRef { id: *id, wave: slot.wave, rank: slot.rank, round: view.retry_round };
    Grant { campaign, number: view.ledger_version + 1, wait_until: clock::now() + TimeDelta::days(1) }
}

async fn view(world: &World, id: &CampaignId) -> rollout::View {
    world.settles().await;
    rollout::view(&world.db, &world.tenant, id, clock::now()).await.unwrap().unwrap()
}

async fn carry(world: &World, view: &rollout::View, id: &str, grant: Grant) {
    let request = Box::new(request(&view.firmware));
    world.tell::<Device>(&device(id), DeviceCommand::GrantSlot { request, grant }).await.unwrap();
}

/// One failed, one refused, one fell back, one is confirmed. Then all are offline.
async fn mixed() -> (World, Vec<String>, CampaignId, Vec<(String, u64)>) {
    let (world, ids, id) = one_wave(4, 4).await;
    world.fails(&ids[0]).await;
    world.reports(&ids[1], S::Received, None).await;
    world.reports(&ids[1], S::Rejected, Some("unsupported")).await;
    for id in &ids[2..] {
        world.installs(id, "b2", "2.0.0").await;
    }
    world.boots(&ids[2], "b3", "1.0.0").await;
    world.settles().await;
    for id in &ids {
        goes(&world, id).await;
    }
    let before = phases(&world, &id).await;
    let expected = ["confirmed", "failed", "regressed", "rejected"].map(|phase| (phase.to_owned(), 1));
    assert_eq!(before, expected);
    (world, ids, id, before)
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_whose_retry_never_begins_keep_their_former_outcome() {
    let (world, _, id, before) = mixed().await;
    let (rows_before, counts_before) = (members(&world, &id).await.0, waves(&world, &id).await);
    tell(&world, &id, CampaignCommand::Retry).await;
    assert_eq!(phases(&world, &id).await, [("confirmed".to_owned(), 1), ("planned".to_owned(), 3)]);
    world.equals_a_replay().await;
    tell(&world, &id, CampaignCommand::Cancel).await;
    world.tick().await;
    assert_eq!(phases(&world, &id).await, before);
    assert_eq!(members(&world, &id).await.0, rows_before);
    let outcomes = |wave: &rollout::ProgressRow| {
        (
            wave.counts.reached,
            wave.counts.confirmed,
            wave.counts.failed,
            wave.counts.gate_failed,
            wave.counts.cancelled,
            wave.counts.accepted_ended,
        )
    };
    assert_eq!(outcomes(&waves(&world, &id).await[0]), outcomes(&counts_before[0]));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_retry_includes_failures_that_were_accepted_meanwhile() {
    let (world, _, id, before) = mixed().await;
    tell(&world, &id, CampaignCommand::Retry).await;
    accepts_failures(&world, &id).await;
    let later = clock::now() + TimeDelta::days(31);
    let view = rollout::view(&world.db, &world.tenant, &id, later).await.unwrap().unwrap().rollout;
    let Some(RolloutStep::Finish { result, evidence }) = decide(&view, later).pop() else { panic!("no end") };
    tell(&world, &id, CampaignCommand::Finish { result, evidence }).await;
    assert_eq!(phases(&world, &id).await, before);
    let wave = &waves(&world, &id).await[0];
    assert_eq!((wave.counts.failed, wave.counts.accepted_ended, wave.counts.accepted_failed), (3, 3, 3));
    world.equals_a_replay().await;
    // The campaign may be retried, by devices that can begin.
    tell(&world, &id, CampaignCommand::Retry).await;
    assert_eq!(phases(&world, &id).await[1], ("planned".to_owned(), 3));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_update_has_an_outcome_of_its_own() {
    let (world, ids, id, _) = mixed().await;
    tell(&world, &id, CampaignCommand::Retry).await;
    accepts_failures(&world, &id).await;
    world.tell::<Device>(&device(&ids[0]), DeviceCommand::SeenOnline).await.unwrap();
    world.tick().await;
    assert_eq!(last_phase(&world, &ids[0]).await, (2, Phase::Dispatched));
    tell(&world, &id, CampaignCommand::Cancel).await;
    world.tick().await;
    world.reports(&ids[0], S::Cancelled, None).await;
    world.tick().await;
    let expected = ["cancelled", "confirmed", "regressed", "rejected"].map(|phase| (phase.to_owned(), 1));
    assert_eq!(phases(&world, &id).await, expected);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_fell_back_and_returned_to_the_version_is_not_retried() {
    let (world, ids, id) = one_wave(2, 4).await;
    for id in &ids {
        world.installs(id, "b2", "2.0.0").await;
    }
    world.boots(&ids[0], "b3", "1.0.0").await;
    assert!(is_retryable(&world, &id).await && late(&world, &id).await.is_empty());
    world.boots(&ids[0], "b4", "2.0.0").await;
    assert_eq!(late(&world, &id).await, [ids[0].as_str()]);
    assert!(!is_retryable(&world, &id).await);
    assert_eq!(phases(&world, &id).await, [("confirmed".to_owned(), 1), ("regressed".to_owned(), 1)]);
    world.equals_a_replay().await;
    world.boots(&ids[0], "b5", "1.0.0").await;
    assert!(is_retryable(&world, &id).await && late(&world, &id).await.is_empty());
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_expired_and_returns_with_the_version_is_not_retried() {
    let (world, ids, id) = one_wave(3, 1).await;
    let (all, _) = members(&world, &id).await;
    let waiting: Vec<String> = all.into_iter().filter(|m| m.phase == "planned").map(|m| m.device_id).collect();
    for id in &ids {
        goes(&world, id).await;
    }
    let later = clock::now() + TimeDelta::days(1);
    for expired in &waiting {
        let view = view(&world, &id).await;
        let ready = rollout::ready(&world.db, &world.tenant, &id, later, 10).await.unwrap();
        let slot = ready.into_iter().find(|slot| slot.device.as_str() == expired).unwrap();
        let given = Grant { wait_until: clock::now(), ..grant(&world, &id, &view, slot).await };
        carry(&world, &view, expired, given).await;
    }
    assert_eq!(phases(&world, &id).await, [("dispatched".to_owned(), 1), ("expired".to_owned(), 2)]);
    world.boots(&waiting[0], "b2", "2.0.0").await;
    assert_eq!(late(&world, &id).await, [waiting[0].as_str()]);
    tell(&world, &id, CampaignCommand::Retry).await;
    assert_eq!(phases(&world, &id).await[1..], [("expired".to_owned(), 1), ("planned".to_owned(), 1)]);

    // The other one reports the version before its turn.
    world.boots(&waiting[1], "b2", "2.0.0").await;
    assert_eq!(late(&world, &id).await.len(), 2);
    assert_eq!(phases(&world, &id).await[1..], [("expired".to_owned(), 2)]);
    assert_eq!(last_phase(&world, &waiting[1]).await.0, 1, "no new update");
    world.equals_a_replay().await;
}

/// The grant of a retry crosses the device's report that it runs the version.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_that_is_granted_during_a_late_confirmation_is_answered() {
    let (world, ids, id) = one_wave(1, 1).await;
    world.fails(&ids[0]).await;
    tell(&world, &id, CampaignCommand::Retry).await;
    let view = view(&world, &id).await;
    let slot = rollout::ready(&world.db, &world.tenant, &id, clock::now(), 1).await.unwrap().remove(0);
    world.boots(&ids[0], "b2", "2.0.0").await;
    assert_eq!(late(&world, &id).await, ids);
    let given = grant(&world, &id, &view, slot).await;
    carry(&world, &view, &ids[0], given).await;
    assert_eq!(phases(&world, &id).await, [("superseded".to_owned(), 1)]);
    assert!(late(&world, &id).await.is_empty());
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_taken_back_before_it_was_sent_is_never_confirmed_late() {
    let (world, _, id) = one_wave(2, 1).await;
    let (all, _) = members(&world, &id).await;
    let slot = all.iter().find(|m| m.phase == "planned").unwrap();
    let slot = SlotGrant { device: device(&slot.device_id), wave: slot.wave, rank: slot.rank, lorawan: false };
    let seen = view(&world, &id).await;
    let given = grant(&world, &id, &seen, slot.clone()).await;
    let request = Box::new(request(&seen.firmware));
    world.tell::<Device>(&slot.device, DeviceCommand::CancelGranted { request, grant: given }).await.unwrap();
    world.boots(slot.device.as_str(), "b2", "2.0.0").await;
    assert_eq!(last_phase(&world, slot.device.as_str()).await, (1, Phase::Ended(Outcome::Cancelled)));
    assert!(late(&world, &id).await.is_empty());
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_outside_the_campaign_confirms_its_member_late() {
    let (world, ids, id) = one_wave(2, 4).await;
    for id in &ids {
        world.fails(id).await;
    }
    world.settles().await;
    let firmware = view(&world, &id).await.firmware;
    let by_hand = domain::device::UpdateRequest { retry_of: Some(1), ..request(&firmware) };
    let command = DeviceCommand::RequestUpdate { request: Box::new(by_hand) };
    world.tell::<Device>(&device(&ids[0]), command).await.unwrap();
    world.installs(&ids[0], "b2", "2.0.0").await;
    assert_eq!(last_phase(&world, &ids[0]).await, (2, Phase::Ended(Outcome::Confirmed)));
    assert_eq!(late(&world, &id).await, [ids[0].as_str()]);
    assert_eq!(phases(&world, &id).await, [("failed".to_owned(), 2)], "its own update has failed");
    world.boots(&ids[0], "b3", "1.0.0").await;
    assert!(late(&world, &id).await.is_empty(), "it has fallen back");
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_names_the_failed_devices_that_gates_count() {
    let (world, ids, id) = one_wave(4, 4).await;
    let named = async || {
        let devices = view(&world, &id).await.rollout.failed_devices;
        devices.into_iter().map(|d| (d.device.to_string(), d.counts, d.ended)).collect::<Vec<_>>()
    };
    world.fails(&ids[0]).await;
    assert_eq!(named().await, [(ids[0].clone(), true, true)]);
    accepts_failures(&world, &id).await;
    world.fails(&ids[1]).await;
    assert_eq!(named().await, [(ids[1].clone(), true, true), (ids[0].clone(), false, false)]);
    tell(&world, &id, CampaignCommand::Retry).await;
    assert_eq!(named().await, [(ids[1].clone(), true, false), (ids[0].clone(), false, false)]);
    world.tick().await;
    world.fails(&ids[0]).await;
    assert_eq!(named().await[1], (ids[0].clone(), false, true), "only the success gate judges a new update");
    world.equals_a_replay().await;
}
