//! Invariants under random commands in random order.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const CASES: u32 = 1_000;
const COMMANDS_MAX: usize = 60;

const VERSIONS: [&str; 4] = ["0.9.0", "1.0.0", "2.0.0", "2.1.0"];
const BOOTS: [&str; 4] = ["b1", "b2", "b3", "b4"];
const CODES: [&str; 6] = ["busy", "download_failed", "boot_failed", "unsupported", "x_odd", "nonsense"];
const STATUSES: [ReportStatus; 12] = [
    ReportStatus::Received,
    ReportStatus::Deferred,
    ReportStatus::Downloading,
    ReportStatus::Verifying,
    ReportStatus::Installing,
    ReportStatus::Staged,
    ReportStatus::Rebooting,
    ReportStatus::Completed,
    ReportStatus::Failed,
    ReportStatus::Rejected,
    ReportStatus::Cancelled,
    ReportStatus::CancelRefused,
];

/// An input that may depend on the device's state.
#[expect(clippy::large_enum_variant, reason = "few of them, and only in a test")]
#[derive(Debug, Clone)]
enum Input {
    Plain(DeviceCommand),
    /// A report of the device on its live update.
    FromLive {
        status: ReportStatus,
        code: Option<&'static str>,
        /// Whether it is the right one.
        digest: Option<bool>,
    },
    /// A clock of the update with this index among the open ones, with its true state.
    ClockOf {
        place: usize,
        clock: Clock,
    },
}

impl Input {
    fn against(&self, device: &Device) -> DeviceCommand {
        match self {
            Self::Plain(command) => command.clone(),
            Self::FromLive { status, code, digest } => {
                let (ordinal, attempt) = device.live().map_or((1, 1), |live| (live.ordinal, live.attempt));
                let right = device.live().map(|live| live.spec.firmware.sha256);
                let sha256 = digest.map(|is_right| right.filter(|_| is_right).unwrap_or(Sha256Digest::of(b"wrong")));
                let code = code.map(str::to_owned);
                Report { code, sha256, ..plain_report(ordinal, attempt, *status) }.into()
            }
            Self::ClockOf { place, clock } => {
                let open: Vec<&Update> = device.updates.values().filter(|update| !update.phase.is_ended()).collect();
                match open.get(place % open.len().max(1)) {
                    Some(update) => informed(device, expire(update.ordinal, update.attempt, update.phase, *clock)),
                    None => DeviceCommand::SeenOnline,
                }
            }
        }
    }
}

fn clocks() -> impl Strategy<Value = Clock> {
    select(vec![Clock::Wait, Clock::Total, Clock::Phase])
}

fn requests() -> impl Strategy<Value = UpdateRequest> {
    let kinds = select(vec![UpdateKind::Update, UpdateKind::Rollback]);
    let priorities = select(vec![Priority::Low, Priority::Normal, Priority::Critical]);
    (select(VERSIONS.to_vec()), kinds, priorities, any::<[bool; 4]>(), 1..4u16).prop_map(
        |(version, kind, priority, [activate, force_update, reboot, require_digest_report], max_attempts)| {
            let mut request = UpdateRequest {
                kind,
                priority,
                activate,
                force_update,
                require_digest_report,
                max_attempts,
                ..wanted(version)
            };
            request.firmware.requires_reboot = reboot;
            request
        },
    )
}

fn presences() -> impl Strategy<Value = Presence> {
    let last_update = proptest::option::of((1..4u32, 1..3u16, select(STATUSES.to_vec())));
    (proptest::option::of(select(BOOTS.to_vec())), select(VERSIONS.to_vec()), any::<bool>(), last_update).prop_map(
        |(boot, version, trial, last)| Presence {
            boot_id: boot.map(str::to_owned),
            versions: versions(version),
            trial,
            last_update: last.map(|(ordinal, attempt, status)| plain_report(ordinal, attempt, status)),
            ..Presence::default()
        },
    )
}

fn operator_commands() -> impl Strategy<Value = DeviceCommand> {
    prop_oneof![
        8 => requests().prop_map(ask),
        2 => Just(register()),
        1 => Just(DeviceCommand::Decommission),
        1 => Just(DeviceCommand::Hold { until: None }),
        2 => Just(DeviceCommand::Release),
        3 => (1..6u32).prop_map(cancel),
    ]
}

fn campaign_commands() -> impl Strategy<Value = DeviceCommand> {
    let campaign = || select(vec![CAMPAIGN, OTHER_CAMPAIGN]);
    prop_oneof![
        6 => (requests(), campaign(), 1..6u64).prop_map(|(request, id, number)| {
            let grant = Grant { campaign: CampaignRef { id, wave: 1, rank: 0, round: 0 }, number, wait_until: at(LATER_S) };
            DeviceCommand::GrantSlot { request: Box::new(request), grant }
        }),
        1 => campaign().prop_map(|campaign| DeviceCommand::Withdraw { campaign }),
        1 => campaign().prop_map(|campaign| DeviceCommand::CancelForCampaign { campaign, before_round: None }),
    ]
}

/// Most reports have none; few have a wrong one.
fn digest() -> impl Strategy<Value = Option<bool>> {
    prop_oneof![14 => Just(None), 5 => Just(Some(true)), 1 => Just(Some(false))]
}

fn device_inputs() -> impl Strategy<Value = Input> {
    let code = || proptest::option::of(select(CODES.to_vec()));
    prop_oneof![
        12 => (select(STATUSES.to_vec()), code(), digest())
            .prop_map(|(status, code, digest)| Input::FromLive { status, code, digest }),
        3 => (1..5u32, 0..4u16, select(STATUSES.to_vec())).prop_map(|(o, a, s)| Input::Plain(report(o, a, s))),
        6 => presences().prop_map(|presence| Input::Plain(presence.into())),
        2 => Just(Input::Plain(DeviceCommand::SeenOnline)),
        2 => Just(Input::Plain(lost())),
        4 => (0..4usize, clocks()).prop_map(|(place, clock)| Input::ClockOf { place, clock }),
    ]
}

/// Seconds that pass before an input, and the input.
fn stories() -> impl Strategy<Value = Vec<(i64, Input)>> {
    let input = prop_oneof![
        2 => operator_commands().prop_map(Input::Plain),
        2 => campaign_commands().prop_map(Input::Plain),
        6 => device_inputs(),
    ];
    let pause = select(vec![0, 0, 1, 40, 1_000, LATER_S]);
    proptest::collection::vec((pause, input), 1..COMMANDS_MAX)
}

/// Runs a story and passes each step to `look`: state before, command, time, events.
fn tell(
    story: &[(i64, Input)],
    mut look: impl FnMut(&Device, &DeviceCommand, i64, &[DeviceEvent]),
) -> Vec<DeviceEvent> {
    let mut device = Device::default();
    let mut all = vec![];
    let mut now = 0;
    let opening = [(0, Input::Plain(register())), (0, Input::Plain(status("b1", "1.0.0")))];
    for (pause, input) in opening.iter().chain(story) {
        now += pause;
        let command = input.against(&device);
        let events = device.decide(at(now), &command).unwrap_or_default();
        look(&device, &command, now, &events);
        events.iter().for_each(|event| device.apply(event));
        all.extend(events);
    }
    all
}

fn after(device: &Device, events: &[DeviceEvent]) -> Device {
    let mut next = device.clone();
    events.iter().for_each(|event| next.apply(event));
    next
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::cases(CASES), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_device_never_has_two_live_updates(story in stories()) {
        tell(&story, |device, command, _, events| {
            let mut next = device.clone();
            for event in events {
                next.apply(event);
                let live = next.updates.values().filter(|update| update.phase.is_live()).count();
                assert!(live <= 1, "{live} live updates after {command:?}");
                assert!(next.waiting_updates() <= QUEUE_GRANTED_MAX + 1, "too many wait after {command:?}");
            }
        });
    }

    #[test]
    fn an_ended_update_never_changes_its_phase(story in stories()) {
        tell(&story, |device, command, _, events| {
            let next = after(device, events);
            for ended in device.updates.values().filter(|update| update.phase.is_ended()) {
                if let Some(later) = next.update(ended.ordinal) {
                    assert_eq!(later.phase, ended.phase, "after {command:?}");
                }
            }
        });
    }

    #[test]
    fn ordinals_rise_by_one_and_each_update_has_at_most_one_outcome(story in stories()) {
        let (mut last, mut ended) = (0, std::collections::BTreeSet::new());
        for event in tell(&story, |_, _, _, _| {}) {
            use DeviceEvent as E;
            if let E::UpdateQueued { update, .. } = &event {
                assert_eq!(update.ordinal, last + 1);
                last = update.ordinal;
            }
            let outcome = matches!(
                event,
                E::UpdateConfirmed { .. } | E::UpdateFailed { .. } | E::UpdateTimedOut { .. } | E::UpdateRejected { .. }
                    | E::UpdateExpired { .. } | E::UpdateSuperseded { .. } | E::UpdateCancelled { .. }
            );
            if let Some(update) = event.update().filter(|_| outcome) {
                assert!(ended.insert(update.ordinal), "{} a second time", said(&event));
            }
        }
    }

    #[test]
    fn a_device_never_gets_an_ordinal_below_one_that_it_was_sent(story in stories()) {
        let mut told = 0;
        for event in tell(&story, |_, _, _, _| {}) {
            if let DeviceEvent::UpdateDispatched { update, .. } = &event {
                assert!(update.ordinal >= told, "{} after {told}", said(&event));
                told = update.ordinal;
            }
        }
    }

    #[test]
    fn an_update_that_needs_a_digest_never_leaves_verifying_without_it(story in stories()) {
        let (mut required, mut reported) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for event in tell(&story, |_, _, _, _| {}) {
            use DeviceEvent as E;
            let Some(update) = event.update() else { continue };
            let leaves = matches!(
                event,
                E::UpdateInstalling { .. } | E::UpdateStaged { .. } | E::UpdateRebooting { .. } | E::UpdateConfirmed { .. }
            );
            match &event {
                E::UpdateQueued { spec, .. } if spec.require_digest_report => drop(required.insert(update.ordinal)),
                E::UpdateDigestReported { .. } => drop(reported.insert((update.ordinal, update.attempt))),
                _ => {}
            }
            let key = (update.ordinal, update.attempt);
            assert!(!leaves || !required.contains(&key.0) || reported.contains(&key), "{}", said(&event));
        }
    }

    #[test]
    fn a_repeated_command_stores_no_events(story in stories()) {
        tell(&story, |device, command, now, events| {
            use DeviceCommand as C;
            // A repeated update request has the same command id, and a repeated clock has a stale state.
            let by_state = matches!(command, C::Report { .. } | C::GrantSlot { .. } | C::Withdraw { .. } | C::CancelForCampaign { .. }
                | C::Decommission | C::Register { .. } | C::Hold { .. } | C::MarkOffline { .. } | C::SeenOnline | C::Release);
            // No device reports an attempt before it was sent.
            let foretold = matches!(command, C::Report { report, .. } if device.update(report.ordinal).is_none_or(|u| u.attempt < report.attempt));
            let next = after(device, events);
            if by_state && !foretold && !events.is_empty() {
                let again = next.decide(at(now), command).unwrap_or_default();
                assert_eq!(again, vec![], "{command:?} again");
            }
        });
    }

    #[test]
    fn a_clock_takes_effect_once(story in stories()) {
        tell(&story, |device, command, now, events| {
            if matches!(command, DeviceCommand::Expire { .. }) && !events.is_empty() {
                let again = after(device, events).decide(at(now), command).unwrap_or_default();
                assert_eq!(again, vec![], "{command:?} again");
            }
        });
    }

    #[test]
    fn replay_from_json_equals_the_live_state(story in stories()) {
        let mut live = Device::default();
        let events = tell(&story, |device, _, _, events| live = after(device, events));
        let mut replayed = Device::default();
        for event in &events {
            let json = serde_json::to_string(event).expect("JSON");
            let read: DeviceEvent = serde_json::from_str(&json).expect("an event");
            assert_eq!(&read, event);
            replayed.apply(&read);
        }
        assert_eq!(replayed, live);
        let state = serde_json::to_string(&live).expect("JSON");
        assert_eq!(serde_json::from_str::<Device>(&state).expect("a device"), live);
    }

    #[test]
    fn events_in_any_order_never_break_the_fold(story in stories(), seed in any::<u64>()) {
        let mut events = tell(&story, |_, _, _, _| {});
        let length = events.len() as u64;
        for n in 0..events.len() {
            events.swap(n, (seed.wrapping_mul(n as u64 + 1) % length) as usize);
        }
        let mut device = Device::default();
        events.iter().for_each(|event| device.apply(event));
        assert_eq!(device.version, length);
    }
}
