use std::ops::Range;

use object_store::WriteMultipart;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

use super::memory_keys::MemoryKeys;
use super::*;
use crate::hooked::{Hooked, Moment};

const SEALED_CHUNK_BYTES: usize = 65_536 + 16;
const HEAD_BYTES: usize = 52;
/// Larger than a part of an upload, and no multiple of anything.
const LARGE: usize = 20 * 1024 * 1024 + 7;

fn in_store(inner: Arc<dyn ObjectStore>) -> Sealed {
    Sealed { inner, keys: Arc::new(MemoryKeys::default()), seals_new: true }
}

fn store() -> Sealed {
    in_store(Arc::new(InMemory::new()))
}

fn path(name: &str) -> ObjectPath {
    ObjectPath::from(name)
}

fn some(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

async fn upload(store: &Sealed, to: &str, bytes: &[u8]) {
    let upload = store.put_multipart(&path(to)).await.unwrap();
    let mut writer = WriteMultipart::new_with_chunk_size(upload, 200_000);
    bytes.chunks(70_001).for_each(|piece| writer.write(piece));
    writer.finish().await.unwrap();
}

async fn read(store: &Sealed, from: &str) -> Result<Vec<u8>> {
    Ok(store.get(&path(from)).await?.bytes().await?.to_vec())
}

async fn read_range(store: &Sealed, from: &str, range: Range<u64>) -> Result<Vec<u8>> {
    let options = GetOptions { range: Some(range.into()), ..GetOptions::default() };
    Ok(store.get_opts(&path(from), options).await?.bytes().await?.to_vec())
}

async fn stored(store: &Sealed, name: &str) -> Vec<u8> {
    store.inner.get(&path(name)).await.unwrap().bytes().await.unwrap().to_vec()
}

async fn put_stored(store: &Sealed, name: &str, bytes: Vec<u8>) {
    store.inner.put(&path(name), bytes.into()).await.unwrap();
}

#[tokio::test]
async fn what_is_stored_is_sealed_and_comes_back() {
    let store = store();
    for size in [0, 1, 65_535, 65_536, 65_537, 131_072, 700_000] {
        let (bytes, name) = (some(size), format!("acme/1/{size}"));
        upload(&store, &name, &bytes).await;
        assert_eq!(read(&store, &name).await.unwrap(), bytes, "{size}");
        assert_eq!(store.head(&path(&name)).await.unwrap().size, size as u64);
        let stored = stored(&store, &format!("{name}.sealed")).await;
        assert!(size < 100 || !stored.windows(32).any(|window| window == &bytes[..32]), "{size}");
        store.put(&path(&format!("acme/small/{size}")), bytes.clone().into()).await.unwrap();
        assert_eq!(read(&store, &format!("acme/small/{size}")).await.unwrap(), bytes, "{size}");
    }
    let mut listed: Vec<_> = store.list(Some(&path("acme/1"))).map_ok(|found| found.size).try_collect().await.unwrap();
    listed.sort_unstable();
    assert_eq!(listed, [0, 1, 65_535, 65_536, 65_537, 131_072, 700_000]);
}

/// In the memory and in a directory, which gives a file in place of a stream.
#[tokio::test]
async fn ranges_are_opened_alone() {
    let directory = std::env::temp_dir().join(format!("waybill-sealed-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let files = LocalFileSystem::new_with_prefix(&directory).unwrap();
    let bytes = some(300_000);
    for store in [store(), in_store(Arc::new(files))] {
        upload(&store, "acme/1/a", &bytes).await;
        assert_eq!(read(&store, "acme/1/a").await.unwrap(), bytes);
        for (start, end) in [
            (0, 1),
            (0, 65_536),
            (65_535, 65_537),
            (65_536, 131_072),
            (100, 299_999),
            (196_607, 196_609),
            (299_999, 300_000),
            (0, 300_000),
        ] {
            let options = GetOptions { range: Some((start as u64..end as u64).into()), ..GetOptions::default() };
            let got = store.get_opts(&path("acme/1/a"), options).await.unwrap();
            assert_eq!((got.range.clone(), got.meta.size), (start as u64..end as u64, 300_000));
            assert_eq!(got.bytes().await.unwrap(), bytes[start..end], "{start}..{end}");
        }
        assert_eq!(read_range(&store, "acme/1/a", 299_990..400_000).await.unwrap(), bytes[299_990..]);
        assert!(read_range(&store, "acme/1/a", 300_000..300_001).await.is_err());
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn what_was_changed_or_cut_gives_no_byte_of_its_chunk() {
    let (store, bytes) = (store(), some(200_000));
    upload(&store, "acme/1/a", &bytes).await;
    let sealed = stored(&store, "acme/1/a.sealed").await;
    for index in [HEAD_BYTES + 8, 65_700, sealed.len() - 1] {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        put_stored(&store, "acme/1/a.sealed", changed).await;
        let mut stream = store.get(&path("acme/1/a")).await.unwrap().into_stream();
        let mut read = Vec::new();
        let error = loop {
            match stream.next().await.expect("an error") {
                Ok(chunk) => read.extend_from_slice(&chunk),
                Err(error) => break error,
            }
        };
        assert!(is_altered(&error) && error.to_string().contains("was changed"), "{error}");
        let chunk = (index - HEAD_BYTES) / SEALED_CHUNK_BYTES;
        assert_eq!(read, bytes[..chunk * 65_536], "{index}");
        let start = chunk as u64 * 65_536;
        assert!(is_altered(&read_range(&store, "acme/1/a", start..start + 1).await.unwrap_err()), "{index}");
    }
    let chunk = |number: usize| HEAD_BYTES + number * SEALED_CHUNK_BYTES;
    let reordered =
        [&sealed[..chunk(0)], &sealed[chunk(1)..chunk(2)], &sealed[chunk(0)..chunk(1)], &sealed[chunk(2)..]];
    let zeroed = [&sealed[..chunk(0)], &[0; HEAD_BYTES - 20][..], &sealed[chunk(0) + HEAD_BYTES - 20..]];
    let other_salt = [&sealed[..30], &[sealed[30] ^ 1][..], &sealed[31..]];
    for wrong in [
        // Whole chunks are missing at the end, or the first one is.
        sealed[..chunk(2)].to_vec(),
        [&sealed[..chunk(0)], &sealed[chunk(1)..]].concat(),
        sealed[..sealed.len() - 1].to_vec(),
        sealed[..20].to_vec(),
        // The last chunk comes twice.
        [&sealed[..], &sealed[chunk(3)..]].concat(),
        reordered.concat(),
        zeroed.concat(),
        other_salt.concat(),
        b"XXXX".iter().chain(&sealed[4..]).copied().collect(),
    ] {
        let length = wrong.len();
        put_stored(&store, "acme/1/a.sealed", wrong).await;
        assert!(is_altered(&read(&store, "acme/1/a").await.unwrap_err()), "{length}");
    }
}

#[tokio::test]
async fn an_object_or_chunk_of_another_tenant_or_upload_is_refused() {
    let (store, bytes) = (store(), some(200_000));
    for name in ["acme/1/a", "acme/2/b"] {
        upload(&store, name, &bytes).await;
    }
    let [first, second] = [stored(&store, "acme/1/a.sealed").await, stored(&store, "acme/2/b.sealed").await];
    assert_ne!(first[HEAD_BYTES..], second[HEAD_BYTES..], "each upload has a key of its own");
    let middle = HEAD_BYTES + SEALED_CHUNK_BYTES;
    put_stored(&store, "acme/1/a.sealed", [&first[..middle], &second[middle..]].concat()).await;
    assert!(is_altered(&read(&store, "acme/1/a").await.unwrap_err()));
    // Another whole object of the tenant opens, but it is seen to be another one: its digest is compared anew.
    put_stored(&store, "acme/1/a.sealed", first.clone()).await;
    let before = store.head(&path("acme/1/a")).await.unwrap().e_tag;
    put_stored(&store, "acme/1/a.sealed", second).await;
    assert_ne!(store.head(&path("acme/1/a")).await.unwrap().e_tag, before);
    put_stored(&store, "acme/1/a.sealed", first.clone()).await;
    let again = store.get(&path("acme/1/a")).await.unwrap().meta.e_tag;
    assert!(before.is_some() && again == before, "{again:?}");

    put_stored(&store, "globex/1/a.sealed", first).await;
    let error = read(&store, "globex/1/a").await.unwrap_err();
    assert!(matches!(keys_error(&error), Some(KeysError::Unknown(_))), "{error}");
    // It gets a key of the same name. The bytes are others.
    store.keys.newest("globex").await.unwrap();
    assert!(is_altered(&read(&store, "globex/1/a").await.unwrap_err()));
}

#[tokio::test]
async fn a_key_that_was_forgotten_opens_nothing_and_no_upload_ends_under_it() {
    let keys = Arc::new(MemoryKeys::default());
    let store = Sealed { inner: Arc::new(InMemory::new()), keys: keys.clone(), seals_new: true };
    upload(&store, "acme/1/a", b"before").await;
    let mut under_way = store.put_multipart(&path("acme/2/b")).await.unwrap();
    under_way.put_part("under way".into()).await.unwrap();
    keys.rotate("acme");
    assert_eq!(read(&store, "acme/1/a").await.unwrap(), b"before");
    keys.forget_older("acme");
    for error in [read(&store, "acme/1/a").await.unwrap_err(), store.head(&path("acme/1/a")).await.unwrap_err()] {
        assert!(keys_error(&error).is_some() && !is_altered(&error), "{error}");
    }
    assert!(keys_error(&under_way.complete().await.unwrap_err()).is_some());
    assert!(matches!(read(&store, "acme/2/b").await, Err(Error::NotFound { .. })));
}

/// Parts of an upload, as they are sent.
#[derive(Debug, Default)]
struct Parts(Arc<std::sync::Mutex<Vec<usize>>>);

#[async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> object_store::UploadPart {
        self.0.lock().unwrap().push(data.content_length());
        Box::pin(std::future::ready(Ok(())))
    }

    async fn complete(&mut self) -> Result<PutResult> {
        Ok(PutResult { e_tag: None, version: None, extensions: Default::default() })
    }

    async fn abort(&mut self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn all_parts_of_an_upload_but_the_last_are_of_one_size() {
    let (keys, sizes) = (Arc::new(MemoryKeys::default()), Arc::default());
    let key = keys.newest("acme").await.unwrap();
    let keys: Arc<dyn TenantKeys> = keys;
    let parts = Box::new(Parts(Arc::clone(&sizes)));
    let mut upload = writing::SealingUpload::new(&keys, "acme".to_owned(), &key, parts).unwrap();
    for piece in some(LARGE).chunks(8 * 1024 * 1024) {
        upload.put_part(piece.to_vec().into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    let sizes = sizes.lock().unwrap().clone();
    let chunks = LARGE.div_ceil(65_536);
    assert_eq!(sizes[..2], [8 * 1024 * 1024; 2]);
    assert_eq!((sizes.len(), sizes.iter().sum::<usize>()), (3, HEAD_BYTES + LARGE + chunks * 16));
}

#[tokio::test]
async fn what_was_there_before_is_read_as_it_is_and_names_move_with_their_objects() {
    let store = store();
    put_stored(&store, "acme/1/old", b"old".to_vec()).await;
    assert_eq!(read(&store, "acme/1/old").await.unwrap(), b"old");
    store.put(&path("_incoming/acme/x"), "new".into()).await.unwrap();
    assert!(store.inner.head(&path("_incoming/acme/x.sealed")).await.is_ok());
    store.rename(&path("_incoming/acme/x"), &path("acme/1/new")).await.unwrap();
    assert_eq!(read(&store, "acme/1/new").await.unwrap(), b"new");
    store.rename(&path("acme/1/old"), &path("_deleted/acme/1/old")).await.unwrap();
    for name in ["_deleted/acme/1/old", "acme/1/new"] {
        store.delete(&path(name)).await.unwrap();
        assert!(matches!(read(&store, name).await, Err(Error::NotFound { .. })), "{name}");
    }
    // The store's own objects are nobody's.
    store.put(&path("_health/x"), "x".into()).await.unwrap();
    assert!(store.inner.head(&path("_health/x")).await.is_ok());
    // A process that seals nothing reads and deletes what others have sealed.
    store.put(&path("acme/1/sealed"), "sealed".into()).await.unwrap();
    let plain = Sealed { seals_new: false, ..store };
    upload(&plain, "acme/1/b", b"plain").await;
    assert!(plain.inner.head(&path("acme/1/b")).await.is_ok());
    assert_eq!(read(&plain, "acme/1/sealed").await.unwrap(), b"sealed");
    plain.delete(&path("acme/1/sealed")).await.unwrap();
    assert!(plain.inner.head(&path("acme/1/sealed.sealed")).await.is_err());
}

/// The hook is called after each answer with an object. A reader that was told of no sealed object asks again when the plain one is gone.
#[tokio::test]
async fn an_object_that_is_sealed_while_it_is_asked_for_is_found() {
    let objects = Arc::new(InMemory::new());
    let sealing = in_store(objects.clone());
    sealing.put(&path("acme/1/a"), "one".into()).await.unwrap();
    let bytes = stored(&sealing, "acme/1/a.sealed").await;
    sealing.inner.delete(&path("acme/1/a.sealed")).await.unwrap();
    put_stored(&sealing, "acme/1/a", b"one".to_vec()).await;
    let shared = (Arc::clone(&objects), bytes);
    let hooked = Hooked::new(&objects, move |moment| {
        let (objects, bytes) = shared.clone();
        Box::pin(async move {
            if moment == Moment::AfterNotFound {
                objects.put(&path("acme/1/a.sealed"), bytes.into()).await.unwrap();
                drop(objects.delete(&path("acme/1/a")).await);
            }
        })
    });
    let reading = Sealed { inner: hooked, ..sealing };
    assert_eq!(read(&reading, "acme/1/a").await.unwrap(), b"one");
}
