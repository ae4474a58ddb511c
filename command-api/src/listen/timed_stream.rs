//! The stream of a connection: it ends clients that take too long, and says so where nobody else can.
//!
//! hyper answers a head that it can't read by itself, with a status and nothing else. A write is such an answer if it begins one and no
//! request was handed to the service since everything was sent. Then [`refusals`] is sent in its place. If an answer that was not
//! sent yet waits before it, hyper's own is sent.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::heads::Heads;
use super::refusals;
use crate::least_rate::{LeastRate, Progress};

/// Bytes that are read of a client that is refused, so that its connection isn't reset before it reads why.
const LINGER_MAX_BYTES: usize = 64 * 1024;
/// How long they are awaited.
const LINGER_MAX: Duration = Duration::from_secs(2);
/// Bytes of them that are read at a time.
const LINGER_PIECE_BYTES: usize = 4 * 1024;

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// From the first byte of a head to its end.
    pub(super) head_max: Duration,
    /// Of what they take of an answer.
    pub(super) least: LeastRate,
    /// Whether answers tell browsers to come by HTTPS only.
    pub(super) strict_transport: bool,
}

/// A stream that fails when the client takes too long.
pub(super) struct TimedStream<S> {
    stream: S,
    heads: Heads,
    times: Times,
    /// Of the head that has begun.
    head_deadline: Deadline,
    sending: Sending,
    /// Requests that the service had been given when everything was sent for the last time.
    requests_sent: u64,
    refusing: Option<Refusing>,
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

/// How fast the client takes answers.
struct Sending {
    progress: Progress,
    waiting_since: Option<Instant>,
    /// When the rate is looked at, while it waits.
    deadline: Deadline,
}

impl Sending {
    fn new(least: LeastRate) -> Self {
        Self { progress: Progress::new(least), waiting_since: None, deadline: Deadline::default() }
    }

    /// A write took bytes, or none. Whether the client is too slow.
    fn is_too_slow(&mut self, taken: Option<usize>, cx: &mut Context<'_>) -> bool {
        if let Some(bytes) = taken {
            if let Some(since) = self.waiting_since.take() {
                self.progress.waited(since.elapsed());
            }
            self.deadline.end();
            self.progress.moved(bytes);
            return self.progress.is_too_slow();
        }
        loop {
            let since = *self.waiting_since.get_or_insert_with(Instant::now);
            self.deadline.begin(self.progress.patience());
            if !self.deadline.has_passed(cx) {
                return false;
            }
            self.deadline.end();
            self.waiting_since = None;
            self.progress.waited(since.elapsed());
            if self.progress.is_too_slow() {
                return true;
            }
        }
    }
}

/// The answer that is sent in place of hyper's.
struct Refusing {
    answer: Vec<u8>,
    sent: usize,
    is_shut: bool,
    lingered_bytes: usize,
    linger: Deadline,
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, heads: Heads, times: Times) -> Self {
        let (head_deadline, sending) = (Deadline::default(), Sending::new(times.least));
        Self { stream, heads, times, head_deadline, sending, requests_sent: 0, refusing: None }
    }

    fn refuse(&mut self, status: StatusCode) {
        let answer = refusals::answer(&refusals::of_head(status), self.times.strict_transport);
        let linger = Deadline::default();
        self.refusing.get_or_insert(Refusing { answer, sent: 0, is_shut: false, lingered_bytes: 0, linger });
    }

    /// Takes an answer of hyper's own, which nobody gets. Whether the bytes are one.
    fn takes_own_answer(&mut self, bytes: &[u8]) -> bool {
        if self.refusing.is_some() {
            return true;
        }
        let is_own = self.heads.is_awaited() && self.heads.requests() == self.requests_sent;
        let Some(status) = refusals::status_of(bytes).filter(|_| is_own) else { return false };
        self.refuse(status);
        true
    }

    /// Fails a write to a client that takes its answers too slowly.
    fn sent(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let taken = match &written {
            Poll::Ready(Ok(bytes)) => Some(*bytes),
            Poll::Ready(Err(_)) => return written,
            Poll::Pending => None,
        };
        if self.sending.is_too_slow(taken, cx) { late() } else { written }
    }
}

fn late<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
}

impl<S: AsyncWrite + Unpin> TimedStream<S> {
    /// Sends what is left of a refusal.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(refusing) = self.refusing.as_mut().filter(|refusing| refusing.sent < refusing.answer.len()) {
            let written = Pin::new(&mut self.stream).poll_write(cx, &refusing.answer[refusing.sent..]);
            let written = match written {
                Poll::Ready(written) => written?,
                Poll::Pending => return if self.sending.is_too_slow(None, cx) { late() } else { Poll::Pending },
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            refusing.sent += written;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> TimedStream<S> {
    /// Reads what a refused client still sends, a bounded time.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(refusing) = &mut self.refusing else { return Poll::Ready(()) };
        refusing.linger.begin(LINGER_MAX);
        while refusing.lingered_bytes < LINGER_MAX_BYTES && !refusing.linger.has_passed(cx) {
            let mut piece = [0; LINGER_PIECE_BYTES];
            let mut buffer = ReadBuf::new(&mut piece);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
            match buffer.filled().len() {
                0 => return Poll::Ready(()),
                _ if read.is_err() => return Poll::Ready(()),
                bytes => refusing.lingered_bytes += bytes,
            }
        }
        Poll::Ready(())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.heads.is_awaited() {
            self.head_deadline.end();
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        if self.head_deadline.has_passed(cx) {
            self.refuse(StatusCode::REQUEST_TIMEOUT);
            // hyper drops the stream after this error, so what can't be sent at once isn't sent.
            if let Poll::Ready(Ok(())) = self.poll_refusal(cx) {
                _ = Pin::new(&mut self.stream).poll_shutdown(cx);
            }
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes_own_answer(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.sent(written, cx)
    }

    /// Called when hyper has nothing left to write.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.heads.is_awaited() {
            self.requests_sent = self.heads.requests();
        }
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        if !self.refusing.as_ref().is_some_and(|refusing| refusing.is_shut) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if let Some(refusing) = &mut self.refusing {
                refusing.is_shut = true;
            }
        }
        self.poll_linger(cx).map(Ok)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        if first.is_some_and(|first| self.takes_own_answer(first)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.sent(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
