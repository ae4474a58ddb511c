//! Keeps the contents of documents in tables, where questions find them. The contents follow from the stored bytes: if they are missing, for
//! example because PostgreSQL was away during the upload, the document is read again.

use std::time::Duration;

use axum::BoxError;
use bytes::Bytes;
use documents::Content;
use domain::firmware::FirmwareDocument;
use domain::values::Sha256Digest;
use domain::{DocumentId, FirmwareId, TenantId};
use projections::document_contents::{self, Unread};
use tokio::sync::oneshot;

use super::incoming::{content_of, digest_of};
use super::stored;
use crate::http::Problem;
use crate::state::App;

/// Pause between two looks for documents that have not been read. There is none while many are found.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// Most documents that are read after one look.
const UNREAD_MAX: usize = 16;

/// Stores the contents of a document. If that fails, the document is read again later.
pub(super) async fn store(app: &App, tenant: &TenantId, document: DocumentId, content: &Content) {
    if let Err(error) = document_contents::store(&app.db, tenant, document, content).await {
        tracing::warn!(document.id = %document, %error, "The contents of a document are stored later.");
    }
}

/// Removes the bytes and the contents, after the event.
pub(super) async fn drop_document(app: &App, tenant: &TenantId, firmware: FirmwareId, document: DocumentId) {
    stored::remove(app, tenant, firmware, document).await;
    if let Err(error) = document_contents::forget(&app.db, tenant, document).await {
        tracing::warn!(document.id = %document, %error, "The contents of a removed document are removed later.");
    }
}

/// Reads documents that have not been read, until the process has served its last request.
pub(crate) async fn keep_reading(app: App, mut served: oneshot::Receiver<()>) {
    let mut failing = false;
    loop {
        let outcome = tokio::select! {
            _ended = &mut served => return,
            outcome = read_some(&app) => outcome,
        };
        if let Err(error) = &outcome
            && !failing
        {
            tracing::info!(%error, "Documents are read later.");
        }
        failing = outcome.is_err();
        if matches!(outcome, Ok(UNREAD_MAX)) {
            continue;
        }
        tokio::select! {
            _ended = &mut served => return,
            () = tokio::time::sleep(READ_INTERVAL) => {}
        }
    }
}

/// Reads at most [`UNREAD_MAX`] documents, and returns how many were read. Fails when PostgreSQL or the object store is away.
async fn read_some(app: &App) -> Result<usize, BoxError> {
    document_contents::remove_stray(&app.db).await?;
    let mut read = 0;
    for unread in document_contents::unread(&app.db, UNREAD_MAX).await? {
        read += usize::from(read_one(app, &unread).await?);
    }
    Ok(read)
}

/// Reads a document and stores its contents. Returns whether that was done.
async fn read_one(app: &App, unread: &Unread) -> Result<bool, BoxError> {
    let Unread { tenant, firmware, sha256, document } = unread;
    let Ok(_slot) = app.documents.take(tenant) else { return Ok(false) };
    let bytes = match stored::get(app, tenant, *firmware, document.id).await {
        Ok(bytes) => bytes,
        // The others can be read. This one may have been removed a moment ago.
        Err(error @ object_store::Error::NotFound { .. }) => {
            tracing::warn!(document.id = %document.id, %error, "A document is not in the object store.");
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    match checked(bytes, *sha256, document).await {
        Ok(content) => document_contents::store(&app.db, tenant, document.id, &content).await?,
        Err(reason) => {
            tracing::warn!(document.id = %document.id, %reason, "A stored document can't be read.");
            return Ok(false);
        }
    }
    Ok(true)
}

/// The content of a stored document if its bytes are those of the upload.
async fn checked(bytes: Bytes, firmware: Sha256Digest, document: &FirmwareDocument) -> Result<Content, String> {
    let failed = |problem: Problem| problem.detail().to_owned();
    if digest_of(bytes.clone()).await.map_err(failed)? != document.sha256 {
        return Err("it has another digest than its event".to_owned());
    }
    let read = content_of(bytes, firmware, document.product.clone()).await.map_err(failed)?;
    read.map(|read| read.content).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use domain::firmware::DocumentFormat;
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn stored_bytes_with_another_digest_are_not_read() {
        let bytes = |name: &str| {
            format!(r#"{{"bomFormat":"CycloneDX","specVersion":"1.6","components":[{{"name":"{name}"}}]}}"#)
        };
        let (firmware, uploaded) = (Sha256Digest::of(b"image"), bytes("a"));
        let document = FirmwareDocument {
            id: DocumentId(Uuid::from_u128(1)),
            format: DocumentFormat::CycloneDx16,
            size: uploaded.len() as u64,
            sha256: Sha256Digest::of(uploaded.as_bytes()),
            filename: None,
            product: None,
            key: None,
        };
        assert!(matches!(checked(uploaded.into(), firmware, &document).await, Ok(Content::Sbom(_))));
        assert!(checked(bytes("b").into(), firmware, &document).await.unwrap_err().contains("digest"));
    }
}
