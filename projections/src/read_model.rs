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

    /// Raised when rows must be built anew from the log.
    fn version(&self) -> i32 {
        1
    }

    /// Whether a record changes rows that other aggregates change, too. What those did while this one was parked can't be put in its
    /// place, so the way back is a rebuild.
    fn concerns_others(&self, _record: &Decoded) -> bool {
        false
    }

    fn tables(&self) -> Vec<&'static str>;

    /// Views over the tables. For each there are functions in the database, `waybill_create_NAME` and `waybill_drop_NAME`: it is made again
    /// when a rebuild has put new tables in the old ones' place.
    fn views(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Applies records in order. Table names are unqualified: the transaction says whether live or rebuilt ones are meant.
    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError>;

    /// Keeps a record that this program can't decode; false when the model can't go on without understanding it.
    async fn keep_unreadable(&self, _connection: &mut PgConnection, _raw: &RawRecord) -> Result<bool, DbError> {
        Ok(false)
    }
}
