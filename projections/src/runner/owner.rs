//! The owner of one read model: rows, checkpoint and parked records change in one transaction.

use std::collections::BTreeSet;
use std::sync::Arc;

use event_store::{Log, StoreError};
use runtime::clock;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Sweep;
use super::deferred::{Deferred, DeferredRecord};
use super::parking::parse_key;
use super::{Checkpoint, Parked, ParkedRecord, RunEnd};
use crate::db::{Db, DbError};
use crate::decode::{Decoded, Unreadable};
use crate::memory::Memory;
use crate::read_model::{ReadModel, SweepPlace, until_sweep};

/// Tries for a single record that can't be applied, before its aggregate is parked.
const APPLY_TRIES_MAX: u32 = 3;

/// Records that aren't applied with the others of their batch.
#[derive(Default)]
struct Aside {
    parked: Vec<ParkedRecord>,
    deferred: Vec<DeferredRecord>,
}

pub(super) struct Owner<'a> {
    pub(super) db: &'a Db,
    pub(super) log: &'a Arc<dyn Log>,
    pub(super) model: &'static dyn ReadModel,
    pub(super) checkpoint: Checkpoint,
    pub(super) parked: Parked,
    pub(super) deferred: Deferred,
    pub(super) memory: Memory,
    pub(super) stop: &'a CancellationToken,
}

impl Owner<'_> {
    /// Applies records in order. If that fails, halves them until the record at fault is found.
    pub(super) async fn take(&mut self, records: Vec<Decoded>) -> Result<(), RunEnd> {
        // The part to try next is the last one.
        let mut parts = vec![records];
        while let Some(mut part) = parts.pop() {
            if let Some(first) = part.first().filter(|first| self.deferred.holds_up(first)) {
                self.write_deferred_for(&first.aggregate()).await?;
            }
            let rest = part.split_off(self.together(&part));
            if !rest.is_empty() {
                parts.push(rest);
            }
            let Some(last) = part.last().map(|record| record.raw.position) else { continue };
            let (held, rest): (Vec<_>, Vec<_>) = part.into_iter().partition(|record| self.parked.contains(record));
            let (later, mut free): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|record| self.model.needed_by(record).is_some());
            let defer = |record: &Decoded| Some(DeferredRecord::new(record, self.model.needed_by(record)?));
            let aside = Aside {
                parked: held.iter().map(|record| set_aside(record, "its aggregate is parked")).collect(),
                deferred: later.iter().filter_map(defer).collect(),
            };
            match self.apply(&free, &aside, last).await {
                Ok(()) => {}
                Err(DbError::Invalid(error)) if free.len() > 1 => {
                    tracing::warn!(
                        projection = self.model.name(),
                        records = free.len(),
                        error,
                        "Records can't be applied together. They are tried in halves."
                    );
                    free.extend(held);
                    free.extend(later);
                    free.sort_by_key(|record| record.raw.position);
                    let second = free.split_off(free.len() / 2);
                    parts.extend([second, free]);
                }
                Err(DbError::Invalid(error)) => self.take_alone(&free, aside, last, error).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// How many records can be applied together: up to the next that sweeps, or that needs the rows of deferred ones.
    fn together(&self, records: &[Decoded]) -> usize {
        let until_sweep = until_sweep(self.model, records);
        let mut needed = BTreeSet::new();
        for (index, record) in records[..until_sweep].iter().enumerate() {
            let is_needed = !needed.is_empty() && needed.contains(&record.aggregate());
            if index > 0 && (is_needed || self.deferred.holds_up(record)) {
                return index;
            }
            needed.extend(self.model.needed_by(record));
        }
        until_sweep
    }

    /// Tries the single record a few times more, then parks its aggregate.
    async fn take_alone(
        &mut self,
        record: &[Decoded],
        mut aside: Aside,
        last: u64,
        mut error: String,
    ) -> Result<(), RunEnd> {
        for _ in 1..APPLY_TRIES_MAX {
            match self.apply(record, &aside, last).await {
                Ok(()) => return Ok(()),
                Err(DbError::Invalid(again)) => error = again,
                Err(other) => return Err(other.into()),
            }
        }
        for record in record {
            let (position, aggregate) = (record.raw.position, record.aggregate());
            tracing::error!(projection = self.model.name(), position, aggregate, error, "An aggregate is parked.");
            aside.parked.push(set_aside(record, &error));
        }
        Ok(self.commit(&[], &aside, last).await?)
    }

    /// A record that can't be decoded: kept by a model that keeps bytes. Otherwise this program is too old for it, or it is damaged and its
    /// aggregate is parked.
    pub(super) async fn take_unreadable(&mut self, unreadable: Unreadable) -> Result<(), RunEnd> {
        let Unreadable { raw, error } = unreadable;
        let mut tx = self.db.write("public").await?;
        let next = self.checkpoint.write(&mut tx, raw.position).await?;
        if self.model.keep_unreadable(&mut tx, &raw).await? {
            tx.commit().await.map_err(DbError::from)?;
            self.checkpoint = next;
            return Ok(());
        }
        tx.rollback().await.map_err(DbError::from)?;
        match error {
            StoreError::Corrupt { position, reason } => {
                let aggregate = raw.key.to_string();
                tracing::error!(projection = self.model.name(), position, aggregate, reason, "An aggregate is parked.");
                let parked = vec![ParkedRecord { aggregate, position, error: reason }];
                self.commit(&[], &Aside { parked, ..Aside::default() }, position).await?;
                Ok(())
            }
            other => Err(RunEnd::Halted(other.to_string())),
        }
    }

    /// Applies records, or one with its sweep.
    async fn apply(&mut self, records: &[Decoded], aside: &Aside, last: u64) -> Result<(), DbError> {
        if let Some(first) = records.first().filter(|record| self.model.sweeps(record)) {
            self.sweep(first).await?;
        }
        self.commit(records, aside, last).await
    }

    /// Changes the rows that a record sweeps: each page in a transaction of its own, which keeps how far the sweep has come. It goes on there
    /// after an error, a stop or a kill.
    async fn sweep(&mut self, record: &Decoded) -> Result<(), DbError> {
        let position = record.raw.position;
        let begun = self.checkpoint.sweep.as_ref().filter(|sweep| sweep.position == position);
        let mut place = begun.map_or_else(|| Some(SweepPlace::default()), |sweep| sweep.place.clone());
        while let Some(from) = place {
            if self.stop.is_cancelled() {
                return Err(DbError::Unavailable("the program stops".to_owned()));
            }
            let mut tx = self.db.write("public").await?;
            self.memory.forget();
            place = self.model.sweep(&mut tx, record, &from).await?;
            let next = self.checkpoint.write_sweep(&mut tx, Sweep { position, place: place.clone() }).await?;
            tx.commit().await?;
            self.checkpoint = next;
        }
        Ok(())
    }

    async fn commit(&mut self, records: &[Decoded], aside: &Aside, last: u64) -> Result<(), DbError> {
        self.memory.observations.discard();
        let done = self.try_commit(records, aside, last).await;
        match &done {
            Ok(()) => self.memory.observations.count(clock::now()),
            Err(_) => self.memory.forget(),
        }
        done
    }

    async fn try_commit(&mut self, records: &[Decoded], aside: &Aside, last: u64) -> Result<(), DbError> {
        let mut tx = self.db.write("public").await?;
        let next = self.checkpoint.write(&mut tx, last).await?;
        if !records.is_empty() {
            self.model.apply(&mut tx, records, &mut self.memory).await?;
            // PostgreSQL stores other texts for these.
            if records.iter().any(Decoded::has_nul) {
                self.memory.forget();
            }
        }
        self.parked.write(&mut tx, &aside.parked).await?;
        self.deferred.write(&mut tx, &aside.deferred).await?;
        tx.commit().await?;
        self.checkpoint = next;
        self.parked.remember(&aside.parked);
        self.deferred.remember(&aside.deferred);
        metrics::counter!("waybill_projection_records_total", "projection" => self.model.name())
            .increment(records.len() as u64);
        Ok(())
    }
}

/// Deferred records.
impl Owner<'_> {
    /// Writes the rows of all deferred records that an aggregate needs, each in a transaction of its own.
    async fn write_deferred_for(&mut self, needed_by: &str) -> Result<(), RunEnd> {
        while self.write_deferred(Some(needed_by)).await? {
            if self.stop.is_cancelled() {
                return Err(DbError::Unavailable("the program stops".to_owned()).into());
            }
        }
        Ok(())
    }

    /// Writes the rows of the next deferred record; of those that an aggregate needs, if one is named. Returns whether there was one.
    pub(super) async fn write_deferred(&mut self, needed_by: Option<&str>) -> Result<bool, RunEnd> {
        let Some(next) = DeferredRecord::next(self.db, self.model.name(), needed_by).await? else {
            self.deferred.forget(needed_by);
            return Ok(false);
        };
        let record = self.read(&next).await?;
        let mut error = String::new();
        for _ in 0..APPLY_TRIES_MAX {
            match self.commit_deferred(&next, Ok(&record)).await {
                Ok(()) => return Ok(true),
                Err(DbError::Invalid(again)) => error = again,
                Err(other) => return Err(other.into()),
            }
        }
        let DeferredRecord { aggregate, position, .. } = &next;
        tracing::error!(projection = self.model.name(), position, aggregate, error, "An aggregate is parked.");
        self.commit_deferred(&next, Err(set_aside(&record, &error))).await?;
        Ok(true)
    }

    /// Reads a deferred record from the log.
    async fn read(&self, deferred: &DeferredRecord) -> Result<Decoded, RunEnd> {
        let key = parse_key(&deferred.aggregate)?;
        let found = self.log.read(&key, deferred.position, 1).await;
        let found = found.map_err(|error| DbError::Unavailable(error.to_string()))?;
        let raw = found
            .into_iter()
            .find(|raw| raw.position == deferred.position)
            .ok_or_else(|| DbError::Unavailable(format!("the log has not given record {} yet", deferred.position)))?;
        Decoded::decode(raw).map_err(|unreadable| RunEnd::Halted(unreadable.error.to_string()))
    }

    /// Writes its rows, or parks it.
    async fn commit_deferred(
        &mut self,
        deferred: &DeferredRecord,
        outcome: Result<&Decoded, ParkedRecord>,
    ) -> Result<(), DbError> {
        let done = self.try_commit_deferred(deferred, outcome).await;
        if done.is_err() {
            self.memory.forget();
        }
        done
    }

    async fn try_commit_deferred(
        &mut self,
        deferred: &DeferredRecord,
        outcome: Result<&Decoded, ParkedRecord>,
    ) -> Result<(), DbError> {
        let mut tx = self.db.write("public").await?;
        self.checkpoint.confirm(&mut tx).await?;
        let mut parked = vec![];
        match outcome {
            Ok(record) => self.model.apply(&mut tx, std::slice::from_ref(record), &mut self.memory).await?,
            Err(record) => parked.push(record),
        }
        self.parked.write(&mut tx, &parked).await?;
        deferred.remove(&mut tx, self.model.name()).await?;
        tx.commit().await?;
        self.parked.remember(&parked);
        if parked.is_empty() {
            metrics::counter!("waybill_projection_records_total", "projection" => self.model.name()).increment(1);
        }
        Ok(())
    }
}

fn set_aside(record: &Decoded, error: &str) -> ParkedRecord {
    ParkedRecord { aggregate: record.aggregate(), position: record.raw.position, error: error.to_owned() }
}
