//! Seals what is stored of a tenant under its newest key, while the service runs: objects that aren't sealed, and those under older keys.
//!
//! Each object is measured on its way and replaced only if it has the SHA-256 of its name. Readers find the old or the new one. The plain
//! object goes after the sealed one is complete. So a run that was killed leaves each object readable, and the next run does the rest.
//!
//! An object that is deleted at the very end of its sealing can stay in sealed form. Then a starting API removes it, because the log says that
//! its firmware is deleted.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectStore, ObjectStoreExt, WriteMultipart};
use sha2::{Digest, Sha256};

use crate::copy::{PART_BYTES, PARTS_IN_FLIGHT_MAX, is_named_by};
use crate::sealed::{KeyId, KeysError, Sealed, TenantKeys, is_altered, keys_error, opened_name, sealed};
use crate::store::Store;
use crate::uploads::or_gone;

/// Before the tenant: what is stored of it at another place than its own.
const ALSO: [&str; 2] = ["_incoming", "_deleted"];

/// What was done with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resealed {
    Sealed {
        object: String,
    },
    /// It was sealed under the newest key.
    Was,
    /// It was deleted meanwhile.
    Gone,
    /// Its bytes don't have its SHA-256, or can't be opened. It stays as it is.
    Differs {
        object: String,
    },
    /// Its key was forgotten. It stays as it is.
    NoKey {
        object: String,
    },
}

/// The names under which an object is stored.
#[derive(Debug, Default, Clone, Copy)]
struct Names {
    plain: bool,
    sealed: bool,
}

/// Seals all objects of a tenant, one after the other, and calls `tell` with the outcome of each.
pub async fn reseal(
    store: &Store,
    keys: Arc<dyn TenantKeys>,
    tenant: &str,
    mut tell: impl FnMut(Resealed),
) -> Result<(), Error> {
    // All names first: objects change their names while they are sealed.
    let mut listed: BTreeMap<ObjectPath, Names> = BTreeMap::new();
    let mut found = store.objects.list(Some(&ObjectPath::from(tenant)));
    while let Some(object) = found.try_next().await? {
        match opened_name(&object.location) {
            Some(name) => listed.entry(name).or_default().sealed = true,
            None => listed.entry(object.location).or_default().plain = true,
        }
    }
    // A tenant without firmware needs no key.
    if listed.is_empty() {
        return Ok(());
    }
    let newest = keys.newest(tenant).await?.id;
    let sealed = Sealed { inner: Arc::clone(&store.objects), keys, seals_new: true };
    for (path, names) in listed {
        let object = path.to_string();
        tell(match one(&sealed, &path, names, newest).await {
            Err(error) if is_altered(&error) => Resealed::Differs { object },
            Err(error) if matches!(keys_error(&error), Some(KeysError::Unknown(_))) => Resealed::NoKey { object },
            outcome => outcome?,
        });
    }
    Ok(())
}

/// Whether no upload or deletion under way has an object under another key than this one. Those that end later fail if their key is forgotten.
pub async fn is_all_under(
    store: &Store,
    keys: Arc<dyn TenantKeys>,
    tenant: &str,
    newest: KeyId,
) -> Result<bool, Error> {
    let sealed = Sealed { inner: Arc::clone(&store.objects), keys, seals_new: true };
    for place in ALSO {
        let mut found = store.objects.list(Some(&ObjectPath::from(format!("{place}/{tenant}"))));
        while let Some(object) = found.try_next().await? {
            let Some(name) = opened_name(&object.location) else { continue };
            if sealed.key_of(&name).await?.is_some_and(|key| key != newest) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

async fn one(store: &Sealed, path: &ObjectPath, names: Names, newest: KeyId) -> Result<Resealed, Error> {
    if names.sealed && store.key_of(path).await? == Some(newest) {
        return if names.plain { without_plain(store, path).await } else { Ok(Resealed::Was) };
    }
    let Some(mut bytes) = opened(store, path).await? else { return Ok(Resealed::Gone) };
    let upload = store.put_multipart(path).await?;
    let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
    let mut hash = Sha256::new();
    loop {
        match bytes.try_next().await {
            Ok(None) => break,
            Ok(Some(chunk)) => {
                hash.update(&chunk);
                writer.wait_for_capacity(PARTS_IN_FLIGHT_MAX).await?;
                writer.put(chunk);
            }
            Err(error) => {
                writer.abort().await?;
                return Err(error);
            }
        }
    }
    if !is_named_by(path, &hash.finalize()) {
        writer.abort().await?;
        return Ok(Resealed::Differs { object: path.to_string() });
    }
    let before = if names.sealed { sealed(path) } else { path.clone() };
    if matches!(store.inner.head(&before).await, Err(Error::NotFound { .. })) {
        writer.abort().await?;
        return Ok(Resealed::Gone);
    }
    writer.finish().await?;
    if names.plain {
        or_gone(store.inner.delete(path).await)?;
    }
    Ok(Resealed::Sealed { object: path.to_string() })
}

/// A run that was killed has sealed the object and left the plain one.
async fn without_plain(store: &Sealed, path: &ObjectPath) -> Result<Resealed, Error> {
    let Some(mut bytes) = opened(store, path).await? else { return Ok(Resealed::Gone) };
    let mut hash = Sha256::new();
    while let Some(chunk) = bytes.try_next().await? {
        hash.update(&chunk);
    }
    let object = path.to_string();
    if !is_named_by(path, &hash.finalize()) {
        return Ok(Resealed::Differs { object });
    }
    or_gone(store.inner.delete(path).await)?;
    Ok(Resealed::Sealed { object })
}

type Chunks = futures::stream::BoxStream<'static, Result<bytes::Bytes, Error>>;

/// The plain bytes of an object; none if it is gone.
async fn opened(store: &Sealed, path: &ObjectPath) -> Result<Option<Chunks>, Error> {
    match store.get(path).await {
        Ok(found) => Ok(Some(found.into_stream())),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use crate::sealed::memory_keys::MemoryKeys;
    use crate::store::FirmwareStore;

    const ONE: &str = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";

    struct World {
        objects: Arc<InMemory>,
        store: Store,
        keys: Arc<MemoryKeys>,
    }

    impl World {
        async fn with(objects: &[(&str, &str)]) -> Self {
            let memory = Arc::new(InMemory::new());
            for (name, text) in objects {
                memory.put(&ObjectPath::from(*name), (*text).to_owned().into()).await.unwrap();
            }
            let store = FirmwareStore::of(memory.clone()).stores()[0].clone();
            Self { objects: memory, store, keys: Arc::default() }
        }

        async fn reseal(&self) -> Vec<Resealed> {
            let mut told = Vec::new();
            reseal(&self.store, self.keys.clone(), "acme", |object| told.push(object)).await.unwrap();
            told
        }

        async fn names(&self) -> Vec<String> {
            let listed = self.objects.list(None).map_ok(|object| object.location.to_string());
            let mut names: Vec<String> = listed.try_collect().await.unwrap();
            names.sort();
            names
        }

        async fn read(&self, name: &str) -> Vec<u8> {
            let sealed = Sealed { inner: self.objects.clone(), keys: self.keys.clone(), seals_new: false };
            sealed.get(&ObjectPath::from(name)).await.unwrap().bytes().await.unwrap().to_vec()
        }
    }

    #[tokio::test]
    async fn what_has_its_digest_is_sealed_once_under_each_newest_key() {
        let (right, wrong) = (format!("acme/1/{ONE}"), format!("acme/2/{ONE}"));
        let stored = [(&*right, "one"), (&*wrong, "two"), ("acme/3/documents/4", "{}"), ("globex/1/a", "b")];
        let world = World::with(&stored).await;
        let told = world.reseal().await;
        let sealed = |object: &str| Resealed::Sealed { object: object.to_owned() };
        let differs = Resealed::Differs { object: wrong.clone() };
        assert_eq!(told, [sealed(&right), differs.clone(), sealed("acme/3/documents/4")]);
        let names = [format!("{right}.sealed"), wrong.clone(), "acme/3/documents/4.sealed".into(), "globex/1/a".into()];
        assert_eq!(world.names().await, names);
        assert_eq!(world.reseal().await, [Resealed::Was, differs.clone(), Resealed::Was]);
        world.keys.rotate("acme");
        assert_eq!(world.reseal().await, [sealed(&right), differs.clone(), sealed("acme/3/documents/4")]);
        world.keys.forget_older("acme");
        assert_eq!(world.read(&right).await, b"one");
        assert_eq!(world.reseal().await, [Resealed::Was, differs, Resealed::Was]);
    }

    #[tokio::test]
    async fn a_run_that_was_killed_is_completed_by_the_next_one() {
        let right = format!("acme/1/{ONE}");
        let world = World::with(&[(&right, "one")]).await;
        world.reseal().await;
        // It was killed before it deleted the plain object.
        world.objects.put(&ObjectPath::from(right.as_str()), "one".into()).await.unwrap();
        assert_eq!(world.read(&right).await, b"one");
        assert_eq!(world.reseal().await, [Resealed::Sealed { object: right.clone() }]);
        assert_eq!(world.names().await, [format!("{right}.sealed")]);
    }

    #[tokio::test]
    async fn an_object_whose_key_was_forgotten_stays_and_stops_no_other() {
        let right = format!("acme/1/{ONE}");
        let world = World::with(&[(&right, "one")]).await;
        world.reseal().await;
        world.keys.rotate("acme");
        world.keys.forget_older("acme");
        world.objects.put(&ObjectPath::from("acme/2/documents/3"), "{}".into()).await.unwrap();
        let sealed = Resealed::Sealed { object: "acme/2/documents/3".into() };
        assert_eq!(world.reseal().await, [Resealed::NoKey { object: right }, sealed]);
    }

    #[tokio::test]
    async fn uploads_under_way_under_an_older_key_are_found() {
        let world = World::with(&[]).await;
        let sealed = Sealed { inner: world.objects.clone(), keys: world.keys.clone(), seals_new: true };
        sealed.put(&ObjectPath::from("_incoming/acme/x"), "new".into()).await.unwrap();
        let (before, keys) = (world.keys.newest("acme").await.unwrap().id, world.keys.clone());
        assert!(is_all_under(&world.store, keys.clone(), "acme", before).await.unwrap());
        world.keys.rotate("acme");
        let newest = world.keys.newest("acme").await.unwrap().id;
        assert!(!is_all_under(&world.store, keys, "acme", newest).await.unwrap());
    }
}
