//! Opens what is stored, also ranges of it. A chunk that was changed ends the stream before any byte of it.
//!
//! An object has its salt as ETag. The salt makes the object's key, so whoever has compared the object with a digest once knows that chunks
//! that open under the same ETag are those that were compared.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path as ObjectPath;
use object_store::{Error, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, ObjectStore, Result};

use super::format::{self, CHUNK_BYTES, Chunks, Covering, HEAD_BYTES, Head, OpenError};
use super::{Sealed, opened_name};

/// How often an object is opened again because it was written meanwhile.
const REWRITTEN_MAX: usize = 3;

/// A stored object that can't be opened.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}")]
struct Unopened {
    path: ObjectPath,
    reason: OpenError,
}

/// Whether an object was changed in the store, or is no sealed object.
pub fn is_altered(error: &Error) -> bool {
    matches!(error, Error::Generic { source, .. } if source.is::<Unopened>())
}

fn unopened(path: &ObjectPath) -> impl Fn(OpenError) -> Error + '_ {
    move |reason| Error::Generic { store: "sealed", source: Box::new(Unopened { path: path.clone(), reason }) }
}

/// The head of a sealed object.
pub(super) async fn head(store: &dyn ObjectStore, path: &ObjectPath) -> Result<Head> {
    let got = store.get_opts(path, only(0..HEAD_BYTES)).await?;
    Head::parse(&got.bytes().await?).map_err(unopened(path))
}

fn only(range: Range<u64>) -> GetOptions {
    GetOptions { range: Some(GetRange::Bounded(range)), ..GetOptions::default() }
}

/// An object as if it weren't sealed.
pub(super) async fn open(store: &Sealed, tenant: &str, path: &ObjectPath, options: &GetOptions) -> Result<GetResult> {
    for _ in 1..REWRITTEN_MAX {
        match open_once(store, tenant, path, options).await {
            Err(Error::Precondition { .. }) => {}
            outcome => return outcome,
        }
    }
    open_once(store, tenant, path, options).await
}

async fn open_once(store: &Sealed, tenant: &str, path: &ObjectPath, options: &GetOptions) -> Result<GetResult> {
    // One request brings the head and the chunks, if the first chunk is wanted.
    let beginning = match &options.range {
        _ if options.head => Some(0..HEAD_BYTES),
        None => None,
        Some(GetRange::Bounded(range)) if range.start < CHUNK_BYTES => Some(0..format::sealed_end(range.end)),
        Some(_) => Some(0..HEAD_BYTES),
    };
    let has_chunks = beginning.as_ref().is_none_or(|range| range.end > HEAD_BYTES);
    let range = beginning.map(GetRange::Bounded);
    let mut got = store.inner.get_opts(path, GetOptions { range, ..GetOptions::default() }).await?;
    let (stored, attributes) = (got.meta.clone(), std::mem::take(&mut got.attributes));
    let mut source = Source::of(got, path);
    let head = Head::parse(&source.take(HEAD_BYTES).await?).map_err(unopened(path))?;
    let size = format::plain_size(stored.size).ok_or(OpenError::Form).map_err(unopened(path))?;
    let location = opened_name(path).unwrap_or_else(|| path.clone());
    let meta = ObjectMeta { location, size, e_tag: Some(head.tag()), ..stored.clone() };
    options.check_preconditions(&meta)?;
    let key = store.keys.known(tenant, head.key).await?;
    let range = if options.head { 0..size } else { wanted(options.range.as_ref(), size)? };
    let payload = if options.head {
        stream::empty().boxed()
    } else {
        let chunks = Chunks::new(tenant, &key, &head).map_err(unopened(path))?;
        let covering = format::covering(&range, size);
        if !has_chunks && !source.goes_to(covering.sealed.start) {
            // If it is written meanwhile, this fails: the other chunks have another key.
            let same = GetOptions { if_match: stored.e_tag, ..only(covering.sealed.clone()) };
            source = Source::of(store.inner.get_opts(path, same).await?, path);
        }
        let number = covering.first;
        let left = range.end - range.start;
        let opening = Opening { source, chunks, covering, number, left, is_begun: false, size };
        stream::try_unfold(opening, Opening::next).boxed()
    };
    Ok(GetResult {
        payload: GetResultPayload::Stream(payload),
        meta,
        range,
        attributes,
        extensions: Default::default(),
    })
}

fn wanted(range: Option<&GetRange>, size: u64) -> Result<Range<u64>> {
    let range = match range {
        None => return Ok(0..size),
        Some(GetRange::Bounded(range)) => range.start..range.end.min(size),
        Some(GetRange::Offset(start)) => *start..size,
        Some(GetRange::Suffix(length)) => size.saturating_sub(*length)..size,
    };
    if range.is_empty() {
        let source = format!("an object of {size} bytes has no range {}..{}", range.start, range.end).into();
        return Err(Error::Generic { store: "sealed", source });
    }
    Ok(range)
}

/// Where sealed bytes come from, one after the other.
struct Source {
    bytes: Sequence,
    path: ObjectPath,
}

enum Sequence {
    /// Read at this place.
    File(Arc<File>, u64),
    Stream(BoxStream<'static, Result<Bytes>>, BytesMut),
}

impl Source {
    fn of(got: GetResult, path: &ObjectPath) -> Self {
        let bytes = match got.payload {
            GetResultPayload::File(file, _) => Sequence::File(Arc::new(file), got.range.start),
            GetResultPayload::Stream(stream) => Sequence::Stream(stream, BytesMut::new()),
        };
        Self { bytes, path: path.clone() }
    }

    /// Goes on at a place of the object; false if it must be asked for again.
    fn goes_to(&mut self, place: u64) -> bool {
        match &mut self.bytes {
            Sequence::File(_, at) => {
                *at = place;
                true
            }
            Sequence::Stream(..) => false,
        }
    }

    /// The next bytes. It counts as a change if there are fewer.
    async fn take(&mut self, count: u64) -> Result<Vec<u8>> {
        let cut = || unopened(&self.path)(OpenError::Changed);
        let count = usize::try_from(count).map_err(|_| cut())?;
        match &mut self.bytes {
            Sequence::File(file, at) => {
                let (file, from) = (Arc::clone(file), *at);
                *at += count as u64;
                match tokio::task::spawn_blocking(move || read_at(&file, from, count)).await {
                    Ok(Ok(bytes)) => Ok(bytes),
                    Ok(Err(error)) if error.kind() == ErrorKind::UnexpectedEof => Err(cut()),
                    Ok(Err(error)) => Err(unreadable(error)),
                    Err(error) => Err(unreadable(error)),
                }
            }
            Sequence::Stream(stream, buffer) => {
                while buffer.len() < count {
                    let Some(more) = stream.try_next().await? else { return Err(cut()) };
                    buffer.extend_from_slice(&more);
                }
                Ok(buffer.split_to(count).into())
            }
        }
    }
}

fn read_at(file: &File, at: u64, count: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: "directory", source: Box::new(error) }
}

/// An object whose chunks are being opened.
struct Opening {
    source: Source,
    chunks: Chunks,
    covering: Covering,
    /// Number of the next chunk.
    number: u64,
    /// Plain bytes that are still wanted.
    left: u64,
    is_begun: bool,
    size: u64,
}

impl Opening {
    /// The next plain bytes. An empty object has none, but its chunk is opened.
    async fn next(mut self) -> Result<Option<(Bytes, Self)>> {
        if self.left == 0 && self.is_begun {
            return Ok(None);
        }
        let mut chunk = self.source.take(format::sealed_chunk_bytes(self.number, self.size)).await?;
        let is_last = self.number == self.covering.last_of_object;
        self.chunks.open(self.number, is_last, &mut chunk).map_err(unopened(&self.source.path))?;
        // All of a chunk fits into memory.
        let skipped = if self.is_begun { 0 } else { self.covering.skipped as usize };
        let plain = Bytes::from(chunk).slice(skipped..);
        let wanted = usize::try_from(self.left).map_or(plain.len(), |left| left.min(plain.len()));
        self.left -= wanted as u64;
        self.number += 1;
        self.is_begun = true;
        Ok(Some((plain.slice(..wanted), self)))
    }
}
