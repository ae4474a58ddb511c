//! Seals what is stored.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use futures::FutureExt;
use futures::future::try_join_all;
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};

use super::format::{CHUNK_BYTES, Chunks, Head, OpenError};
use super::keys::{KeyId, TenantKey, TenantKeys};

const CHUNK: usize = CHUNK_BYTES as usize;
/// Bytes of each part of an upload but the last. Some stores want parts of the same size.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// A small object, whole.
pub(super) fn whole(tenant: &str, key: &TenantKey, payload: &PutPayload) -> Result<PutPayload> {
    let mut sealer = Sealer::new(tenant, key)?;
    let mut sealed = BytesMut::new();
    for piece in payload {
        sealer.take(piece, &mut sealed)?;
    }
    sealer.end(&mut sealed)?;
    Ok(sealed.freeze().into())
}

/// Seals bytes as they come. The last chunk is known only at the end, so one is always held back.
struct Sealer {
    chunks: Chunks,
    /// Number of the next chunk.
    number: u64,
    held: Vec<u8>,
    /// None once it is written.
    head: Option<Vec<u8>>,
}

fn failed(error: OpenError) -> Error {
    Error::Generic { store: "sealing", source: Box::new(error) }
}

impl Sealer {
    /// Each has a key of its own, so no nonce comes twice.
    fn new(tenant: &str, key: &TenantKey) -> Result<Self> {
        let head = Head::new(key.id).map_err(failed)?;
        let chunks = Chunks::new(tenant, key, &head).map_err(failed)?;
        Ok(Self { chunks, number: 0, held: Vec::with_capacity(CHUNK), head: Some(head.bytes()) })
    }

    /// Takes more bytes; `sealed` gets the chunks that are complete.
    fn take(&mut self, mut bytes: &[u8], sealed: &mut BytesMut) -> Result<()> {
        while !bytes.is_empty() {
            if self.held.len() == CHUNK {
                self.write(false, sealed)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.held.len()));
            self.held.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn end(&mut self, sealed: &mut BytesMut) -> Result<()> {
        self.write(true, sealed)
    }

    fn write(&mut self, is_last: bool, sealed: &mut BytesMut) -> Result<()> {
        if let Some(head) = self.head.take() {
            sealed.extend_from_slice(&head);
        }
        self.chunks.seal(self.number, is_last, &mut self.held).map_err(failed)?;
        sealed.extend_from_slice(&self.held);
        self.held.clear();
        self.number += 1;
        Ok(())
    }
}

/// An upload whose bytes are sealed on their way.
pub(super) struct SealingUpload {
    keys: Arc<dyn TenantKeys>,
    tenant: String,
    key: KeyId,
    upload: Box<dyn MultipartUpload>,
    sealer: Sealer,
    /// Sealed bytes of the next part.
    pending: BytesMut,
}

impl std::fmt::Debug for SealingUpload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealingUpload").field("upload", &self.upload).finish_non_exhaustive()
    }
}

impl SealingUpload {
    pub(super) fn new(
        keys: &Arc<dyn TenantKeys>,
        tenant: String,
        key: &TenantKey,
        upload: Box<dyn MultipartUpload>,
    ) -> Result<Self> {
        let sealer = Sealer::new(&tenant, key)?;
        Ok(Self { keys: Arc::clone(keys), tenant, key: key.id, upload, sealer, pending: BytesMut::new() })
    }

    /// Sends the parts that are complete.
    fn full_parts(&mut self) -> Vec<UploadPart> {
        let mut parts = Vec::new();
        while self.pending.len() >= PART_BYTES {
            parts.push(self.upload.put_part(self.pending.split_to(PART_BYTES).freeze().into()));
        }
        parts
    }
}

#[async_trait]
impl MultipartUpload for SealingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        for piece in &data {
            if let Err(error) = self.sealer.take(piece, &mut self.pending) {
                return std::future::ready(Err(error)).boxed();
            }
        }
        try_join_all(self.full_parts()).map(|done| done.map(drop)).boxed()
    }

    /// Fails if the key was forgotten meanwhile: nobody could open the object.
    async fn complete(&mut self) -> Result<PutResult> {
        self.sealer.end(&mut self.pending)?;
        try_join_all(self.full_parts()).await?;
        if !self.pending.is_empty() {
            self.upload.put_part(self.pending.split().freeze().into()).await?;
        }
        self.keys.known(&self.tenant, self.key).await?;
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
}
