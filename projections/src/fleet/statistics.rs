//! Sums over a tenant's devices, updates and campaigns, kept in the transaction that changes the rows they count. Queries read a few small
//! rows, however large the fleet is.
//!
//! Invariant: every sum is a sum of what single events add, in any order. So rows don't depend on how events were batched, and a rebuild
//! gives the same.

pub mod failures;
pub mod populations;
pub mod series;
mod standing;
mod tally;
pub mod tenant;
pub mod times;
mod update_standing;

pub(crate) use standing::Standing;
pub(crate) use tally::Tally;
pub(crate) use update_standing::UpdateStanding;

pub(crate) const TABLES: &[&str] = &["statistics", "device_populations", "campaign_failures"];
