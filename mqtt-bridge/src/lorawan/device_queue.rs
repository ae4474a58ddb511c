//! The downlink queue of one device in ChirpStack. The items in it decide the next step, so that a repeated step is harmless.
//!
//! Enqueue isn't idempotent and may be carried out although its answer was lost. So the queue is read before each one: an item with the
//! same bytes stands. A flush removes all items. So an outdated command of Waybill is removed only if all items are Waybill's. Otherwise it
//! stays, and the device ignores it because of its lower ordinal or attempt.

use async_trait::async_trait;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use chirpstack::grpc::{Client, Error, KeyState, Timestamp};
use chrono::{DateTime, Utc};

use super::codec::{DownMessage, PORT};

const _: () = assert!(PORT >= 1 && PORT <= 223, "application ports of LoRaWAN");

/// Calls of one ChirpStack about queues of devices.
#[async_trait]
pub(crate) trait DeviceQueues: Send + Sync + 'static {
    /// The items that wait for the device, oldest first.
    async fn items(&self, dev_eui: &str) -> Result<Vec<DeviceQueueItem>, Error>;
    /// `flush`: first removes all items that aren't pending.
    async fn enqueue(&self, item: DeviceQueueItem, flush: bool) -> Result<(), Error>;
    async fn flush(&self, dev_eui: &str) -> Result<(), Error>;
    /// Whether the key still works, and for this application.
    async fn probe(&self, application_id: &str, chirpstack_tenant_id: &str) -> Result<KeyState, Error>;
}

#[async_trait]
impl DeviceQueues for Client {
    async fn items(&self, dev_eui: &str) -> Result<Vec<DeviceQueueItem>, Error> {
        self.get_queue(dev_eui).await
    }

    async fn enqueue(&self, item: DeviceQueueItem, flush: bool) -> Result<(), Error> {
        Client::enqueue(self, item, flush).await.map(drop)
    }

    async fn flush(&self, dev_eui: &str) -> Result<(), Error> {
        self.flush_queue(dev_eui).await
    }

    async fn probe(&self, application_id: &str, chirpstack_tenant_id: &str) -> Result<KeyState, Error> {
        Client::probe(self, application_id, chirpstack_tenant_id).await
    }
}

/// A downlink that a device is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct WantedDownlink {
    pub(super) data: Vec<u8>,
    pub(super) expires_at: DateTime<Utc>,
}

/// The next step with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueStep {
    /// It is as it should be.
    Stands,
    /// `flush`: all items that aren't pending are outdated ones of Waybill.
    Enqueue {
        flush: bool,
    },
    Flush,
}

/// The step after which the queue has `wanted`, or no command of Waybill if that is none.
pub(super) fn next_step(wanted: Option<&[u8]>, items: &[DeviceQueueItem], now: DateTime<Utc>) -> QueueStep {
    let stands = |item: &DeviceQueueItem| is_ours(item) && !has_expired(item, now);
    if wanted.is_some_and(|wanted| items.iter().any(|item| stands(item) && item.data == wanted)) {
        return QueueStep::Stands;
    }
    let waiting = || items.iter().filter(|item| !item.is_pending);
    let flush = waiting().next().is_some() && waiting().all(is_ours);
    match wanted {
        Some(_) => QueueStep::Enqueue { flush },
        // Pending items of others are safe from the flush of an Enqueue only.
        None if waiting().any(begins) && items.iter().all(is_ours) => QueueStep::Flush,
        None => QueueStep::Stands,
    }
}

/// Whether a device begins something when it receives the item. A cancel does no harm.
fn begins(item: &DeviceQueueItem) -> bool {
    matches!(DownMessage::decode(&item.data), Ok(DownMessage::Install { .. } | DownMessage::Activate { .. }))
}

/// Whether Waybill wrote an item: on its port, and a command of its codec.
fn is_ours(item: &DeviceQueueItem) -> bool {
    item.f_port == u32::from(PORT) && DownMessage::decode(&item.data).is_ok_and(|message| message.encode() == item.data)
}

/// ChirpStack keeps an expired item until the next downlink, and drops it then.
fn has_expired(item: &DeviceQueueItem, now: DateTime<Utc>) -> bool {
    item.expires_at.is_some_and(|at| at.seconds <= now.timestamp())
}

/// Confirmed, so that ChirpStack says when the device has not received it.
pub(super) fn item(dev_eui: &str, wanted: &WantedDownlink) -> DeviceQueueItem {
    DeviceQueueItem {
        dev_eui: dev_eui.to_owned(),
        confirmed: true,
        f_port: u32::from(PORT),
        data: wanted.data.clone(),
        expires_at: Some(Timestamp { seconds: wanted.expires_at.timestamp(), nanos: 0 }),
        ..DeviceQueueItem::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTALL: [u8; 9] = [1, 0, 7, 1, 0, 0, 0, 1, 1];
    const CANCEL: [u8; 3] = [2, 0, 7];

    fn ours(data: &[u8]) -> DeviceQueueItem {
        DeviceQueueItem { f_port: PORT.into(), data: data.to_vec(), ..DeviceQueueItem::default() }
    }

    fn step(wanted: Option<&[u8]>, queue: &[DeviceQueueItem]) -> QueueStep {
        next_step(wanted, queue, DateTime::UNIX_EPOCH)
    }

    fn pending(item: DeviceQueueItem) -> DeviceQueueItem {
        DeviceQueueItem { is_pending: true, ..item }
    }

    fn others() -> DeviceQueueItem {
        DeviceQueueItem { f_port: 10, data: vec![1, 2], ..DeviceQueueItem::default() }
    }

    #[test]
    fn an_item_with_the_same_bytes_stands() {
        for queue in
            [vec![ours(&INSTALL)], vec![others(), pending(ours(&INSTALL))], vec![ours(&CANCEL), ours(&INSTALL)]]
        {
            assert_eq!(step(Some(&INSTALL), &queue), QueueStep::Stands, "{queue:?}");
        }
        let elsewhere = DeviceQueueItem { f_port: 21, ..ours(&INSTALL) };
        assert_eq!(step(Some(&INSTALL), &[elsewhere]), QueueStep::Enqueue { flush: false });
        let until = |seconds| DeviceQueueItem { expires_at: Some(Timestamp { seconds, nanos: 0 }), ..ours(&INSTALL) };
        assert_eq!(step(Some(&INSTALL), &[until(1)]), QueueStep::Stands);
        assert_eq!(step(Some(&INSTALL), &[until(0)]), QueueStep::Enqueue { flush: true });
    }

    #[test]
    fn a_flush_takes_nothing_of_others() {
        let foreign = DeviceQueueItem { data: vec![9], ..ours(&[]) };
        for (queue, flush) in [
            (vec![], false),
            (vec![ours(&CANCEL)], true),
            (vec![pending(others()), ours(&CANCEL)], true),
            (vec![pending(ours(&CANCEL))], false),
            (vec![ours(&CANCEL), others()], false),
            (vec![ours(&CANCEL), foreign], false),
        ] {
            assert_eq!(step(Some(&INSTALL), &queue), QueueStep::Enqueue { flush }, "{queue:?}");
        }
    }

    #[test]
    fn what_is_no_longer_wanted_is_removed_where_it_is_alone() {
        assert_eq!(step(None, &[ours(&INSTALL)]), QueueStep::Flush);
        for queue in [
            vec![],
            vec![others()],
            vec![ours(&CANCEL)],
            vec![ours(&INSTALL), others()],
            vec![pending(others()), ours(&INSTALL)],
        ] {
            assert_eq!(step(None, &queue), QueueStep::Stands, "{queue:?}");
        }
    }
}
