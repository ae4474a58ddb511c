//! The history of an aggregate: its state at a position or a time, and its events one by one.
//!
//! A time includes an event if the log had stored it by then, by the log's clock, or if it was decided by then, by the event's own time. So
//! both times that are shown with an event find it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{AggregateKey, CommandId, Decider, Key};
use tokio::time::sleep;

use crate::context::Loaded;
use crate::error::StoreError;
use crate::log::RawRecord;
use crate::position::Position;
use crate::record::Record;
use crate::store::EventStore;
use crate::stored_event::Metadata;

const NANOS_PER_MILLI: u32 = 1_000_000;
const NANOS_PER_MICRO: u32 = 1_000;
/// Records read at once when events are listed.
const PAGE_RECORDS: usize = 500;
/// How often a known record is read: a replica may lack it for a moment.
const LOOKS_MAX: u32 = 20;
/// Pause between two reads.
const LOOK_PAUSE: Duration = Duration::from_millis(25);

/// A moment in the history of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Everything up to this sequence number, included.
    Position(u64),
    /// Everything up to this event. Later events of the same record are not included.
    Event(Position),
    /// Everything stored or decided at or before this time. A time in whole milliseconds or microseconds includes that whole millisecond or
    /// microsecond.
    Time(DateTime<Utc>),
}

impl At {
    /// Whether this moment includes a record.
    pub fn covers(self, position: u64, stored_at: DateTime<Utc>, recorded_at: DateTime<Utc>) -> bool {
        match self {
            Self::Position(last) => position <= last,
            Self::Event(event) => position <= event.sequence,
            Self::Time(time) => {
                let last = end_of(time);
                stored_at <= last || recorded_at <= last
            }
        }
    }
}

/// The last instant that a time covers: a time may be written with fewer digits.
fn end_of(time: DateTime<Utc>) -> DateTime<Utc> {
    let digits_left_away =
        [NANOS_PER_MILLI, NANOS_PER_MICRO].into_iter().find(|unit| time.timestamp_subsec_nanos().is_multiple_of(*unit));
    let more = digits_left_away.map_or(0, |unit| i64::from(unit) - 1);
    time.checked_add_signed(TimeDelta::nanoseconds(more)).unwrap_or(time)
}

/// One event with its position, time and metadata.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded<E> {
    pub position: Position,
    /// Number of events in the aggregate after this one.
    pub version: u64,
    /// When the command was decided.
    pub recorded_at: DateTime<Utc>,
    /// When the log stored the record.
    pub stored_at: DateTime<Utc>,
    pub command_id: CommandId,
    pub meta: Metadata,
    pub event: E,
}

/// A record that this program can't read: damaged, or newer than the program.
#[derive(Debug, Clone)]
pub struct Unreadable {
    pub sequence: u64,
    /// Number of the record's first event in the aggregate, as far as known.
    pub version: u64,
    pub stored_at: DateTime<Utc>,
    /// When the command was decided, and by whom, if that can be read.
    pub meta: Option<(CommandId, Metadata)>,
    pub error: StoreError,
}

/// An item of a history.
#[derive(Debug, Clone)]
pub enum Entry<E> {
    Event(Recorded<E>),
    Unreadable(Unreadable),
}

impl<E> Entry<E> {
    /// Number of the aggregate's events after this one.
    pub fn version(&self) -> u64 {
        match self {
            Self::Event(recorded) => recorded.version,
            Self::Unreadable(record) => record.version,
        }
    }

    pub fn stored_at(&self) -> DateTime<Utc> {
        match self {
            Self::Event(recorded) => recorded.stored_at,
            Self::Unreadable(record) => record.stored_at,
        }
    }
}

/// An aggregate at a moment, as far as its records can be read.
#[derive(Debug)]
pub struct Past<A: Decider> {
    pub loaded: Loaded<A>,
    /// Records that could not be applied.
    pub unreadable: Vec<Unreadable>,
}

impl EventStore {
    /// An aggregate at a moment, for display: records that can't be read are listed with it. Version 0 if it did not exist yet.
    pub async fn past<A: Decider>(&self, key: &Key<A>, at: At) -> Result<Past<A>, StoreError> {
        let mut past = Past { loaded: Loaded::default(), unreadable: Vec::new() };
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while let Some(page) = pages.next().await? {
            for mut raw in page {
                if !covered(at, &raw) {
                    return Ok(past);
                }
                if let At::Event(event) = at
                    && event.sequence == raw.position
                    && let Ok(body) = up_to(&raw, event.index)
                {
                    raw.body = body;
                }
                if let Err(error) = past.loaded.apply_readable(&raw, !past.unreadable.is_empty()) {
                    past.unreadable.push(unreadable(&raw, past.loaded.version + 1, error));
                }
            }
        }
        Ok(past)
    }

    /// The events of an aggregate from a version on (1 is its first event), at most `limit`, with unreadable records in their places.
    /// Includes everything that was stored before the call.
    pub async fn entries<A: Decider>(
        &self,
        key: &Key<A>,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Entry<A::Event>>, StoreError> {
        let (mut listed, mut version) = (Vec::new(), 0);
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while listed.len() < limit
            && let Some(page) = pages.next().await?
        {
            for raw in &page {
                let of_record = entries_of(raw, version + 1);
                version = of_record.iter().map(Entry::version).max().unwrap_or(version).max(version);
                listed.extend(of_record.into_iter().filter(|entry| entry.version() >= from_version));
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    /// The latest events of an aggregate up to a version, at most `limit`, newest first, with unreadable records in their places.
    pub async fn latest_entries<A: Decider>(
        &self,
        key: &Key<A>,
        to_version: u64,
        limit: usize,
    ) -> Result<Vec<Entry<A::Event>>, StoreError> {
        // The log is read only forwards.
        let (mut latest, mut version) = (VecDeque::new(), 0);
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while version < to_version
            && let Some(page) = pages.next().await?
        {
            for raw in &page {
                let of_record = entries_of(raw, version + 1);
                version = of_record.iter().map(Entry::version).max().unwrap_or(version).max(version);
                latest.extend(of_record.into_iter().filter(|entry| entry.version() <= to_version));
                latest.drain(..latest.len().saturating_sub(limit));
            }
        }
        Ok(latest.into_iter().rev().collect())
    }

    /// How many events an aggregate has, as far as its records can be read.
    pub async fn entry_count<A: Decider>(&self, key: &Key<A>) -> Result<u64, StoreError> {
        let mut version = 0;
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while let Some(page) = pages.next().await? {
            for raw in &page {
                version = Record::decode(raw.position, &raw.body).map_or(version + 1, |record| record.last_version());
            }
        }
        Ok(version)
    }

    /// An aggregate at a moment. Version 0 if it did not exist yet.
    pub async fn load_at<A: Decider>(&self, key: &Key<A>, at: At) -> Result<Loaded<A>, StoreError> {
        let mut loaded = Loaded::default();
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while let Some(mut page) = pages.next().await? {
            let read = page.len();
            let past = page.iter().take_while(|raw| covered(at, raw)).count();
            page.truncate(past);
            if let At::Event(event) = at
                && let Some(last) = page.last_mut().filter(|last| last.position == event.sequence)
            {
                last.body = up_to(last, event.index)?;
            }
            loaded.apply_records(&page)?;
            if past < read {
                break;
            }
        }
        Ok(loaded)
    }

    /// The events of an aggregate from a version on (1 is its first event), at most `limit`. Includes everything that was stored before the
    /// call.
    pub async fn history<A: Decider>(
        &self,
        key: &Key<A>,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded<A::Event>>, StoreError> {
        let mut listed = Vec::new();
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while listed.len() < limit
            && let Some(page) = pages.next().await?
        {
            for raw in &page {
                let record = Record::decode(raw.position, &raw.body)?;
                if record.last_version() >= from_version {
                    listed.extend(recorded_events(raw, &record)?.into_iter().filter(|one| one.version >= from_version));
                }
            }
        }
        listed.truncate(limit);
        Ok(listed)
    }

    /// Shows every event of an aggregate, oldest first. Includes everything that was stored before the call.
    pub async fn walk<A: Decider>(
        &self,
        key: &Key<A>,
        mut visit: impl FnMut(Recorded<A::Event>) + Send,
    ) -> Result<(), StoreError> {
        let mut pages = Pages::to_the_end(self, key.raw()).await?;
        while let Some(page) = pages.next().await? {
            for raw in &page {
                recorded_events(raw, &Record::decode(raw.position, &raw.body)?)?.into_iter().for_each(&mut visit);
            }
        }
        Ok(())
    }

    /// The events of the record at a sequence number, which is known to belong to the aggregate.
    pub(crate) async fn events_at<A: Decider>(
        &self,
        key: &AggregateKey,
        sequence: u64,
    ) -> Result<Vec<A::Event>, StoreError> {
        for _ in 0..LOOKS_MAX {
            let found = self.log.read(key, sequence, 1).await?;
            if let Some(raw) = found.first().filter(|raw| raw.position == sequence) {
                return Record::decode(sequence, &raw.body)?.decode_events(sequence);
            }
            sleep(LOOK_PAUSE).await;
        }
        Err(StoreError::Unavailable(format!("no replica has position {sequence}")))
    }
}

/// The records of one aggregate up to the last one that the leader knew at the start, page by page.
struct Pages<'a> {
    store: &'a EventStore,
    key: &'a AggregateKey,
    next: u64,
    last: u64,
}

impl<'a> Pages<'a> {
    async fn to_the_end(store: &'a EventStore, key: &'a AggregateKey) -> Result<Self, StoreError> {
        Ok(Self { store, key, next: 1, last: store.log.last_sequence(key).await? })
    }

    /// The next records, never an empty page; none at the end. Waits, up to a limit, for a replica that has them.
    async fn next(&mut self) -> Result<Option<Vec<RawRecord>>, StoreError> {
        if self.next > self.last {
            return Ok(None);
        }
        for _ in 0..LOOKS_MAX {
            let page = self.store.log.read(self.key, self.next, PAGE_RECORDS).await?;
            if let Some(newest) = page.last() {
                self.next = newest.position + 1;
                return Ok(Some(page));
            }
            sleep(LOOK_PAUSE).await;
        }
        Err(StoreError::Unavailable(format!("no replica has caught up with position {}", self.last)))
    }
}

/// Whether a moment includes a record. For an unreadable record only the log's time is known.
fn covered(at: At, raw: &RawRecord) -> bool {
    let recorded_at = Record::decode(raw.position, &raw.body).map_or(raw.stored_at, |record| record.meta.recorded_at);
    at.covers(raw.position, raw.stored_at, recorded_at)
}

/// The events of a record, or the record itself if they can't be read.
fn entries_of<E: domain::decider::EventTypes>(raw: &RawRecord, version: u64) -> Vec<Entry<E>> {
    let events = Record::decode(raw.position, &raw.body).and_then(|record| recorded_events(raw, &record));
    match events {
        Ok(events) => events.into_iter().map(Entry::Event).collect(),
        Err(error) => vec![Entry::Unreadable(unreadable(raw, version, error))],
    }
}

fn unreadable(raw: &RawRecord, version: u64, error: StoreError) -> Unreadable {
    let record = Record::decode(raw.position, &raw.body).ok();
    Unreadable {
        sequence: raw.position,
        version: record.as_ref().map_or(version, Record::first_version),
        stored_at: raw.stored_at,
        meta: record.map(|record| (record.command_id, record.meta)),
        error,
    }
}

/// A record's body without the events after a given one.
fn up_to(raw: &RawRecord, index: u16) -> Result<Bytes, StoreError> {
    let mut record = Record::decode(raw.position, &raw.body)?;
    record.events.truncate(usize::from(index) + 1);
    let corrupt = |error: serde_json::Error| StoreError::Corrupt { position: raw.position, reason: error.to_string() };
    serde_json::to_vec(&record).map(Bytes::from).map_err(corrupt)
}

/// The events of one record, each with its position.
pub fn recorded_events<E: domain::decider::EventTypes>(
    raw: &RawRecord,
    record: &Record,
) -> Result<Vec<Recorded<E>>, StoreError> {
    let events = record.decode_events::<E>(raw.position)?;
    let recorded = events.into_iter().enumerate().map(|(index, event)| Recorded {
        position: Position { sequence: raw.position, index: index as u16 },
        version: record.version + index as u64,
        recorded_at: record.meta.recorded_at,
        stored_at: raw.stored_at,
        command_id: record.command_id,
        meta: record.events[index].metadata(&record.meta),
        event,
    });
    Ok(recorded.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_time_that_is_shown_of_a_record_covers_it() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (stored, recorded) = (time("2026-03-01T12:00:00.196088123Z"), time("2026-03-01T12:00:00.193042Z"));
        let covered = |at: &str| At::Time(time(at)).covers(1, stored, recorded);
        let shown = ["00.196088123Z", "00.196088Z", "00.196Z", "00.193042Z", "00.193Z", "00.2Z"];
        for at in shown {
            assert!(covered(&format!("2026-03-01T12:00:{at}")), "{at}");
        }
        for at in ["00.193041Z", "00.192Z", "00Z"] {
            assert!(!covered(&format!("2026-03-01T12:00:{at}")), "{at}");
        }
        // Stored by a clock that was slow.
        assert!(At::Time(recorded).covers(1, recorded, stored));
        assert!(At::Time(DateTime::<Utc>::MAX_UTC).covers(1, stored, recorded));
        assert!(At::Position(1).covers(1, stored, recorded) && !At::Position(0).covers(1, stored, recorded));
    }
}
