//! What a connection is doing: it is either answering a request, until the last byte of the response, or waiting for a head.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

/// Whether a connection is answering a request, and how many it has begun to answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads(Arc<State>);

#[derive(Debug, Default)]
struct State {
    is_answering: AtomicBool,
    /// The connection is a WebSocket from now on.
    is_upgraded: AtomicBool,
    requests: AtomicU64,
}

/// As long as it exists, the connection is answering.
pub(super) struct Answering(Heads);

impl Heads {
    pub(super) fn answering(&self) -> Answering {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.is_answering.store(true, Ordering::Relaxed);
        Answering(self.clone())
    }

    /// No request comes any more, because the connection becomes a WebSocket.
    pub(super) fn no_more(&self) {
        self.0.is_upgraded.store(true, Ordering::Relaxed);
    }

    /// Whether no request is being answered, and one may come.
    pub(super) fn is_awaited(&self) -> bool {
        !self.0.is_upgraded.load(Ordering::Relaxed) && !self.0.is_answering.load(Ordering::Relaxed)
    }

    /// Requests that the service was given.
    pub(super) fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.is_answering.store(false, Ordering::Relaxed);
    }
}

/// The body of a response, with the end of which the answer ends.
pub(super) struct Answer {
    body: Body,
    _answering: Answering,
}

impl Answer {
    pub(super) fn new(body: Body, answering: Answering) -> Self {
        Self { body, _answering: answering }
    }
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
