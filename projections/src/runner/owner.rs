//! The owner of one read model: rows, checkpoint and parked records change in one transaction.

use event_store::StoreError;
use tokio_util::sync::CancellationToken;

use super::checkpoint::Sweep;
use super::{Checkpoint, Parked, ParkedRecord, RunEnd};
use crate::db::{Db, DbError};
use crate::decode::{Decoded, Unreadable};
use crate::read_model::{ReadModel, SweepPlace, until_sweep};

/// Tries for a single record that can't be applied, before its aggregate is parked.
const APPLY_TRIES_MAX: u32 = 3;

pub(super) struct Owner<'a> {
    pub(super) db: &'a Db,
    pub(super) model: &'static dyn ReadModel,
    pub(super) checkpoint: Checkpoint,
    pub(super) parked: Parked,
    pub(super) stop: &'a CancellationToken,
}

impl Owner<'_> {
    /// Applies records in order. If that fails, halves them until the record at fault is found.
    pub(super) async fn take(&mut self, records: Vec<Decoded>) -> Result<(), RunEnd> {
        // The part to try next is the last one.
        let mut parts = vec![records];
        while let Some(mut part) = parts.pop() {
            let rest = part.split_off(until_sweep(self.model, &part));
            if !rest.is_empty() {
                parts.push(rest);
            }
            let Some(last) = part.last().map(|record| record.raw.position) else { continue };
            let (held, mut free): (Vec<_>, Vec<_>) = part.into_iter().partition(|record| self.parked.contains(record));
            let aside: Vec<ParkedRecord> =
                held.iter().map(|record| set_aside(record, "its aggregate is parked")).collect();
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

    /// Tries the single record a few times more, then parks its aggregate.
    async fn take_alone(
        &mut self,
        record: &[Decoded],
        mut aside: Vec<ParkedRecord>,
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
            aside.push(set_aside(record, &error));
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
                self.commit(&[], &[ParkedRecord { aggregate, position, error: reason }], position).await?;
                Ok(())
            }
            other => Err(RunEnd::Halted(other.to_string())),
        }
    }

    /// Applies records, or one with its sweep.
    async fn apply(&mut self, records: &[Decoded], parked: &[ParkedRecord], last: u64) -> Result<(), DbError> {
        if let Some(first) = records.first().filter(|record| self.model.sweeps(record)) {
            self.sweep(first).await?;
        }
        self.commit(records, parked, last).await
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
            place = self.model.sweep(&mut tx, record, &from).await?;
            let next = self.checkpoint.write_sweep(&mut tx, Sweep { position, place: place.clone() }).await?;
            tx.commit().await?;
            self.checkpoint = next;
        }
        Ok(())
    }

    async fn commit(&mut self, records: &[Decoded], parked: &[ParkedRecord], last: u64) -> Result<(), DbError> {
        let mut tx = self.db.write("public").await?;
        let next = self.checkpoint.write(&mut tx, last).await?;
        if !records.is_empty() {
            self.model.apply(&mut tx, records).await?;
        }
        self.parked.write(&mut tx, parked).await?;
        tx.commit().await?;
        self.checkpoint = next;
        self.parked.remember(parked);
        metrics::counter!("waybill_projection_records_total", "projection" => self.model.name())
            .increment(records.len() as u64);
        Ok(())
    }
}

fn set_aside(record: &Decoded, error: &str) -> ParkedRecord {
    ParkedRecord { aggregate: record.aggregate(), position: record.raw.position, error: error.to_owned() }
}
