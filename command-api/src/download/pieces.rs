//! The bytes of a stored object in pieces. Each piece of a file is read by a task of its own, so the pieces are larger than the library's.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, GetResult, GetResultPayload};

/// A stream of bytes.
pub(super) type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// Bytes of a piece of a file. Each download under way has one in memory.
const PIECE_BYTES: u64 = 64 * 1024;

/// The bytes of a stored object.
pub(super) fn of(got: GetResult) -> Chunks {
    let GetResult { payload, range, .. } = got;
    match payload {
        GetResultPayload::Stream(chunks) => chunks,
        GetResultPayload::File(file, _) => of_file(file, range).map_err(unreadable).boxed(),
    }
}

fn of_file(file: File, Range { start, end }: Range<u64>) -> impl futures::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((Arc::new(file), start), move |(file, at)| async move {
        if at >= end {
            return Ok(None);
        }
        let (read, length) = (Arc::clone(&file), PIECE_BYTES.min(end - at));
        let piece = tokio::task::spawn_blocking(move || piece(&read, at, length)).await.map_err(io::Error::other)??;
        Ok(Some((piece, (file, at + length))))
    })
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
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let path = Path::from("a");
        store.put(&path, bytes.clone().into()).await.unwrap();
        for range in [0..200_000_u64, 0..1, 65_535..65_537, 199_999..200_000, 1_000..140_000] {
            let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
            let got = store.get_opts(&path, options).await.unwrap();
            let pieces: Vec<Bytes> = of(got).try_collect().await.unwrap();
            assert!(pieces.iter().all(|piece| piece.len() as u64 <= PIECE_BYTES));
            let range = range.start as usize..range.end as usize;
            assert!(pieces.concat() == bytes[range.clone()], "{range:?}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
