//! Incoming bytes: streamed to a temporary object while they are measured, then moved to the path of their digest or dropped.
//!
//! An [`Incoming`] that isn't kept removes itself, also when its request is dropped half-way. A sweep removes what a crash left.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::http::{StatusCode, header};
use blake2::Blake2b512;
use bytes::Bytes;
use chrono::TimeDelta;
use domain::firmware::{Firmware, FirmwareBytes};
use domain::values::Sha256Digest;
use domain::{FirmwareId, Key, TenantId};
use futures::StreamExt;
use md5::Md5;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use runtime::clock;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::filename;
use super::model::{INCOMING, incoming_path, object_path};
use super::store_problem::broken_store;
use crate::http::Problem;
use crate::http::body::too_large;
use crate::least_rate::{LeastRate, Progress};
use crate::state::App;

/// Bytes of one part of a multipart write.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts that may be under way before reading stops.
const PARTS_IN_FLIGHT_MAX: usize = 2;

/// Bytes that are stored and measured, but not yet kept.
pub(super) struct Incoming {
    app: App,
    /// None once the bytes are kept or removed.
    path: Option<ObjectPath>,
    pub(super) bytes: FirmwareBytes,
    /// What minisign signs, if it was asked for.
    pub(super) blake2b_512: Option<[u8; 64]>,
}

/// Stores a part of the upload while measuring it. `for_minisign`: also what minisign signs.
pub(super) async fn receive(
    app: &App,
    tenant: &TenantId,
    field: &mut Field<'_>,
    progress: &mut Progress,
    for_minisign: bool,
) -> Result<Incoming, Problem> {
    let path = incoming_path(tenant, clock::new_id());
    let disposition = field.headers().get(header::CONTENT_DISPOSITION);
    let filename = disposition.and_then(|header| filename::uploaded(header.as_bytes()));
    let upload = app.objects.put_multipart(&path).await.map_err(broken_store(app))?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let measured = Measured { blake2: for_minisign.then(Blake2b512::default), ..Measured::default() };
    match copy(app, &mut writer, field, progress, measured).await {
        Ok(mut measured) => {
            let blake2b_512 = measured.blake2.take().map(|hash| hash.finalize().into());
            let bytes = measured.finish(filename);
            let incoming = Incoming { app: app.clone(), path: Some(path), bytes, blake2b_512 };
            writer.finish().await.map_err(broken_store(app))?;
            Ok(incoming)
        }
        Err(problem) => {
            writer.abort().await.map_err(broken_store(app))?;
            Err(problem)
        }
    }
}

async fn copy(
    app: &App,
    writer: &mut WriteMultipart,
    field: &mut Field<'_>,
    progress: &mut Progress,
    mut measured: Measured,
) -> Result<Measured, Problem> {
    loop {
        let Some(chunk) = next_chunk(app, field, progress).await? else { return Ok(measured) };
        measured.update(&chunk);
        if measured.size > app.config.max_firmware_bytes {
            return Err(too_large());
        }
        writer.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await.map_err(broken_store(app))?;
        writer.put(chunk);
    }
}

impl Incoming {
    /// Moves the bytes to their final path. Repeating it with the same bytes changes nothing.
    pub(super) async fn keep(mut self, tenant: &TenantId, id: &FirmwareId) -> Result<(), Problem> {
        let to = object_path(tenant, id, &self.bytes.sha256);
        let known = self.app.objects.head(&to).await.is_ok_and(|kept| kept.size == self.bytes.size);
        if !known && let Some(path) = &self.path {
            self.app.objects.rename(path, &to).await.map_err(broken_store(&self.app))?;
            self.path = None;
        }
        self.drop_bytes().await;
        Ok(())
    }

    /// Removes the bytes.
    pub(super) async fn drop_bytes(mut self) {
        if let Some(path) = &self.path {
            remove(&self.app.objects, path).await;
            self.path = None;
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let objects = Arc::clone(&self.app.objects);
            self.app.tasks.spawn("removal of an unfinished upload", async move { remove(&objects, &path).await });
        }
    }
}

/// Removes bytes that were kept for a firmware which then got other bytes. The log decides, because a firmware that has no bytes yet may be
/// about to get these from another upload.
pub(super) async fn discard(app: &App, tenant: &TenantId, id: &FirmwareId, sha256: &Sha256Digest) {
    let firmware = match app.store.load_fresh(&Key::<Firmware>::new(tenant, id)).await {
        Ok(loaded) => loaded.aggregate.clone(),
        Err(error) => return tracing::warn!(firmware.id = %id, %error, "bytes of a refused upload may have stayed"),
    };
    if firmware.content.as_ref().is_some_and(|(_, bytes)| bytes.sha256 != *sha256) {
        remove(&app.objects, &object_path(tenant, id, sha256)).await;
    }
}

async fn remove(objects: &Arc<dyn ObjectStore>, path: &ObjectPath) {
    match objects.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => tracing::warn!(object = %path, %error, "an upload that isn't kept could not be removed"),
    }
}

/// Removes what uploads left when a process died: finished objects that were not kept, parts in a bucket, and files in a directory.
pub(super) async fn sweep(app: &App) {
    let age = app.config.upload_abandoned_after;
    app.firmware_store.sweep().await;
    // A file in a directory grows by whole parts. The slowest upload that is allowed takes this time for one part.
    let slowest_part = PART_BYTES as u64 / app.config.upload_least.bytes_per_second.max(1);
    for directory in app.firmware_store.directories() {
        if let Err(error) = sweep_directory(&directory.join(INCOMING), age + Duration::from_secs(slowest_part)).await {
            tracing::warn!(%error, "files of unfinished uploads could not be removed");
        }
    }
    sweep_objects(&app.objects, age).await;
}

async fn sweep_objects(objects: &Arc<dyn ObjectStore>, age: Duration) {
    let prefix = ObjectPath::from(INCOMING);
    let stale = clock::now() - TimeDelta::from_std(age).unwrap_or(TimeDelta::MAX);
    let mut listed = objects.list(Some(&prefix));
    while let Some(found) = listed.next().await {
        match found {
            Ok(object) if object.last_modified < stale => {
                if let Err(error) = objects.delete(&object.location).await {
                    tracing::warn!(object = %object.location, %error, "an unfinished upload could not be removed");
                }
            }
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "unfinished uploads could not be listed"),
        }
    }
}

/// Uploads are in a directory of their tenant. Those of older versions are beside these directories.
async fn sweep_directory(incoming: &std::path::Path, stale: Duration) -> std::io::Result<()> {
    if !incoming.exists() {
        return Ok(());
    }
    sweep_files(incoming, stale).await?;
    let mut entries = tokio::fs::read_dir(incoming).await?;
    while let Some(entry) = entries.next_entry().await? {
        if entry.file_type().await?.is_dir() {
            sweep_files(&entry.path(), stale).await?;
        }
    }
    Ok(())
}

async fn sweep_files(directory: &std::path::Path, stale: Duration) -> std::io::Result<()> {
    let mut entries = tokio::fs::read_dir(directory).await?;
    while let Some(entry) = entries.next_entry().await? {
        // It may have been moved or removed a moment ago.
        let Ok(found) = entry.metadata().await else { continue };
        if found.is_file() && found.modified()?.elapsed().unwrap_or_default() > stale {
            tokio::fs::remove_file(entry.path()).await?;
        }
    }
    Ok(())
}

/// Digests and size of the bytes so far.
#[derive(Default)]
struct Measured {
    size: u64,
    md5: Md5,
    sha1: Sha1,
    sha256: Sha256,
    blake2: Option<Blake2b512>,
}

impl Measured {
    fn update(&mut self, chunk: &[u8]) {
        self.size += chunk.len() as u64;
        self.md5.update(chunk);
        self.sha1.update(chunk);
        self.sha256.update(chunk);
        if let Some(blake2) = &mut self.blake2 {
            blake2.update(chunk);
        }
    }

    fn finish(self, filename: Option<String>) -> FirmwareBytes {
        FirmwareBytes {
            size: self.size,
            md5: hex::encode(self.md5.finalize()),
            sha1: hex::encode(self.sha1.finalize()),
            sha256: Sha256Digest(self.sha256.finalize().into()),
            filename,
        }
    }
}

/// The next bytes of a part; fails if they come too slowly.
pub(super) async fn next_chunk(
    app: &App,
    field: &mut Field<'_>,
    progress: &mut Progress,
) -> Result<Option<Bytes>, Problem> {
    let asked_at = Instant::now();
    let chunk = arriving(app, field.chunk()).await?;
    progress.waited(asked_at.elapsed());
    progress.moved(chunk.as_ref().map_or(0, Bytes::len));
    if progress.is_too_slow() { Err(too_slow(app.config.upload_least)) } else { Ok(chunk) }
}

fn too_slow(LeastRate { bytes_per_second, window }: LeastRate) -> Problem {
    let seconds = window.as_secs();
    let detail = format!("the upload brought less than {bytes_per_second} bytes per second in {seconds} s");
    Problem::new(StatusCode::REQUEST_TIMEOUT, "upload_too_slow", detail)
}

/// The next piece of an upload; fails if none comes in time.
pub(super) async fn arriving<T>(
    app: &App,
    piece: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, Problem> {
    let piece = tokio::time::timeout(app.config.upload_silence_max, piece).await;
    piece.map_err(|_| Problem::bad_request("the upload stopped half-way"))?.map_err(|error| unreadable(&error))
}

/// The problem for an invalid multipart body.
fn unreadable(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    Problem::bad_request(format!("the upload can't be read: {}", error.body_text()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measuring_gives_the_known_digests() {
        let mut measured = Measured::default();
        measured.update(b"on");
        measured.update(b"e");
        let bytes = measured.finish(None);
        assert_eq!((bytes.size, bytes.md5.as_str()), (3, "f97c5d29941bfb1b2fdab0874906ab82"));
        assert_eq!(bytes.sha256, Sha256Digest::of(b"one"));
    }
}
