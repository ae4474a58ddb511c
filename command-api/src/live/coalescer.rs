//! Gathers the changes of a topic: the first one after a quiet time is due at once, others at most four times a second. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::change::{Change, Kind};
use super::topic::Told;

/// Shortest time between two messages of a topic.
pub(super) const INTERVAL: Duration = Duration::from_millis(250);
/// Most resources of a kind that a message names. Further ones are told without an id.
pub(super) const NAMED_MAX: usize = 50;
/// Most types of events that are named for one resource.
const TYPES_MAX: usize = 64;

/// Changes of one resource since the last message, or of several that aren't named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) types: BTreeSet<Arc<str>>,
    /// Events.
    pub(super) count: u64,
    /// Of the last one.
    pub(super) position: u64,
    pub(super) time: DateTime<Utc>,
}

/// A resource, or the unnamed ones of a kind.
pub(super) type Subject = (Kind, Option<Arc<str>>);

/// Changes that wait for the next message.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    waiting: BTreeMap<Subject, Summary>,
    /// Named resources among them, by kind.
    named: BTreeMap<Kind, usize>,
    /// When the oldest of them was stored.
    since: Option<DateTime<Utc>>,
    sent_at: Option<Instant>,
}

/// What a message tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) changes: Vec<(Subject, Summary)>,
    /// When the oldest change of it was stored.
    pub(super) since: DateTime<Utc>,
}

impl Coalescer {
    pub(super) fn add(&mut self, change: &Change, told: &Told<'_>) {
        let subject = self.subject(told);
        let (position, time) = (change.position, change.time);
        let new = || Summary { types: BTreeSet::new(), count: 0, position, time };
        let summary = self.waiting.entry(subject).or_insert_with(new);
        for name in &told.types {
            if summary.types.len() < TYPES_MAX {
                summary.types.insert(Arc::clone(name));
            }
        }
        summary.count += told.types.len() as u64;
        (summary.position, summary.time) = (position, time);
        self.since.get_or_insert(time);
    }

    fn subject(&mut self, told: &Told<'_>) -> Subject {
        let subject = (told.kind, Some(Arc::clone(told.id)));
        if self.waiting.contains_key(&subject) {
            return subject;
        }
        let named = self.named.entry(told.kind).or_default();
        if *named >= NAMED_MAX {
            return (told.kind, None);
        }
        *named += 1;
        subject
    }

    /// When the next message is due; none if there is nothing to tell.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        let due = self.sent_at.map_or(now, |sent_at| now.max(sent_at + INTERVAL));
        (!self.waiting.is_empty()).then_some(due)
    }

    /// What waits, to be sent now.
    pub(super) fn take(&mut self, now: Instant) -> Option<Batch> {
        let since = self.since.take()?;
        self.named.clear();
        self.sent_at = Some(now);
        Some(Batch { changes: std::mem::take(&mut self.waiting).into_iter().collect(), since })
    }
}

#[cfg(test)]
mod tests {
    use domain::TenantId;

    use super::*;

    fn change(position: u64, id: &str, types: &[&str]) -> Change {
        Change {
            position,
            time: DateTime::from_timestamp(1_800_000_000 + position as i64, 0).unwrap(),
            tenant: TenantId::new("acme").unwrap(),
            kind: Kind::Device,
            id: id.into(),
            campaign: None,
            types: types.iter().map(|name| Arc::from(*name)).collect(),
        }
    }

    fn add(coalescer: &mut Coalescer, change: &Change) {
        let told = Told { kind: change.kind, id: &change.id, types: change.types.iter().collect() };
        coalescer.add(change, &told);
    }

    #[test]
    fn the_first_change_after_a_quiet_time_is_due_at_once_and_others_four_times_a_second() {
        let (mut coalescer, begun) = (Coalescer::default(), Instant::now());
        let ms = |ms| begun + Duration::from_millis(ms);
        assert_eq!(coalescer.due(begun), None);
        let mut sent = vec![];
        // A change every 10 ms for two seconds.
        for at in (0..2_000).step_by(10) {
            add(&mut coalescer, &change(at + 1, "d-1", &["update.accepted"]));
            if coalescer.due(ms(at)).is_some_and(|due| due <= ms(at)) {
                let batch = coalescer.take(ms(at)).unwrap();
                sent.push((at, batch.changes[0].1.count));
            }
        }
        let expected: Vec<(u64, u64)> = (0..8).map(|n| (n * 250, if n == 0 { 1 } else { 25 })).collect();
        assert_eq!(sent, expected);
        assert_eq!(coalescer.due(ms(1_995)), Some(ms(2_000)), "the rest is not forgotten");
        assert!(coalescer.take(ms(2_000)).is_some() && coalescer.take(ms(2_000)).is_none());
        add(&mut coalescer, &change(900, "d-1", &["update.failed"]));
        assert_eq!(coalescer.due(ms(9_000)), Some(ms(9_000)), "it was quiet");
    }

    #[test]
    fn a_message_says_of_each_resource_what_happened_and_where() {
        let mut coalescer = Coalescer::default();
        for (position, id, name) in [(5, "d-2", "b"), (6, "d-1", "a"), (7, "d-2", "a"), (8, "d-2", "b")] {
            add(&mut coalescer, &change(position, id, &[name]));
        }
        let batch = coalescer.take(Instant::now()).unwrap();
        assert_eq!(batch.since, change(5, "", &[]).time);
        let told: Vec<_> = (batch.changes.iter())
            .map(|((_, id), summary)| {
                let types: Vec<&str> = summary.types.iter().map(AsRef::as_ref).collect();
                (id.as_deref().unwrap(), types.join(" "), summary.count, summary.position)
            })
            .collect();
        assert_eq!(told, [("d-1", "a".to_owned(), 1, 6), ("d-2", "a b".to_owned(), 3, 8)]);
    }

    #[test]
    fn a_message_names_a_number_of_resources_and_counts_the_others() {
        let mut coalescer = Coalescer::default();
        for n in 0..200 {
            add(&mut coalescer, &change(n + 1, &format!("d-{n:03}"), &["update.queued"]));
        }
        add(&mut coalescer, &change(201, "d-000", &["update.queued"]));
        let changes = coalescer.take(Instant::now()).unwrap().changes;
        assert_eq!(changes.len(), NAMED_MAX + 1);
        let others = changes.iter().find(|((_, id), _)| id.is_none()).unwrap();
        assert_eq!((others.1.count, others.1.position), (150, 200));
        let first = changes.iter().find(|((_, id), _)| id.as_deref() == Some("d-000")).unwrap();
        assert_eq!((first.1.count, first.1.position), (2, 201), "who is named stays named");
    }
}
