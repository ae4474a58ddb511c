//! A bucket in which unfinished uploads leave nothing.
//!
//! A bucket keeps the parts of an upload until the upload is completed or aborted. An upload that is dropped is aborted by a task. A killed
//! process can't abort its uploads, so each upload has a marker: a small object that names it. The process writes the marker before the first
//! part, writes it again while the upload runs, and deletes it after the end. A sweep aborts the uploads whose marker is old.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;
use object_store::signer::Signer;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::task::AbortHandle;

/// Path of the markers. No tenant has this name.
pub(crate) const MARKERS: &str = "_uploads";
/// How often a marker is written in the time after which its upload would count as abandoned.
const RENEWALS: u32 = 3;
/// Longest pause before a marker is written again. Another process may sweep after a shorter time than this one.
const RENEWAL_PAUSE_MAX: Duration = Duration::from_secs(60);
/// Largest marker that is read.
const MARKER_MAX_BYTES: u64 = 8 * 1024;

/// What S3, Google Cloud Storage and Azure can do.
pub(crate) trait Cloud: ObjectStore + MultipartStore + Signer {}

impl<T: ObjectStore + MultipartStore + Signer> Cloud for T {}

/// What happens to the parts of an aborted upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocks {
    EndWithTheUpload,
    /// Azure keeps them for a week, unless an object is written to their place.
    StayUntilOverwritten,
}

/// A bucket; clones share it.
#[derive(Clone)]
pub(crate) struct Uploads(Arc<Shared>);

struct Shared {
    name: String,
    cloud: Arc<dyn Cloud>,
    blocks: Blocks,
    tasks: Tasks,
    abandoned_after: Duration,
}

impl Uploads {
    pub(crate) fn new(
        name: String,
        cloud: Arc<dyn Cloud>,
        blocks: Blocks,
        tasks: Tasks,
        abandoned_after: Duration,
    ) -> Self {
        Self(Arc::new(Shared { name, cloud, blocks, tasks, abandoned_after }))
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        self.0.cloud.as_ref()
    }

    /// Aborts an upload and removes its parts. If the upload was completed before, its object stays.
    async fn abort(&self, to: &ObjectPath, id: &MultipartId) -> Result<()> {
        or_gone(self.0.cloud.abort_multipart(to, id).await)?;
        if self.0.blocks == Blocks::StayUntilOverwritten
            && matches!(self.0.cloud.head(to).await, Err(Error::NotFound { .. }))
        {
            self.0.cloud.put(to, PutPayload::new()).await?;
            or_gone(self.0.cloud.delete(to).await)?;
        }
        Ok(())
    }

    /// Aborts the uploads whose marker is old. The next sweep tries again those that can't be aborted now.
    pub(crate) async fn sweep(&self) -> Result<()> {
        let age = chrono::TimeDelta::from_std(self.0.abandoned_after).unwrap_or(chrono::TimeDelta::MAX);
        let old = clock::now() - age;
        let mut markers = self.0.cloud.list(Some(&ObjectPath::from(MARKERS)));
        while let Some(marker) = markers.try_next().await? {
            if marker.last_modified < old
                && let Err(error) = self.end_marked(&marker).await
            {
                tracing::warn!(marker = %marker.location, %error, "An unfinished upload stays until the next sweep.");
            }
        }
        Ok(())
    }

    /// Aborts the upload that a marker names, then deletes the marker. An object that isn't a marker is only deleted.
    async fn end_marked(&self, marker: &ObjectMeta) -> Result<()> {
        if marker.size <= MARKER_MAX_BYTES {
            let text = match self.0.cloud.get(&marker.location).await {
                Err(Error::NotFound { .. }) => return Ok(()),
                found => found?.bytes().await?,
            };
            if let Some((id, to)) = marked_upload(&text) {
                tracing::info!(object = %to, "An unfinished upload is aborted.");
                self.abort(&to, &id).await?;
            }
        }
        or_gone(self.0.cloud.delete(&marker.location).await)
    }
}

/// The upload that a marker names.
fn marked_upload(text: &[u8]) -> Option<(MultipartId, ObjectPath)> {
    let (id, to) = std::str::from_utf8(text).ok()?.split_once('\n')?;
    Some((id.to_owned(), ObjectPath::parse(to).ok()?))
}

/// The outcome of a removal. An object that another process has removed counts as removed.
pub(crate) fn or_gone(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(Error::NotFound { .. }) => Ok(()),
        outcome => outcome,
    }
}

impl fmt::Debug for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Uploads").field(&self.0.name).finish()
    }
}

impl fmt::Display for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

#[async_trait]
impl ObjectStore for Uploads {
    async fn put_opts(&self, to: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.cloud.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let id = self.0.cloud.create_multipart_opts(to, options).await?;
        let marker = ObjectPath::from(format!("{MARKERS}/{}", clock::new_id()));
        let upload = Upload { uploads: self.clone(), to: to.clone(), id, marker, parts: Mutex::default() };
        let mut marked = Marked { upload: Arc::new(upload), keeper: None, parts: 0, has_ended: false };
        if let Err(error) = marked.upload.mark().await {
            marked.abort().await.ok();
            return Err(error);
        }
        let keeper = self.0.tasks.spawn("marker of an upload", keep_marking(Arc::clone(&marked.upload)));
        marked.keeper = Some(keeper.abort_handle());
        Ok(Box::new(marked))
    }

    async fn get_opts(&self, from: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.0.cloud.get_opts(from, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<ObjectPath>>) -> BoxStream<'static, Result<ObjectPath>> {
        // One by one: not every store that speaks S3 deletes many at once.
        let uploads = self.clone();
        paths
            .and_then(move |path| {
                let uploads = uploads.clone();
                async move { delete_one(&uploads, path).await }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.cloud.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.0.cloud.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.0.cloud.copy_opts(from, to, options).await
    }
}

async fn delete_one(uploads: &Uploads, path: ObjectPath) -> Result<ObjectPath> {
    uploads.0.cloud.delete(&path).await.map(|()| path)
}

/// What the parts of one upload share.
struct Upload {
    uploads: Uploads,
    to: ObjectPath,
    id: MultipartId,
    marker: ObjectPath,
    parts: Mutex<BTreeMap<usize, PartId>>,
}

impl Upload {
    fn parts(&self) -> MutexGuard<'_, BTreeMap<usize, PartId>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the marker.
    async fn mark(&self) -> Result<()> {
        let text = format!("{}\n{}", self.id, self.to);
        self.uploads.0.cloud.put(&self.marker, PutPayload::from(text)).await.map(drop)
    }

    async fn unmark(&self) {
        if let Err(error) = or_gone(self.uploads.0.cloud.delete(&self.marker).await) {
            tracing::warn!(object = %self.marker, %error, "The marker of an upload that has ended stays until a sweep.");
        }
    }

    async fn abort(&self) -> Result<()> {
        self.uploads.abort(&self.to, &self.id).await?;
        self.unmark().await;
        Ok(())
    }
}

/// The pause before a marker is written again.
fn renewal_pause(abandoned_after: Duration) -> Duration {
    (abandoned_after / RENEWALS).min(RENEWAL_PAUSE_MAX)
}

/// Writes the marker again and again while the upload runs, also when no parts come.
async fn keep_marking(upload: Arc<Upload>) {
    let Shared { tasks, abandoned_after, .. } = upload.uploads.0.as_ref();
    loop {
        tokio::select! {
            () = tasks.token().cancelled() => return,
            () = tokio::time::sleep(renewal_pause(*abandoned_after)) => {}
        }
        if let Err(error) = upload.mark().await {
            tracing::warn!(object = %upload.marker, %error, "The marker of an upload can't be written now.");
        }
    }
}

/// An upload that aborts itself if it is dropped.
struct Marked {
    upload: Arc<Upload>,
    keeper: Option<AbortHandle>,
    parts: usize,
    has_ended: bool,
}

impl fmt::Debug for Marked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marked").field("to", &self.upload.to).field("parts", &self.parts).finish_non_exhaustive()
    }
}

#[async_trait]
impl MultipartUpload for Marked {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (upload, index) = (Arc::clone(&self.upload), self.parts);
        self.parts += 1;
        Box::pin(async move {
            let part = upload.uploads.0.cloud.put_part(&upload.to, &upload.id, index, data).await?;
            upload.parts().insert(index, part);
            Ok(())
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let parts: Vec<PartId> = self.upload.parts().values().cloned().collect();
        if parts.len() != self.parts {
            let missing = format!("{} of {} parts are stored", parts.len(), self.parts);
            return Err(Error::Generic { store: "upload", source: missing.into() });
        }
        let Upload { uploads, to, id, .. } = self.upload.as_ref();
        let completed = uploads.0.cloud.complete_multipart(to, id, parts).await?;
        self.end();
        self.upload.unmark().await;
        Ok(completed)
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await?;
        self.end();
        Ok(())
    }
}

impl Marked {
    fn end(&mut self) {
        self.has_ended = true;
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        self.end();
        let upload = Arc::clone(&self.upload);
        self.upload.uploads.0.tasks.spawn("end of an unfinished upload", async move {
            if let Err(error) = upload.abort().await {
                tracing::warn!(object = %upload.to, %error, "An unfinished upload stays until a sweep.");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use object_store::memory::InMemory;

    use super::*;
    use crate::hooked::Hooked;

    /// A sweep needs less.
    const SWEPT_WITHIN: Duration = Duration::from_secs(10);

    async fn markers(objects: &InMemory) -> Vec<String> {
        let listed = objects.list(Some(&ObjectPath::from(MARKERS)));
        listed.map_ok(|marker| marker.location.to_string()).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn a_sweep_continues_after_an_upload_that_cannot_be_aborted() {
        let objects = Arc::new(InMemory::new());
        let cloud = Hooked::new(&objects, |_| Box::pin(std::future::ready(())));
        let to = ObjectPath::from("_incoming/a");
        let id = objects.create_multipart(&to).await.unwrap();
        for (name, text) in
            [("1", "unknown\n_incoming/b".to_owned()), ("2", format!("{id}\n{to}")), ("3", String::new())]
        {
            let marker = ObjectPath::from(format!("{MARKERS}/{name}"));
            objects.put(&marker, PutPayload::from(text)).await.unwrap();
        }
        // Every marker is old.
        let bucket =
            Uploads::new("s3://test".to_owned(), cloud, Blocks::EndWithTheUpload, Tasks::new(), Duration::ZERO);
        let begun = Instant::now();
        while markers(&objects).await != ["_uploads/1"] {
            assert!(begun.elapsed() < SWEPT_WITHIN, "{:?}", markers(&objects).await);
            bucket.sweep().await.unwrap();
        }
        assert!(objects.abort_multipart(&to, &id).await.is_err(), "the upload was aborted");
    }

    #[test]
    fn a_marker_is_written_often_enough_for_the_sweeps_of_other_processes() {
        let pauses = [3, 3_600].map(|seconds| renewal_pause(Duration::from_secs(seconds)).as_secs());
        assert_eq!(pauses, [1, 60]);
    }

    #[test]
    fn a_marker_names_the_upload_and_the_path_as_they_are() {
        let to = ObjectPath::from("acme/1/50%");
        assert_eq!(marked_upload(format!("id\n{to}").as_bytes()), Some(("id".to_owned(), to)));
        assert_eq!(marked_upload(b"id"), None);
    }
}
