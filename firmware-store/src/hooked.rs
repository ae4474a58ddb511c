//! A store in memory for tests. It calls a hook at some moments, in which a test can change objects or stop for ever.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as ObjectPath;
use object_store::signer::{Method, Signer, Url};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// When the hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    AfterGet,
    AfterNotFound,
    BeforeCopy,
    BeforeDelete,
}

type Hook = Arc<dyn Fn(Moment) -> BoxFuture<'static, ()> + Send + Sync>;

/// Clones share the objects.
#[derive(Clone)]
pub(crate) struct Hooked {
    objects: Arc<InMemory>,
    hook: Hook,
}

impl Hooked {
    pub(crate) fn new(
        objects: &Arc<InMemory>,
        hook: impl Fn(Moment) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { objects: Arc::clone(objects), hook: Arc::new(hook) })
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hooked")
    }
}

impl fmt::Display for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hooked")
    }
}

#[async_trait]
impl ObjectStore for Hooked {
    async fn put_opts(&self, to: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(to, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        to: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(to, options).await
    }

    async fn get_opts(&self, from: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        let got = self.objects.get_opts(from, options).await;
        match &got {
            Ok(_) => (self.hook)(Moment::AfterGet).await,
            Err(Error::NotFound { .. }) => (self.hook)(Moment::AfterNotFound).await,
            Err(_) => {}
        }
        got
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<ObjectPath>>) -> BoxStream<'static, Result<ObjectPath>> {
        let store = self.clone();
        paths
            .and_then(move |path| {
                let store = store.clone();
                async move {
                    (store.hook)(Moment::BeforeDelete).await;
                    store.objects.delete(&path).await.map(|()| path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        (self.hook)(Moment::BeforeCopy).await;
        self.objects.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Hooked {
    async fn create_multipart(&self, path: &ObjectPath) -> Result<MultipartId> {
        self.objects.create_multipart(path).await
    }

    async fn put_part(&self, path: &ObjectPath, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        self.objects.put_part(path, id, part_idx, data).await
    }

    async fn complete_multipart(&self, path: &ObjectPath, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        self.objects.complete_multipart(path, id, parts).await
    }

    async fn abort_multipart(&self, path: &ObjectPath, id: &MultipartId) -> Result<()> {
        self.objects.abort_multipart(path, id).await
    }
}

#[async_trait]
impl Signer for Hooked {
    async fn signed_url(&self, _: Method, _: &ObjectPath, _: Duration) -> Result<Url> {
        Err(Error::NotSupported { source: "the memory has no URLs".into() })
    }
}
