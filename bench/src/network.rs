//! Copies of a fleet in a network server: how fast a tenant's LoRaWAN devices get theirs, against as many bare calls as its worker has under way.
//!
//! The network server is the test double on threads of its own: it answers at once, so this measures Waybill.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chirpstack::grpc::device::Device as ServerDevice;
use chirpstack::grpc::{ApiKey, Client, Connection};
use domain::device::{Device, DeviceCommand, Profile};
use domain::tenant::{ChirpStackConnection, Tenant, TenantCommand, TenantSpec};
use domain::{Actor, CommandId, Decider, DeviceId, Key, SecretRef, TenantId};
use event_store::secrets::Keyring;
use event_store::{EventStore, Request, SecretPlace, SecretStore};
use fake_chirpstack::{APPLICATION_ID, CLASS_A_PROFILE_ID, FakeChirpstack, Settings, TENANT_ID, TENANT_KEY};
use futures::{StreamExt, TryStreamExt};
use runtime::clock;
use trust::SecretValue;
use waybill::stack::Tools;

use crate::report::{Measurement, Report, per_second, percentile};
use crate::world::{Managers, Part, ReadSide, World};

/// Name of the part that is the network server.
const SERVER: &str = "network server";
/// Calls at the same time, as many as a worker has.
const IN_FLIGHT: usize = 8;
/// Registrations at the same time.
const REGISTRATIONS_AT_ONCE: usize = 64;
/// Longest wait for all copies.
const PATIENCE: Duration = Duration::from_secs(600);
const POLL: Duration = Duration::from_millis(20);
/// Devices that are created one after the other, to see how soon each has its copy.
const SINGLE: usize = 50;
const MASTER_KEY: &str = "bench:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

struct Network {
    managers: Managers,
    read_side: ReadSide,
    tenant: TenantId,
    lns: FakeChirpstack,
}

/// A fleet that is connected to its network server, then single devices.
pub(crate) async fn run(tools: &Tools, devices: usize, report: &mut Report) -> Result<()> {
    println!("copies of {devices} devices in a network server");
    let world = World::start(tools, "network").await?;
    let server = Part::new(SERVER)?;
    let lns = server.run(async { Ok(FakeChirpstack::start(Settings::default()).await?) }).await?;
    let read_side = ReadSide::start(&world).await?;
    let managers = Managers::connect(&world).await?;
    let nats = waybill::nats::connect(&world.stack.nats.waybill_url(), "bench").await?;
    let keys = MASTER_KEY.parse().context("the master key of the measurement")?;
    let secrets = SecretStore::new(nats, Arc::new(Keyring::of(keys)));
    managers.start_with(&read_side, Some(secrets.clone())).await?;
    let network = Network { managers, read_side, tenant: TenantId::new("bench")?, lns };
    network.create_tenant().await?;
    let all: Vec<usize> = (0..devices).collect();
    futures::stream::iter(all)
        .map(|n| network.register(n))
        .buffer_unordered(REGISTRATIONS_AT_ONCE)
        .try_collect::<()>()
        .await?;
    let begun = Instant::now();
    network.connect(&secrets).await?;
    network.until_there(devices).await?;
    let synced = per_second(devices, begun.elapsed());
    let bare = network.bare_calls(devices).await?;
    report.add(
        Measurement::new("network.synced", synced, "devices/s")
            .devices(devices)
            .ceiling("bare calls, as many at the same time", bare)
            .limited_by("the round trips of each device, one after the other"),
    );
    let mut times = Vec::new();
    for n in devices..devices + SINGLE {
        let begun = Instant::now();
        network.register(n).await?;
        network.until_device(n).await?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    for percent in [50.0, 95.0] {
        let time = percentile(&times, percent);
        report.add(Measurement::time(format!("network.one_device.p{percent}"), time).devices(devices));
    }
    let Network { managers, read_side, lns, .. } = network;
    managers.stop().await;
    read_side.stop().await;
    lns.stop().await;
    world.stop().await;
    Ok(())
}

/// An EUI for a device's number; bare calls use others.
fn eui(n: usize, bare: bool) -> String {
    format!("{:02x}{n:014x}", u8::from(bare))
}

impl Network {
    async fn execute<A: Decider>(&self, key: &Key<A>, command: <A as Decider>::Command) -> Result<()> {
        let request = Request::new(CommandId(clock::new_id()), Actor::new("bench")?, command);
        self.store().execute(key, request).await?;
        Ok(())
    }

    fn store(&self) -> &EventStore {
        &self.managers.store
    }

    async fn create_tenant(&self) -> Result<()> {
        let key = Key::<Tenant>::new(&self.tenant, &self.tenant);
        self.execute(&key, TenantCommand::Create { spec: TenantSpec::default() }).await
    }

    async fn register(&self, n: usize) -> Result<()> {
        let profile = Profile {
            lorawan_dev_eui: Some(eui(n, false)),
            chirpstack_app_id: Some(APPLICATION_ID.to_owned()),
            ..Profile::default()
        };
        let key = Key::<Device>::new(&self.tenant, &DeviceId::new(format!("d-{n}"))?);
        self.execute(&key, DeviceCommand::Register { profile, versions: [].into() }).await
    }

    async fn connect(&self, secrets: &SecretStore) -> Result<()> {
        let api_key: SecretRef = "secret:chirpstack-api-key".parse()?;
        secrets.put(&SecretPlace::new(&self.tenant, &api_key), &SecretValue::new(TENANT_KEY)).await?;
        let connection = ChirpStackConnection {
            url: self.lns.url(),
            chirpstack_tenant_id: TENANT_ID.to_owned(),
            api_key,
            ca: None,
            client_certificate: None,
            client_key: None,
            default_device_profile_id: Some(CLASS_A_PROFILE_ID.to_owned()),
            webhook_secret: None,
            second_webhook_secret: None,
            webhook_header: None,
            auto_import: vec![],
            mqtt: None,
        };
        let key = Key::<Tenant>::new(&self.tenant, &self.tenant);
        self.execute(&key, TenantCommand::ConnectChirpStack { connection: Box::new(connection) }).await
    }

    /// Waits until that many devices are there, and the read model says that none is due.
    async fn until_there(&self, devices: usize) -> Result<()> {
        let begun = Instant::now();
        let is_done = async || -> Result<bool> {
            let pending = projections::network::pending(&self.read_side.db, &self.tenant, None, 1).await?;
            Ok(pending.is_empty() && self.lns.calls("DeviceService/Create") >= devices as u64)
        };
        while !is_done().await? {
            ensure!(begun.elapsed() < PATIENCE, "not all devices have a copy after {PATIENCE:?}");
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    async fn until_device(&self, n: usize) -> Result<()> {
        let begun = Instant::now();
        while self.lns.device(&eui(n, false)).is_none() {
            ensure!(begun.elapsed() < PATIENCE, "device {n} has no copy after {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Creations alone; returns the rate per second.
    async fn bare_calls(&self, devices: usize) -> Result<f64> {
        let client =
            Client::new(&Connection::new(&self.lns.url(), ApiKey::new(TENANT_KEY)?, crate::world::on_this_machine()))?;
        let client = &client;
        let create = |n: usize| async move {
            let device = ServerDevice {
                dev_eui: eui(n, true),
                name: format!("bare {n}"),
                application_id: APPLICATION_ID.to_owned(),
                device_profile_id: CLASS_A_PROFILE_ID.to_owned(),
                ..ServerDevice::default()
            };
            client.create_device(&device).await
        };
        let begun = Instant::now();
        futures::stream::iter(0..devices).map(create).buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        Ok(per_second(devices, begun.elapsed()))
    }
}
