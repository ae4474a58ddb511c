//! The download of a firmware over HTTP: streamed, resumed with a range, hashed on the way.
//!
//! The bytes are not kept, only their number and the state of their digest, which is enough to resume.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_RANGE, RANGE};
use reqwest::Url;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::firmware::Fetched;
use super::gauges::Gauges;
use crate::http_client::{Answer, HttpClient};

/// The downloaded part of an image; the standby slot of the device.
#[derive(Debug, Default, Clone)]
pub(super) struct Standby(Arc<Mutex<Partial>>);

#[derive(Debug, Default)]
struct Partial {
    /// The expected digest of the whole image: identifies which image this is a part of.
    wanted: String,
    bytes: u64,
    digest: Sha256,
}

impl Standby {
    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    pub(super) fn erase(&self) {
        *self.lock() = Partial::default();
    }

    /// Keeps the downloaded part if it belongs to the same image.
    fn prepare(&self, wanted: &str) -> u64 {
        let mut partial = self.lock();
        if partial.wanted != wanted {
            *partial = Partial { wanted: wanted.to_owned(), ..Partial::default() };
        }
        partial.bytes
    }

    fn write(&self, chunk: &[u8]) -> u64 {
        let mut partial = self.lock();
        partial.digest.update(chunk);
        partial.bytes += u64::try_from(chunk.len()).unwrap_or(u64::MAX);
        partial.bytes
    }

    fn sha256(&self) -> String {
        self.lock().digest.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Partial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An ordered download.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) url: String,
    pub(super) size: u64,
    pub(super) sha256: String,
    pub(super) stop_at: Option<u64>,
    /// The whole image takes at least this time.
    pub(super) spread: Duration,
}

/// Shared by all downloads of a fleet.
#[derive(Debug, Clone)]
pub(super) struct Downloader {
    pub(super) http: HttpClient,
    pub(super) gate: Arc<Semaphore>,
    pub(super) gauges: Arc<Gauges>,
    /// Replaces scheme, host and port of every link.
    pub(super) base: Option<Url>,
}

impl Downloader {
    /// Downloads the rest of the image into `standby`. Dropping the future keeps the bytes so far.
    pub(super) async fn fetch(self, standby: Standby, order: Order) -> Fetched {
        let Ok(_permit) = self.gate.acquire().await else { return failed("the fleet is stopping") };
        let from = standby.prepare(&order.sha256);
        if let Some(done) = progress(&standby, &order, from) {
            return done;
        }
        let Some(url) = self.link(&order.url) else { return failed("the link cannot be read") };
        let mut request = self.http.get(url.as_str());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        match request.send().await {
            Ok(response) => self.receive(response, &standby, &order, from).await,
            Err(error) => failed(format_args!("{error:#}")),
        }
    }

    async fn receive(&self, mut response: Answer, standby: &Standby, order: &Order, mut from: u64) -> Fetched {
        match response.status() {
            StatusCode::PARTIAL_CONTENT if starts_at(&response) == Some(from) => {}
            StatusCode::OK => {
                standby.erase();
                from = standby.prepare(&order.sha256);
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                standby.erase();
                return failed("the server sent another range");
            }
            status => return Fetched::Refused { status: status.as_u16() },
        }
        let began = Instant::now();
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return failed("the body ended early"),
                Err(error) => return failed(error),
            };
            let chunk = &chunk[..room(order, standby.bytes()).min(chunk.len())];
            self.gauges.downloaded_bytes.add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            let bytes = standby.write(chunk);
            if let Some(done) = progress(standby, order, bytes) {
                if matches!(done, Fetched::Complete { .. }) {
                    self.gauges.downloads.add(1);
                }
                return done;
            }
            tokio::time::sleep_until(began + share(order.spread, bytes - from, order.size)).await;
        }
    }

    fn link(&self, url: &str) -> Option<Url> {
        let url = Url::parse(url).ok()?;
        let Some(base) = &self.base else { return Some(url) };
        let mut moved = base.clone();
        moved.set_path(url.path());
        moved.set_query(url.query());
        Some(moved)
    }
}

/// The result if the download ends at this number of bytes.
fn progress(standby: &Standby, order: &Order, bytes: u64) -> Option<Fetched> {
    if order.stop_at.is_some_and(|stop| bytes >= stop) {
        Some(Fetched::Stopped)
    } else if bytes > order.size {
        standby.erase();
        Some(failed("the body is longer than the firmware"))
    } else {
        (bytes == order.size).then(|| Fetched::Complete { sha256: standby.sha256() })
    }
}

/// Bytes that may be written before `stop_at`.
fn room(order: &Order, bytes: u64) -> usize {
    let left = order.stop_at.map_or(u64::MAX, |stop| stop.saturating_sub(bytes));
    usize::try_from(left).unwrap_or(usize::MAX)
}

fn share(spread: Duration, bytes: u64, size: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "a pace need not be exact")]
    let part = bytes as f64 / size.max(1) as f64;
    spread.mul_f64(part.clamp(0.0, 1.0))
}

fn starts_at(response: &Answer) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.parse().ok()
}

fn failed(reason: impl std::fmt::Display) -> Fetched {
    Fetched::Failed { reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_kept_for_the_same_image_only() {
        let standby = Standby::default();
        assert_eq!(standby.prepare("aa"), 0);
        standby.write(b"abc");
        assert_eq!(standby.prepare("aa"), 3);
        assert_eq!(standby.sha256(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(standby.prepare("bb"), 0);
    }
}
