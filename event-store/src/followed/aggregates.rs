//! The aggregates that a [`Followed`](super::Followed) keeps.

use std::collections::{BTreeMap, HashMap};
use std::slice;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use domain::{Decider, Key, TenantId};

use crate::context::Loaded;
use crate::error::StoreError;
use crate::log::RawRecord;

/// Most aggregates of one type that are followed, of all tenants together: some 200 MiB of small ones.
pub const AGGREGATES_MAX: usize = 100_000;

/// An aggregate with its id.
pub type WithId<A> = (String, Arc<Loaded<A>>);

/// An aggregate, or why its records can't be read.
type Entry<A> = Result<Arc<Loaded<A>>, StoreError>;

pub(super) struct Aggregates<A: Decider> {
    kept: RwLock<Kept<A>>,
    max: usize,
}

struct Kept<A: Decider> {
    tenants: HashMap<TenantId, BTreeMap<String, Entry<A>>>,
    count: usize,
    /// Whether there were more than fit.
    is_full: bool,
}

impl<A: Decider> Default for Kept<A> {
    fn default() -> Self {
        Self { tenants: HashMap::new(), count: 0, is_full: false }
    }
}

impl<A: Decider> Default for Aggregates<A> {
    fn default() -> Self {
        Self::at_most(AGGREGATES_MAX)
    }
}

impl<A: Decider> Aggregates<A> {
    pub(super) fn at_most(max: usize) -> Self {
        Self { kept: RwLock::default(), max }
    }

    pub(super) fn get(&self, key: &Key<A>) -> Result<Option<Arc<Loaded<A>>>, StoreError> {
        let kept = self.read();
        match kept.tenants.get(key.tenant()).and_then(|of_tenant| of_tenant.get(key.id())) {
            Some(entry) => entry.clone().map(Some),
            None if kept.is_full => Err(self.too_many()),
            None => Ok(None),
        }
    }

    pub(super) fn of_tenant(&self, tenant: &TenantId) -> Result<Vec<WithId<A>>, StoreError> {
        let kept = self.read();
        if kept.is_full {
            return Err(self.too_many());
        }
        let of_tenant = kept.tenants.get(tenant).into_iter().flatten();
        Ok(of_tenant.filter_map(|(id, entry)| Some((id.clone(), entry.clone().ok()?))).collect())
    }

    pub(super) fn filter_map<T>(&self, wanted: impl Fn(&TenantId, &A) -> Option<T>) -> Vec<T> {
        let kept = self.read();
        let all = kept.tenants.iter().flat_map(|(tenant, known)| known.values().map(move |entry| (tenant, entry)));
        all.filter_map(|(tenant, entry)| wanted(tenant, &entry.as_ref().ok()?.aggregate)).collect()
    }

    pub(super) fn count(&self, tenant: &TenantId) -> usize {
        self.read().tenants.get(tenant).map_or(0, BTreeMap::len)
    }

    /// Applies a record. One that can't be read makes its aggregate unreadable.
    pub(super) fn apply(&self, record: &RawRecord) {
        let mut kept = self.write();
        let kept = &mut *kept;
        let of_tenant = kept.tenants.entry(record.key.tenant.clone()).or_default();
        if !of_tenant.contains_key(&record.key.id) {
            if kept.count >= self.max {
                if !kept.is_full {
                    tracing::error!(aggregate = A::TYPE, max = self.max, "too many aggregates to follow");
                }
                kept.is_full = true;
                return;
            }
            kept.count += 1;
        }
        let entry = of_tenant.entry(record.key.id.clone()).or_insert_with(|| Ok(Arc::default()));
        let Ok(loaded) = entry else { return };
        if let Err(error) = Arc::make_mut(loaded).apply_records(slice::from_ref(record)) {
            tracing::error!(aggregate = %record.key, position = record.position, %error, "record can't be followed");
            *entry = Err(error);
        }
    }

    pub(super) fn clear(&self) {
        *self.write() = Kept::default();
    }

    fn too_many(&self) -> StoreError {
        StoreError::Refused(format!("there are more than {} aggregates of type {}", self.max, A::TYPE))
    }

    fn read(&self) -> RwLockReadGuard<'_, Kept<A>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Kept<A>> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }
}
