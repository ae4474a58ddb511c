//! Limits how many streams are open at the same time: in a process, and of one tenant in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::TenantId;

use super::metrics::{self, Transport};
use crate::http::Problem;

/// Most streams of a process at the same time.
const PROCESS_MAX: usize = 5_000;
/// Most streams of one tenant at the same time, in one process.
const TENANT_MAX: usize = 2_000;
/// When a tenant may try again, in seconds.
pub(super) const RETRY_AFTER_S: u32 = 10;

/// The open streams. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct StreamSlots(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    all: usize,
    /// A tenant without streams has no entry.
    of_tenants: HashMap<TenantId, usize>,
}

/// Kept while a stream is open.
pub(super) struct StreamSlot {
    slots: StreamSlots,
    tenant: TenantId,
    transport: Transport,
}

impl StreamSlots {
    /// Takes a slot at once: 429 if the tenant has too many streams, 503 if the process has.
    pub(super) fn take(&self, tenant: &TenantId, transport: Transport) -> Result<StreamSlot, Problem> {
        let mut open = self.lock();
        if open.of_tenants.get(tenant).is_some_and(|count| *count >= TENANT_MAX) {
            let detail = format!("your tenant has {TENANT_MAX} streams open here, as many as it may have");
            return Err(Problem::too_many_requests("too_many_streams", detail, RETRY_AFTER_S));
        }
        if open.all >= PROCESS_MAX {
            let detail = format!("this process has {PROCESS_MAX} streams open, as many as it may have");
            return Err(Problem::unavailable("streams_busy", detail));
        }
        open.all += 1;
        *open.of_tenants.entry(tenant.clone()).or_default() += 1;
        drop(open);
        metrics::opened(transport);
        Ok(StreamSlot { slots: self.clone(), tenant: tenant.clone(), transport })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut open = self.slots.lock();
        open.all -= 1;
        if let Some(count) = open.of_tenants.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.of_tenants.remove(&self.tenant);
            }
        }
        metrics::closed(self.transport);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_bounded_and_one_tenant_leaves_some_to_others() {
        let slots = StreamSlots::default();
        let take = |n: usize| slots.take(&TenantId::new(format!("t{n}")).unwrap(), Transport::Events);
        let mut taken: Vec<_> = (0..TENANT_MAX).map(|_| take(0).unwrap()).collect();
        let refused = take(0).err().unwrap();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "too_many_streams"));
        taken.extend((TENANT_MAX..PROCESS_MAX).map(|n| take(1 + n % 3).unwrap()));
        let refused = take(9).err().unwrap();
        assert_eq!((refused.status().as_u16(), refused.code()), (503, "streams_busy"));
        drop(taken);
        assert!(take(0).is_ok() && slots.lock().of_tenants.is_empty() && slots.lock().all == 0);
    }
}
