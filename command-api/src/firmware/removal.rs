//! Removes the bytes of deleted firmware from the store: on deletion, or at the next start if that failed or the process ended before.
//!
//! The log decides whether a firmware is deleted. The same bytes may be uploaded again at any moment. So the bytes are first moved aside,
//! then the log is asked again, and then they are deleted or moved back. An upload checks for its bytes once more after its event is
//! stored. Bytes of firmware that the log doesn't know are kept: it may be the wrong log.

use domain::firmware::{Firmware, FirmwareStatus};
use domain::values::Sha256Digest;
use domain::{FirmwareId, Key, TenantId};
use event_store::StoreError;
use futures::StreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};

use super::model::object_path;
use crate::state::App;

/// Path of bytes that are about to be deleted. No tenant has this name.
const ASIDE: &str = "_deleted";

/// Why bytes could not be removed now.
#[derive(Debug, thiserror::Error)]
enum RemovalError {
    #[error(transparent)]
    Log(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] object_store::Error),
}

/// The bytes of one firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) tenant: TenantId,
    pub(super) id: FirmwareId,
    pub(super) sha256: Sha256Digest,
}

impl Kept {
    fn path(&self) -> ObjectPath {
        object_path(&self.tenant, &self.id, &self.sha256)
    }

    fn aside(&self) -> ObjectPath {
        ObjectPath::from(format!("{ASIDE}/{}", self.path()))
    }

    /// The firmware of an object in the store, and whether the object was moved aside; none for other objects.
    fn parse(path: &ObjectPath) -> Option<(Self, bool)> {
        let text = path.as_ref();
        let aside = text.strip_prefix(ASIDE).and_then(|rest| rest.strip_prefix('/'));
        let mut parts = aside.unwrap_or(text).split('/');
        let kept = Self {
            tenant: TenantId::new(parts.next()?).ok()?,
            id: parts.next()?.parse().ok()?,
            sha256: Sha256Digest::from_hex(parts.next()?)?,
        };
        let is_aside = aside.is_some();
        let ours = if is_aside { kept.aside() } else { kept.path() };
        (ours == *path).then_some((kept, is_aside))
    }
}

/// Removes the bytes of a firmware if it is deleted. On failure it is tried again at the next start.
pub(super) async fn remove(app: &App, kept: &Kept) {
    if let Err(error) = try_remove(app, kept).await {
        tracing::warn!(firmware.id = %kept.id, %error, "Bytes of a deleted firmware stay until the next start.");
    }
}

async fn try_remove(app: &App, kept: &Kept) -> Result<(), RemovalError> {
    if !is_deleted(app, kept).await? {
        return Ok(());
    }
    done_or_gone(app.objects.rename(&kept.path(), &kept.aside()).await)?;
    settle(app, kept).await
}

/// Deletes bytes that were moved aside, or moves them back.
async fn settle(app: &App, kept: &Kept) -> Result<(), RemovalError> {
    let deleted = is_deleted(app, kept).await;
    if matches!(deleted, Ok(true)) {
        return Ok(done_or_gone(app.objects.delete(&kept.aside()).await)?);
    }
    // It was uploaded again, or its state is not known. The same bytes may be there already.
    done_or_gone(app.objects.rename(&kept.aside(), &kept.path()).await)?;
    deleted.map(drop).map_err(RemovalError::from)
}

async fn is_deleted(app: &App, kept: &Kept) -> Result<bool, StoreError> {
    let loaded = app.store.load_fresh(&Key::<Firmware>::new(&kept.tenant, &kept.id)).await?;
    Ok(loaded.aggregate.status == FirmwareStatus::Deleted)
}

/// Another process may have done it already.
fn done_or_gone(outcome: object_store::Result<()>) -> object_store::Result<()> {
    match outcome {
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        outcome => outcome,
    }
}

/// Whether the bytes are at the path that downloads read.
pub(super) async fn are_there(app: &App, kept: &Kept) -> object_store::Result<bool> {
    match app.objects.head(&kept.path()).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes what deletions left when they failed or the process died.
pub(crate) async fn sweep(app: &App) {
    let mut listed = app.objects.list(None);
    while let Some(found) = listed.next().await {
        let outcome = match found.map(|object| Kept::parse(&object.location)) {
            Ok(Some((kept, false))) => try_remove(app, &kept).await,
            Ok(Some((kept, true))) => settle(app, &kept).await,
            Ok(None) => Ok(()),
            Err(error) => return tracing::warn!(%error, "Bytes of deleted firmware could not be listed."),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "It can't be determined whether a firmware is deleted; its bytes stay until the next start.");
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn objects_are_told_by_their_place() {
        let kept = Kept {
            tenant: TenantId::new("acme").unwrap(),
            id: FirmwareId(Uuid::from_u128(7)),
            sha256: Sha256Digest::of(b"one"),
        };
        assert_eq!(Kept::parse(&kept.path()), Some((kept.clone(), false)));
        assert_eq!(Kept::parse(&kept.aside()), Some((kept.clone(), true)));
        for other in
            ["_incoming/x", "acme", "acme/x/y", &format!("{}/more", kept.path()), &format!("x/{}", kept.aside())]
        {
            assert_eq!(Kept::parse(&ObjectPath::from(other)), None, "{other}");
        }
    }
}
