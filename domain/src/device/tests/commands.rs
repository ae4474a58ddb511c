//! Commands beside the updates: one at a time, in order, each ended once.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use super::*;
use CommandReportStatus as R;
use CommandState as S;

fn run(name: &str, expires_in_s: u32) -> DeviceCommand {
    let wanted = WantedCommand { name: name.to_owned(), params: Map::new(), expires_in_s };
    DeviceCommand::RequestCommand { wanted }
}

fn answer(n: u32, status: R) -> DeviceCommand {
    CommandReport { n, status, code: None, message: None, result: None }.into()
}

fn cancel_command(n: u32) -> DeviceCommand {
    DeviceCommand::CancelCommand { n }
}

fn time_is_over(n: u32) -> DeviceCommand {
    DeviceCommand::ExpireCommand { n }
}

/// Online, with these commands after it.
fn with(commands: &[DeviceCommand]) -> Vec<DeviceCommand> {
    [online(), commands.to_vec()].concat()
}

fn states(device: &Device) -> Vec<(u32, S)> {
    (1..=device.commands.last_n).filter_map(|n| device.commands.get(n).map(|command| (n, command.state))).collect()
}

#[test]
fn an_online_device_is_told_at_once_and_one_command_at_a_time() {
    given(online()).when(run("report", 60)).then(&["command.queued", "command.sent"]);
    given(with(&[run("report", 60)])).when(run("reboot", 60)).then(&["command.queued"]);
    let two = with(&[run("report", 60), run("reboot", 60)]);
    given(two.clone()).when(answer(1, R::Accepted)).then(&["command.accepted"]);
    given(two.clone()).when(answer(1, R::Done)).then(&["command.done", "command.sent"]);
    given(two).when(answer(1, R::Refused)).then(&["command.refused", "command.sent"]);
}

#[test]
fn the_command_of_an_offline_device_waits_for_its_contact() {
    given(registered()).when(run("report", 60)).then(&["command.queued"]);
    let waits = [registered(), vec![run("report", 60)]].concat();
    given(waits.clone()).when(DeviceCommand::SeenOnline).then(&["device.came_online", "command.sent"]);
    let device = state_of(&waits);
    assert_eq!((device.desired_command(), states(&device)), (None, vec![(1, S::Queued)]));
    let device = state_of(&[waits, vec![status("b1", "1.0.0")]].concat());
    assert_eq!(device.desired_command().map(|command| command.n), Some(1));
    let away = with(&[run("report", 60), lost()]);
    assert_eq!(state_of(&away).desired_command().map(|command| command.n), Some(1), "it stays retained");
}

#[test]
fn a_command_that_has_expired_is_not_sent_any_more() {
    let past = [registered(), vec![run("report", 60), run("reboot", 600)]].concat();
    given(past.clone()).when_at(59, time_is_over(1)).then(&[]);
    given(past.clone()).when_at(60, time_is_over(1)).then(&["command.expired"]);
    let found = given(past).when_at(60, DeviceCommand::SeenOnline);
    found.then(&["device.came_online", "command.expired", "command.sent"]);
}

#[test]
fn an_accepted_command_does_not_expire_but_its_device_must_end_it() {
    let past = with(&[run("collect_logs", 60), answer(1, R::Accepted)]);
    given(past.clone()).when_at(3_599, time_is_over(1)).then(&[]);
    given(past).when_at(3_600, time_is_over(1)).then(&["command.failed"]);
    given(with(&[run("report", 60)])).when_at(60, time_is_over(1)).then(&["command.expired"]);
}

#[test]
fn an_accepted_reboot_is_done_at_the_next_boot() {
    let past = with(&[run("reboot", 60), answer(1, R::Accepted)]);
    given(past.clone()).when(status("b1", "1.0.0")).then(&[]);
    let found = given(past.clone()).when(status("b2", "1.0.0"));
    found.then(&["device.versions_reported", "command.done"]);
    let after = [past, vec![status("b2", "1.0.0")]].concat();
    given(after).when(answer(1, R::Done)).then(&[]);
    given(with(&[run("reboot", 60)])).when(status("b2", "1.0.0")).then(&["device.versions_reported"]);
    let other = with(&[run("report", 60), answer(1, R::Accepted)]);
    given(other).when(status("b2", "1.0.0")).then(&["device.versions_reported"]);
}

#[test]
fn repeated_and_late_reports_change_nothing() {
    let done = with(&[run("report", 60), answer(1, R::Accepted), answer(1, R::Done)]);
    for again in [R::Accepted, R::Done] {
        given(done.clone()).when(answer(1, again)).then(&[]);
    }
    given(done.clone()).when(answer(1, R::Failed)).then(&["command.reported_late"]);
    given([done.clone(), vec![answer(1, R::Failed)]].concat()).when(answer(1, R::Failed)).then(&[]);
    given(done).when(answer(7, R::Done)).then(&[]);
    let two = with(&[run("report", 60), run("reboot", 60)]);
    given(two).when(answer(2, R::Done)).then(&[]);
}

#[test]
fn a_command_can_be_taken_back_until_the_device_accepts_it() {
    let two = with(&[run("report", 60), run("reboot", 60)]);
    given(two.clone()).when(cancel_command(2)).then(&["command.cancelled"]);
    given(two.clone()).when(cancel_command(1)).then(&["command.cancelled", "command.sent"]);
    given(with(&[run("report", 60), cancel_command(1)])).when(cancel_command(1)).then(&[]);
    given([two.clone(), vec![answer(1, R::Accepted)]].concat()).when(cancel_command(1)).refused("command_accepted");
    given([two.clone(), vec![answer(1, R::Done)]].concat()).when(cancel_command(1)).refused("command_ended");
    given(two).when(cancel_command(3)).refused("command_unknown");
}

#[test]
fn a_ninth_open_command_is_refused() {
    let eight = [registered(), vec![run("report", 60); COMMANDS_OPEN_MAX]].concat();
    given(eight.clone()).when(run("report", 60)).refused("command_queue_full");
    given([eight, vec![cancel_command(3)]].concat()).when(run("report", 60)).then(&["command.queued"]);
}

#[test]
fn commands_need_mqtt_and_end_with_the_device() {
    let patch = ProfilePatch {
        lorawan_dev_eui: crate::change::Change::Set("70b3d57ed0000001".to_owned()),
        ..ProfilePatch::default()
    };
    let lorawan = DeviceCommand::Amend { patch, versions: BTreeMap::new() };
    given([registered(), vec![lorawan]].concat()).when(run("report", 60)).refused("commands_need_mqtt");
    let two = with(&[run("report", 60), run("reboot", 60)]);
    let ends = ["command.cancelled", "command.cancelled", "device.decommissioned"];
    given(two.clone()).when(DeviceCommand::Decommission).then(&ends);
    let back = [two, vec![DeviceCommand::Decommission, register(), status("b2", "1.0.0"), run("report", 60)]].concat();
    assert_eq!(state_of(&back).commands.last_n, 3, "numbers go on");
}

#[test]
fn params_are_kept_until_the_end_of_the_command() {
    let Value::Object(params) = json!({"lines": 5}) else { panic!("an object") };
    let wanted = WantedCommand { name: "collect_logs".to_owned(), params: params.clone(), expires_in_s: 60 };
    let past = with(&[DeviceCommand::RequestCommand { wanted }]);
    let device = state_of(&past);
    assert_eq!(device.desired_command().unwrap().params, Some(crate::Sealed::Plain(params)));
    let device = state_of(&[past, vec![answer(1, R::Done)]].concat());
    assert_eq!(device.commands.get(1).unwrap().params, None);
}

fn inputs() -> impl Strategy<Value = DeviceCommand> {
    let statuses = select(vec![R::Accepted, R::Done, R::Failed, R::Refused]);
    prop_oneof![
        6 => (select(vec!["report", "reboot"]), select(vec![1, 60, 5_000])).prop_map(|(name, s)| run(name, s)),
        6 => (0..12u32, statuses).prop_map(|(n, status)| answer(n, status)),
        2 => (0..12u32).prop_map(cancel_command),
        3 => (0..12u32).prop_map(time_is_over),
        2 => select(vec!["b1", "b2", "b3"]).prop_map(|boot| status(boot, "1.0.0")),
        1 => Just(DeviceCommand::SeenOnline),
        1 => Just(lost()),
        1 => Just(DeviceCommand::Decommission),
        1 => Just(register()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Under any inputs in any order: one command under way, eight open, numbers used once, each command ended once, and the fold of the
    /// events is the state that was decided on.
    #[test]
    fn commands_keep_their_invariants(story in proptest::collection::vec((select(vec![0, 1, 100, 4_000]), inputs()), 1..60)) {
        let (mut device, mut now, mut ended, mut highest) = (Device::default(), 0, vec![], 0);
        for (pause, input) in std::iter::once((0, register())).chain(story) {
            now += pause;
            let Ok(events) = device.decide(at(now), &input) else { continue };
            for event in &events {
                if let DeviceEvent::CommandQueued { n, .. } = event {
                    prop_assert_eq!(*n, highest + 1, "a number is used once");
                    highest = *n;
                }
                if event.command_state().is_some_and(CommandState::is_ended) {
                    let n = event.remote_command().unwrap();
                    prop_assert!(!ended.contains(&n), "{n} ends twice: {event:?}");
                    ended.push(n);
                }
                if let DeviceEvent::CommandSent { n } = event {
                    prop_assert!(!ended.contains(n), "{n} is sent after its end");
                }
                device.apply(event);
                let under_way = device.commands.open().filter(|command| command.state.is_under_way()).count();
                prop_assert!(under_way <= 1 && device.commands.open().count() <= COMMANDS_OPEN_MAX);
            }
            if !matches!(input, DeviceCommand::RequestCommand { .. }) {
                prop_assert_eq!(device.decide(at(now), &input).map(|again| again.len()).unwrap_or(0), 0, "{:?} again", input);
            }
            prop_assert_eq!(device.lifecycle == Lifecycle::Active || device.commands.open().count() == 0, true);
        }
    }
}
