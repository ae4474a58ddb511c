//! The quota of requests of a tenant, counted by this process from minute to minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::TenantId;
use tokio::time::Instant;

use super::quotas;
use crate::http::Problem;

const MINUTE: Duration = Duration::from_secs(60);
/// Most tenants that are counted. When there are more, all counts begin anew.
const TENANTS_MAX: usize = 10_000;

/// Requests of each tenant in its present minute.
#[derive(Default)]
pub(super) struct Requests(Mutex<HashMap<TenantId, Count>>);

#[derive(Clone, Copy)]
struct Count {
    since: Instant,
    requests: u64,
}

impl Requests {
    /// Counts a request, and refuses it if the tenant has sent as many as it may.
    pub(super) fn count(&self, tenant: &TenantId, limit: u64) -> Result<(), Problem> {
        let now = Instant::now();
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= TENANTS_MAX && !counts.contains_key(tenant) {
            counts.clear();
        }
        let new = Count { since: now, requests: 0 };
        let count = counts.entry(tenant.clone()).or_insert(new);
        if now - count.since >= MINUTE {
            *count = new;
        }
        if count.requests < limit {
            count.requests += 1;
            return Ok(());
        }
        let wait_s = u32::try_from((MINUTE - (now - count.since)).as_secs()).unwrap_or(0) + 1;
        let detail = format!("the tenant's quota is {limit} requests per minute");
        Err(Problem::too_many_requests(quotas::EXCEEDED, detail, wait_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tenant_may_send_its_quota_in_each_minute() {
        let (requests, acme) = (Requests::default(), TenantId::new("acme").unwrap());
        let rival = TenantId::new("rival").unwrap();
        assert!(requests.count(&acme, 2).is_ok() && requests.count(&acme, 2).is_ok());
        let refused = requests.count(&acme, 2).unwrap_err();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "quota_exceeded"));
        assert!(requests.count(&rival, 2).is_ok());
        tokio::time::advance(MINUTE).await;
        assert!(requests.count(&acme, 2).is_ok());
    }
}
