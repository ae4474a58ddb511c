//! Response bodies: ranges of an object, one after the other, counted.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use domain::values::Sha256Digest;
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;

use super::counters::Tally;
use super::pieces::{self, Chunks};
use super::proof;
use crate::http::Problem;
use crate::state::App;
use crate::transfers::{Transfer, paced};

/// A stream of an object's bytes in a range. Fails at once if the object doesn't exist or doesn't have its digest.
pub(super) async fn open(
    app: &App,
    path: &ObjectPath,
    sha256: &Sha256Digest,
    range: Range<u64>,
) -> Result<Chunks, Problem> {
    Ok(pieces::of(proof::open(app, path, sha256, range).await?))
}

/// A download under way, and what its response adds to the counts: which parts of the file it has, and the tally.
pub(super) struct Share {
    transfer: Transfer,
    tally: Arc<Tally>,
    from_start: bool,
    to_end: bool,
}

impl Share {
    pub(super) fn new(transfer: Transfer, tally: Arc<Tally>, parts: &[Range<u64>], size: u64) -> Self {
        let from_start = parts.iter().any(|part| part.start == 0);
        let to_end = parts.iter().any(|part| part.end == size);
        Self { transfer, tally, from_start, to_end }
    }
}

/// One range as a body.
pub(super) fn single(chunks: Chunks, bytes: u64, share: Share) -> Body {
    Body::from_stream(counted(chunks, bytes, share))
}

/// Several ranges as `multipart/byteranges`; opened one by one. Returns the body and its length.
pub(super) fn multipart(
    app: App,
    path: ObjectPath,
    sha256: Sha256Digest,
    size: u64,
    parts: Vec<Range<u64>>,
    boundary: &str,
    share: Share,
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
        let (app, path) = (app.clone(), path.clone());
        async move {
            let chunks = open(&app, &path, &sha256, part).await.map_err(not_opened)?;
            Ok::<_, object_store::Error>(stream::iter([Ok(Bytes::from(head))]).chain(chunks))
        }
    });
    let all = sections.try_flatten().chain(stream::iter([Ok(Bytes::from(tail))])).boxed();
    (Body::from_stream(counted(all, length, share)), length)
}

/// The error that ends a body whose head was sent.
fn not_opened(problem: Problem) -> object_store::Error {
    object_store::Error::Generic { store: "firmware", source: problem.detail().to_owned().into() }
}

/// Sends at the rate of the download; counts the bytes sent, and whether all of them were sent.
fn counted(
    chunks: Chunks,
    expected: u64,
    share: Share,
) -> impl futures::Stream<Item = Result<Bytes, object_store::Error>> {
    let Share { transfer, tally, from_start, to_end } = share;
    if from_start {
        tally.started();
    }
    let mut sent = 0;
    paced(chunks, transfer).inspect(move |chunk| match chunk {
        Ok(chunk) => {
            let bytes = chunk.len() as u64;
            sent += bytes;
            tally.sent(bytes);
            if to_end && bytes > 0 && sent == expected {
                tally.completed();
            }
        }
        Err(error) => tracing::error!(%error, "a download was interrupted"),
    })
}
