//! Threads of a device's events, and the causes of clocks.

use super::*;
use crate::decider::Decider;
use crate::thread::{StepKind, Thread};

/// The thread of each event, with the thread that it continues.
fn threads(events: &[DeviceEvent]) -> Vec<(u32, Option<u32>)> {
    let steps = events.iter().filter_map(Device::step_of);
    steps
        .map(|step| {
            let from = match step.kind {
                StepKind::TakesOver(Thread(from)) => Some(from),
                StepKind::GoesOn | StepKind::Restarts => None,
            };
            (step.thread.0, from)
        })
        .collect()
}

/// The commands of [`dispatched`], and one more.
fn after(command: DeviceCommand) -> (Device, Vec<DeviceEvent>) {
    let device = state_of(&dispatched());
    let events = device.decide(at(0), &informed(&device, command)).unwrap();
    (device, events)
}

#[test]
fn each_update_is_a_thread_that_a_retry_continues() {
    let retried =
        [dispatched(), vec![says(ReportStatus::Rejected), ask(UpdateRequest { retry_of: Some(1), ..wanted("2.0.0") })]];
    assert_eq!(
        threads(&events_of(&retried.concat())),
        [(1, None), (1, None), (1, None), (1, None), (2, Some(1)), (2, None)]
    );
}

#[test]
fn an_overtaken_update_goes_on_in_its_thread() {
    let waits = [
        registered(),
        vec![grant_to("2.0.0", CAMPAIGN, 1), ask(UpdateRequest { priority: Priority::Critical, ..wanted("2.1.0") })],
    ];
    let device =
        state_of(&[waits.concat(), vec![status("b1", "1.0.0"), report(2, 1, ReportStatus::Rejected)]].concat());
    let granted = device.decide(at(0), &grant_to("2.0.0", CAMPAIGN, 2)).unwrap();
    assert_eq!(
        granted.iter().map(said).collect::<Vec<_>>(),
        ["update.superseded 1/0 overtaken", "update.queued 3/0 2.0.0", "update.dispatched 3/1"]
    );
    assert_eq!(threads(&granted), [(1, None), (3, Some(1)), (3, None)]);
    let aim = device.aim_of(&grant_to("2.0.0", CAMPAIGN, 2));
    assert!(aim.includes(Thread(1)) && !aim.includes(Thread(2)), "the slot is for the campaign's update");
}

#[test]
fn events_of_the_device_itself_belong_to_no_thread() {
    assert_eq!(threads(&events_of(&online())), []);
    let (device, said_lost) = after(lost());
    assert_eq!(threads(&said_lost), []);
    assert_eq!(device.aim_of(&lost()).points.len(), 1, "its silence runs since its last message");
}

#[test]
fn the_cause_of_each_clock_is_the_event_that_set_it() {
    let mut device = Device::default();
    let mut set: Vec<(String, _)> = vec![];
    for event in events_of(&[working(ReportStatus::Rebooting), vec![fails(1, "boot_failed")]].concat()) {
        set.extend(device.points_of(&event).into_iter().map(|place| (said(&event), place)));
        device.apply(&event);
    }
    let names: Vec<&str> = set.iter().map(|(said, _)| said.as_str()).collect();
    assert_eq!(names, ["device.came_online", "update.queued 1/0 2.0.0", "update.accepted 1/1"]);
    let goes_back_to = |clock| device.aim_of(&expire(1, 1, Phase::Dispatched, clock)).points;
    assert_eq!(goes_back_to(Clock::Wait), [set[1].1]);
    assert_eq!(goes_back_to(Clock::Total), [set[2].1]);
    assert_eq!(goes_back_to(Clock::Phase), [], "the cause is the update's latest event");
    // The working clock runs over all attempts.
    let again = DeviceEvent::UpdateAccepted {
        update: UpdateRef { ordinal: 1, attempt: 2, campaign: None },
        boot_id: None,
        takes_slot: false,
        mark: None,
    };
    assert_eq!(device.points_of(&again), []);
}

#[test]
fn a_command_on_the_whole_device_addresses_none_of_its_updates() {
    let device = state_of(&dispatched());
    let hold = DeviceCommand::Hold { until: None };
    for command in [DeviceCommand::Decommission, hold, DeviceCommand::Release, register()] {
        assert!(!device.aim_of(&command).includes(Thread(1)), "{command:?}");
    }
    for command in
        [cancel(1), says(ReportStatus::Received), status("b2", "2.0.0"), expire(1, 1, Phase::Dispatched, Clock::Phase)]
    {
        assert!(device.aim_of(&command).includes(Thread(1)), "{command:?}");
    }
}

#[test]
fn threads_are_kept_as_long_as_their_updates_and_confirmed_versions() {
    let confirmed = [working(ReportStatus::Rebooting), vec![status("b2", "2.0.0")]].concat();
    let many = (2..=2 + ENDED_KEPT_MAX as u32)
        .flat_map(|ordinal| [update_to("3.0.0"), cancel(ordinal), report(ordinal, 1, ReportStatus::Cancelled)]);
    let device = state_of(&confirmed.into_iter().chain(many).collect::<Vec<_>>());
    assert!(device.update(1).is_none() && device.knows_thread(Thread(1)), "its version may still regress");
    assert!(device.update(2).is_none() && !device.knows_thread(Thread(2)));
    assert!(device.knows_thread(Thread(device.last_ordinal)));
}
