//! One projector's hold on its read model: rows, checkpoint and parked records change in one transaction.

use event_store::StoreError;

use super::{Checkpoint, Parked, ParkedRecord, RunEnd};
use crate::db::{Db, DbError};
use crate::decode::{Decoded, Unreadable};
use crate::models::ReadModel;

/// Tries for a record that can't be applied, alone, before its aggregate is parked.
const APPLY_TRIES_MAX: u32 = 3;

pub(super) struct Owner<'a> {
    pub(super) db: &'a Db,
    pub(super) model: &'static dyn ReadModel,
    pub(super) checkpoint: Checkpoint,
    pub(super) parked: Parked,
}

impl Owner<'_> {
    /// Applies records in order; if they can't be applied together, one by one.
    pub(super) async fn take(&mut self, records: Vec<Decoded>) -> Result<(), RunEnd> {
        let Some(last) = records.last().map(|record| record.raw.position) else { return Ok(()) };
        let (held, free): (Vec<_>, Vec<_>) =
            records.into_iter().partition(|record| self.parked.holds(&record.aggregate()));
        let held: Vec<ParkedRecord> = held.iter().map(|record| set_aside(record, "its aggregate is parked")).collect();
        match self.commit(&free, &held, last).await {
            Ok(()) => return Ok(()),
            Err(DbError::Invalid(error)) => {
                tracing::warn!(
                    projection = self.model.name(),
                    error,
                    "A batch can't be applied; its records are tried one by one."
                );
            }
            Err(error) => return Err(error.into()),
        }
        self.commit_one_by_one(free, held, last).await
    }

    async fn commit_one_by_one(
        &mut self,
        records: Vec<Decoded>,
        mut held: Vec<ParkedRecord>,
        last: u64,
    ) -> Result<(), RunEnd> {
        for record in records {
            let position = record.raw.position;
            let behind = held.iter().position(|held| held.position > position).unwrap_or(held.len());
            let mut aside: Vec<ParkedRecord> = held.drain(..behind).collect();
            if self.parked.holds(&record.aggregate()) {
                aside.push(set_aside(&record, "its aggregate is parked"));
                self.commit(&[], &aside, position).await?;
            } else if let Err(error) = self.try_alone(&record, &aside).await? {
                tracing::error!(
                    projection = self.model.name(),
                    position,
                    aggregate = record.aggregate(),
                    error,
                    "An aggregate is parked."
                );
                aside.push(set_aside(&record, &error));
                self.commit(&[], &aside, position).await?;
            }
        }
        if last > self.checkpoint.position {
            self.commit(&[], &held, last).await?;
        }
        Ok(())
    }

    /// The inner error is the record's own fault.
    async fn try_alone(&mut self, record: &Decoded, aside: &[ParkedRecord]) -> Result<Result<(), String>, RunEnd> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.commit(std::slice::from_ref(record), aside, record.raw.position).await {
                Ok(()) => return Ok(Ok(())),
                Err(DbError::Invalid(error)) if tries >= APPLY_TRIES_MAX => return Ok(Err(error)),
                Err(DbError::Invalid(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A record that can't be decoded: kept by a model that keeps bytes; else this program is too old for it, or it is damaged and its
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
