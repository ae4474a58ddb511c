//! The bytes of documents in the object store.

use std::sync::Arc;

use bytes::Bytes;
use chrono::TimeDelta;
use domain::firmware::{Firmware, document_object_name};
use domain::{DocumentId, FirmwareId, Key, TenantId};
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use runtime::clock;

use crate::firmware::broken_store;
use crate::http::Problem;
use crate::state::App;

/// Time after which a stored document without an event counts as left by an upload that failed, in minutes.
const STALE_MINUTES: i64 = 60;

fn path_of(tenant: &TenantId, firmware: FirmwareId, document: DocumentId) -> ObjectPath {
    ObjectPath::from(document_object_name(tenant, firmware, document))
}

pub(super) async fn put(
    app: &App,
    tenant: &TenantId,
    firmware: FirmwareId,
    document: DocumentId,
    bytes: Bytes,
) -> Result<(), Problem> {
    let path = path_of(tenant, firmware, document);
    app.objects.put(&path, PutPayload::from(bytes)).await.map(drop).map_err(broken_store(app))
}

pub(super) async fn get(
    app: &App,
    tenant: &TenantId,
    firmware: FirmwareId,
    document: DocumentId,
) -> object_store::Result<Bytes> {
    app.objects.get(&path_of(tenant, firmware, document)).await?.bytes().await
}

/// The bytes piece by piece.
pub(super) async fn pieces(
    app: &App,
    tenant: &TenantId,
    firmware: FirmwareId,
    document: DocumentId,
) -> object_store::Result<BoxStream<'static, object_store::Result<Bytes>>> {
    Ok(app.objects.get(&path_of(tenant, firmware, document)).await?.into_stream())
}

/// Removes the bytes. If that fails, the next start removes them.
pub(super) async fn remove(app: &App, tenant: &TenantId, firmware: FirmwareId, document: DocumentId) {
    delete(&app.objects, &path_of(tenant, firmware, document)).await;
}

async fn delete(objects: &Arc<dyn ObjectStore>, path: &ObjectPath) {
    match objects.delete(path).await {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
        Err(error) => {
            tracing::warn!(object = %path, %error, "A document that no firmware has stays until the next start.")
        }
    }
}

/// Removes documents that no firmware has: those of uploads that failed, and removed ones.
pub(in crate::firmware) async fn sweep(app: &App) {
    let stale = clock::now() - TimeDelta::minutes(STALE_MINUTES);
    let mut listed = app.objects.list(None);
    while let Some(found) = listed.next().await {
        let Ok(object) = found else {
            return tracing::warn!("Documents that no firmware has could not be listed.");
        };
        let Some((tenant, firmware, document)) = parsed(&object.location) else { continue };
        if object.last_modified >= stale {
            continue;
        }
        match app.store.load_fresh(&Key::<Firmware>::new(&tenant, &firmware)).await {
            // Documents of unknown firmware stay: the log may be the wrong one.
            Ok(loaded) if loaded.aggregate.content.is_some() && !loaded.aggregate.has_document(document) => {
                delete(&app.objects, &object.location).await;
            }
            Ok(_) => {}
            Err(error) => return tracing::warn!(%error, "The event log can't say which documents firmware has."),
        }
    }
}

/// The document of an object; none for other objects.
fn parsed(path: &ObjectPath) -> Option<(TenantId, FirmwareId, DocumentId)> {
    let mut parts = path.as_ref().split('/');
    let tenant = TenantId::new(parts.next()?).ok()?;
    let firmware = parts.next()?.parse().ok()?;
    let document = parts.nth(1)?.parse().ok()?;
    (path_of(&tenant, firmware, document) == *path).then_some((tenant, firmware, document))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_names_of_documents_are_parsed() {
        let acme = TenantId::new("acme").unwrap();
        let (firmware, document) = (FirmwareId(Uuid::from_u128(7)), DocumentId(Uuid::from_u128(8)));
        let path = path_of(&acme, firmware, document);
        assert_eq!(parsed(&path), Some((acme, firmware, document)));
        for other in
            ["acme", "acme/x/documents/y", &format!("{path}/more"), &path.to_string().replace("documents", "d")]
        {
            assert_eq!(parsed(&ObjectPath::from(other)), None, "{other}");
        }
    }
}
