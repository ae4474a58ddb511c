//! Two boots, read by processes that race, freeze and crash. Every message is delivered at least once, in any order. It is decided on what
//! a process knew when it began, and decided again if the log has changed. In the end the device's latest message must count.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;

use super::order::nth;
use super::*;

const CASES: u32 = 2_000;
const STEPS_MAX: usize = 80;
/// Concurrent processes.
const PROCESSES: usize = 3;
const TARGET: &str = "2.0.0";

/// What a device publishes, in this order, and the messages that its broker still has.
struct Message {
    command: DeviceCommand,
    acknowledged: bool,
}

/// A message that a process works on.
struct Work {
    index: usize,
    /// The state that the process knew when it began.
    known: Device,
    overtakes: bool,
}

struct Broker {
    device: Device,
    messages: Vec<Message>,
    /// Messages whose command has stored events: the same command again stores nothing.
    stored: BTreeSet<usize>,
    at_work: Vec<Work>,
    /// The newest `status` that a process has finished.
    newest: Option<usize>,
    events: Vec<DeviceEvent>,
}

fn runs(command: &DeviceCommand) -> Option<&str> {
    let DeviceCommand::ReportPresence { presence, .. } = command else { return None };
    presence.versions.values().next().map(String::as_str)
}

impl Broker {
    fn new(said: Vec<DeviceCommand>) -> Self {
        let device = state_of(&[online(), vec![update_to(TARGET)]].concat());
        let number = |(index, command): (usize, DeviceCommand)| nth(index as u64 + 1, command);
        let messages = said.into_iter().enumerate().map(number);
        let messages = messages.map(|command| Message { command, acknowledged: false }).collect();
        Self { device, messages, stored: BTreeSet::new(), at_work: vec![], newest: None, events: vec![] }
    }

    /// A process takes an unfinished message, perhaps with an old state.
    fn begin(&mut self, pick: usize, known: Device) {
        let open: Vec<usize> = (0..self.messages.len()).filter(|index| !self.messages[*index].acknowledged).collect();
        if self.at_work.len() < PROCESSES && !open.is_empty() {
            let index = open[pick % open.len()];
            let no_news = known.decide(at(0), &self.messages[index].command).is_ok_and(|events| events.is_empty());
            let older = |message: &Message| runs(&message.command).is_some() && !message.acknowledged;
            let overtakes = !no_news || self.messages[..index].iter().any(older);
            self.at_work.push(Work { index, known, overtakes });
        }
    }

    fn finish(&mut self, pick: usize) {
        if self.at_work.is_empty() {
            return;
        }
        let Work { index, known, overtakes } = self.at_work.swap_remove(pick % self.at_work.len());
        let mut command = self.messages[index].command.clone();
        if let DeviceCommand::ReportPresence { arrival, .. } | DeviceCommand::ReportInfo { arrival, .. } = &mut command
        {
            arrival.overtakes = overtakes;
        }
        if self.stored.insert(index) {
            let mut events = known.decide(at(0), &command).expect("a device's word is taken");
            if known.version != self.device.version {
                events = self.device.decide(at(0), &command).expect("a device's word is taken");
            }
            if events.is_empty() {
                self.stored.remove(&index);
            }
            self.check(index, &command, &events);
            events.iter().for_each(|event| self.device.apply(event));
            self.events.extend(events);
        }
        self.messages[index].acknowledged = true;
        if runs(&command).is_some() {
            self.newest = self.newest.max(Some(index));
        }
    }

    fn check(&self, index: usize, command: &DeviceCommand, events: &[DeviceEvent]) {
        let newest = self.newest.max(runs(command).map(|_| index)).map(|newest| runs(&self.messages[newest].command));
        for event in events {
            match event {
                DeviceEvent::UpdateConfirmed { .. } => {
                    assert_eq!(newest.flatten(), Some(TARGET), "confirmed by {command:?}")
                }
                DeviceEvent::VersionRegressed { .. } => {
                    assert!(Some(index) >= self.newest, "regressed by a late {command:?}");
                    let ran = |message: &Message| runs(&message.command) == Some(TARGET);
                    assert!(self.messages[..index].iter().any(ran), "regressed before it ran: {command:?}");
                }
                _ => {}
            }
        }
    }

    /// Frozen processes go on, and messages of crashed ones are delivered again, until none is left.
    fn drain(&mut self, seed: usize) {
        let mut pick = seed;
        while !self.at_work.is_empty() || self.messages.iter().any(|message| !message.acknowledged) {
            pick = pick.wrapping_mul(31).wrapping_add(7);
            self.finish(pick);
            self.begin(pick, self.device.clone());
        }
    }
}

fn boots(boot: &str, version: &str, named: bool) -> DeviceCommand {
    let presence = if named { presence(boot, version) } else { Presence { boot_id: None, ..presence(boot, version) } };
    Presence { session: Some(format!("s-{boot}")), ..presence }.into()
}

/// Two boots after an installation, each reported with every heartbeat, and the device's reports on the update.
fn stories() -> impl Strategy<Value = Vec<DeviceCommand>> {
    let order = select(vec![["2.0.0", "1.0.0"], ["1.0.0", "2.0.0"]]);
    let word = select(vec![ReportStatus::Rebooting, ReportStatus::Completed, ReportStatus::Installing]);
    (order, any::<bool>(), 1..3usize, 1..3usize, word, any::<bool>()).prop_map(
        |([first, second], named, once, more, word, heartbeat)| {
            let mut said = vec![];
            if heartbeat {
                said.push(boots("b1", "1.0.0", named));
            }
            said.extend([says(ReportStatus::Received), says(ReportStatus::Installing), says(word)]);
            said.extend(vec![boots("b2", first, named); once]);
            said.push(says(ReportStatus::Completed));
            said.extend(vec![boots("b3", second, named); more]);
            said
        },
    )
}

#[derive(Debug, Clone)]
enum Step {
    Begin(usize),
    /// Knows only the state of some steps ago.
    BeginStale(usize),
    Finish(usize),
    Dies(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..64usize).prop_map(Step::Begin),
        2 => (0..64usize).prop_map(Step::BeginStale),
        4 => (0..64usize).prop_map(Step::Finish),
        1 => (0..64usize).prop_map(Step::Dies),
    ];
    proptest::collection::vec(step, 0..STEPS_MAX)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_latest_message_counts_in_every_order_of_reading(said in stories(), steps in steps(), seed in any::<usize>()) {
        let last = said.iter().rev().find_map(runs).expect("it boots").to_owned();
        let ever_falls_back = last != TARGET;
        let mut broker = Broker::new(said);
        let mut stale = broker.device.clone();
        for step in steps {
            match step {
                Step::Begin(pick) => broker.begin(pick, broker.device.clone()),
                Step::BeginStale(pick) => broker.begin(pick, stale.clone()),
                Step::Finish(pick) => {
                    stale = broker.device.clone();
                    broker.finish(pick);
                }
                Step::Dies(pick) if !broker.at_work.is_empty() => {
                    drop(broker.at_work.swap_remove(pick % broker.at_work.len()));
                }
                Step::Dies(_) => {}
            }
        }
        broker.drain(seed);
        assert_eq!(broker.device.versions, versions(&last), "{:?}", broker.events.iter().map(said_of).collect::<Vec<_>>());
        let regressed = broker.events.iter().any(|event| matches!(event, DeviceEvent::VersionRegressed { .. }));
        assert!(!regressed || ever_falls_back, "{:?}", broker.events.iter().map(said_of).collect::<Vec<_>>());
        let replayed = broker.events.iter().fold(state_of(&[online(), vec![update_to(TARGET)]].concat()), |mut device, event| {
            device.apply(&serde_json::from_value(serde_json::to_value(event).unwrap()).unwrap());
            device
        });
        assert_eq!(replayed, broker.device);
    }
}

fn said_of(event: &DeviceEvent) -> String {
    said(event)
}
