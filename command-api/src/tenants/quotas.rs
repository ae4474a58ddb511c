//! Quotas: refuses what would exceed them. Counted by the read models, so two requests at the same moment may exceed a quota by what they add.

use axum::http::StatusCode;
use domain::device::{Device, Lifecycle};
use domain::tenant::Quotas;
use domain::{Key, TenantId};
use projections::{FLEET, tenants};
use serde_json::json;

use crate::http::Problem;
use crate::http::position::wait_for_the_end;
use crate::state::App;

/// Code of the refusal.
pub(crate) const EXCEEDED: &str = "quota_exceeded";

impl App {
    /// Refuses one more device in service than there may be. A device that is in service may be registered again.
    pub(crate) async fn has_room_for_device(&self, key: &Key<Device>) -> Result<(), Problem> {
        let tenant = key.tenant();
        let Some(limit) = self.quota(tenant, |quotas| quotas.devices).await? else { return Ok(()) };
        if self.store.load_fresh(key).await?.aggregate.lifecycle == Lifecycle::Active {
            return Ok(());
        }
        wait_for_the_end(self, &[FLEET]).await?;
        let used = tenants::devices_in_service(&mut self.db.read(tenant).await?, limit.saturating_add(1)).await?;
        within("devices", limit, used, 1)
    }

    /// Refuses a firmware that would be too large.
    pub(crate) async fn has_room_for_bytes(&self, tenant: &TenantId, more: u64) -> Result<(), Problem> {
        let Some(limit) = self.quota(tenant, |quotas| quotas.firmware_bytes).await? else { return Ok(()) };
        wait_for_the_end(self, &[FLEET]).await?;
        within("firmware_bytes", limit, tenants::firmware_bytes(&mut self.db.read(tenant).await?).await?, more)
    }

    /// Refuses the start of one more campaign than may be under way.
    pub(crate) async fn has_room_for_a_campaign(&self, tenant: &TenantId) -> Result<(), Problem> {
        let Some(limit) = self.quota(tenant, |quotas| quotas.campaigns).await? else { return Ok(()) };
        wait_for_the_end(self, &[FLEET]).await?;
        within("campaigns", limit, tenants::campaigns_under_way(&mut self.db.read(tenant).await?).await?, 1)
    }

    async fn quota(&self, tenant: &TenantId, which: fn(Quotas) -> Option<u64>) -> Result<Option<u64>, Problem> {
        Ok(which(self.tenants.get(tenant).await?.spec.quotas))
    }
}

fn within(quota: &str, limit: u64, used: u64, more: u64) -> Result<(), Problem> {
    if used.saturating_add(more) <= limit {
        return Ok(());
    }
    let detail = format!("the tenant's quota of {} is {limit}, {used} are in use", quota.replace('_', " "));
    let facts = json!({"quota": quota, "limit": limit, "used": used, "wanted": more});
    Err(Problem::new(StatusCode::CONFLICT, EXCEEDED, detail).with_facts(facts))
}
