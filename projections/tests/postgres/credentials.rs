//! Credentials and registration tokens change no row but the version of their device.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use domain::device::{Device, DeviceCommand, NewCredential, Profile, SelfRegistration};
use domain::registration_token::{
    Applicant, RegistrationScope, RegistrationTerms, RegistrationToken, RegistrationTokenCommand,
};
use domain::{Actor, CredentialId, RegistrationTokenId, TokenHash};
use runtime::clock;

use crate::fleet::{World, device};

fn credential(byte: u8) -> NewCredential {
    let (credential_id, hash) = (CredentialId(clock::new_id()), TokenHash::new([byte; 32]));
    NewCredential { credential_id, hash, expires_at: None, by: Actor::new("user:1").unwrap() }
}

/// The fields of a device's row beside its version and position.
async fn row(world: &World, id: &str) -> (projections::devices::DeviceRow, u64) {
    world.settles().await;
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let mut row = projections::devices::get(&mut tx, &world.tenant, id).await.unwrap().unwrap().row;
    let version = std::mem::take(&mut row.version);
    row.position = 0;
    (row, version)
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_change_no_row_but_the_version_of_their_device() {
    let world = World::start().await;
    world.register("d-1").await;
    let (before, _) = row(&world, "d-1").await;
    let new = credential(1);
    let id = new.credential_id;
    world.tell::<Device>(&device("d-1"), DeviceCommand::IssueCredential { credential: new }).await.unwrap();
    world.tell::<Device>(&device("d-1"), DeviceCommand::RevokeCredential { credential_id: id }).await.unwrap();
    assert_eq!(row(&world, "d-1").await, (before, 3));
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_registers_itself_is_a_device_like_others() {
    let world = World::start().await;
    let token = RegistrationTokenId(clock::new_id());
    let tags = BTreeMap::from([("batch".to_owned(), "7".to_owned())]);
    let scope = RegistrationScope { tags: tags.clone(), ..RegistrationScope::default() };
    let terms = RegistrationTerms { scope, expires_at: clock::now() + TimeDelta::days(1), devices_max: 1 };
    let hash = TokenHash::new([2; 32]);
    world.tell::<RegistrationToken>(&token, RegistrationTokenCommand::Issue { hash, terms }).await.unwrap();
    let applicant = Applicant { device: device("d-1"), device_model: None, device_type: None };
    world.tell::<RegistrationToken>(&token, RegistrationTokenCommand::Use { applicant }).await.unwrap();
    let registration = SelfRegistration {
        registration_token: token,
        profile: Profile { tags: tags.clone(), ..Profile::default() },
        versions: BTreeMap::from([("firmware".to_owned(), "1.0.0".to_owned())]),
        credential: credential(3),
    };
    let command = DeviceCommand::SelfRegister { registration: Box::new(registration) };
    world.tell::<Device>(&device("d-1"), command).await.unwrap();
    world.tell::<RegistrationToken>(&token, RegistrationTokenCommand::Revoke).await.unwrap();
    let (row, version) = row(&world, "d-1").await;
    assert_eq!((row.tags, row.firmware_version.as_deref(), version), (tags, Some("1.0.0"), 2));
    world.equals_a_replay().await;
}
