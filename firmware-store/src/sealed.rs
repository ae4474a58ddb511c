//! Firmware that is sealed in its store, each tenant's under keys of its own.
//!
//! A sealed object has `.sealed` after its name. A caller that asks for the name gets the plain bytes, also of a range. Objects that were
//! stored before are read as they are. Objects that belong to no tenant aren't sealed.
//!
//! While an object is being sealed, both names may exist with the same plain bytes. So a reader asks for both, and each removal and each
//! renaming is done with both: first the plain name, then the sealed one, because an object never goes from the sealed name to the plain one.

mod format;
mod keys;
#[cfg(test)]
pub(crate) mod memory_keys;
mod reading;
mod writing;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

pub use keys::{KeyId, KeysError, TenantKey, TenantKeys};
pub use reading::is_altered;

/// End of the names of sealed objects.
const SUFFIX: &str = ".sealed";
/// Before the tenant in the names of uploads under way and of objects that are being deleted.
const UNDER_WAY: [&str; 2] = ["_incoming", "_deleted"];
/// How often a reader asks for both names. The first time, an object may get its sealed name and lose its plain one in between.
const ASKED_MAX: usize = 2;

/// Why the keys of a tenant aren't there; none if an error has another reason.
pub fn keys_error(error: &Error) -> Option<&KeysError> {
    match error {
        Error::Generic { source, .. } => source.downcast_ref(),
        _ => None,
    }
}

/// A store whose objects may be sealed; clones share it.
#[derive(Clone)]
pub(crate) struct Sealed {
    pub(crate) inner: Arc<dyn ObjectStore>,
    pub(crate) keys: Arc<dyn TenantKeys>,
    /// Whether new objects are sealed.
    pub(crate) seals_new: bool,
}

impl Sealed {
    /// The tenant under whose key a new object is sealed; none if it isn't sealed.
    fn sealed_for(&self, path: &ObjectPath) -> Option<String> {
        tenant_of(path).filter(|_| self.seals_new)
    }

    /// Gets an object by the name that it probably has, else by the other one.
    async fn get_either(&self, tenant: &str, path: &ObjectPath, options: &GetOptions) -> Result<GetResult> {
        let mut wants_sealed = self.seals_new;
        let mut got = self.get_one(tenant, path, options, wants_sealed).await;
        for _ in 1..2 * ASKED_MAX {
            if !matches!(got, Err(Error::NotFound { .. })) {
                return got;
            }
            wants_sealed = !wants_sealed;
            got = self.get_one(tenant, path, options, wants_sealed).await;
        }
        got
    }

    async fn get_one(
        &self,
        tenant: &str,
        path: &ObjectPath,
        options: &GetOptions,
        wants_sealed: bool,
    ) -> Result<GetResult> {
        if wants_sealed {
            reading::open(self, tenant, &sealed(path), options).await
        } else {
            self.inner.get_opts(path, options.clone()).await
        }
    }

    async fn delete_one(&self, path: ObjectPath) -> Result<ObjectPath> {
        let plain = self.inner.delete(&path).await;
        if tenant_of(&path).is_some() {
            either(plain, self.inner.delete(&sealed(&path)).await)?;
        } else {
            plain?;
        }
        Ok(path)
    }

    /// The key under which an object is sealed; none if it isn't sealed.
    pub(crate) async fn key_of(&self, path: &ObjectPath) -> Result<Option<KeyId>> {
        match reading::head(self.inner.as_ref(), &sealed(path)).await {
            Ok(head) => Ok(Some(head.key)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The outcome of what was done with both names. A name without an object doesn't count, unless neither has one.
fn either(plain: Result<()>, sealed: Result<()>) -> Result<()> {
    match (plain, sealed) {
        (Err(Error::NotFound { .. }), outcome) | (outcome, Err(Error::NotFound { .. })) => outcome,
        (Ok(()), outcome) => outcome,
        (Err(error), _) => Err(error),
    }
}

/// The tenant that an object belongs to; none for the store's own objects.
fn tenant_of(path: &ObjectPath) -> Option<String> {
    let mut parts = path.parts();
    let first = parts.next()?;
    let tenant = if UNDER_WAY.contains(&first.as_ref()) { parts.next()? } else { first };
    // The store's own names begin like this, and no tenant's does.
    (!tenant.as_ref().starts_with('_') && parts.next().is_some()).then(|| tenant.as_ref().to_owned())
}

/// The name that an object has when it is sealed.
pub(crate) fn sealed(path: &ObjectPath) -> ObjectPath {
    ObjectPath::from(format!("{path}{SUFFIX}"))
}

/// The plain name of a sealed object; none of another object.
pub(crate) fn opened_name(path: &ObjectPath) -> Option<ObjectPath> {
    path.as_ref().strip_suffix(SUFFIX).map(ObjectPath::from)
}

/// What a list says of an object, with its plain name and size.
fn opened(meta: ObjectMeta) -> ObjectMeta {
    match (opened_name(&meta.location), format::plain_size(meta.size)) {
        (Some(location), Some(size)) => ObjectMeta { location, size, ..meta },
        (Some(location), None) => ObjectMeta { location, ..meta },
        (None, _) => meta,
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Sealed {
    async fn put_opts(&self, to: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let Some(tenant) = self.sealed_for(to) else { return self.inner.put_opts(to, payload, options).await };
        let key = self.keys.newest(&tenant).await?;
        self.inner.put_opts(&sealed(to), writing::whole(&tenant, &key, &payload)?, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let Some(tenant) = self.sealed_for(to) else { return self.inner.put_multipart_opts(to, options).await };
        let key = self.keys.newest(&tenant).await?;
        let upload = self.inner.put_multipart_opts(&sealed(to), options).await?;
        Ok(Box::new(writing::SealingUpload::new(&self.keys, tenant, &key, upload)?))
    }

    async fn get_opts(&self, from: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        match tenant_of(from) {
            Some(tenant) => self.get_either(&tenant, from, &options).await,
            None => self.inner.get_opts(from, options).await,
        }
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<ObjectPath>>) -> BoxStream<'static, Result<ObjectPath>> {
        let store = self.clone();
        paths
            .and_then(move |path| {
                let store = store.clone();
                async move { store.delete_one(path).await }
            })
            .boxed()
    }

    /// Objects that have both names come twice.
    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix).map_ok(opened).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        let listed = self.inner.list_with_delimiter(prefix).await?;
        Ok(ListResult { objects: listed.objects.into_iter().map(opened).collect(), ..listed })
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        let plain = self.inner.copy_opts(from, to, options.clone()).await;
        if tenant_of(from).is_none() {
            return plain;
        }
        either(plain, self.inner.copy_opts(&sealed(from), &sealed(to), options).await)
    }

    async fn rename_opts(&self, from: &ObjectPath, to: &ObjectPath, options: RenameOptions) -> Result<()> {
        let plain = self.inner.rename_opts(from, to, options.clone()).await;
        if tenant_of(from).is_none() {
            return plain;
        }
        either(plain, self.inner.rename_opts(&sealed(from), &sealed(to), options).await)
    }
}

#[cfg(test)]
mod tests;
