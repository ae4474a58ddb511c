//! The log applied to empty tables, from its beginning to its present end: for a rebuild, and to compare.
//!
//! A record that can't be applied is parked as in the live projector: the aggregate with all its later records, in order. Others go on.

use std::sync::Arc;

use event_store::{Delivery, Log, StoreError};
use futures::StreamExt;
use sqlx::{Acquire as _, PgConnection};

use crate::db::{Db, DbError, settle};
use crate::decode::{Decoded, Unreadable};
use crate::memory::Memory;
use crate::read_model::{ReadModel, apply_at_once};
use crate::runner::parking::{Parked, ParkedRecord};
use crate::runner::statistics::Statistics;

/// Records applied in one transaction.
const BATCH_RECORDS: usize = 10_000;
/// Bytes of records after which they are applied.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Most records parked: if more can't be applied, the records aren't at fault.
const ASIDE_MAX: usize = 100_000;

/// A replay into the tables of one schema.
pub(crate) struct Replay<'a> {
    db: &'a Db,
    log: &'a Arc<dyn Log>,
    schema: &'a str,
    models: Vec<Target>,
    position: u64,
}

/// One read model that is being built.
struct Target {
    model: &'static dyn ReadModel,
    parked: Parked,
    aside: Vec<ParkedRecord>,
    statistics: Statistics,
    memory: Memory,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(db: &'a Db, log: &'a Arc<dyn Log>, schema: &'a str, models: &[&'static dyn ReadModel]) -> Self {
        let target = |model: &&'static dyn ReadModel| Target {
            model: *model,
            parked: Parked::none(model.name()),
            aside: Vec::new(),
            statistics: Statistics::default(),
            memory: Memory::default(),
        };
        Self { db, log, schema, models: models.iter().map(target).collect(), position: 0 }
    }

    /// Goes on to the present end of the log, and returns it. `progress` gets the position reached and the end.
    pub(crate) async fn run(&mut self, progress: &mut (impl FnMut(u64, u64) + Send)) -> Result<u64, DbError> {
        let head = self.log.info().await.map_err(unavailable)?.last_sequence;
        if head <= self.position {
            return Ok(self.position);
        }
        let mut source = self.log.subscribe(self.position + 1);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while self.position < head {
            match source.next().await {
                Some(Ok(Delivery::Record(raw))) if raw.position <= head => {
                    self.position = raw.position;
                    bytes += raw.body.len();
                    match Decoded::decode(raw) {
                        Ok(record) => batch.push(record),
                        Err(unreadable) => {
                            self.apply(std::mem::take(&mut batch)).await?;
                            self.take_unreadable(*unreadable).await?;
                        }
                    }
                }
                Some(Ok(Delivery::Record(_))) => self.position = head,
                Some(Ok(Delivery::CaughtUp { position })) => self.position = self.position.max(position.min(head)),
                Some(Err(error)) => return Err(unavailable(error)),
                None => return Err(DbError::Unavailable("the subscription ended".to_owned())),
            }
            if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES || self.position >= head {
                self.apply(std::mem::take(&mut batch)).await?;
                bytes = 0;
                progress(self.position, head);
            }
        }
        Ok(head)
    }

    async fn apply(&mut self, batch: Vec<Decoded>) -> Result<(), DbError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut tx = self.db.write(self.schema).await?;
        for target in &mut self.models {
            target.apply(&mut tx, &batch).await?;
        }
        tx.commit().await?;
        for target in &mut self.models {
            target.statistics.follow(self.db, self.schema, target.model, batch.len()).await;
        }
        Ok(())
    }

    /// A record that can't be decoded: kept by a model that keeps bytes, parked if it is damaged. A record that is newer than this program
    /// ends the replay.
    async fn take_unreadable(&mut self, unreadable: Unreadable) -> Result<(), DbError> {
        let Unreadable { raw, error } = unreadable;
        let mut tx = self.db.write(self.schema).await?;
        for target in &mut self.models {
            if target.model.keep_unreadable(&mut tx, &raw).await? {
                continue;
            }
            let StoreError::Corrupt { reason, .. } = &error else {
                return Err(DbError::Invalid(format!("{} can't be built: {error}", target.model.name())));
            };
            target.set_aside(raw.key.to_string(), raw.position, reason)?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Writes the parked records, in the transaction that swaps the tables.
    pub(crate) async fn park(&self, connection: &mut PgConnection) -> Result<(), DbError> {
        for target in &self.models {
            target.parked.write(connection, &target.aside).await?;
        }
        Ok(())
    }
}

impl Target {
    async fn apply(&mut self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
        // The stretch to try next is the last one.
        let mut stretches = vec![batch];
        while let Some(stretch) = stretches.pop() {
            if let Some(at) = stretch.iter().position(|record| self.parked.contains(record)) {
                self.hold_back(&stretch[at])?;
                stretches.extend([&stretch[at + 1..], &stretch[..at]].into_iter().filter(|part| !part.is_empty()));
                continue;
            }
            let Err(error) = self.try_apply(connection, stretch).await? else { continue };
            match stretch {
                [record] => self.set_aside(record.aggregate(), record.raw.position, &error)?,
                _ => {
                    let (first, second) = stretch.split_at(stretch.len() / 2);
                    stretches.extend([second, first]);
                }
            }
        }
        Ok(())
    }

    /// Applies all of the records or none. The inner error is the fault of the records.
    async fn try_apply(
        &mut self,
        connection: &mut PgConnection,
        records: &[Decoded],
    ) -> Result<Result<(), String>, DbError> {
        let mut savepoint = connection.begin().await?;
        let done = apply_at_once(self.model, &mut savepoint, records, &mut self.memory).await;
        self.memory.observations.discard();
        if done.is_err() {
            self.memory.forget();
        }
        settle(savepoint, done).await
    }

    fn set_aside(&mut self, aggregate: String, position: u64, error: &str) -> Result<(), DbError> {
        tracing::warn!(projection = self.model.name(), position, aggregate, error, "An aggregate is parked.");
        self.keep_aside(aggregate, position, error)
    }

    fn keep_aside(&mut self, aggregate: String, position: u64, error: &str) -> Result<(), DbError> {
        if self.aside.len() >= ASIDE_MAX {
            return Err(DbError::Invalid(format!("more than {ASIDE_MAX} records can't be applied, the last: {error}")));
        }
        let record = ParkedRecord { aggregate, position, error: error.to_owned() };
        self.parked.remember(std::slice::from_ref(&record));
        self.aside.push(record);
        Ok(())
    }

    fn hold_back(&mut self, record: &Decoded) -> Result<(), DbError> {
        self.keep_aside(record.aggregate(), record.raw.position, "its aggregate is parked")
    }
}

pub(crate) fn unavailable(error: StoreError) -> DbError {
    DbError::Unavailable(error.to_string())
}
