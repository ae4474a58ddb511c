//! Devices, their keys and their queues.

use std::collections::BTreeMap;

use bytes::Bytes;
use chirpstack::grpc::device::{DeviceClass, ListDevicesRequest};
use chirpstack::grpc::device_keys::DeviceKeys;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use chirpstack::grpc::{Error, Timestamp};
use fake_chirpstack::{APPLICATION_ID, Command, Uplink};

use super::support::{DEV_EUI, class_c_device, device, start};

fn downlink(data: &[u8], confirmed: bool) -> DeviceQueueItem {
    DeviceQueueItem {
        id: "6f4c1b1a-0f0a-4c1e-9f11-0123456789ab".to_owned(),
        dev_eui: DEV_EUI.to_owned(),
        confirmed,
        f_port: 20,
        data: data.to_vec(),
        ..DeviceQueueItem::default()
    }
}

#[tokio::test]
async fn an_update_keeps_fields_that_this_client_does_not_know() {
    let (_fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    // Field 11, which a newer server might have.
    let newer = Bytes::from_static(&[0x5a, 2, b'n', b'g']);
    let mut stored = client.get_device(DEV_EUI).await.unwrap();
    assert!(stored.unknown_fields.is_empty());
    stored.unknown_fields = newer.clone();
    client.update_device(&stored).await.unwrap();
    let mut stored = client.get_device(DEV_EUI).await.unwrap();
    stored.device.tags.insert("fw".to_owned(), "1.0.0".to_owned());
    client.update_device(&stored).await.unwrap();
    let stored = client.get_device(DEV_EUI).await.unwrap();
    assert_eq!(stored.unknown_fields, newer);
    assert_eq!(stored.device.tags, BTreeMap::from([("fw".to_owned(), "1.0.0".to_owned())]));
    assert_eq!(stored.device.join_eui, "0000000000000000");
}

#[tokio::test]
async fn devices_are_listed_in_pages_and_by_tags() {
    let (_fake, client) = start().await;
    for number in 0..5_u8 {
        let mut device = device(&format!("01010101010101{number:02x}"));
        device.tags.insert("even".to_owned(), (number % 2 == 0).to_string());
        client.create_device(&device).await.unwrap();
    }
    let page = |limit, offset, tags| ListDevicesRequest {
        limit,
        offset,
        tags,
        application_id: APPLICATION_ID.to_owned(),
        ..ListDevicesRequest::default()
    };
    let count = client.list_devices(page(0, 0, BTreeMap::new())).await.unwrap();
    assert_eq!((count.total_count, count.result.len()), (5, 0));
    let second = client.list_devices(page(2, 2, BTreeMap::new())).await.unwrap();
    let euis: Vec<&str> = second.result.iter().map(|item| item.dev_eui.as_str()).collect();
    assert_eq!(euis, ["0101010101010102", "0101010101010103"]);
    let even =
        client.list_devices(page(10, 0, BTreeMap::from([("even".to_owned(), "true".to_owned())]))).await.unwrap();
    assert_eq!(even.total_count, 3);
}

#[tokio::test]
async fn keys_are_created_replaced_and_deleted() {
    let (fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    let keys = DeviceKeys { dev_eui: DEV_EUI.to_owned(), nwk_key: "0a".repeat(16), ..DeviceKeys::default() };
    assert!(matches!(client.get_keys(DEV_EUI).await, Err(Error::NotFound { .. })));
    assert!(matches!(client.update_keys(keys.clone()).await, Err(Error::NotFound { .. })));
    client.create_keys(keys.clone()).await.unwrap();
    assert!(matches!(client.create_keys(keys.clone()).await, Err(Error::Duplicate { .. })));
    client.update_keys(DeviceKeys { gen_app_key: "0b".repeat(16), ..keys }).await.unwrap();
    assert_eq!(client.get_keys(DEV_EUI).await.unwrap().gen_app_key, "0b".repeat(16));
    assert_eq!(fake.keys(DEV_EUI).unwrap().app_key, "00".repeat(16));
    client.delete_keys(DEV_EUI).await.unwrap();
    assert!(fake.keys(DEV_EUI).is_none());
}

#[tokio::test]
async fn one_downlink_leaves_per_uplink_and_a_confirmed_one_waits_for_its_confirmation() {
    let (fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    let confirmed = client.enqueue(downlink(&[1], true), false).await.unwrap();
    let unconfirmed = client.enqueue(downlink(&[2], false), false).await.unwrap();
    assert!(confirmed != downlink(&[1], true).id && confirmed != unconfirmed);
    let mut sent = fake.listen_to_downlinks();
    let uplink = |acknowledges| Command::Uplink { uplink: Uplink { acknowledges, ..Uplink::new(DEV_EUI, 1, &[0]) } };
    fake.carry_out(uplink(true)).unwrap();
    assert_eq!(sent.recv().await.unwrap().queue_item_id, confirmed);
    assert!(client.get_queue(DEV_EUI).await.unwrap()[0].is_pending);
    fake.carry_out(uplink(false)).unwrap();
    assert_eq!(sent.recv().await.unwrap().queue_item_id, unconfirmed);
    assert!(client.get_queue(DEV_EUI).await.unwrap().is_empty());
    let kinds: Vec<&str> = fake.events().iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["up", "txack", "up", "ack", "txack"]);
    let ack = &fake.events()[3].json;
    assert!(String::from_utf8_lossy(ack).contains("\"acknowledged\":false"));
}

#[tokio::test]
async fn what_expired_or_is_too_long_is_dropped_with_a_log_event() {
    let (fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    client.enqueue(downlink(&[0; 300], false), false).await.unwrap();
    let past = Some(Timestamp { seconds: 1, nanos: 0 });
    client.enqueue(DeviceQueueItem { expires_at: past, ..downlink(&[1], false) }, false).await.unwrap();
    fake.carry_out(Command::Uplink { uplink: Uplink::new(DEV_EUI, 0, &[]) }).unwrap();
    assert!(client.get_queue(DEV_EUI).await.unwrap().is_empty());
    let logs: Vec<String> =
        fake.events()[1..].iter().map(|event| String::from_utf8_lossy(&event.json).into_owned()).collect();
    assert!(
        logs[0].contains("\"DOWNLINK_PAYLOAD_SIZE\"") && logs[0].contains("\"max_payload_size\":\"242\""),
        "{logs:?}"
    );
    assert!(logs[1].contains("\"EXPIRED\""), "{logs:?}");
}

#[tokio::test]
async fn a_device_of_class_c_gets_its_downlink_at_once_after_it_joined() {
    let (fake, client) = start().await;
    client.create_device(&class_c_device(DEV_EUI)).await.unwrap();
    assert_eq!(client.get_device(DEV_EUI).await.unwrap().class, DeviceClass::ClassA);
    fake.carry_out(Command::Join { dev_eui: DEV_EUI.to_owned() }).unwrap();
    assert_eq!(client.get_device(DEV_EUI).await.unwrap().class, DeviceClass::ClassC);
    let mut sent = fake.listen_to_downlinks();
    client.enqueue(downlink(&[1], true), false).await.unwrap();
    assert_eq!(sent.recv().await.unwrap().data, [1]);
    fake.carry_out(Command::ResolvePending { dev_eui: DEV_EUI.to_owned(), acknowledged: false }).unwrap();
    let events = fake.events();
    let ack = String::from_utf8_lossy(&events.last().unwrap().json).into_owned();
    assert!(ack.starts_with("{\"deduplicationId\":\"\",") && ack.contains("\"acknowledged\":false"), "{ack}");
}
