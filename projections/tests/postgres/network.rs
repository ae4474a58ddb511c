//! Copies of devices in network servers: what is due, what a connection has refused, and that rows equal a rebuild.

use std::collections::BTreeMap;

use domain::device::*;
use domain::tenant::{ChirpStackConnection, Tenant, TenantCommand, TenantSpec};
use domain::{DeviceId, TenantId};
use projections::devices::{self, DeviceFilter};
use projections::network;
use serde_json::json;

use crate::fleet::{World, device};

impl World {
    async fn register_lorawan(&self, id: &str, dev_eui: &str, application: &str) {
        let profile = Profile {
            lorawan_dev_eui: Some(dev_eui.into()),
            chirpstack_app_id: Some(application.into()),
            join_eui: Some("00000000000000aa".into()),
            ..Profile::default()
        };
        let versions = BTreeMap::new();
        self.tell::<Device>(&device(id), DeviceCommand::Register { profile, versions }).await.unwrap();
    }

    async fn network(&self, id: &str, wanted: impl FnOnce(&Network) -> NetworkCommand) {
        let key = domain::Key::<Device>::new(&self.tenant, &device(id));
        let loaded = self.store.load(&key).await.unwrap();
        let wanted = wanted(loaded.aggregate.network().unwrap());
        self.tell::<Device>(&device(id), DeviceCommand::Network { wanted }).await.unwrap();
    }

    async fn synced(&self, id: &str) {
        self.network(id, |network| {
            let NetworkTarget { dev_eui, fingerprint } = network.target.clone().unwrap();
            let device_profile_id = "dp".to_owned();
            NetworkCommand::RecordSynced { dev_eui, fingerprint, created: true, is_disabled: false, device_profile_id }
        })
        .await;
    }

    async fn refused(&self, id: &str, connection: u64) {
        self.network(id, |network| NetworkCommand::RecordFailed {
            of: network.target.clone().unwrap().fingerprint,
            code: "invalid".to_owned(),
            reason: "no".to_owned(),
            connection: Some(connection),
        })
        .await;
    }

    async fn found(&self, filter: DeviceFilter) -> Vec<String> {
        self.settles().await;
        let mut tx = self.db.read(&self.tenant).await.unwrap();
        let page = devices::list(&mut tx, &filter, None, 100, false).await.unwrap();
        page.items.into_iter().map(|view| view.row.device_id).collect()
    }
}

fn ids(devices: &[DeviceId]) -> Vec<&str> {
    devices.iter().map(DeviceId::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_found_and_filters_tell_the_truth() {
    let world = World::start().await;
    world.register("d-mqtt").await;
    for (id, eui, application) in [
        ("d-1", "0000000000000001", "app-1"),
        ("d-2", "0000000000000002", "app-1"),
        ("d-3", "0000000000000003", "app-2"),
        ("d-4", "0000000000000004", "app-2"),
    ] {
        world.register_lorawan(id, eui, application).await;
    }
    world.synced("d-1").await;
    world.refused("d-2", 1).await;
    world.synced("d-4").await;
    world.tell::<Device>(&device("d-4"), DeviceCommand::Decommission).await.unwrap();
    world.settles().await;

    let pending = network::pending(&world.db, &world.tenant, None, 10).await.unwrap();
    assert_eq!(ids(&pending), ["d-3", "d-4"], "a decommissioned device's copy has to go");
    assert_eq!(ids(&network::pending(&world.db, &world.tenant, Some(&pending[0]), 10).await.unwrap()), ["d-4"]);
    let others = TenantId::new("rival").unwrap();
    let tenants = [world.tenant.clone(), others];
    assert_eq!(network::with_pending(&world.db, &tenants).await.unwrap(), tenants[..1]);
    for (revision, expected) in [(1, vec![]), (2, vec!["d-2"])] {
        let refused = network::refused_before(&world.db, &world.tenant, revision, None, 10).await.unwrap();
        assert_eq!(ids(&refused), expected);
    }
    let all = [SyncState::Synced, SyncState::Failed];
    assert_eq!(ids(&network::in_state(&world.db, &world.tenant, &all, None, 10).await.unwrap()), ["d-1", "d-2"]);
    assert_eq!(network::applications(&world.db, &world.tenant, 10).await.unwrap(), ["app-1"]);
    let synced = network::synced(&world.db, &world.tenant, "app-1", ("", None), 10).await.unwrap();
    assert_eq!((synced.len(), synced[0].device.as_str(), synced[0].copy.created), (1, "d-1", true));
    let euis = ["0000000000000003".to_owned(), "0000000000000004".to_owned()];
    let owners = network::by_dev_eui(&world.db, &world.tenant, &euis).await.unwrap();
    assert_eq!(owners, BTreeMap::from([(euis[0].clone(), device("d-3"))]));

    let all = DeviceFilter::default;
    assert_eq!(world.found(DeviceFilter { synced: Some(true), ..all() }).await, ["d-1"]);
    assert_eq!(world.found(DeviceFilter { synced: Some(false), ..all() }).await, ["d-2", "d-3", "d-mqtt"]);
    assert_eq!(world.found(DeviceFilter { sync_state: Some(SyncState::Failed), ..all() }).await, ["d-2"]);
    assert_eq!(world.found(DeviceFilter { chirpstack_app_id: Some("app-2".into()), ..all() }).await, ["d-3"]);
    assert_eq!(world.found(DeviceFilter { lorawan_dev_eui: Some(euis[0].clone()), ..all() }).await, ["d-3"]);
    world.equals_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_with_a_connection_in_use_are_found() {
    let world = World::start().await;
    let connection: ChirpStackConnection = serde_json::from_value(json!({
        "url": "http://lns:8080", "chirpstack_tenant_id": "t-1", "api_key": "secret:chirpstack-api-key",
    }))
    .unwrap();
    for (id, is_connected, is_suspended) in [("a", true, false), ("b", true, true), ("c", false, false)] {
        let tenant = TenantId::new(id).unwrap();
        let tell = |command| world.tell_in::<Tenant>(&tenant, &tenant, command);
        tell(TenantCommand::Create { spec: TenantSpec::default() }).await.unwrap();
        if is_connected {
            tell(TenantCommand::ConnectChirpStack { connection: Box::new(connection.clone()) }).await.unwrap();
        }
        if is_suspended {
            tell(TenantCommand::Suspend).await.unwrap();
        }
    }
    world.settles().await;
    let found = network::connected(&world.db, None, 10).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].tenant.as_str(), &found[0].connection, found[0].revision), ("a", &connection, 1));
    assert!(network::connected(&world.db, Some(&found[0].tenant), 10).await.unwrap().is_empty());
    world.equals_a_replay().await;
}
