//! Errors that are easily mistaken for others, as a real server answers them.

use chirpstack::grpc::device::Device;
use chirpstack::grpc::device_queue::DeviceQueueItem;
use chirpstack::grpc::{Error, KeyState};
use fake_chirpstack::{ADMIN_KEY, APPLICATION_ID, Command, OTHER_APPLICATION_ID, TENANT_ID, TENANT_KEY};

use super::support::{DEV_EUI, client, device, is_ambiguous, start};

const NO_UUID: &str = "00000000-0000-4000-8000-00000000dead";

#[tokio::test]
async fn an_unknown_device_looks_like_a_revoked_key_until_the_probe() {
    let (fake, tenant) = start().await;
    assert!(is_ambiguous(&tenant.get_device(DEV_EUI).await.unwrap_err()));
    assert!(is_ambiguous(&tenant.delete_device(DEV_EUI).await.unwrap_err()));
    assert_eq!(tenant.probe(APPLICATION_ID, TENANT_ID).await, Ok(KeyState::Accepted));
    assert_eq!(tenant.probe(OTHER_APPLICATION_ID, TENANT_ID).await, Ok(KeyState::ApplicationUnknown));
    assert_eq!(tenant.probe(NO_UUID, TENANT_ID).await, Ok(KeyState::ApplicationUnknown));
    assert_eq!(tenant.probe("no uuid", TENANT_ID).await, Ok(KeyState::ApplicationUnknown));
    let admin = client(&fake, ADMIN_KEY);
    assert!(matches!(admin.get_device(DEV_EUI).await, Err(Error::NotFound { .. })));
    assert_eq!(admin.probe(NO_UUID, TENANT_ID).await, Ok(KeyState::ApplicationUnknown));
    for wrong in [client(&fake, "nobody's"), client(&fake, TENANT_KEY)] {
        fake.carry_out(Command::RevokeKey { key: TENANT_KEY.to_owned() }).unwrap();
        assert_eq!(wrong.probe(APPLICATION_ID, TENANT_ID).await, Ok(KeyState::Refused));
    }
    fake.carry_out(Command::AcceptKey { key: TENANT_KEY.to_owned(), tenant_id: TENANT_ID.to_owned() }).unwrap();
    assert_eq!(tenant.probe(APPLICATION_ID, TENANT_ID).await, Ok(KeyState::Accepted));
    fake.carry_out(Command::GoDown).unwrap();
    assert!(matches!(tenant.probe(APPLICATION_ID, TENANT_ID).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn duplicates_foreign_applications_and_malformed_ids_are_told_apart() {
    let (_fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    assert!(matches!(client.create_device(&device(DEV_EUI)).await, Err(Error::Duplicate { .. })));
    let foreign = Device { application_id: OTHER_APPLICATION_ID.to_owned(), ..device("02") };
    assert!(matches!(client.create_device(&foreign).await, Err(Error::Malformed { .. })));
    let foreign = Device { dev_eui: "0202020202020202".to_owned(), ..foreign };
    assert!(is_ambiguous(&client.create_device(&foreign).await.unwrap_err()));
    let no_profile = Device { device_profile_id: NO_UUID.to_owned(), ..device("0202020202020202") };
    assert!(matches!(client.create_device(&no_profile).await, Err(Error::Refused { code: "INTERNAL", .. })));
    let no_uuid = Device { application_id: "12".to_owned(), ..device("0202020202020202") };
    assert!(matches!(client.create_device(&no_uuid).await, Err(Error::Refused { code: "INVALID_ARGUMENT", .. })));
    assert!(matches!(client.get_device("xyz").await, Err(Error::Malformed { .. })));
}

#[tokio::test]
async fn a_port_outside_of_the_applications_is_refused_before_the_call() {
    let (fake, client) = start().await;
    client.create_device(&device(DEV_EUI)).await.unwrap();
    for f_port in [0, 224, 265] {
        let item = DeviceQueueItem { dev_eui: DEV_EUI.to_owned(), f_port, ..DeviceQueueItem::default() };
        assert!(matches!(client.enqueue(item, false).await, Err(Error::Malformed { .. })));
    }
    assert_eq!(fake.calls("DeviceService/Enqueue"), 0);
}
