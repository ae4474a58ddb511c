//! A campaign's rows after late answers, decommissioned devices, timeouts and withdrawn firmware.

use domain::Key;
use domain::campaign::{Campaign, CampaignCommand};
use domain::device::{Clock, Device, DeviceCommand, ReportStatus as S};
use domain::firmware::{Firmware, FirmwareCommand};
use domain::rollout::{RolloutStep, decide};
use projections::{rollout, updates};
use runtime::clock;

use crate::campaigns::check_counts;
use crate::fleet::device;
use crate::rollout::{members, one_wave, reports_first, waves};

/// Two devices are declared unresponsive, two others get their slots, and the first ones answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_answers_late_takes_a_slot_and_no_slots_are_granted_meanwhile() {
    let (world, ids, id) = one_wave(5, 2).await;
    let at_work = async || {
        world.settles().await;
        let view = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap();
        let granting = decide(&view.rollout, clock::now()).iter().any(|next| matches!(next, RolloutStep::Grant { .. }));
        (view.rollout.total().in_use, granting)
    };
    let all = members(&world, &id).await.0;
    let first: Vec<String> = all.into_iter().filter(|m| m.holds_slot).map(|m| m.device_id).collect();
    for id in &first {
        let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(id))).await.unwrap();
        let update = loaded.aggregate.update(1).unwrap();
        let (attempt, phase, seq) = (update.attempt, update.phase, update.seq);
        let silent = DeviceCommand::Expire { ordinal: 1, attempt, phase, clock: Clock::Phase, seq };
        world.tell::<Device>(&device(id), silent).await.unwrap();
    }
    assert_eq!(at_work().await, (0, true));
    world.tick().await;
    assert_eq!(at_work().await, (2, false));
    for late in &first {
        reports_first(&world, late, S::Downloading).await;
    }
    assert_eq!(at_work().await, (4, false), "devices at work count");
    world.equals_a_replay().await;
    let others: Vec<&String> = ids.iter().filter(|id| !first.contains(id)).collect();
    for id in first.iter().chain(others).take(4) {
        let before = at_work().await.0;
        world.installs(id, "b2", "2.0.0").await;
        assert!(at_work().await.0 <= before);
    }
    world.equals_a_replay().await;
}

/// A device that is decommissioned counts as cancelled in every phase, and the campaign ends.
#[tokio::test(flavor = "multi_thread")]
async fn decommissioned_devices_count_as_ended_in_every_phase() {
    let (world, ids, id) = one_wave(4, 2).await;
    let all = members(&world, &id).await.0;
    let (begun, planned): (Vec<_>, Vec<_>) = all.into_iter().partition(|m| m.phase == "dispatched");
    for gone in [&begun[0].device_id, &planned[0].device_id] {
        world.tell::<Device>(&device(gone), DeviceCommand::Decommission).await.unwrap();
    }
    world.tick().await;
    world.tick().await;
    for id in &ids {
        world.installs(id, "b2", "2.0.0").await;
    }
    world.tick().await;
    for id in &ids {
        world.installs(id, "b2", "2.0.0").await;
    }
    let wave = waves(&world, &id).await.remove(0);
    assert_eq!((wave.counts.confirmed, wave.counts.cancelled, wave.counts.ended()), (2, 2, wave.counts.enrolled));
    for _ in 0..3 {
        world.tick().await;
    }
    let loaded = world.store.load_fresh(&Key::<Campaign>::new(&world.tenant, &id)).await.unwrap();
    assert_eq!(loaded.aggregate.status, domain::campaign::CampaignStatus::Completed);
    world.equals_a_replay().await;
}

/// A retry takes exactly the devices that the status counts.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_counts_the_devices_that_a_retry_takes() {
    let (world, ids, id) = one_wave(2, 4).await;
    for id in &ids {
        world.fails(id).await;
    }
    world.boots(&ids[0], "b2", "2.0.0").await;
    let (_, totals) = members(&world, &id).await;
    assert_eq!((totals.status_counts["failed"], totals.late_confirmed, totals.retryable), (2, 1, 1));
    world.tell::<Campaign>(&id, CampaignCommand::Retry).await.unwrap();
    let (_, totals) = members(&world, &id).await;
    assert_eq!((totals.status_counts["planned"], totals.retryable), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_timed_out_says_which_clock_ran_out() {
    let (world, ids, id) = one_wave(2, 4).await;
    for (device_id, clock) in ids.iter().zip([Clock::Phase, Clock::Total]) {
        world.reports(device_id, S::Downloading, None).await;
        // A device that refused to cancel isn't tried again.
        world.tell::<Device>(&device(device_id), DeviceCommand::CancelUpdate { ordinal: 1 }).await.unwrap();
        world.reports(device_id, S::CancelRefused, None).await;
        let loaded = world.store.load_fresh(&Key::<Device>::new(&world.tenant, &device(device_id))).await.unwrap();
        let update = loaded.aggregate.update(1).unwrap();
        let (attempt, phase, seq) = (update.attempt, update.phase, update.seq);
        let over = DeviceCommand::Expire { ordinal: 1, attempt, phase, clock, seq };
        world.tell::<Device>(&device(device_id), over).await.unwrap();
    }
    let (_, totals) = members(&world, &id).await;
    let expected = [("x_silent".to_owned(), 1), ("x_timed_out".to_owned(), 1)];
    assert_eq!(totals.failures_by_code.into_iter().collect::<Vec<_>>(), expected);
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let all = updates::list(&mut tx, &Default::default(), clock::now(), None, 10, false).await.unwrap().items;
    let mut codes: Vec<_> =
        all.iter().map(|update| update.row.timed.state.code.as_deref().unwrap_or_default()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["x_silent", "x_timed_out"]);
    world.equals_a_replay().await;
}

/// All such updates are found in every phase, except those that can't be taken back.
#[tokio::test(flavor = "multi_thread")]
async fn updates_of_a_withdrawn_firmware_are_found_until_they_are_cancelled() {
    let (world, ids, id) = one_wave(4, 4).await;
    world.reports(&ids[0], S::Downloading, None).await;
    world.reports(&ids[1], S::Deferred, None).await;
    world.reports(&ids[2], S::Installing, None).await;
    let firmware_id = world.firmware("2.0.0").await.firmware_id;
    world.tell::<Firmware>(&firmware_id, FirmwareCommand::Withdraw).await.unwrap();
    let found = async || {
        world.settles().await;
        let found = projections::withdrawals::due(&world.db, 10).await.unwrap();
        let mut devices: Vec<String> = found.into_iter().map(|(_, device, _)| device.to_string()).collect();
        devices.sort_unstable();
        devices
    };
    assert_eq!(found().await, [ids[0].as_str(), ids[1].as_str(), ids[3].as_str()]);
    for id in &ids {
        world.tell::<Device>(&device(id), DeviceCommand::WithdrawFirmware { firmware_id }).await.unwrap();
    }
    assert!(found().await.is_empty());
    world.reports(&ids[0], S::CancelRefused, None).await;
    assert!(found().await.is_empty(), "a device that refused gets no second cancel");
    world.reports(&ids[1], S::Cancelled, None).await;
    world.installs(&ids[2], "b2", "2.0.0").await;
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let all = updates::list(&mut tx, &Default::default(), clock::now(), None, 10, false).await.unwrap().items;
    let mut outcomes: Vec<_> = all
        .iter()
        .map(|update| {
            (update.row.device_id.as_str(), update.row.timed.phase().word(), update.row.timed.state.reason.as_deref())
        })
        .collect();
    outcomes.sort_unstable();
    assert_eq!(
        outcomes[1..3],
        [(ids[1].as_str(), "cancelled", Some("firmware_withdrawn")), (ids[2].as_str(), "confirmed", None)]
    );
    drop(tx);
    check_counts(&world, &id, 4).await;
    world.equals_a_replay().await;
}
