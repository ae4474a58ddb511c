//! A store, and what the service has: one, or two while firmware moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path as ObjectPath;
use object_store::signer::{Method, Url};
use object_store::{Error, ObjectStore, ObjectStoreExt};
use runtime::clock;

use crate::moving::Moving;
use crate::sealed::{Sealed, TenantKeys, sealed};
use crate::uploads::{Uploads, or_gone};

/// How long a store is tried.
const TRY_MAX: Duration = Duration::from_secs(15);
/// Directory of the objects with which a store is tried. No tenant has this name.
const TRIALS: &str = "_health";

/// A store that is open. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    name: String,
    pub(crate) objects: Arc<dyn ObjectStore>,
    kind: Kind,
    /// The object with which it is tried. A trial that is stopped half-way leaves it, and the next trial replaces it.
    trial: ObjectPath,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory(PathBuf),
    Bucket(Uploads),
    Other,
}

/// Why a store doesn't work, for the operators of the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreFault {
    #[error("{store} refuses the credentials: {detail}")]
    Refused { store: String, detail: String },
    #[error("{store}: the bucket or container doesn't exist: {detail}")]
    Absent { store: String, detail: String },
    #[error("{store} doesn't answer within {} s", TRY_MAX.as_secs())]
    Hangs { store: String },
    #[error("{store}: nothing can be stored: {detail}")]
    Broken { store: String, detail: String },
}

impl Store {
    pub(crate) fn directory(name: String, objects: Arc<dyn ObjectStore>, path: PathBuf) -> Self {
        Self { name, objects, kind: Kind::Directory(path), trial: trial() }
    }

    pub(crate) fn bucket(name: String, uploads: Uploads) -> Self {
        Self { name, objects: Arc::new(uploads.clone()), kind: Kind::Bucket(uploads), trial: trial() }
    }

    /// Stores and deletes an object.
    pub async fn try_it(&self) -> Result<(), StoreFault> {
        let trial = async {
            self.objects.put(&self.trial, "a trial".into()).await?;
            // Another trial may have deleted it a moment before.
            or_gone(self.objects.delete(&self.trial).await)
        };
        match tokio::time::timeout(TRY_MAX, trial).await {
            Ok(outcome) => outcome.map_err(|error| self.fault(&error)),
            Err(_) => Err(StoreFault::Hangs { store: self.name.clone() }),
        }
    }

    async fn has(&self, path: &ObjectPath) -> Result<bool, Error> {
        match self.objects.head(path).await {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn fault(&self, error: &Error) -> StoreFault {
        let (store, detail) = (self.name.clone(), error.to_string());
        match error {
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => StoreFault::Refused { store, detail },
            Error::NotFound { .. } if matches!(self.kind, Kind::Bucket(_)) => StoreFault::Absent { store, detail },
            _ => StoreFault::Broken { store, detail },
        }
    }

    async fn sweep(&self) -> Result<(), Error> {
        match &self.kind {
            Kind::Bucket(uploads) => uploads.sweep().await,
            Kind::Directory(_) | Kind::Other => Ok(()),
        }
    }
}

/// A new path for the trials of one store in one process.
fn trial() -> ObjectPath {
    ObjectPath::from(format!("{TRIALS}/{}", clock::new_id()))
}

/// Where the service keeps the bytes of firmware. Clones share it.
#[derive(Debug, Clone)]
pub struct FirmwareStore {
    objects: Arc<dyn ObjectStore>,
    /// In the order in which they are read.
    stores: Vec<Store>,
    /// Whether there may be sealed objects.
    can_be_sealed: bool,
}

impl FirmwareStore {
    /// One store; two if there is an old one, whose objects are still read.
    pub fn new(store: Store, old: Option<Store>) -> Self {
        let objects = match &old {
            None => Arc::clone(&store.objects),
            Some(old) => Arc::new(Moving { new: Arc::clone(&store.objects), old: Arc::clone(&old.objects) }),
        };
        Self { objects, stores: std::iter::once(store).chain(old).collect(), can_be_sealed: false }
    }

    /// The same, where objects of tenants may be sealed. `seals_new`: whether new ones are.
    #[must_use]
    pub fn sealed(self, keys: Arc<dyn TenantKeys>, seals_new: bool) -> Self {
        Self { objects: Arc::new(Sealed { inner: self.objects, keys, seals_new }), can_be_sealed: true, ..self }
    }

    /// A store that is no directory and no bucket, such as the memory.
    pub fn of(objects: Arc<dyn ObjectStore>) -> Self {
        let (name, stored) = (objects.to_string(), Arc::clone(&objects));
        let store = Store { name, objects: stored, kind: Kind::Other, trial: trial() };
        Self { objects, stores: vec![store], can_be_sealed: false }
    }

    /// The objects of all stores.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The stores, the one that is written to first.
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// The URL of the store that is written to, as the operators of the service know it.
    pub fn name(&self) -> &str {
        &self.stores[0].name
    }

    /// The directories of the stores on this machine.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.stores.iter().filter_map(|store| match &store.kind {
            Kind::Directory(path) => Some(path.as_path()),
            Kind::Bucket(_) | Kind::Other => None,
        })
    }

    /// A URL from which anybody can get an object for this time; none if the object is in no bucket, or sealed.
    pub async fn link(&self, path: &ObjectPath, lifetime: Duration) -> Result<Option<Url>, Error> {
        for store in &self.stores {
            // Its plain name goes as soon as it is sealed.
            if self.can_be_sealed && store.has(&sealed(path)).await? {
                return Ok(None);
            }
            // If the stores before it don't have the object, the last one is taken without asking.
            let is_last = std::ptr::eq(store, &self.stores[self.stores.len() - 1]);
            if !is_last && matches!(store.objects.head(path).await, Err(Error::NotFound { .. })) {
                continue;
            }
            return match &store.kind {
                Kind::Bucket(uploads) => uploads.signer().signed_url(Method::GET, path, lifetime).await.map(Some),
                Kind::Directory(_) | Kind::Other => Ok(None),
            };
        }
        Ok(None)
    }

    /// Aborts the uploads to buckets that killed processes have left.
    pub async fn sweep(&self) {
        for store in &self.stores {
            if let Err(error) = store.sweep().await {
                tracing::warn!(store = %store.name, %error, "Unfinished uploads stay until the next sweep.");
            }
        }
    }
}

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, TryStreamExt};
    use object_store::ObjectMeta;
    use object_store::memory::InMemory;

    use super::*;
    use crate::hooked::Hooked;

    #[tokio::test]
    async fn trials_that_stop_half_way_leave_one_object() {
        let objects = Arc::new(InMemory::new());
        let hooked = Hooked::new(&objects, |_| Box::pin(std::future::pending::<()>()));
        let store = FirmwareStore::of(hooked).stores()[0].clone();
        for _ in 0..3 {
            assert!(store.try_it().now_or_never().is_none(), "the deletion hangs");
        }
        let left: Vec<ObjectMeta> = objects.list(None).try_collect().await.unwrap();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
