//! The name of an aggregate: `(tenant, type, id)`. Nothing in Waybill takes an id without its tenant, so tenants are isolated.

use std::fmt;
use std::marker::PhantomData;

use crate::decider::Decider;
use crate::ids::TenantId;

/// An aggregate of any type. `kind` and `id` are literal subject tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AggregateKey {
    pub tenant: TenantId,
    pub kind: String,
    pub id: String,
}

impl fmt::Display for AggregateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.tenant, self.kind, self.id)
    }
}

/// The key of an aggregate of type `A`. Using a device's key for a campaign does not compile.
pub struct Key<A> {
    raw: AggregateKey,
    kind: PhantomData<fn() -> A>,
}

impl<A: Decider> Key<A> {
    pub fn new(tenant: &TenantId, id: &A::Id) -> Self {
        let raw = AggregateKey { tenant: tenant.clone(), kind: A::TYPE.to_owned(), id: id.to_string() };
        Self { raw, kind: PhantomData }
    }
}

impl<A> Key<A> {
    pub fn raw(&self) -> &AggregateKey {
        &self.raw
    }

    pub fn tenant(&self) -> &TenantId {
        &self.raw.tenant
    }

    pub fn id(&self) -> &str {
        &self.raw.id
    }
}

impl<A> Clone for Key<A> {
    fn clone(&self) -> Self {
        Self { raw: self.raw.clone(), kind: PhantomData }
    }
}

impl<A> fmt::Debug for Key<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}
