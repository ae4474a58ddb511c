//! The bytes on their way out: ranges of an object, one after the other, counted.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectStore};

type Chunks = BoxStream<'static, Result<Bytes, object_store::Error>>;

/// An object's bytes in a range, as they are read. Fails at once when the object isn't there.
pub(super) async fn open(
    objects: &Arc<dyn ObjectStore>,
    path: &ObjectPath,
    range: Range<u64>,
) -> Result<Chunks, object_store::Error> {
    let options = GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() };
    Ok(objects.get_opts(path, options).await?.into_stream())
}

/// One range as a body.
pub(super) fn single(chunks: Chunks, bytes: u64) -> Body {
    Body::from_stream(counted(chunks, bytes))
}

/// Several ranges as `multipart/byteranges`; opened one by one. Returns the body and its length.
pub(super) fn multipart(
    objects: Arc<dyn ObjectStore>,
    path: ObjectPath,
    size: u64,
    parts: Vec<Range<u64>>,
    boundary: &str,
) -> (Body, u64) {
    let heads = parts.iter().map(|part| {
        let (first, last) = (part.start, part.end - 1);
        format!("\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/{size}\r\n\r\n")
    });
    let heads: Vec<String> = heads.collect();
    let tail = format!("\r\n--{boundary}--\r\n");
    let payload: u64 = parts.iter().map(|part| part.end - part.start).sum();
    let length = payload + tail.len() as u64 + heads.iter().map(|head| head.len() as u64).sum::<u64>();
    let sections = stream::iter(heads.into_iter().zip(parts)).then(move |(head, part)| {
        let (objects, path) = (Arc::clone(&objects), path.clone());
        async move {
            let chunks = open(&objects, &path, part).await?;
            Ok::<_, object_store::Error>(stream::iter([Ok(Bytes::from(head))]).chain(chunks))
        }
    });
    let all = sections.try_flatten().chain(stream::iter([Ok(Bytes::from(tail))])).boxed();
    (Body::from_stream(counted(all, length)), length)
}

/// Counts what leaves, and whether all of it left.
fn counted(chunks: Chunks, expected: u64) -> impl futures::Stream<Item = Result<Bytes, object_store::Error>> {
    let mut sent = 0;
    chunks.inspect(move |chunk| match chunk {
        Ok(chunk) => {
            sent += chunk.len() as u64;
            metrics::counter!("waybill_download_bytes_total").increment(chunk.len() as u64);
            if sent == expected {
                metrics::counter!("waybill_downloads_completed_total").increment(1);
            }
        }
        Err(error) => tracing::error!(%error, "a download broke off"),
    })
}
