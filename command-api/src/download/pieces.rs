//! The bytes of a stored object in pieces. Each piece of a file is read by a task of its own, so the pieces are larger than the library's.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, GetResult, GetResultPayload};

/// A stream of bytes.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// Bytes of a piece of a file. Each download under way has one in memory.
const PIECE_BYTES: u64 = 64 * 1024;
/// Bytes of a piece for a client that takes pieces fast: fewer and larger pieces cost less. Slow clients, of which there are many, have small ones.
const FAST_PIECE_BYTES: u64 = 512 * 1024;
/// A client that has taken a piece within this time is fast.
const FAST: Duration = Duration::from_millis(5);

/// The bytes of a stored object.
pub(super) fn of(got: GetResult) -> Chunks {
    let GetResult { payload, range, .. } = got;
    match payload {
        GetResultPayload::Stream(chunks) => chunks,
        GetResultPayload::File(file, _) => of_file(file, range).map_err(unreadable).boxed(),
    }
}

fn of_file(file: File, Range { start, end }: Range<u64>) -> impl futures::Stream<Item = io::Result<Bytes>> {
    let first = Place { file: Arc::new(file), at: start, size: PIECE_BYTES, given: None };
    stream::try_unfold(first, move |place| async move {
        let Place { file, at, size, given } = place;
        if at >= end {
            return Ok(None);
        }
        let size = match given {
            None => size,
            Some(given) if given.elapsed() < FAST => (2 * size).min(FAST_PIECE_BYTES),
            Some(_) => PIECE_BYTES,
        };
        let (read, length) = (Arc::clone(&file), size.min(end - at));
        let piece = tokio::task::spawn_blocking(move || piece(&read, at, length)).await.map_err(io::Error::other)??;
        Ok(Some((piece, Place { file, at: at + length, size, given: Some(Instant::now()) })))
    })
}

/// Where the reading of a file has come to.
struct Place {
    file: Arc<File>,
    at: u64,
    /// Of the piece before.
    size: u64,
    /// When that piece was given; none at the beginning.
    given: Option<Instant>,
}

fn piece(file: &File, at: u64, length: u64) -> io::Result<Bytes> {
    let mut piece = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact_at(&mut piece, at)?;
    Ok(piece.into())
}

fn unreadable(error: io::Error) -> Error {
    Error::Generic { store: "directory", source: error.into() }
}

#[cfg(test)]
mod tests {
    use object_store::local::LocalFileSystem;
    use object_store::path::Path;
    use object_store::{GetOptions, ObjectStore, ObjectStoreExt};

    use super::*;

    #[tokio::test]
    async fn a_file_is_read_in_pieces_also_a_part_of_it() {
        let directory = std::env::temp_dir().join(format!("waybill-pieces-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let store = LocalFileSystem::new_with_prefix(&directory).unwrap();
        let bytes: Vec<u8> = (0..4_000_000_u32).map(|n| (n % 251) as u8).collect();
        let path = Path::from("a");
        store.put(&path, bytes.clone().into()).await.unwrap();
        for range in [0..4_000_000_u64, 0..1, 65_535..65_537, 3_999_999..4_000_000, 1_000..1_400_000] {
            let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
            let got = store.get_opts(&path, options).await.unwrap();
            let pieces: Vec<Bytes> = of(got).try_collect().await.unwrap();
            assert!(pieces.iter().all(|piece| piece.len() as u64 <= FAST_PIECE_BYTES));
            let range = range.start as usize..range.end as usize;
            assert!(pieces.concat() == bytes[range.clone()], "{range:?}");
        }
        let got = store.get(&path).await.unwrap();
        let mut pieces = of(got);
        while let Some(piece) = pieces.try_next().await.unwrap() {
            assert!(piece.len() as u64 <= PIECE_BYTES, "a slow client has small pieces");
            tokio::time::sleep(FAST).await;
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
