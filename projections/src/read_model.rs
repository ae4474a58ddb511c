//! What a read model is: its tables, and how a batch of records changes them.

use async_trait::async_trait;
use event_store::RawRecord;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::Decoded;

/// A read model: its tables, and how a batch of records changes them.
#[async_trait]
pub(crate) trait ReadModel: Send + Sync {
    fn name(&self) -> &'static str;

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

    /// Applies records in order. Table names are unqualified: the transaction selects live or rebuilt tables.
    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError>;

    /// Keeps a record that this program can't decode; false if the model can't go on without understanding it.
    async fn keep_unreadable(&self, _connection: &mut PgConnection, _raw: &RawRecord) -> Result<bool, DbError> {
        Ok(false)
    }
}
