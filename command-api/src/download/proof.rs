//! Which stored objects have their digest.
//!
//! Before a process gives out an object it has read it whole and compared it with the SHA-256 that the log has. What it found counts for this
//! version of the object, which the store names in each answer: an object that was written again is read again. Downloads of an object that is
//! being read wait for it; the reading goes on if they don't.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use domain::values::Sha256Digest;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, oneshot};

use super::pieces;
use crate::firmware::broken_store;
use crate::http::Problem;
use crate::state::App;

/// Objects whose digest is remembered; beyond it the ones that were not asked for longest are forgotten.
const KNOWN_MAX: u64 = 100_000;
/// Objects that are read at a time.
const READINGS_MAX: usize = 2;
/// How often a download begins again because the object was written meanwhile.
const REWRITTEN_MAX: usize = 3;

/// What a process knows of stored objects. Clones share it.
#[derive(Clone)]
pub(crate) struct Proofs(Arc<Known>);

struct Known {
    found: moka::sync::Cache<ObjectPath, Found>,
    under_way: Mutex<HashMap<ObjectPath, Reading>>,
    places: Semaphore,
}

/// A version of an object, and whether it has its digest.
#[derive(Clone, PartialEq, Eq)]
struct Found {
    version: String,
    is_right: bool,
}

/// Ends when an object was read, however that went.
type Reading = Shared<BoxFuture<'static, ()>>;

impl Default for Proofs {
    fn default() -> Self {
        let found = moka::sync::Cache::new(KNOWN_MAX);
        Self(Arc::new(Known { found, under_way: Mutex::default(), places: Semaphore::new(READINGS_MAX) }))
    }
}

impl Proofs {
    fn under_way(&self) -> MutexGuard<'_, HashMap<ObjectPath, Reading>> {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, path: &ObjectPath, version: &str) -> Option<bool> {
        self.0.found.get(path).filter(|found| found.version == version).map(|found| found.is_right)
    }

    /// Reads an object in the background, unless that is under way.
    pub(crate) fn read(&self, app: &App, path: &ObjectPath, sha256: Sha256Digest) -> BoxFuture<'static, ()> {
        let mut under_way = self.under_way();
        if let Some(reading) = under_way.get(path) {
            return reading.clone().boxed();
        }
        let (done, ended) = oneshot::channel::<()>();
        let reading = ended.map(drop).boxed().shared();
        under_way.insert(path.clone(), reading.clone());
        drop(under_way);
        let (proofs, app, path) = (self.clone(), app.clone(), path.clone());
        app.tasks.clone().spawn("reading of stored firmware", async move {
            let place = proofs.0.places.acquire().await;
            match found(&app, &path, sha256).await {
                Ok(found) => proofs.0.found.insert(path.clone(), found),
                Err(error) => tracing::warn!(object = %path, %error, "Stored firmware can't be read now."),
            }
            proofs.under_way().remove(&path);
            drop((place, done));
        });
        reading.boxed()
    }
}

async fn found(app: &App, path: &ObjectPath, sha256: Sha256Digest) -> object_store::Result<Found> {
    let got = app.objects.get(path).await?;
    let version = version(&got.meta);
    let (mut bytes, mut hash) = (pieces::of(got), Sha256::new());
    while let Some(chunk) = bytes.try_next().await? {
        hash.update(&chunk);
    }
    let is_right = Sha256Digest(hash.finalize().into()) == sha256;
    if !is_right {
        metrics::counter!("waybill_firmware_bytes_differ_total").increment(1);
        tracing::error!(object = %path, "Stored firmware is not what was uploaded: it isn't given out.");
    }
    Ok(Found { version, is_right })
}

fn version(meta: &ObjectMeta) -> String {
    let ObjectMeta { e_tag, version, last_modified, size, .. } = meta;
    format!("{e_tag:?} {version:?} {last_modified} {size}")
}

/// The bytes of a range of an object that has its digest.
pub(super) async fn open(
    app: &App,
    path: &ObjectPath,
    sha256: &Sha256Digest,
    range: std::ops::Range<u64>,
) -> Result<GetResult, Problem> {
    for _ in 0..REWRITTEN_MAX {
        // An empty object has no range.
        let bounded = (!range.is_empty()).then(|| GetRange::Bounded(range.clone()));
        let options = GetOptions { range: bounded, ..GetOptions::default() };
        let got = app.objects.get_opts(path, options).await.map_err(missing(app))?;
        if let Some(is_right) = app.proofs.of(path, &version(&got.meta)) {
            return if is_right { Ok(got) } else { Err(differs()) };
        }
        drop(got);
        app.proofs.read(app, path, *sha256).await;
    }
    let detail = format!("the firmware store {} can't be read in time", app.firmware_store.name());
    Err(Problem::unavailable("firmware_store_unavailable", detail))
}

/// Whether an object has its digest now; for whoever gets it from the store itself.
pub(super) async fn check(app: &App, path: &ObjectPath, sha256: &Sha256Digest) -> Result<(), Problem> {
    for _ in 0..REWRITTEN_MAX {
        let meta = app.objects.head(path).await.map_err(missing(app))?;
        if let Some(is_right) = app.proofs.of(path, &version(&meta)) {
            return if is_right { Ok(()) } else { Err(differs()) };
        }
        app.proofs.read(app, path, *sha256).await;
    }
    let detail = format!("the firmware store {} can't be read in time", app.firmware_store.name());
    Err(Problem::unavailable("firmware_store_unavailable", detail))
}

fn differs() -> Problem {
    let detail = "the stored bytes are not those that were uploaded: they are not given out; see the runbook";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "firmware_bytes_differ", detail)
}

fn missing(app: &App) -> impl Fn(object_store::Error) -> Problem + '_ {
    move |error| match error {
        object_store::Error::NotFound { .. } => {
            tracing::error!(%error, "the bytes of a firmware are not in the store");
            Problem::not_found("the firmware's bytes are not in the store")
        }
        other => broken_store(app)(other),
    }
}
