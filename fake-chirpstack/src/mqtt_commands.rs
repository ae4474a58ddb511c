//! `command/down` over MQTT: puts downlinks into the queues of devices.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use prost::Message;
use prost_types::{Struct, Timestamp};
use serde::Deserialize;
use uuid::Uuid;

use crate::radio;
use crate::shared::Shared;
use crate::store::QUEUE_MAX;
use crate::times;

/// `integration.DownlinkCommand`.
#[derive(Clone, PartialEq, ::prost::Message)]
struct DownlinkCommand {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, tag = "2")]
    dev_eui: String,
    #[prost(bool, tag = "3")]
    confirmed: bool,
    #[prost(uint32, tag = "4")]
    f_port: u32,
    #[prost(bytes = "vec", tag = "5")]
    data: Vec<u8>,
    #[prost(message, optional, tag = "6")]
    object: Option<Struct>,
    #[prost(message, optional, tag = "7")]
    expires_at: Option<Timestamp>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct JsonCommand {
    id: String,
    dev_eui: String,
    confirmed: bool,
    f_port: u32,
    data: String,
    expires_at: Option<chrono::DateTime<chrono::Utc>>,
}

/// Puts the command into the device's queue, with its own id. What is wrong is only logged, as on the real server.
pub(crate) fn take(shared: &Shared, topic: &str, payload: &[u8], protobuf: bool) -> Result<(), &'static str> {
    let parts: Vec<&str> = topic.split('/').collect();
    let ["application", application_id, "device", dev_eui, "command", "down"] = parts[..] else {
        return Err("the topic is none of a command");
    };
    let command = if protobuf {
        DownlinkCommand::decode(payload).map_err(|_| "the payload is no protobuf")?
    } else {
        of_json(payload)?
    };
    if command.dev_eui != dev_eui {
        return Err("devEui is another one than in the topic");
    }
    if command.f_port == 0 {
        return Err("the port is 0");
    }
    let id = match command.id.as_str() {
        "" => runtime::clock::new_id(),
        id => id.parse::<Uuid>().map_err(|_| "the id is no UUID")?,
    };
    shared.with_store(|store, outgoing| {
        let entry = store.devices.get_mut(dev_eui).ok_or("the device is unknown")?;
        if entry.stored.object.application_id != application_id {
            return Err("the device has another application");
        }
        let id = id.to_string();
        if entry.queue.iter().any(|item| item.id == id) {
            return Err("UNIQUE constraint failed: device_queue_item.id");
        }
        if entry.queue.len() >= QUEUE_MAX {
            return Err("the queue is full");
        }
        entry.queue.push_back(DeviceQueueItem {
            id,
            dev_eui: dev_eui.to_owned(),
            confirmed: command.confirmed,
            // The real server keeps the lowest byte.
            f_port: command.f_port & 0xff,
            data: command.data,
            object: command.object,
            expires_at: command.expires_at,
            ..DeviceQueueItem::default()
        });
        radio::send_if_class_c(store, outgoing, dev_eui);
        Ok(())
    })
}

fn of_json(payload: &[u8]) -> Result<DownlinkCommand, &'static str> {
    let command: JsonCommand = serde_json::from_slice(payload).map_err(|_| "the payload is no JSON of a command")?;
    Ok(DownlinkCommand {
        id: command.id,
        dev_eui: command.dev_eui,
        confirmed: command.confirmed,
        f_port: command.f_port,
        data: STANDARD.decode(&command.data).map_err(|_| "the data is no base64")?,
        object: None,
        expires_at: command.expires_at.map(times::timestamp),
    })
}
