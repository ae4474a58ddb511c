//! The owner of one read model: rows, checkpoint and parked records change in one transaction.

use event_store::StoreError;

use super::{Checkpoint, Parked, ParkedRecord, RunEnd};
use crate::db::{Db, DbError};
use crate::decode::{Decoded, Unreadable};
use crate::read_model::ReadModel;

/// Tries for a single record that can't be applied, before its aggregate is parked.
const APPLY_TRIES_MAX: u32 = 3;

pub(super) struct Owner<'a> {
    pub(super) db: &'a Db,
    pub(super) model: &'static dyn ReadModel,
    pub(super) checkpoint: Checkpoint,
    pub(super) parked: Parked,
}

impl Owner<'_> {
    /// Applies records in order. If that fails, halves them until the record at fault is found.
    pub(super) async fn take(&mut self, records: Vec<Decoded>) -> Result<(), RunEnd> {
        // The part to try next is the last one.
        let mut parts = vec![records];
        while let Some(part) = parts.pop() {
            let Some(last) = part.last().map(|record| record.raw.position) else { continue };
            let (held, mut free): (Vec<_>, Vec<_>) = part.into_iter().partition(|record| self.parked.contains(record));
            let aside: Vec<ParkedRecord> =
                held.iter().map(|record| set_aside(record, "its aggregate is parked")).collect();
            match self.commit(&free, &aside, last).await {
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
            match self.commit(record, &aside, last).await {
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
