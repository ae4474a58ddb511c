//! Limits how many previews are computed at the same time: a few in a process, and one of each tenant, so that no tenant delays the others.

use std::sync::Arc;
use std::time::Duration;

use domain::TenantId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::Problem;
use crate::semaphores::Semaphores;

/// Most previews that a process computes at the same time.
const PROCESS_MAX: usize = 2;
/// Most previews of one tenant that a process computes at the same time.
const TENANT_MAX: usize = 1;
/// How long a request waits for each of its slots.
const SLOT_WAIT_MAX: Duration = Duration::from_secs(5);

/// The previews that a process may compute.
pub(super) struct Slots(Semaphores);

/// Kept while a tenant's preview is checked and computed.
pub(super) struct TenantSlot {
    _tenant: OwnedSemaphorePermit,
}

/// Kept while a plan is computed.
pub(super) struct BothSlots {
    _tenant: TenantSlot,
    _process: OwnedSemaphorePermit,
}

impl Default for Slots {
    fn default() -> Self {
        Self(Semaphores::new(PROCESS_MAX, TENANT_MAX))
    }
}

impl Slots {
    /// Takes the slot of a tenant; 503 if it stays taken.
    pub(super) async fn of_tenant(&self, tenant: &TenantId) -> Result<TenantSlot, Problem> {
        wait(self.0.of_tenant(tenant), TENANT_MAX, "of this tenant").await.map(|_tenant| TenantSlot { _tenant })
    }

    /// Takes a slot of the process, too; 503 if all stay taken.
    pub(super) async fn with_process(&self, tenant: TenantSlot) -> Result<BothSlots, Problem> {
        let process = wait(self.0.of_process(), PROCESS_MAX, "of all tenants").await?;
        Ok(BothSlots { _tenant: tenant, _process: process })
    }
}

async fn wait(slots: Arc<Semaphore>, max: usize, whose: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let busy = || {
        Problem::unavailable(
            "previews_busy",
            format!("too many previews {whose} at the same time: this process computes at most {max}"),
        )
    };
    timeout(SLOT_WAIT_MAX, slots.acquire_owned()).await.map_err(|_| busy())?.map_err(|_| busy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_makes_one_preview_and_leaves_room_for_others() {
        let slots = Slots::default();
        let [one, other, third] = ["one", "other", "third"].map(|id| TenantId::new(id).unwrap());
        let first = slots.of_tenant(&one).await.unwrap();
        let refused = slots.of_tenant(&one).await.map(drop).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (503, "previews_busy"));
        let first = slots.with_process(first).await.unwrap();
        let second = slots.with_process(slots.of_tenant(&other).await.unwrap()).await.unwrap();
        let waiting = slots.of_tenant(&third).await.unwrap();
        assert!(slots.with_process(waiting).await.is_err(), "two in the process");
        drop(first);
        let again = slots.with_process(slots.of_tenant(&one).await.unwrap()).await.unwrap();
        drop((again, second));
        slots.of_tenant(&third).await.unwrap();
    }
}
