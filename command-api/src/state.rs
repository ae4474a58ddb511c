//! The state that endpoints share.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use domain::device::Limits;
use domain::member::Member;
use domain::{Key, MemberId};
use event_store::dead_letters::DeadLetters;
use event_store::feed::consumers::FeedConsumers;
use event_store::network::RawEvents;
use event_store::stream_sizes::StreamSizes;
use event_store::telemetry::Telemetry;
use event_store::{EventStore, Followed, PositionToken, SecretStore, StoreError};
use firmware_store::FirmwareStore;
use metrics_exporter_prometheus::PrometheusHandle;
use object_store::ObjectStore;
use projections::devices::DeviceReads;
use projections::{Db, Projections};
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use trust::TokenHasher;

use crate::api_keys::KnownKeys;
use crate::audit::ExportSlots;
use crate::caller::Caller;
use crate::campaigns::Previews;
use crate::client_address::TrustedProxies;
use crate::device_registrations::Limits as RegistrationLimits;
use crate::download::{Counters, Proofs};
use crate::firmware::documents::DocumentSlots;
use crate::http::Problem;
use crate::http::own_writes::OwnWrites;
use crate::least_rate::LeastRate;
use crate::links::DownloadLinks;
use crate::live::{Hub, StreamSlots, TicketParts};
use crate::service::{Counted, HealthCheck};
use crate::sign_in::{SignIn, SignInParts};
use crate::tenants::Tenants;
use crate::throttle::{RateLimits, Throttle};
use crate::tokens::{TokenRules, Tokens};
use crate::transfers::{TransferLimits, Transfers};

/// Largest firmware by default, in bytes.
pub const FIRMWARE_MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// How long a request waits until a process that has just started knows the members of tenants.
const MEMBERS_WAIT_MAX: Duration = Duration::from_secs(2);
/// Pause between two looks meanwhile.
const MEMBERS_POLL: Duration = Duration::from_millis(10);

/// Longest silence of an uploader by default.
const UPLOAD_SILENCE_MAX: Duration = Duration::from_secs(60);
/// How fast uploads must come by default.
const UPLOAD_LEAST: LeastRate = LeastRate { bytes_per_second: 1_024, window: Duration::from_secs(60) };

/// An unfinished upload that hasn't grown for this long is removed, by default.
pub const UPLOAD_ABANDONED_AFTER: Duration = Duration::from_secs(3_600);

/// Settings of the API.
#[derive(Clone)]
pub struct ApiConfig {
    /// Whether dev tokens are issued.
    pub development: bool,
    /// Whose bearer tokens are accepted.
    pub tokens: TokenRules,
    /// How people sign in; none if they can't.
    pub sign_in: Option<SignInParts>,
    /// Where tickets of streams are kept; none if no process issues any.
    pub tickets: Option<TicketParts>,
    /// Secret of download links.
    pub download_secret: Vec<u8>,
    /// Hashes the tokens of devices.
    pub token_hasher: TokenHasher,
    /// Origin of download links, without a slash at the end.
    pub public_base_url: String,
    /// Largest firmware, in bytes.
    pub max_firmware_bytes: u64,
    /// Longest silence of an uploader.
    pub upload_silence_max: Duration,
    /// How fast uploads must come.
    pub upload_least: LeastRate,
    /// How many requests are answered.
    pub rate_limits: RateLimits,
    /// How much is uploaded and downloaded at a time.
    pub transfer_limits: TransferLimits,
    /// Proxies whose word about the client's address is taken.
    pub trusted_proxies: TrustedProxies,
    /// Where addresses that tenants set may lead.
    pub outward: Outward,
    /// Pause before an update's second attempt, in seconds.
    pub retry_backoff_s: u32,
    /// From dispatch to the device's answer, in seconds.
    pub dispatch_patience_s: u32,
    /// An unfinished upload that hasn't grown for this long is removed.
    pub upload_abandoned_after: Duration,
    /// Whether downloads are sent on to the bucket that has the bytes.
    pub redirect_downloads: bool,
}

impl ApiConfig {
    /// Defaults for everything but secrets and origin.
    pub fn new(
        tokens: TokenRules,
        download_secret: Vec<u8>,
        token_hasher: TokenHasher,
        public_base_url: String,
    ) -> Self {
        let limits = Limits::default();
        Self {
            development: false,
            tokens,
            sign_in: None,
            tickets: None,
            download_secret,
            token_hasher,
            public_base_url,
            max_firmware_bytes: FIRMWARE_MAX_BYTES,
            upload_silence_max: UPLOAD_SILENCE_MAX,
            upload_least: UPLOAD_LEAST,
            rate_limits: RateLimits::default(),
            transfer_limits: TransferLimits::default(),
            trusted_proxies: TrustedProxies::default(),
            outward: Outward::default(),
            retry_backoff_s: limits.backoff_s,
            dispatch_patience_s: limits.dispatch_s,
            upload_abandoned_after: UPLOAD_ABANDONED_AFTER,
            redirect_downloads: false,
        }
    }

    /// Whether clients come by HTTPS.
    pub(crate) fn is_served_by_https(&self) -> bool {
        self.public_base_url.starts_with("https://")
    }
}

/// Dependencies of the API.
#[derive(Clone)]
pub struct ApiState {
    pub store: EventStore,
    pub projections: Projections,
    pub db: Db,
    /// Dead letters of devices; none without NATS.
    pub dead_letters: Option<DeadLetters>,
    /// What devices measured; none without NATS.
    pub telemetry: Option<Telemetry>,
    /// Consumers of the public feed; none without NATS.
    pub feed_consumers: Option<FeedConsumers>,
    /// How much the streams hold; none without NATS.
    pub stream_sizes: Option<StreamSizes>,
    /// Where events of network servers wait; none without NATS.
    pub network: Option<Arc<dyn RawEvents>>,
    /// Sealed secrets of tenants; none without NATS.
    pub secrets: Option<SecretStore>,
    /// The store of the firmware's bytes.
    pub firmware_store: FirmwareStore,
    pub config: ApiConfig,
    /// Renders `/metrics`; none if this process has no recorder.
    pub metrics: Option<PrometheusHandle>,
    /// Parts of this process that `/health/detailed` asks.
    pub checks: Vec<HealthCheck>,
}

/// The state behind all handlers. Clones share it.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

/// The parts of [`App`].
pub(crate) struct Shared {
    pub(crate) store: EventStore,
    pub(crate) projections: Projections,
    pub(crate) db: Db,
    pub(crate) device_reads: DeviceReads,
    pub(crate) dead_letters: Option<DeadLetters>,
    pub(crate) telemetry: Option<Telemetry>,
    pub(crate) feed_consumers: Option<FeedConsumers>,
    pub(crate) stream_sizes: Option<StreamSizes>,
    pub(crate) network: Option<Arc<dyn RawEvents>>,
    pub(crate) secrets: Option<SecretStore>,
    pub(crate) firmware_store: FirmwareStore,
    /// The objects in the firmware store.
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// Objects that are known to have their digest.
    pub(crate) proofs: Proofs,
    pub(crate) config: ApiConfig,
    pub(crate) metrics: Option<PrometheusHandle>,
    pub(crate) checks: Vec<HealthCheck>,
    /// Gauges that are counted in PostgreSQL.
    pub(crate) counted: Counted,
    pub(crate) tokens: Tokens,
    /// None where people can't sign in.
    pub(crate) sign_in: Option<SignIn>,
    pub(crate) tenants: Tenants,
    /// None in a process that serves no API, like the next.
    pub(crate) members: Option<Followed<Member>>,
    pub(crate) api_keys: Option<KnownKeys>,
    pub(crate) throttle: Arc<Throttle>,
    pub(crate) transfers: Transfers,
    pub(crate) links: DownloadLinks,
    /// Counts of downloads that aren't in PostgreSQL yet.
    pub(crate) downloads: Counters,
    pub(crate) own_writes: OwnWrites,
    pub(crate) previews: Previews,
    /// Exports of the audit.
    pub(crate) exports: ExportSlots,
    /// Documents of firmware.
    pub(crate) documents: DocumentSlots,
    /// Follows the log for all streams of live messages.
    pub(crate) live: Hub,
    pub(crate) streams: StreamSlots,
    /// Of devices that register themselves.
    pub(crate) registrations: RegistrationLimits,
    /// Background tasks, stopped when the process is about to stop.
    pub(crate) tasks: Tasks,
    /// Whether the read models were reachable once.
    pub(crate) read_models_seen: AtomicBool,
    started: Instant,
    incarnation_ms: OnceCell<u64>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// The state of a process that serves the API. It follows who may call: API keys, members and tenants.
    pub(crate) fn new(state: ApiState, tasks: Tasks) -> Self {
        Self::with(state, tasks, true)
    }

    /// The state of a process that serves health and metrics alone.
    pub(crate) fn without_callers(state: ApiState, tasks: Tasks) -> Self {
        Self::with(state, tasks, false)
    }

    fn with(state: ApiState, tasks: Tasks, has_callers: bool) -> Self {
        let ApiState {
            store,
            projections,
            db,
            dead_letters,
            telemetry,
            feed_consumers,
            stream_sizes,
            network,
            secrets,
            firmware_store,
            config,
            metrics,
            checks,
        } = state;
        let tokens = Tokens::new(&config.tokens);
        let parts = config.sign_in.clone().filter(|_| has_callers);
        let sign_in = parts.map(|parts| SignIn::new(parts, config.token_hasher.clone()));
        if let Some(sign_in) = &sign_in {
            sign_in.sessions.follow(&tasks);
        }
        let log = has_callers.then(|| Arc::clone(store.log()));
        let api_keys = log.clone().map(|log| KnownKeys::new(Followed::start(log, &tasks)));
        let members = log.clone().map(|log| Followed::start(log, &tasks));
        let followed = log.map(|log| Followed::start(log, &tasks));
        let tenants = Tenants::new(followed, store.clone(), config.development);
        let links = DownloadLinks::new(config.download_secret.clone(), config.public_base_url.clone());
        let (throttle, transfers) =
            (Arc::new(Throttle::new(config.rate_limits)), Transfers::new(config.transfer_limits));
        let live = Hub::new(Arc::clone(store.log()), tasks.clone());
        let started = Instant::now();
        let incarnation_ms = OnceCell::new();
        Self(Arc::new(Shared {
            store,
            projections,
            device_reads: DeviceReads::new(db.clone(), tasks.clone()),
            db,
            dead_letters,
            telemetry,
            feed_consumers,
            stream_sizes,
            network,
            secrets,
            objects: Arc::clone(firmware_store.objects()),
            firmware_store,
            proofs: Proofs::default(),
            config,
            metrics,
            checks,
            counted: Counted::default(),
            tokens,
            sign_in,
            tenants,
            members,
            api_keys,
            throttle,
            transfers,
            links,
            downloads: Counters::default(),
            own_writes: OwnWrites::default(),
            previews: Previews::default(),
            exports: ExportSlots::default(),
            documents: DocumentSlots::default(),
            live,
            streams: StreamSlots::default(),
            registrations: RegistrationLimits::default(),
            tasks,
            read_models_seen: AtomicBool::new(false),
            started,
            incarnation_ms,
        }))
    }

    /// The API keys that this process knows.
    pub(crate) fn known_keys(&self) -> Result<&KnownKeys, Problem> {
        self.api_keys.as_ref().ok_or_else(|| Problem::internal("this process doesn't follow API keys"))
    }

    /// The sealed secrets of tenants.
    pub(crate) fn secrets(&self) -> Result<&SecretStore, Problem> {
        let unavailable = || Problem::unavailable("secrets_unavailable", "the secrets of tenants can't be reached");
        self.secrets.as_ref().ok_or_else(unavailable)
    }

    /// The members of all tenants that this process knows.
    pub(crate) fn known_members(&self) -> Result<&Followed<Member>, Problem> {
        self.members.as_ref().ok_or_else(|| Problem::internal("this process doesn't follow members"))
    }

    /// A caller with what their tenant grants them, beside what their token says.
    pub(crate) fn with_grants(&self, mut caller: Caller) -> Result<Caller, Problem> {
        let key = Key::new(&caller.tenant, &MemberId::of(&caller.actor));
        if let Some(member) = self.known_members()?.get(&key)? {
            caller.grant(&member.aggregate.grants);
        }
        Ok(caller)
    }

    /// Waits until a process that has just started knows the members of tenants.
    pub(crate) async fn knows_all_members(&self) -> Result<(), Problem> {
        let (members, begun) = (self.known_members()?, Instant::now());
        while !members.has_caught_up() {
            if begun.elapsed() >= MEMBERS_WAIT_MAX {
                return Err(Problem::unavailable("starting", "the members of tenants are not known yet"));
            }
            tokio::time::sleep(MEMBERS_POLL).await;
        }
        Ok(())
    }

    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// When the log was created, in milliseconds since 1970. Asked once: a process works with one log only.
    pub(crate) async fn incarnation_ms(&self) -> Result<u64, StoreError> {
        let info = async || self.store.log().info().await.map(|info| info.incarnation_ms);
        self.incarnation_ms.get_or_try_init(info).await.copied()
    }

    /// The position that clients see for a sequence number.
    pub(crate) async fn token(&self, sequence: u64) -> Result<PositionToken, StoreError> {
        Ok(PositionToken { incarnation_ms: self.incarnation_ms().await?, sequence })
    }
}
