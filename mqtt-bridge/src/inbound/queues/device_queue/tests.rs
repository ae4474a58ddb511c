use std::sync::Arc;

use tokio::sync::Semaphore;

use super::*;

/// A message with its number, kind and key.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Note(u64, Kind, CoalesceKey);

impl Coalesced for Note {
    fn kind(&self) -> Kind {
        self.1
    }

    fn coalesce_key(&self) -> CoalesceKey {
        self.2
    }

    fn number(&self) -> Option<(u64, u64)> {
        Some((1, self.0))
    }
}

fn online(number: u64) -> Note {
    Note(number, Kind::Presence, CoalesceKey::Online)
}

fn report(number: u64, word: u64) -> Note {
    Note(number, Kind::Report, CoalesceKey::Report(word))
}

fn piece(number: u64) -> Note {
    Note(number, Kind::Log, CoalesceKey::Report(number))
}

struct Device {
    queue: DeviceQueue<Note>,
    now: Instant,
    taken: Vec<u64>,
    dropped: Vec<(u64, Dropped)>,
    permits: Arc<Semaphore>,
}

impl Device {
    fn new() -> Self {
        let permits = Arc::new(Semaphore::new(8));
        Self { queue: DeviceQueue::new(Rates::default()), now: Instant::now(), taken: vec![], dropped: vec![], permits }
    }

    fn says(&mut self, note: Note) {
        self.dropped.extend(self.queue.offer(note, self.now).map(|(note, why)| (note.0, why)));
    }

    /// Takes all messages that are due.
    fn works(&mut self) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(entry) = self.queue.next(self.now) {
            taken.push(entry.message.0);
        }
        self.taken.extend(&taken);
        taken
    }

    fn passes(&mut self, time: Duration) {
        self.now += time;
    }

    /// Uses up the rate of a kind.
    fn exhausts(&mut self, kind: Kind) {
        while self.queue.rates.take(kind, self.now) {}
    }

    fn holds(&mut self, note: Note, time: Duration) {
        let permit = Arc::clone(&self.permits).try_acquire_owned().unwrap();
        let until = self.now + time;
        let moot = self.queue.put_back(note, until, permit, self.now);
        self.dropped.extend(moot.map(|note| (note.0, Dropped::Throttled)));
    }
}

#[test]
fn within_the_rate_everything_is_taken_in_order() {
    let mut device = Device::new();
    for number in (0..40).step_by(2) {
        device.says(online(number));
        device.says(report(number + 1, 7));
    }
    assert_eq!(device.works(), (0..40).collect::<Vec<_>>());
    assert_eq!(device.dropped, []);
}

#[test]
fn a_redelivered_message_is_taken_before_later_ones() {
    let mut device = Device::new();
    for number in [1, 3, 5, 2, 4] {
        device.says(if number == 5 { report(number, 7) } else { online(number) });
    }
    assert_eq!(device.works(), [1, 2, 3, 4, 5]);
}

#[test]
fn a_flood_is_bounded_and_its_newest_message_is_taken() {
    let mut device = Device::new();
    for number in 0..10_000 {
        device.says(online(number));
        assert!(device.queue.len() <= KEPT_MAX);
    }
    let at_once = device.works();
    assert_eq!(at_once.len(), GRANTED_MAX + 1, "{at_once:?}");
    for _ in 0..3 {
        device.passes(Duration::from_secs(1));
        device.works();
    }
    assert_eq!(device.taken.last(), Some(&9_999));
    assert_eq!(device.taken.len() + device.dropped.len(), 10_000, "each is taken or dropped");
    assert_eq!(device.queue.len(), 0);
}

#[test]
fn measurements_from_a_time_offline_are_kept() {
    let mut device = Device::new();
    for number in 0..200 {
        device.says(Note(number, Kind::Measurements, CoalesceKey::Measurements));
    }
    assert_eq!((device.works().len(), device.dropped.len()), (200, 0));
}

#[test]
fn a_report_after_too_many_pieces_of_a_log_is_taken_at_once() {
    let mut device = Device::new();
    (0..70).for_each(|number| device.says(piece(number)));
    device.says(report(70, 7));
    let (burst, kept) = (LOGS_MAX as u64, (LOGS_MAX + EXCESS_MAX) as u64);
    assert_eq!(device.dropped, (kept..70).map(|number| (number, Dropped::TooMany)).collect::<Vec<_>>());
    let taken: Vec<_> =
        std::iter::from_fn(|| device.queue.next(device.now)).map(|entry| (entry.message.0, entry.standing)).collect();
    let granted = (0..burst).map(|number| (number, Standing::Granted));
    let refused = (burst..kept).map(|number| (number, Standing::Excess));
    assert_eq!(taken, granted.chain(refused).chain([(70, Standing::Granted)]).collect::<Vec<_>>());
    device.passes(rates::LOG.interval);
    device.says(piece(71));
    device.says(piece(72));
    let standings = [device.queue.next(device.now), device.queue.next(device.now)].map(|next| next.unwrap().standing);
    assert_eq!(standings, [Standing::Granted, Standing::Excess]);
}

#[test]
fn the_longest_throttled_message_is_next() {
    let (mut device, time) = (Device::new(), Duration::from_secs(50));
    device.holds(online(1), time);
    for number in 2..6 {
        device.says(Note(number, Kind::Info, CoalesceKey::Info));
        assert_eq!(device.works(), [number]);
        device.holds(Note(number, Kind::Info, CoalesceKey::Info), time);
    }
    device.passes(time);
    assert_eq!(device.queue.next(device.now).map(|entry| entry.message), Some(online(1)));
}

#[test]
fn above_the_rate_there_is_a_time_when_the_newest_is_due() {
    let mut device = Device::new();
    device.exhausts(Kind::Presence);
    device.says(online(1));
    device.says(online(2));
    assert_eq!((device.works(), device.dropped.clone()), (vec![], vec![(1, Dropped::Rate)]));
    device.now = device.queue.due(device.now).unwrap();
    assert_eq!(device.works(), [2]);
    assert_eq!(device.queue.due(device.now), None);
}

#[test]
fn messages_with_different_keys_never_replace_each_other() {
    let mut device = Device::new();
    device.exhausts(Kind::Presence);
    let words = [CoalesceKey::Online, CoalesceKey::Offline, CoalesceKey::Unreadable];
    for number in 0..300 {
        device.says(Note(number, Kind::Presence, words[number as usize % 3]));
    }
    assert_eq!(device.queue.len(), 3);
    device.passes(Duration::from_secs(10));
    assert_eq!(device.works(), [297, 298, 299]);
}

#[test]
fn the_same_report_counts_once_and_different_ones_wait() {
    let mut device = Device::new();
    device.exhausts(Kind::Report);
    for (number, word) in [(1, 10), (2, 11), (3, 10), (4, 10)] {
        device.says(report(number, word));
    }
    assert_eq!(device.dropped, [(1, Dropped::Rate), (3, Dropped::Rate)]);
    device.passes(Duration::from_secs(10));
    assert_eq!(device.works(), [2, 4], "the last message stays the last");
}

#[test]
fn too_many_different_reports_are_refused_and_the_first_are_kept() {
    let mut device = Device::new();
    device.exhausts(Kind::Report);
    for number in 0..1_000 {
        device.says(report(number, number));
        assert!(device.queue.len() <= KEPT_MAX);
    }
    let too_many = |dropped: &&(u64, Dropped)| dropped.1 == Dropped::TooMany;
    assert_eq!(device.dropped.iter().filter(too_many).count(), 1_000 - WAITING_MAX - EXCESS_MAX);
    device.passes(Duration::from_secs(60));
    assert_eq!(device.works(), (0..(WAITING_MAX + EXCESS_MAX) as u64).collect::<Vec<_>>());
}

#[test]
fn nothing_overtakes_a_waiting_message() {
    let mut device = Device::new();
    device.exhausts(Kind::Presence);
    device.says(online(1));
    device.says(report(2, 1));
    assert!(device.works().is_empty(), "a report is judged after earlier messages");
    device.passes(Duration::from_secs(1));
    assert_eq!(device.works(), [1, 2]);
}

#[test]
fn a_throttled_message_waits_and_blocks_no_other() {
    let mut device = Device::new();
    device.holds(online(1), Duration::from_secs(50));
    device.says(Note(2, Kind::Measurements, CoalesceKey::Measurements));
    assert_eq!(device.works(), [2]);
    assert_eq!(device.queue.due(device.now), Some(device.now + Duration::from_secs(50)));
    device.passes(Duration::from_secs(50));
    assert_eq!(device.works(), [1]);
}

#[test]
fn a_newer_message_replaces_a_throttled_one() {
    let mut device = Device::new();
    device.holds(online(1), Duration::from_secs(50));
    device.says(Note(2, Kind::Presence, CoalesceKey::Offline));
    assert_eq!(device.dropped, []);
    device.says(online(3));
    device.holds(online(0), Duration::from_secs(50));
    assert_eq!(device.dropped, [(1, Dropped::Throttled), (0, Dropped::Throttled)]);
    assert_eq!(device.works(), [2, 3]);
    assert_eq!(device.permits.available_permits(), 8, "no message is throttled any more");
}

#[test]
fn a_report_makes_an_earlier_throttled_message_due() {
    let mut device = Device::new();
    device.holds(online(1), Duration::from_secs(50));
    device.says(report(2, 1));
    assert_eq!(device.works(), [1, 2]);
}

#[test]
fn a_redelivered_message_never_replaces_itself() {
    let mut device = Device::new();
    device.exhausts(Kind::Presence);
    device.says(online(5));
    device.says(online(5));
    assert_eq!((device.queue.len(), device.dropped.len()), (1, 0));
    device.says(online(4));
    assert_eq!(device.dropped, [(4, Dropped::Rate)], "the newer one stays");
}

#[test]
fn waiting_messages_get_progress_acknowledgements() {
    let mut device = Device::new();
    device.exhausts(Kind::Presence);
    device.says(online(1));
    device.passes(Duration::from_secs(4));
    assert_eq!(device.queue.unrenewed(Duration::from_secs(4), device.now), [online(1)]);
    assert_eq!(device.queue.unrenewed(Duration::from_secs(4), device.now), []);
}
