//! What stands in documents is kept in tables, where questions find it. It follows from the stored bytes: what is missing there, for example
//! because PostgreSQL was away during the upload, is read again.

use std::time::Duration;

use documents::Content;
use domain::{DocumentId, FirmwareId, TenantId};
use projections::DbError;
use projections::document_contents::{self, Unread};
use tokio::sync::oneshot;

use super::incoming::content_of;
use super::stored;
use crate::state::App;

/// Pause between two looks for documents that have not been read.
const READ_INTERVAL: Duration = Duration::from_secs(10);
/// Documents that are read after one look.
const UNREAD_MAX: usize = 16;

/// Stores what a document says. If that fails, it is read again later.
pub(super) async fn store(app: &App, tenant: &TenantId, document: DocumentId, content: &Content) {
    if let Err(error) = document_contents::store(&app.db, tenant, document, content).await {
        tracing::warn!(document.id = %document, %error, "What a document says is stored later.");
    }
}

/// Removes the bytes and what they said, after the event.
pub(super) async fn drop_document(app: &App, tenant: &TenantId, firmware: FirmwareId, document: DocumentId) {
    stored::remove(app, tenant, firmware, document).await;
    if let Err(error) = document_contents::forget(&app.db, tenant, document).await {
        tracing::warn!(document.id = %document, %error, "What a removed document said is removed later.");
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
            tracing::info!(%error, "Documents can't be read now.");
        }
        failing = outcome.is_err();
        tokio::select! {
            _ended = &mut served => return,
            () = tokio::time::sleep(READ_INTERVAL) => {}
        }
    }
}

async fn read_some(app: &App) -> Result<(), DbError> {
    for unread in document_contents::unread(&app.db, UNREAD_MAX).await? {
        read_one(app, &unread).await?;
    }
    document_contents::remove_stray(&app.db).await
}

async fn read_one(app: &App, unread: &Unread) -> Result<(), DbError> {
    let Unread { tenant, firmware, sha256, document } = unread;
    let Ok(_slot) = app.documents.take(tenant) else { return Ok(()) };
    let bytes = match stored::get(app, tenant, *firmware, document.id).await {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(document.id = %document.id, %error, "A document can't be read from the store.");
            return Ok(());
        }
    };
    match content_of(bytes, *sha256, document.product.clone()).await {
        Ok(Ok(read)) => document_contents::store(&app.db, tenant, document.id, &read.content).await,
        Ok(Err(error)) => {
            tracing::warn!(document.id = %document.id, %error, "A stored document is not what it was.");
            Ok(())
        }
        Err(problem) => {
            tracing::warn!(document.id = %document.id, reason = problem.detail(), "A document can't be read.");
            Ok(())
        }
    }
}
