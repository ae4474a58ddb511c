//! The rate of downloads: each piece of a body waits until the pieces before it have had their time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;

use super::Transfer;

/// Largest piece that is sent at once when there is a rate, in bytes.
const PIECE_MAX_BYTES: usize = 64 * 1024;

/// Hands out time at a rate. Downloads that share it take turns.
pub(super) struct Pace {
    bytes_per_second: u64,
    /// When the next piece may be sent.
    next: Mutex<Instant>,
}

impl Pace {
    /// None for the rate 0, which is no limit.
    pub(super) fn of(bytes_per_second: u64) -> Option<Arc<Self>> {
        (bytes_per_second > 0).then(|| Arc::new(Self { bytes_per_second, next: Mutex::new(Instant::now()) }))
    }

    /// Takes the time of a piece; returns when it begins.
    fn take(&self, bytes: usize) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = Instant::now().max(*next);
        *next = begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        begin
    }
}

/// The pieces of a body at the rates of a transfer, which lasts as long as the body.
pub(crate) fn paced<E: Send + 'static>(
    chunks: BoxStream<'static, Result<Bytes, E>>,
    transfer: Transfer,
) -> BoxStream<'static, Result<Bytes, E>> {
    if transfer.paces.is_empty() {
        return chunks.inspect(move |_| _ = &transfer).boxed();
    }
    let transfer = Arc::new(transfer);
    let pieces = chunks.map_ok(|chunk| stream::iter(pieces(chunk).map(Ok))).try_flatten();
    let waiting = pieces.and_then(move |piece| {
        let transfer = Arc::clone(&transfer);
        async move {
            for pace in &transfer.paces {
                tokio::time::sleep_until(pace.take(piece.len())).await;
            }
            Ok(piece)
        }
    });
    waiting.boxed()
}

fn pieces(mut chunk: Bytes) -> impl Iterator<Item = Bytes> + Send {
    std::iter::from_fn(move || {
        let length = chunk.len().min(PIECE_MAX_BYTES);
        (length > 0).then(|| chunk.split_to(length))
    })
}

#[cfg(test)]
mod tests {
    use domain::TenantId;

    use super::super::{TransferLimits, Transfers};
    use super::*;

    /// Bytes of a body in these tests.
    const BODY_BYTES: usize = 4 * PIECE_MAX_BYTES;

    async fn received(transfer: Transfer) -> usize {
        let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![0; BODY_BYTES]))]).boxed();
        paced(body, transfer).try_fold(0, async |sum, piece| Ok(sum + piece.len())).await.unwrap()
    }

    fn transfers(download: u64, tenant: u64) -> Transfers {
        let (download_bytes_per_second, tenant_bytes_per_second) = (download, tenant);
        Transfers::new(TransferLimits {
            download_bytes_per_second,
            tenant_bytes_per_second,
            ..TransferLimits::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_download_takes_its_time_and_a_tenant_the_time_of_all() {
        let acme = TenantId::new("acme").unwrap();
        let took = async |download: u64, tenant: u64| {
            let transfers = transfers(download, tenant);
            let began = Instant::now();
            let both = [transfers.download(&acme).unwrap(), transfers.download(&acme).unwrap()];
            let received = futures::future::join_all(both.map(received)).await;
            assert_eq!(received, [BODY_BYTES; 2]);
            began.elapsed().as_secs()
        };
        let piece = PIECE_MAX_BYTES as u64;
        assert_eq!(took(0, 0).await, 0);
        assert_eq!(took(piece, 0).await, 3, "a second for each piece but the last");
        assert_eq!(took(0, piece).await, 7, "of both together");
        assert_eq!(took(piece / 2, piece * 100).await, 6);
    }

    #[tokio::test]
    async fn a_place_is_kept_until_the_body_ends() {
        let acme = TenantId::new("acme").unwrap();
        for rate in [0, u64::MAX] {
            let transfers = transfers(rate, rate);
            let body = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"x"))]).boxed();
            let body = paced(body, transfers.download(&acme).unwrap());
            assert_eq!(transfers.lock().len(), 1);
            drop(body);
            assert!(transfers.lock().is_empty());
        }
    }
}
