//! The read models over EVENTS, one file each.

pub mod archive;
pub mod campaigns;
pub mod deadlines;
pub mod devices;
pub mod firmware;
pub mod history;
pub mod updates;

use async_trait::async_trait;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::Decoded;
use crate::rollout::RolloutModel;

/// A read model: its tables, and how a batch of records changes them.
#[async_trait]
pub(crate) trait ReadModel: Send + Sync {
    fn name(&self) -> &'static str;

    /// Raised when rows must be built anew from the log.
    fn version(&self) -> i32 {
        1
    }

    fn tables(&self) -> &'static [&'static str];

    /// Applies records in order. Table names are unqualified: the transaction says whether live or rebuilt ones are meant.
    async fn apply(&self, connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError>;
}

/// All read models over decoded events.
pub(crate) fn all() -> Vec<&'static dyn ReadModel> {
    vec![
        &devices::DevicesModel,
        &history::HistoryModel,
        &firmware::FirmwareModel,
        &updates::UpdatesModel,
        &campaigns::CampaignsModel,
        &RolloutModel,
        &archive::ArchiveModel,
    ]
}
