//! Campaigns as the rollout policy sees them and as operators see their progress: both read the same rows.
//!
//! An event changes the counts by the difference that it makes to its member (`wave_counts`), in the same transaction. `member_sweep` changes
//! all members for the few events that concern them. Times are those of the events, never the wall clock.

mod apply;
mod campaign_events;
mod evidence;
mod fold;
mod going_back;
mod late_confirmation;
mod member;
mod member_state;
mod member_sweep;
mod members;
mod pending_commands;
mod planning;
mod policy_view;
mod predicates;
mod readiness;
mod ready_members;
mod release;
mod retry;
mod rollback_targets;
mod rollback_view;
mod row_keys;
mod rows;
mod totals;
mod transports;
mod update_times;
mod wave_counts;
mod written_plan;
mod zones;

use sqlx::PgConnection;

pub use member_state::{ROLLBACK_FAILED, ROLLED_BACK, ROLLING_BACK};
pub(crate) use member_sweep::{MemberSweep, sweep};
pub use members::{LATE_CONFIRMED, LeftOut, MemberFilter, MemberView, members, wait_reasons};
pub use pending_commands::{
    CancelScope, Unanswered, UnansweredGrant, cancellable, has_uncancelled, unanswered_grants, withdrawable,
};
pub(crate) use planning::snapshot_position;
pub use planning::{devices_changed_since, plan_candidates, preview_candidates};
pub use policy_view::{View, WorkRow, at_work, rollback, view, view_in};
pub use ready_members::ready;
pub use rollback_view::{Returning, returning};
pub use rows::{CampaignRollback, CampaignRow, ProgressRow, progress};
pub use totals::{Totals, totals, totals_of};
pub use update_times::{UpdateTimes, update_times};
pub use written_plan::is_plan_written;
pub(crate) use written_plan::{campaign_key, write as write_plan};

use crate::db::DbError;
use crate::decode::Decoded;
use crate::fleet::device_row::DeviceRow;
use crate::fleet::statistics::Tally;
use crate::memory::Memory;
use crate::table::Rows;

pub(crate) const TABLES: &[&str] = &["rollout_campaigns", "campaign_progress", "rollout_members"];

/// Applies records in order, also those of updates. `devices` has the rows of all devices with an event in the batch.
pub(crate) async fn apply(
    connection: &mut PgConnection,
    memory: &mut Memory,
    batch: &[Decoded],
    devices: &mut Rows<DeviceRow>,
    tally: &mut Tally,
) -> Result<(), DbError> {
    let mut fold = fold::Fold::load(connection, memory, batch, devices, tally).await?;
    for record in batch {
        fold.apply(record)?;
    }
    fold.save(connection, memory).await
}
