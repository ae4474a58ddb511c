//! Read model `rollout`: what the rollout policy sees and what operators see of a campaign's progress; one and the same.
//!
//! One projector, one checkpoint, so it is always a prefix of the log. Counters are changed by the difference that an event makes to its
//! member (`counts`), in the same transaction; the few events that concern all members are applied by `bulk`. Times are those of the events, never
//! the wall clock.

mod apply;
mod bulk;
mod counts;
mod evidence;
mod late_confirmation;
mod member;
mod members;
mod planning;
mod queries;
mod readiness;
mod retry;
mod row_keys;
mod rows;

use sqlx::PgConnection;

pub use members::{
    LATE_CONFIRMED, LeftOut, MemberFilter, MemberView, Totals, is_retryable, members, totals, wait_reasons,
};
pub use planning::plan_candidates;
pub use queries::{
    View, WorkRow, at_work, cancellable, granted_unseen, has_uncancelled, progress, ready, view, view_in, withdrawable,
};
pub use rows::{CampaignRow, MemberRow, ProgressRow};

use crate::db::DbError;
use crate::decode::Decoded;

pub(crate) const TABLES: &[&str] = &["rollout_campaigns", "campaign_progress", "rollout_members", "rollout_devices"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    // What concerns all members of a campaign at once is done on saved rows, in its place in the log.
    for part in batch.split_inclusive(bulk::ends_a_part) {
        let mut fold = apply::Fold::load(connection, part).await?;
        for record in part {
            fold.record(record)?;
        }
        fold.save(connection).await?;
        bulk::run(connection, part).await?;
    }
    Ok(())
}
