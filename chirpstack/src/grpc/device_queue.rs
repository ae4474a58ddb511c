//! Downlink queues of devices: `api.DeviceService`.

use super::device::DeviceRequest;
use super::{Client, Error, Struct, Timestamp, normalise_eui};

pub mod path {
    pub const ENQUEUE: &str = "/api.DeviceService/Enqueue";
    pub const FLUSH: &str = "/api.DeviceService/FlushQueue";
    pub const GET: &str = "/api.DeviceService/GetQueue";
}

/// Application ports of LoRaWAN. ChirpStack takes up to 255 here and cuts larger numbers in commands over MQTT.
pub const F_PORTS: std::ops::RangeInclusive<u32> = 1..=223;

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeviceQueueItem {
    /// UUID. ChirpStack ignores it in `Enqueue` and makes its own; in commands over MQTT it honours one.
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub dev_eui: String,
    #[prost(bool, tag = "3")]
    pub confirmed: bool,
    #[prost(uint32, tag = "4")]
    pub f_port: u32,
    #[prost(bytes = "vec", tag = "5")]
    pub data: Vec<u8>,
    /// What the codec of the device profile encodes in place of `data`.
    #[prost(message, optional, tag = "6")]
    pub object: Option<Struct>,
    /// Sent, and its confirmation or the next uplink is awaited.
    #[prost(bool, tag = "7")]
    pub is_pending: bool,
    #[prost(uint32, tag = "8")]
    pub f_cnt_down: u32,
    #[prost(bool, tag = "9")]
    pub is_encrypted: bool,
    /// From then on it is dropped with a log event `EXPIRED`.
    #[prost(message, optional, tag = "10")]
    pub expires_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct EnqueueRequest {
    #[prost(message, optional, tag = "1")]
    pub queue_item: Option<DeviceQueueItem>,
    /// Removes what waits before, except for what is pending.
    #[prost(bool, tag = "2")]
    pub flush_queue: bool,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct EnqueueResponse {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct GetQueueRequest {
    #[prost(string, tag = "1")]
    pub dev_eui: String,
    #[prost(bool, tag = "2")]
    pub count_only: bool,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetQueueResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<DeviceQueueItem>,
}

impl Client {
    /// Appends an item to the device's queue and answers the id that ChirpStack gave it.
    ///
    /// Not idempotent: after an error that [`Error::retry`] calls transient, read [`Client::get_queue`] first.
    pub async fn enqueue(&self, mut item: DeviceQueueItem, flush_queue: bool) -> Result<String, Error> {
        item.dev_eui = normalise_eui(&item.dev_eui)?;
        if !F_PORTS.contains(&item.f_port) {
            return Err(Error::Malformed { message: "the port of a downlink is between 1 and 223".to_owned() });
        }
        let answer: EnqueueResponse =
            self.call(path::ENQUEUE, EnqueueRequest { queue_item: Some(item), flush_queue }).await?;
        Ok(answer.id)
    }

    /// What waits for the device, oldest first.
    pub async fn get_queue(&self, dev_eui: &str) -> Result<Vec<DeviceQueueItem>, Error> {
        let request = GetQueueRequest { dev_eui: normalise_eui(dev_eui)?, count_only: false };
        let answer: GetQueueResponse = self.call(path::GET, request).await?;
        Ok(answer.result)
    }

    /// Removes all that waits for the device.
    pub async fn flush_queue(&self, dev_eui: &str) -> Result<(), Error> {
        self.send(path::FLUSH, DeviceRequest::of(dev_eui)?).await
    }
}
