//! `waybill serve`: connects to the servers and starts the parts of the process's role.
//!
//! Order of the start: log, read models, process managers, bridge, API. Order of the stop: not ready, drain, stop, then force.

mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use command_api::HealthCheck;
use command_api::links::DownloadLinks;
use event_store::dead_letters::DeadLetters;
use event_store::feed::consumers::FeedConsumers;
use event_store::lease::Lease;
use event_store::network::JetStreamRawEvents;
use event_store::streams::{self, Missing};
use event_store::telemetry::Telemetry;
use event_store::{EventStore, JetStreamLog, Keyring, Log, SecretStore};
use firmware_store::FirmwareStore;
use metrics_exporter_prometheus::PrometheusHandle;
use mqtt_bridge::callout::{Issuer, StoredCredentials};
use mqtt_bridge::{
    Bridge, BridgeOptions, BrokerAddress, BrokerTls, DeviceRef, LinkRequest, LiveDevices, NetworkOptions,
};
use projections::{Db, Projections};
use runtime::lifecycle::Tasks;

use crate::callout::{self, Callout};
use crate::config::{Role, ServeArgs};
use crate::role_user::connection_name;
use crate::secrets::Secrets;
use crate::tls::{NatsTls, ServedCertificate, with_pem};
use crate::{health, known_passwords, metrics, nats};

/// How long the bridge may take to be ready.
const BRIDGE_START_TIMEOUT: Duration = Duration::from_secs(60);
/// When a process that forwards FEED dies, another takes over after about this long.
const FEED_LEASE_TERM: Duration = Duration::from_secs(5);
/// How long tasks may take to end.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// A serving process.
pub struct Serving {
    pub http: SocketAddr,
    /// Of the API.
    pub origin: String,
    pub store: EventStore,
    pub db: Db,
    pub projections: Projections,
    tasks: Tasks,
    /// Tasks of the connection to the log, which must outlive all parts that write to it.
    log_tasks: Tasks,
}

impl Serving {
    /// Stops everything in order; true when all tasks ended in time.
    pub async fn stop(self) -> bool {
        let ended = self.tasks.shutdown(SHUTDOWN_TIMEOUT).await;
        self.db.close().await;
        self.log_tasks.shutdown(SHUTDOWN_TIMEOUT).await && ended
    }
}

/// Settings that can be checked before any server is asked.
struct Checked {
    broker: BrokerAddress,
    certificate: Option<Arc<ServedCertificate>>,
    nats_tls: NatsTls,
    db: Db,
    secrets: Secrets,
    keyring: Arc<Keyring>,
    /// Only the bridge needs it.
    issuer: Option<Arc<Issuer>>,
}

impl Checked {
    async fn of(args: &ServeArgs) -> Result<Self> {
        args.check()?;
        let nats_tls = args.nats_tls.checked()?;
        nats::check(&args.nats_url, &nats_tls).context("WAYBILL_NATS_URL")?;
        if args.role.runs(Role::Bridge) {
            nats::check(&args.nats_devices_url, &nats_tls).context("WAYBILL_NATS_DEVICES_URL")?;
            nats::check(&args.nats_auth_url, &nats_tls).context("WAYBILL_NATS_AUTH_URL")?;
            nats::check(&args.nats_system_url, &nats_tls).context("WAYBILL_NATS_SYSTEM_URL")?;
        }
        std::net::TcpListener::bind(args.http_listen).with_context(|| unusable(args.http_listen))?;
        Ok(Self {
            broker: nats::broker_address(&args.mqtt_url, &args.mqtt_tls)?,
            certificate: args.certificate.load()?,
            nats_tls,
            db: Db::connect(&args.database_url).context("WAYBILL_DATABASE_URL")?,
            secrets: Secrets::of(&args.data_dir, args.given_secrets())?,
            keyring: Arc::new(args.master_keys.keyring_or_new(&args.data_dir).await?),
            issuer: args.role.runs(Role::Bridge).then(|| args.issuer().map(Arc::new)).transpose()?,
        })
    }
}

fn unusable(listen: SocketAddr) -> String {
    format!("{listen} can't be used for HTTP; set WAYBILL_HTTP_LISTEN to another one")
}

/// Shared by all parts.
struct Parts {
    waybill: async_nats::Client,
    store: EventStore,
    secrets: SecretStore,
    telemetry: Telemetry,
    db: Db,
    projections: Projections,
    /// Where the bytes of firmware are.
    firmware_store: FirmwareStore,
    tasks: Tasks,
    metrics: Option<PrometheusHandle>,
    checks: Vec<HealthCheck>,
}

/// Starts the parts of the role and returns when they are ready for requests.
pub async fn start(args: &ServeArgs) -> Result<Serving> {
    let checked = Checked::of(args).await?;
    if !args.development {
        known_passwords::check(args)?;
    }
    let (tasks, log_tasks) = (Tasks::new(), Tasks::new());
    let firmware_store = args.store.open(&args.data_dir, &tasks)?;
    // First, because values counted earlier would be lost.
    let metrics = metrics::start(args.role, &tasks);
    let (waybill, rights) =
        nats::connect_with_rights(nats::START_TIMEOUT, &args.nats_url, &checked.nats_tls, connection_name(args.role))
            .await
            .context("WAYBILL_NATS_URL")?;
    if !args.development {
        known_passwords::try_others(&args.nats_url, &checked.nats_tls).await?;
    }
    let replicas = usize::from(args.stream_replicas);
    // Only the API's user may make streams, so processes of other roles wait for them.
    let missing = if args.role.runs(Role::Api) { Missing::Create } else { Missing::Wait };
    rights.or_refused(streams::ensure(&waybill, replicas, missing)).await.context("WAYBILL_NATS_URL")?;
    let log =
        rights.or_refused(JetStreamLog::connect(waybill.clone(), &log_tasks)).await.context("WAYBILL_NATS_URL")?;
    let log: Arc<dyn Log> = Arc::new(log);
    let store = EventStore::new(log.clone());
    let telemetry = Telemetry::new(waybill.clone());
    let db = checked.db.clone();
    let projections = if args.role.runs(Role::Projections) {
        Projections::start(db.clone(), log, Some(Arc::new(telemetry.clone())), &tasks)
    } else {
        Projections::follow(db.clone(), log, &tasks)
    };
    let secrets = SecretStore::new(waybill.clone(), Arc::clone(&checked.keyring));
    let firmware_store = args.store.sealed(firmware_store, &secrets);
    let checks = vec![health::of_watermark(db.clone()), health::of_secrets(secrets.clone())];
    let mut parts =
        Parts { waybill, store, secrets, telemetry, db, projections, firmware_store, tasks, metrics, checks };
    start_role(args, &checked, &mut parts).await?;
    let http = http::start(args, checked, &parts).await?;
    let Parts { store, db, projections, tasks, .. } = parts;
    let origin = args.origin_at(http);
    Ok(Serving { http, origin, store, db, projections, tasks, log_tasks })
}

async fn start_role(args: &ServeArgs, checked: &Checked, parts: &mut Parts) -> Result<()> {
    if args.role.runs(Role::Projections) {
        let feed = forward_feed(parts.waybill.clone(), parts.store.log().clone(), parts.tasks.clone());
        parts.tasks.spawn("feed", feed);
    }
    if let Some(settings) = args.chirpstack.settings()?.filter(|_| args.role.runs(Role::Api)) {
        let fill = command_api::fill_default_tenant(settings, parts.store.clone(), parts.secrets.clone());
        let stop = parts.tasks.token().clone();
        parts.tasks.spawn("default tenant's ChirpStack", async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = fill => {}
            }
        });
    }
    if args.role.runs(Role::ProcessManagers) {
        let options = args.process_manager_options();
        let pulse = process_managers::start(
            parts.store.clone(),
            parts.db.clone(),
            parts.projections.clone(),
            Some(parts.secrets.clone()),
            Some(Arc::clone(parts.firmware_store.objects())),
            options,
            &parts.tasks,
        );
        parts.checks.push(health::of_process_managers(pulse));
    }
    if args.role.runs(Role::Bridge) {
        let bridge = start_bridge(args, checked, parts).await?;
        // After the bridge, because nats-server drops messages of devices that no consumer waits for.
        parts.checks.push(start_callout(args, checked, parts).await?);
        parts.checks.push(health::of_bridge(Arc::new(bridge)));
    }
    Ok(())
}

/// Publishes events to the public FEED; one process at a time.
async fn forward_feed(client: async_nats::Client, log: Arc<dyn Log>, tasks: Tasks) {
    let owner = runtime::clock::new_id().to_string();
    while !tasks.token().is_cancelled() {
        let lease = tokio::select! {
            () = tasks.token().cancelled() => return,
            lease = Lease::acquire(&client, &tasks, "feed", &owner, FEED_LEASE_TERM) => lease,
        };
        let stop = lease.lost().clone();
        tokio::select! {
            () = tasks.token().cancelled() => return,
            () = event_store::feed::forwarder::run(client.clone(), log.clone(), stop) => {}
        }
    }
}

async fn start_bridge(args: &ServeArgs, checked: &Checked, parts: &Parts) -> Result<Bridge> {
    let (devices, rights) =
        nats::connect_with_rights(nats::START_TIMEOUT, &args.nats_devices_url, &checked.nats_tls, "bridge")
            .await
            .context("WAYBILL_NATS_DEVICES_URL")?;
    let links = DownloadLinks::new(checked.secrets.download.clone(), args.download_origin());
    let bridge = Bridge::start(BridgeOptions {
        devices,
        waybill: parts.waybill.clone(),
        broker: checked.broker.clone(),
        store: parts.store.clone(),
        telemetry: parts.telemetry.clone(),
        dead_letters: DeadLetters::new(parts.waybill.clone()),
        links: Arc::new(move |request: LinkRequest<'_>| {
            let attempt = (request.device, request.update.ordinal, request.update.attempt);
            let firmware = request.update.spec.firmware.firmware_id;
            links.link(request.tenant, &firmware, Some(attempt), request.expires_at)
        }),
        live_devices: Arc::new(LiveRows(parts.db.clone())),
        secrets: parts.secrets.clone(),
        outward: args.chirpstack.outward(args.development),
        network: NetworkOptions {
            queue: Arc::new(JetStreamRawEvents::new(parts.waybill.clone())),
            tls: Arc::new(|tls: BrokerTls<'_>| with_pem(tls.ca, tls.identity).map_err(|error| error.to_string())),
        },
        tasks: parts.tasks.clone(),
    });
    let mut ready = bridge.ready.clone();
    let started = async {
        tokio::time::timeout(BRIDGE_START_TIMEOUT, ready.wait_for(|ready| *ready))
            .await
            .context("the MQTT bridge isn't ready; is the MQTT listener of nats-server reachable?")?
            .context("the MQTT bridge has stopped")
            .map(drop)
    };
    rights.or_refused(started).await.context("WAYBILL_NATS_DEVICES_URL")?;
    Ok(bridge)
}

/// Lets devices in, and ends their connections.
async fn start_callout(args: &ServeArgs, checked: &Checked, parts: &Parts) -> Result<HealthCheck> {
    let credentials = StoredCredentials::new(parts.store.clone(), checked.secrets.credentials.clone());
    let credentials = credentials.with_feed(FeedConsumers::new(parts.waybill.clone()));
    let callout = Callout {
        auth_url: args.nats_auth_url.clone(),
        tls: checked.nats_tls.clone(),
        issuer: checked.issuer.clone().context("the bridge has no WAYBILL_NATS_ISSUER_SEED")?,
        credentials: Arc::new(credentials),
        anonymous_devices: args.anonymous_devices,
        broker: checked.broker.clone(),
    };
    let (auth, crowded) = callout.start(nats::START_TIMEOUT, &parts.tasks).await?;
    let (waybill, store) = (parts.waybill.clone(), parts.store.clone());
    let system = &args.nats_system_url;
    let system =
        callout::follow_revocations(nats::START_TIMEOUT, system, &checked.nats_tls, waybill, store, &parts.tasks)
            .await?;
    crowded.keep_ending_surplus(system.clone(), &parts.tasks);
    Ok(health::of_callout(auth, system))
}

/// Devices with an update or a command under way, from the read models.
struct LiveRows(Db);

#[async_trait::async_trait]
impl LiveDevices for LiveRows {
    async fn live_devices(&self, after: Option<&DeviceRef>, limit: usize) -> Result<Vec<DeviceRef>, String> {
        let after = after.map(|after| (&after.tenant, &after.device));
        let found = projections::devices::with_retained_command(&self.0, after, limit).await;
        let devices = found.map_err(|error| error.to_string())?;
        Ok(devices.into_iter().map(|(tenant, device)| DeviceRef { tenant, device }).collect())
    }
}

/// Runs until a signal stops it.
pub async fn run(args: &ServeArgs) -> Result<()> {
    let serving = start(args).await?;
    tracing::info!(http = %serving.http, "Waybill is ready.");
    stop_signal().await?;
    tracing::info!("Waybill is stopping.");
    serving.stop().await;
    Ok(())
}

/// Resolves at Ctrl-C or SIGTERM.
pub async fn stop_signal() -> Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
