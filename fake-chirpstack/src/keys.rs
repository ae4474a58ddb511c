//! The keys that were given out, and whose key a call has.

use std::collections::BTreeMap;

use tonic::Status;
use tonic::metadata::MetadataMap;

use crate::ids::{ADMIN_KEY, TENANT_ID, TENANT_KEY};

/// Keys at most.
const KEYS_MAX: usize = 1_000;

/// Whose key a call has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    Admin,
    Tenant(String),
    /// A key that was deleted: still a valid token, but nothing is allowed to it.
    Revoked,
}

/// The keys that were given out.
#[derive(Debug)]
pub(crate) struct Keys(BTreeMap<String, Caller>);

impl Keys {
    pub(crate) fn new() -> Self {
        let keys = [(TENANT_KEY, Caller::Tenant(TENANT_ID.to_owned())), (ADMIN_KEY, Caller::Admin)];
        Self(keys.into_iter().map(|(key, caller)| (key.to_owned(), caller)).collect())
    }

    pub(crate) fn set(&mut self, key: &str, caller: Caller) {
        if self.0.len() < KEYS_MAX {
            self.0.insert(key.to_owned(), caller);
        }
    }

    /// Who calls.
    pub(crate) fn caller(&self, metadata: &MetadataMap) -> Result<Caller, Status> {
        let header =
            metadata.get("authorization").ok_or_else(|| Status::unauthenticated("no authorization provided"))?;
        let header = header.to_str().unwrap_or_default();
        let key = header
            .strip_prefix("Bearer ")
            .ok_or_else(|| Status::unauthenticated("no bearer in authorization provided"))?;
        self.0.get(key).cloned().ok_or_else(|| Status::unauthenticated("JWT token decode error: InvalidToken"))
    }
}
