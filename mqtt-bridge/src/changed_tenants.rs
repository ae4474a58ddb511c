//! Tenants whose newest record may come from another process.

use domain::TenantId;
use moka::sync::Cache;

/// Most changed tenants that are kept. An evicted one is read from this process's cache again, which may be older.
const CHANGED_TENANTS_MAX: u64 = 10_000;

/// Tenants that were frozen, unfrozen or changed otherwise, each with the position of the change.
pub(crate) type ChangedTenants = Cache<TenantId, u64>;

pub(crate) fn changed_tenants() -> ChangedTenants {
    Cache::new(CHANGED_TENANTS_MAX)
}
