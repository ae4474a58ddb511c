//! Compares stored objects with their digests before they are given out.
//!
//! A process reads a whole object and compares it with the SHA-256 that the log has. The result counts for one version of the object. The
//! store names the version in each answer, so an object that was written again is read again. Downloads wait while their object is read. The
//! reading continues when they stop waiting, and ends when the process stops.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::values::Sha256Digest;
use firmware_store::is_altered;
use futures::future::{BoxFuture, Shared};
use futures::{FutureExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, GetResult, ObjectMeta, ObjectStoreExt};
use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, oneshot};

use super::pieces;
use crate::firmware::{broken_store, bytes_differ};
use crate::http::Problem;
use crate::state::App;

/// Objects whose result is remembered. Beyond it, results that weren't used for the longest time are forgotten.
const KNOWN_MAX: u64 = 100_000;
/// Objects that are read at a time.
const READINGS_MAX: usize = 2;
/// How often a download begins again because the object was written meanwhile.
const REWRITTEN_MAX: usize = 3;

/// The results of this process, and the readings under way. Clones share them.
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

/// Ends when the reading of an object has ended, also if it failed.
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

    /// Reads an object in the background, unless it is being read.
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
            tokio::select! {
                biased;
                () = app.tasks.token().cancelled() => {}
                () = proofs.read_now(&app, &path, sha256) => {}
            }
            proofs.under_way().remove(&path);
            drop(done);
        });
        reading.boxed()
    }

    async fn read_now(&self, app: &App, path: &ObjectPath, sha256: Sha256Digest) {
        let _place = self.0.places.acquire().await;
        match found(app, path, sha256).await {
            Ok(found) => self.0.found.insert(path.clone(), found),
            Err(error) => tracing::warn!(object = %path, %error, "Stored firmware can't be read now."),
        }
    }
}

async fn found(app: &App, path: &ObjectPath, sha256: Sha256Digest) -> object_store::Result<Found> {
    let got = app.objects.get(path).await?;
    let version = version(&got.meta);
    let digest = match digest(got).await {
        Err(error) if is_altered(&error) => None,
        digest => Some(digest?),
    };
    let is_right = digest == Some(sha256);
    if !is_right {
        metrics::counter!("waybill_firmware_bytes_differ_total").increment(1);
        tracing::error!(object = %path, "Stored firmware is not what was uploaded: it isn't given out.");
    }
    Ok(Found { version, is_right })
}

async fn digest(got: GetResult) -> object_store::Result<Sha256Digest> {
    let (mut bytes, mut hash) = (pieces::of(got), Sha256::new());
    while let Some(chunk) = bytes.try_next().await? {
        hash.update(&chunk);
    }
    Ok(Sha256Digest(hash.finalize().into()))
}

fn version(meta: &ObjectMeta) -> String {
    let ObjectMeta { e_tag, version, last_modified, size, .. } = meta;
    format!("{e_tag:?} {version:?} {last_modified} {size}")
}

/// Opens a range of an object. Fails if the object doesn't have its digest.
pub(super) async fn open(
    app: &App,
    path: &ObjectPath,
    sha256: &Sha256Digest,
    range: std::ops::Range<u64>,
) -> Result<GetResult, Problem> {
    // An empty object has no range.
    let bounded = (!range.is_empty()).then_some(GetRange::Bounded(range));
    proved(app, path, sha256, GetOptions { range: bounded, ..GetOptions::default() }).await
}

/// Fails if an object doesn't have its digest now. For a caller that opens the object later, or sends the device to the bucket.
pub(super) async fn check(app: &App, path: &ObjectPath, sha256: &Sha256Digest) -> Result<(), Problem> {
    proved(app, path, sha256, GetOptions { head: true, ..GetOptions::default() }).await.map(drop)
}

/// Gets an object after it was compared with its digest. The answer is of the version that was compared.
async fn proved(
    app: &App,
    path: &ObjectPath,
    sha256: &Sha256Digest,
    options: GetOptions,
) -> Result<GetResult, Problem> {
    for _ in 0..REWRITTEN_MAX {
        let got = app.objects.get_opts(path, options.clone()).await.map_err(missing(app))?;
        if let Some(is_right) = app.proofs.of(path, &version(&got.meta)) {
            return if is_right { Ok(got) } else { Err(bytes_differ()) };
        }
        drop(got);
        app.proofs.read(app, path, *sha256).await;
    }
    let detail = format!("the firmware store {} can't be read in time", app.firmware_store.name());
    Err(Problem::unavailable("firmware_store_unavailable", detail))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_process_that_stops_reads_no_firmware() {
        let api = crate::tests::Api::new();
        let (app, path) = (&api.app, ObjectPath::from("acme/1/one"));
        app.objects.put(&path, "one".into()).await.unwrap();
        let version = version(&app.objects.head(&path).await.unwrap());
        app.tasks.token().cancel();
        app.proofs.read(app, &path, Sha256Digest::of(b"one")).await;
        assert_eq!(app.proofs.of(&path, &version), None);
        assert!(app.proofs.under_way().is_empty());
    }
}
