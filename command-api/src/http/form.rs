//! A multipart body whose parts have bounded heads.
//!
//! The reader of multipart keeps everything until it finds the end of a part's head, so a head without an end would fill the memory with
//! the largest body.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use futures::Stream;

use super::problem::Problem;

/// Bytes after which no more is read to find the end of a part's head.
const HEAD_MAX_BYTES: usize = 64 * 1024;

/// The parts of a multipart body.
pub(crate) struct Form {
    parts: Multipart,
    searched: Searched,
}

impl Form {
    /// The next part. What was left of the one before is skipped.
    pub(crate) async fn next_part(&mut self) -> Result<Option<Field<'_>>, MultipartError> {
        self.searched.begin();
        let part = self.parts.next_field().await;
        self.searched.end();
        part
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let searched = Searched::default();
        let bounded = |body: Body| {
            let chunks = BoundedHeads { chunks: body.into_data_stream(), searched: searched.clone(), rests: false };
            Body::from_stream(chunks)
        };
        let parts = Multipart::from_request(request.map(bounded), state).await.map_err(|rejection| {
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", rejection.body_text())
        })?;
        Ok(Self { parts, searched })
    }
}

/// Bytes that were read in search of a head; [`Searched::OFF`] outside of a search.
#[derive(Clone)]
struct Searched(Arc<AtomicUsize>);

impl Searched {
    const OFF: usize = usize::MAX;

    fn begin(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn end(&self) {
        self.0.store(Self::OFF, Ordering::Relaxed);
    }

    fn add(&self, bytes: usize) {
        let now = self.0.load(Ordering::Relaxed);
        if now != Self::OFF {
            self.0.store(now.saturating_add(bytes).min(Self::OFF - 1), Ordering::Relaxed);
        }
    }

    fn is_spent(&self) -> bool {
        (HEAD_MAX_BYTES..Self::OFF).contains(&self.0.load(Ordering::Relaxed))
    }
}

impl Default for Searched {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(Self::OFF)))
    }
}

/// A body that fails when a head has no end. It gives one chunk at a time, because the reader looks at what it has only when there is no
/// more at the moment.
struct BoundedHeads {
    chunks: BodyDataStream,
    searched: Searched,
    rests: bool,
}

impl Stream for BoundedHeads {
    type Item = Result<Bytes, axum::BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.rests) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.searched.is_spent() {
            return Poll::Ready(Some(Err("the head of a part is too large".into())));
        }
        let Some(chunk) = ready!(Pin::new(&mut self.chunks).poll_next(cx)) else { return Poll::Ready(None) };
        let chunk = chunk?;
        self.searched.add(chunk.len());
        self.rests = true;
        Poll::Ready(Some(Ok(chunk)))
    }
}
