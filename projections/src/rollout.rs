//! Read model `rollout`: what the rollout policy sees and what operators see of a campaign's progress; one and the same.
//!
//! One projector, one checkpoint, so it is always a prefix of the log. Counters are changed by the difference that an event makes to its
//! member (`counts`), in the same transaction; the few events that concern all members are applied by `bulk`. Times are those of the events, never
//! the wall clock.

mod apply;
mod bulk;
mod campaign_events;
mod counts;
mod evidence;
mod fold;
mod late_confirmation;
mod member;
mod members;
mod planning;
mod queries;
mod readiness;
mod retry;
mod row_keys;
mod rows;
mod standing;
mod totals;

use sqlx::PgConnection;

pub(crate) use bulk::{ends_a_part, run as run_bulk};
pub use members::{LATE_CONFIRMED, LeftOut, MemberFilter, MemberView, members, wait_reasons};
pub use planning::plan_candidates;
pub use queries::{
    View, WorkRow, at_work, cancellable, granted_unseen, has_uncancelled, progress, ready, view, view_in, withdrawable,
};
pub use rows::{CampaignRow, ProgressRow};
pub use totals::{Totals, totals, totals_of};

use crate::db::DbError;
use crate::decode::Decoded;
use crate::models::device_row::DeviceRow;
use crate::table::Rows;

pub(crate) const TABLES: &[&str] = &["rollout_campaigns", "campaign_progress", "rollout_members"];

/// Applies records in order; updates of devices, too. `devices` has the rows of all devices with an event in the batch.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    batch: &[Decoded],
    devices: &mut Rows<DeviceRow>,
) -> Result<(), DbError> {
    let mut fold = fold::Fold::load(connection, batch, devices).await?;
    for record in batch {
        fold.apply(record)?;
    }
    fold.save(connection).await
}
