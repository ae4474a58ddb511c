//! Limits how many exports run at the same time: a few in a process, and fewer of one tenant. An export keeps its slot until its last byte.

use domain::TenantId;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::Problem;
use crate::semaphores::Semaphores;

/// Most exports of a process at the same time.
const PROCESS_MAX: usize = 8;
/// Most exports of one tenant at the same time, in one process.
const TENANT_MAX: usize = 2;

/// The exports that a process may run.
pub(crate) struct ExportSlots(Semaphores);

/// Kept while an export runs.
pub(super) struct ExportSlot {
    _tenant: OwnedSemaphorePermit,
    _process: OwnedSemaphorePermit,
}

impl Default for ExportSlots {
    fn default() -> Self {
        Self(Semaphores::new(PROCESS_MAX, TENANT_MAX))
    }
}

impl ExportSlots {
    /// Takes a slot at once; 503 if all are taken.
    pub(super) fn take(&self, tenant: &TenantId) -> Result<ExportSlot, Problem> {
        let busy = |max: usize, whose: &str| {
            let detail = format!("this process runs {max} exports {whose} already, as many as it may");
            Problem::unavailable("exports_busy", detail)
        };
        let of_tenant = self.0.of_tenant(tenant).try_acquire_owned();
        let _tenant = of_tenant.map_err(|_| busy(TENANT_MAX, "of this tenant"))?;
        let _process = self.0.of_process().try_acquire_owned().map_err(|_| busy(PROCESS_MAX, "of all tenants"))?;
        Ok(ExportSlot { _tenant, _process })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_runs_few_exports_and_leaves_some_to_others() {
        let slots = ExportSlots::default();
        let tenant = |n: usize| TenantId::new(format!("t{n}")).unwrap();
        let first: Vec<_> = (0..TENANT_MAX).map(|_| slots.take(&tenant(0)).unwrap()).collect();
        assert!(slots.take(&tenant(0)).is_err());
        let others: Vec<_> = (1..PROCESS_MAX - 1).map(|n| slots.take(&tenant(n)).unwrap()).collect();
        assert!(slots.take(&tenant(PROCESS_MAX)).is_err(), "the process has enough");
        drop(first);
        assert!(slots.take(&tenant(0)).is_ok());
        drop(others);
    }
}
