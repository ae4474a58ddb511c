//! A store, and what the service has: one, or two while firmware moves.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::path::Path as ObjectPath;
use object_store::signer::{Method, Url};
use object_store::{Error, ObjectStore, ObjectStoreExt};
use runtime::clock;

use crate::moving::Moving;
use crate::uploads::Uploads;

/// How long a store is tried.
const TRY_MAX: Duration = Duration::from_secs(15);
/// Path of the objects with which a store is tried. No tenant has this name.
const TRIALS: &str = "_health";

/// A store that is open. Clones share it.
#[derive(Debug, Clone)]
pub struct Store {
    name: String,
    pub(crate) objects: Arc<dyn ObjectStore>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Directory(PathBuf),
    Bucket(Uploads),
    Other,
}

/// Why a store doesn't work, for the people who run it.
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
        Self { name, objects, kind: Kind::Directory(path) }
    }

    pub(crate) fn bucket(name: String, uploads: Uploads) -> Self {
        Self { name, objects: Arc::new(uploads.clone()), kind: Kind::Bucket(uploads) }
    }

    /// Stores and deletes an object.
    pub async fn try_it(&self) -> Result<(), StoreFault> {
        let path = ObjectPath::from(format!("{TRIALS}/{}", clock::new_id()));
        let trial = async {
            self.objects.put(&path, "a trial".into()).await?;
            self.objects.delete(&path).await
        };
        match tokio::time::timeout(TRY_MAX, trial).await {
            Ok(outcome) => outcome.map_err(|error| self.fault(&error)),
            Err(_) => Err(StoreFault::Hangs { store: self.name.clone() }),
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

/// Where the service keeps the bytes of firmware. Clones share it.
#[derive(Debug, Clone)]
pub struct FirmwareStore {
    objects: Arc<dyn ObjectStore>,
    /// In the order in which they are read.
    stores: Vec<Store>,
}

impl FirmwareStore {
    /// One store; two if there is an old one, whose objects are still read.
    pub fn new(store: Store, old: Option<Store>) -> Self {
        let objects = match &old {
            None => Arc::clone(&store.objects),
            Some(old) => Arc::new(Moving { new: Arc::clone(&store.objects), old: Arc::clone(&old.objects) }),
        };
        Self { objects, stores: std::iter::once(store).chain(old).collect() }
    }

    /// A store that is no directory and no bucket, such as the memory.
    pub fn of(objects: Arc<dyn ObjectStore>) -> Self {
        let store = Store { name: objects.to_string(), objects: Arc::clone(&objects), kind: Kind::Other };
        Self { objects, stores: vec![store] }
    }

    /// Everything that is stored.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The stores, the one that is written to first.
    pub fn stores(&self) -> &[Store] {
        &self.stores
    }

    /// What the people who run the service call it.
    pub fn name(&self) -> &str {
        &self.stores[0].name
    }

    /// Where stores on this machine keep their files.
    pub fn directories(&self) -> impl Iterator<Item = &Path> {
        self.stores.iter().filter_map(|store| match &store.kind {
            Kind::Directory(path) => Some(path.as_path()),
            Kind::Bucket(_) | Kind::Other => None,
        })
    }

    /// A URL from which everybody can get an object for this long; none if it is in no bucket.
    pub async fn link(&self, path: &ObjectPath, lifetime: Duration) -> Result<Option<Url>, Error> {
        for store in &self.stores {
            // The last one has it, if any.
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

    /// Aborts uploads to buckets that a killed process has left.
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
