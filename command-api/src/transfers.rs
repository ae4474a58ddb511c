//! Uploads and downloads under way: their number for each tenant, and the rate of downloads.
//!
//! Only tenants with something under way are kept, so connections bound them, too.

mod pace;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::TenantId;

use self::pace::Pace;
pub(crate) use self::pace::paced;
use crate::http::Problem;

/// When a caller may try again, in seconds.
const RETRY_AFTER_S: u32 = 5;

/// Limits of uploads and downloads in one process; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferLimits {
    /// Uploads of a tenant at a time.
    pub tenant_uploads: u32,
    /// Downloads of a tenant at a time.
    pub tenant_downloads: u32,
    /// Rate of each download.
    pub download_bytes_per_second: u64,
    /// Rate of all downloads of a tenant together.
    pub tenant_bytes_per_second: u64,
}

impl Default for TransferLimits {
    fn default() -> Self {
        Self { tenant_uploads: 32, tenant_downloads: 5_000, download_bytes_per_second: 0, tenant_bytes_per_second: 0 }
    }
}

/// What is under way in this process.
#[derive(Clone)]
pub(crate) struct Transfers {
    limits: TransferLimits,
    tenants: Arc<Mutex<HashMap<TenantId, UnderWay>>>,
}

#[derive(Default)]
struct UnderWay {
    uploads: u32,
    downloads: u32,
    /// Of all downloads.
    pace: Option<Arc<Pace>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upload,
    Download,
}

impl UnderWay {
    fn count(&mut self, kind: Kind) -> &mut u32 {
        match kind {
            Kind::Upload => &mut self.uploads,
            Kind::Download => &mut self.downloads,
        }
    }
}

/// One upload or download, until it is dropped.
pub(crate) struct Transfer {
    transfers: Transfers,
    tenant: TenantId,
    kind: Kind,
    /// Its own and its tenant's, of those that there are.
    paces: Vec<Arc<Pace>>,
}

impl Transfers {
    pub(crate) fn new(limits: TransferLimits) -> Self {
        Self { limits, tenants: Arc::default() }
    }

    /// A place for an upload.
    pub(crate) fn upload(&self, tenant: &TenantId) -> Result<Transfer, Problem> {
        self.enter(tenant, Kind::Upload, self.limits.tenant_uploads).ok_or_else(|| too_many("uploads"))
    }

    /// A place for a download.
    pub(crate) fn download(&self, tenant: &TenantId) -> Result<Transfer, Problem> {
        self.enter(tenant, Kind::Download, self.limits.tenant_downloads).ok_or_else(|| too_many("downloads"))
    }

    fn enter(&self, tenant: &TenantId, kind: Kind, max: u32) -> Option<Transfer> {
        let mut tenants = self.lock();
        let under_way = tenants.entry(tenant.clone()).or_default();
        if max > 0 && *under_way.count(kind) >= max {
            return None;
        }
        *under_way.count(kind) += 1;
        let paces = match kind {
            Kind::Upload => vec![],
            Kind::Download => {
                let of_tenant = Pace::of(self.limits.tenant_bytes_per_second);
                let of_tenant = under_way.pace.take().or(of_tenant);
                under_way.pace.clone_from(&of_tenant);
                Pace::of(self.limits.download_bytes_per_second).into_iter().chain(of_tenant).collect()
            }
        };
        Some(Transfer { transfers: self.clone(), tenant: tenant.clone(), kind, paces })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, UnderWay>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn too_many(what: &str) -> Problem {
    let detail = format!("your tenant has too many {what} at a time");
    Problem::too_many_requests("too_many_transfers", detail, RETRY_AFTER_S)
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let mut tenants = self.transfers.lock();
        let Some(under_way) = tenants.get_mut(&self.tenant) else { return };
        *under_way.count(self.kind) -= 1;
        if under_way.uploads == 0 && under_way.downloads == 0 {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_a_number_of_each_and_others_have_theirs() {
        let limits = TransferLimits { tenant_uploads: 1, tenant_downloads: 2, ..TransferLimits::default() };
        let transfers = Transfers::new(limits);
        let [acme, globex] = ["acme", "globex"].map(|tenant| TenantId::new(tenant).unwrap());
        let upload = transfers.upload(&acme).unwrap();
        let refused = transfers.upload(&acme).err().unwrap();
        assert_eq!((refused.status().as_u16(), refused.code()), (429, "too_many_transfers"));
        let downloads = [transfers.download(&acme), transfers.download(&acme)];
        assert!(downloads.iter().all(Result::is_ok) && transfers.download(&acme).is_err());
        assert!(transfers.upload(&globex).is_ok() && transfers.download(&globex).is_ok());
        drop((upload, downloads));
        assert!(transfers.lock().is_empty(), "nothing is kept of tenants with nothing under way");
        assert!(transfers.upload(&acme).is_ok());
    }

    #[test]
    fn without_limits_there_is_no_end() {
        let none = TransferLimits { tenant_downloads: 0, ..TransferLimits::default() };
        let transfers = Transfers::new(none);
        let acme = TenantId::new("acme").unwrap();
        let many: Vec<_> = (0..10_000).map(|_| transfers.download(&acme)).collect();
        assert!(many.iter().all(Result::is_ok));
    }
}
