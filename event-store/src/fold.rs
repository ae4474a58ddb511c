//! Folds records into state: the one place that applies stored events.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::Decider;
use uuid::Uuid;

use crate::command_hash::CommandHash;
use crate::context::{CommandOutcome, Loaded, Origin};
use crate::error::StoreError;
use crate::log::RawRecord;
use crate::record::Record;
use crate::threads::RecordRef;

/// A warning is logged when an aggregate with more records than this is loaded.
const LONG_AGGREGATE_RECORDS: usize = 5_000;

impl<A: Decider> Loaded<A> {
    /// Applies further records. Records that were applied are skipped. A version that does not follow is an error.
    pub(crate) fn apply_records(&mut self, records: &[RawRecord]) -> Result<(), StoreError> {
        if records.len() > LONG_AGGREGATE_RECORDS {
            tracing::warn!(aggregate = %records[0].key, records = records.len(), "aggregate is long; loading it is slow");
        }
        let applied = self.last_sequence;
        for raw in records.iter().filter(|raw| raw.position > applied) {
            let record = Record::decode(raw.position, &raw.body)?;
            let events = record.decode_events::<A::Event>(raw.position)?;
            if record.version != self.version + 1 {
                return Err(StoreError::Corrupt {
                    position: raw.position,
                    reason: format!("version {} follows version {}", record.version, self.version),
                });
            }
            let hash = CommandHash::from_hex(&record.command_hash)
                .ok_or_else(|| StoreError::Corrupt { position: raw.position, reason: "command_hash".to_owned() })?;
            let outcome = outcome_of(raw.position, &record, hash);
            let correlations = record.events.iter().map(|stored| stored.correlation_id(&record.meta));
            self.apply_events(events.into_iter().zip(correlations), record.meta.recorded_at, outcome, raw.body.len());
            self.begins_with(|| Origin { at: record.meta.recorded_at, by: record.meta.actor });
        }
        Ok(())
    }

    /// Applies one further record, for display. `gaps`: records before it are missing, so any version may follow.
    pub(crate) fn apply_readable(&mut self, raw: &RawRecord, gaps: bool) -> Result<(), StoreError> {
        let record = Record::decode(raw.position, &raw.body)?;
        if gaps && record.version > self.version {
            self.version = record.version - 1;
        }
        self.apply_records(std::slice::from_ref(raw))
    }

    /// Applies what one command stored: each event with its correlation id.
    pub(crate) fn apply_events(
        &mut self,
        events: impl Iterator<Item = (A::Event, Uuid)>,
        at: DateTime<Utc>,
        outcome: CommandOutcome,
        bytes: usize,
    ) {
        let aggregate = Arc::make_mut(&mut self.aggregate);
        let record = RecordRef { command_id: outcome.id, position: outcome.sequence };
        for (event, correlation_id) in events {
            self.threads.apply(aggregate, &event, correlation_id, record);
            self.times.apply::<A>(&event, at);
            aggregate.apply(event);
        }
        self.threads.retain(aggregate);
        self.version = outcome.version;
        self.last_sequence = outcome.sequence;
        self.bytes += bytes;
        self.recent.push(outcome);
    }

    /// Sets how the aggregate began, if that is not known.
    pub(crate) fn begins_with(&mut self, origin: impl FnOnce() -> Origin) {
        if self.origin.is_none() {
            self.origin = Some(Arc::new(origin()));
        }
    }
}

fn outcome_of(sequence: u64, record: &Record, hash: CommandHash) -> CommandOutcome {
    CommandOutcome {
        id: record.command_id,
        hash,
        sequence,
        version: record.last_version(),
        event_count: record.events.len() as u32,
    }
}
