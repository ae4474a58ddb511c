//! Time limits of a connection: for the head of a request from its first byte, and for a client that takes nothing of an answer.
//!
//! A connection is either answering a request, until the last byte of the response, or waiting for a head.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Whether a connection is answering a request.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads(Arc<AtomicBool>);

/// As long as it exists, the connection is answering.
pub(super) struct Answering(Heads);

impl Heads {
    pub(super) fn answering(&self) -> Answering {
        self.0.store(true, Ordering::Relaxed);
        Answering(self.clone())
    }

    fn is_awaited(&self) -> bool {
        !self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
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

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) head_max: Duration,
    pub(super) silence_max: Duration,
}

/// A stream that fails when the client takes too long.
pub(super) struct TimedStream<S> {
    stream: S,
    heads: Heads,
    times: Times,
    /// Of the head that has begun.
    head_deadline: Deadline,
    /// Of bytes that the client doesn't take.
    sending_deadline: Deadline,
}

/// When something must have ended, if it has begun.
#[derive(Default)]
struct Deadline(Option<Pin<Box<Sleep>>>);

impl Deadline {
    fn begin(&mut self, time_max: Duration) {
        self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep(time_max)));
    }

    fn end(&mut self) {
        self.0 = None;
    }

    /// Whether it has passed. If not, the task is woken when it does.
    fn has_passed(&mut self, cx: &mut Context<'_>) -> bool {
        self.0.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready())
    }
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, heads: Heads, times: Times) -> Self {
        Self { stream, heads, times, head_deadline: Deadline::default(), sending_deadline: Deadline::default() }
    }

    /// Fails a write that has been waiting too long.
    fn sent(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.sending_deadline.end();
            return written;
        }
        self.sending_deadline.begin(self.times.silence_max);
        if self.sending_deadline.has_passed(cx) { late() } else { Poll::Pending }
    }
}

fn late<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.heads.is_awaited() {
            self.head_deadline.end();
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if self.head_deadline.has_passed(cx) {
            return late();
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            let head_max = self.times.head_max;
            self.head_deadline.begin(head_max);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(written, cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.sent(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
