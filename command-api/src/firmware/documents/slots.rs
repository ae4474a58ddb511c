//! Limits how many documents a process has in memory at the same time.

use domain::TenantId;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::Problem;
use crate::semaphores::Semaphores;

/// Most documents of a process at the same time: each may take some 200 MB while it is read.
const PROCESS_MAX: usize = 4;
/// Most documents of one tenant at the same time, in one process.
const TENANT_MAX: usize = 2;
/// When a caller may try again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// Limits of one process.
pub(crate) struct DocumentSlots(Semaphores);

/// Kept while a document is in memory.
pub(super) struct DocumentSlot {
    _tenant: OwnedSemaphorePermit,
    _process: OwnedSemaphorePermit,
}

impl Default for DocumentSlots {
    fn default() -> Self {
        Self(Semaphores::new(PROCESS_MAX, TENANT_MAX))
    }
}

impl DocumentSlots {
    /// Takes a slot at once; 429 if all are taken.
    pub(super) fn take(&self, tenant: &TenantId) -> Result<DocumentSlot, Problem> {
        let busy = |whose: &str| {
            let detail = format!("this process reads as many documents {whose} as it may");
            Problem::too_many_requests("too_many_transfers", detail, RETRY_AFTER_S)
        };
        let _tenant = self.0.of_tenant(tenant).try_acquire_owned().map_err(|_| busy("of your tenant"))?;
        let _process = self.0.of_process().try_acquire_owned().map_err(|_| busy("of all tenants"))?;
        Ok(DocumentSlot { _tenant, _process })
    }
}
