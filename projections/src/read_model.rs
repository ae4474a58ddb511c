//! What a read model is: its tables, and how a batch of records changes them.

use std::time::Duration;

use async_trait::async_trait;
use event_store::RawRecord;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::Decoded;
use crate::memory::Memory;

/// How long a batch waits for more records, if no caller waits for it.
const LINGER: Duration = Duration::from_millis(10);

/// Rows that a sweep changes in one transaction.
pub(crate) const SWEEP_PAGE_ROWS: i64 = 2_000;

/// Where a sweep goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SweepPlace {
    /// Which of the record's sweeps.
    pub(crate) step: usize,
    /// Key of the last row that was looked at.
    pub(crate) after: String,
}

/// A read model: its tables, and how a batch of records changes them.
#[async_trait]
pub(crate) trait ReadModel: Send + Sync {
    fn name(&self) -> &'static str;

    /// How long a batch waits for more records, if no caller waits for it.
    fn linger(&self) -> Duration {
        LINGER
    }

    /// Whether the model needs the events of records, or only their envelopes.
    fn reads_events(&self) -> bool {
        true
    }

    /// Raised when rows must be rebuilt from the log.
    fn version(&self) -> i32 {
        1
    }

    /// Whether a record changes rows that other aggregates change, too. While this aggregate was parked, the others went on, and
    /// their changes can't be reordered. So only a rebuild can unpark it.
    fn concerns_others(&self, _record: &Decoded) -> bool {
        false
    }

    fn tables(&self) -> Vec<&'static str>;

    /// Views over the tables. For each view the database has functions `waybill_create_NAME` and `waybill_drop_NAME`: the view is created
    /// again after a rebuild has replaced the tables.
    fn views(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Applies records in order. Table names are unqualified: the transaction selects live or rebuilt tables. `memory` has rows of these
    /// tables; the caller forgets them if the transaction fails.
    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded], memory: &mut Memory)
    -> Result<(), DbError>;

    /// The aggregate whose next record needs the rows of this one. Until then nobody reads them, so they are written beside the records that
    /// follow, in a transaction of their own. None for records whose rows are read at once.
    fn needed_by(&self, _record: &Decoded) -> Option<String> {
        None
    }

    /// Whether a record changes more rows than one transaction should. They are changed by [`Self::sweep`], before [`Self::apply`] gets the
    /// record, alone. Readers may see some of them changed before the others.
    fn sweeps(&self, _record: &Decoded) -> bool {
        false
    }

    /// Changes the next page of the rows that a record sweeps. Returns where to go on, none when all are changed.
    async fn sweep(
        &self,
        _connection: &mut PgConnection,
        _record: &Decoded,
        _from: &SweepPlace,
    ) -> Result<Option<SweepPlace>, DbError> {
        Ok(None)
    }

    /// Keeps a record that this program can't decode; false if the model can't go on without understanding it.
    async fn keep_unreadable(&self, _connection: &mut PgConnection, _raw: &RawRecord) -> Result<bool, DbError> {
        Ok(false)
    }
}

/// Applies records with their sweeps in one transaction: to tables that nobody reads yet.
pub(crate) async fn apply_at_once(
    model: &dyn ReadModel,
    connection: &mut PgConnection,
    batch: &[Decoded],
    memory: &mut Memory,
) -> Result<(), DbError> {
    let mut rest = batch;
    while let Some(record) = rest.first() {
        let mut place = model.sweeps(record).then(SweepPlace::default);
        while let Some(from) = place {
            memory.forget();
            place = model.sweep(connection, record, &from).await?;
        }
        let (part, others) = rest.split_at(until_sweep(model, rest));
        model.apply(connection, part, memory).await?;
        rest = others;
    }
    Ok(())
}

/// How many records can be applied together: up to the next that sweeps. That goes alone: the records after it need the rows as it leaves them.
pub(crate) fn until_sweep(model: &dyn ReadModel, records: &[Decoded]) -> usize {
    let next = records.iter().position(|record| model.sweeps(record));
    next.map_or(records.len(), |index| index.max(1))
}
