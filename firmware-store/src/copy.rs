//! Copies the objects of one store to another, while the service reads both.
//!
//! An object that is named by its SHA-256 is measured on its way and kept only if it has this digest. An object that is there already with the
//! same size isn't copied again, so an interrupted copy continues where it stopped.
//!
//! Sealed objects are copied as they are: a copy needs no keys, so it can't compare them with their digests. An object that is there already in
//! sealed form isn't copied plain beside it.

use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectMeta, ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::sealed::{opened_name, sealed};
use crate::store::Store;
use crate::uploads::MARKERS;

/// Bytes of one part.
pub(crate) const PART_BYTES: usize = 8 * 1024 * 1024;
/// Parts under way.
pub(crate) const PARTS_IN_FLIGHT_MAX: usize = 2;
/// Hex digits of a SHA-256.
const SHA256_DIGITS: usize = 64;
/// Paths that concern one store only: unfinished uploads, and objects with which it is tried.
const NOT_COPIED: [&str; 3] = ["_incoming", MARKERS, "_health"];

/// What a copy did with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Copied {
    Copied {
        object: String,
        bytes: u64,
    },
    WasThere {
        object: String,
    },
    /// It was deleted meanwhile.
    Gone {
        object: String,
    },
    /// Its bytes don't have its SHA-256. It wasn't kept.
    Differs {
        object: String,
    },
}

/// Why a copy stops.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("{store} can't be read: {error}")]
    From { store: String, error: Error },
    #[error("{store} can't be written: {error}")]
    To { store: String, error: Error },
}

/// Copies all objects, one after the other, and calls `tell` with the outcome of each.
pub async fn copy(from: &Store, to: &Store, mut tell: impl FnMut(Copied)) -> Result<(), CopyError> {
    let mut listed = from.objects.list(None);
    let unreadable = |error| CopyError::From { store: from.to_string(), error };
    while let Some(object) = listed.try_next().await.map_err(unreadable)? {
        let first = object.location.parts().next();
        if first.is_some_and(|first| NOT_COPIED.contains(&first.as_ref())) {
            continue;
        }
        tell(copy_one(from, to, object).await?);
    }
    Ok(())
}

async fn copy_one(from: &Store, to: &Store, object: ObjectMeta) -> Result<Copied, CopyError> {
    let unreadable = |error| CopyError::From { store: from.to_string(), error };
    let unwritable = |error| CopyError::To { store: to.to_string(), error };
    let (path, name) = (&object.location, object.location.to_string());
    match to.objects.head(path).await {
        Ok(there) if there.size == object.size => return Ok(Copied::WasThere { object: name }),
        Ok(_) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(unwritable(error)),
    }
    if opened_name(path).is_none() && !is_gone(to, &sealed(path)).await {
        return Ok(Copied::WasThere { object: name });
    }
    let mut bytes = match from.objects.get(path).await {
        Ok(found) => found.into_stream(),
        Err(Error::NotFound { .. }) => return Ok(Copied::Gone { object: name }),
        Err(error) => return Err(unreadable(error)),
    };
    let upload = to.objects.put_multipart(path).await.map_err(unwritable)?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let (mut hash, mut size) = (Sha256::new(), 0);
    loop {
        match bytes.try_next().await {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                hash.update(&chunk);
                size += chunk.len() as u64;
                writer.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await.map_err(unwritable)?;
                writer.put(chunk);
            }
            Err(error) => {
                writer.abort().await.map_err(unwritable)?;
                return Err(unreadable(error));
            }
        }
    }
    if size != object.size || !is_named_by(path, &hash.finalize()) {
        writer.abort().await.map_err(unwritable)?;
        return Ok(Copied::Differs { object: name });
    }
    // An object that was deleted meanwhile may have been uploaded again. Then the new store has it from the upload, and it must stay.
    if is_gone(from, path).await {
        writer.abort().await.map_err(unwritable)?;
        return Ok(Copied::Gone { object: name });
    }
    writer.finish().await.map_err(unwritable)?;
    // It may have been deleted in both stores a moment before the copy was complete.
    if is_gone(from, path).await {
        to.objects.delete(path).await.map_err(unwritable)?;
        return Ok(Copied::Gone { object: name });
    }
    Ok(Copied::Copied { object: name, bytes: size })
}

pub(crate) async fn is_gone(store: &Store, path: &ObjectPath) -> bool {
    matches!(store.objects.head(path).await, Err(Error::NotFound { .. }))
}

/// Whether an object has this digest, or has another name than a digest.
pub(crate) fn is_named_by(path: &ObjectPath, sha256: &[u8]) -> bool {
    let name = path.filename().unwrap_or_default();
    let is_digest = name.len() == SHA256_DIGITS && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    !is_digest || name.eq_ignore_ascii_case(&sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;
    use crate::hooked::{Hooked, Moment};
    use crate::store::FirmwareStore;

    fn store() -> Store {
        FirmwareStore::of(Arc::new(InMemory::new())).stores()[0].clone()
    }

    #[tokio::test]
    async fn what_has_its_digest_is_copied_once_and_nothing_else() {
        let (from, to) = (store(), store());
        let one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
        let names = [format!("acme/1/{one}"), format!("acme/2/{one}"), "acme/notes".into(), "_incoming/x".into()];
        for (name, text) in names.iter().zip(["one", "two", "notes", "unfinished"]) {
            from.objects.put(&ObjectPath::from(name.as_str()), text.into()).await.unwrap();
        }
        let run = async || {
            let mut told = Vec::new();
            copy(&from, &to, |copied| told.push(copied)).await.unwrap();
            told
        };
        let [first, second, third, _] = names;
        let differs = Copied::Differs { object: second.clone() };
        let expected = [
            Copied::Copied { object: first.clone(), bytes: 3 },
            differs.clone(),
            Copied::Copied { object: third.clone(), bytes: 5 },
        ];
        assert_eq!(run().await, expected);
        assert!(to.objects.head(&ObjectPath::from(second)).await.is_err());
        assert_eq!(run().await, [Copied::WasThere { object: first }, differs, Copied::WasThere { object: third }]);
    }

    #[tokio::test]
    async fn sealed_objects_are_copied_as_they_are_and_no_plain_one_comes_beside_them() {
        let (from, to) = (store(), store());
        let put = async |store: &Store, name: &str, text: &'static str| {
            store.objects.put(&ObjectPath::from(name), text.into()).await.unwrap();
        };
        put(&from, "acme/1/a.sealed", "sealed").await;
        put(&from, "acme/2/b", "plain").await;
        put(&to, "acme/2/b.sealed", "sealed before").await;
        let mut told = Vec::new();
        copy(&from, &to, |copied| told.push(copied)).await.unwrap();
        let copied = Copied::Copied { object: "acme/1/a.sealed".into(), bytes: 6 };
        assert_eq!(told, [copied, Copied::WasThere { object: "acme/2/b".into() }]);
        assert!(is_gone(&to, &ObjectPath::from("acme/2/b")).await);
    }

    #[tokio::test]
    async fn a_copy_leaves_an_object_that_was_deleted_and_uploaded_again_meanwhile() {
        let (old, new) = (Arc::new(InMemory::new()), Arc::new(InMemory::new()));
        let path = ObjectPath::from("acme/1/notes");
        old.put(&path, "notes".into()).await.unwrap();
        let shared = (Arc::clone(&old), Arc::clone(&new), path.clone());
        let hooked = Hooked::new(&old, move |moment| {
            let (old, new, path) = shared.clone();
            Box::pin(async move {
                if moment == Moment::AfterGet {
                    old.delete(&path).await.unwrap();
                    new.put(&path, "notes".into()).await.unwrap();
                }
            })
        });
        let from = FirmwareStore::of(hooked).stores()[0].clone();
        let to = FirmwareStore::of(new.clone()).stores()[0].clone();
        let mut told = Vec::new();
        copy(&from, &to, |copied| told.push(copied)).await.unwrap();
        assert_eq!(told, [Copied::Gone { object: path.to_string() }]);
        assert_eq!(new.head(&path).await.unwrap().size, 5);
    }
}
