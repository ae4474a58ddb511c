//! A bucket in which unfinished uploads leave nothing.
//!
//! A bucket keeps the parts of an upload until it is completed or aborted. An upload that is dropped is aborted by a task. For the case that
//! the process is killed, each upload has a marker, an object that names it, from before its first part until its end. It is written anew
//! while the upload lives. A sweep aborts the uploads of old markers.

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
/// How often a marker is written anew in the time after which its upload would count as abandoned.
const RENEWALS: u32 = 3;
/// Largest marker that is read.
const MARKER_MAX_BYTES: u64 = 8 * 1024;

/// What S3, Google Cloud Storage and Azure can do.
pub(crate) trait Cloud: ObjectStore + MultipartStore + Signer {}

impl<T: ObjectStore + MultipartStore + Signer> Cloud for T {}

/// What becomes of parts whose upload is aborted.
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

    /// Ends an upload and what it has stored. It may have ended before, and may have been completed: then the object stays.
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

    /// Aborts uploads whose marker wasn't written for too long. Those that can't be aborted now are found again.
    pub(crate) async fn sweep(&self) -> Result<()> {
        let age = chrono::TimeDelta::from_std(self.0.abandoned_after).unwrap_or(chrono::TimeDelta::MAX);
        let old = clock::now() - age;
        let mut markers = self.0.cloud.list(Some(&ObjectPath::from(MARKERS)));
        while let Some(marker) = markers.try_next().await? {
            if marker.last_modified >= old {
                continue;
            }
            if marker.size <= MARKER_MAX_BYTES {
                let text = match self.0.cloud.get(&marker.location).await {
                    Err(Error::NotFound { .. }) => continue,
                    found => found?.bytes().await?,
                };
                if let Some((id, to)) = std::str::from_utf8(&text).ok().and_then(|text| text.split_once('\n')) {
                    tracing::info!(object = to, "An unfinished upload is aborted.");
                    self.abort(&ObjectPath::from(to), &id.to_owned()).await?;
                }
            }
            or_gone(self.0.cloud.delete(&marker.location).await)?;
        }
        Ok(())
    }
}

fn or_gone(outcome: Result<()>) -> Result<()> {
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

/// Writes the marker again and again while the upload lives, also if it comes slowly.
async fn keep_marking(upload: Arc<Upload>) {
    let Shared { tasks, abandoned_after, .. } = upload.uploads.0.as_ref();
    loop {
        tokio::select! {
            () = tasks.token().cancelled() => return,
            () = tokio::time::sleep(*abandoned_after / RENEWALS) => {}
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
