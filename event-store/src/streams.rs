//! The required streams and their configuration.
//!
//! A missing stream is created, if the user may do that. An existing stream that differs is refused, naming the field. It is never changed
//! automatically, because its configuration may be intended.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::kv;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use bytes::Bytes;
use domain::tenant::{DEAD_LETTERS_MAX_DAYS, TELEMETRY_MAX_DAYS};
use tokio::time::{Instant, sleep};

use crate::connection;
use crate::error::StoreError;
use crate::jetstream_api::{ApiError, ask};
use crate::log::RECORD_MAX_BYTES;

pub const EVENTS: &str = "EVENTS";
pub const FEED: &str = "FEED";
pub const TELEMETRY: &str = "TELEMETRY";
pub const DEAD_LETTERS: &str = "DEAD_LETTERS";
/// Queue of the events of network servers.
pub const NETWORK: &str = "NETWORK";
/// Key-value bucket of the leases.
pub const LEASES: &str = "LEASES";
/// Key-value bucket of the secrets.
pub const SECRETS: &str = "SECRETS";
/// Key-value bucket of the web sessions of people.
pub const SESSIONS: &str = "SESSIONS";
/// Stream of this bucket.
pub(crate) const SESSIONS_STREAM: &str = "KV_SESSIONS";

/// Key-value bucket of the tickets of streams.
pub const TICKETS: &str = "TICKETS";
/// Stream of this bucket.
pub(crate) const TICKETS_STREAM: &str = "KV_TICKETS";

/// Oldest supported nats-server.
pub const SERVER_VERSION_MIN: (u64, u64, u64) = (2, 12, 0);
/// How long FEED keeps its messages.
pub const FEED_MAX_AGE: Duration = Duration::from_secs(30 * DAY_S);
/// How long telemetry is kept.
pub const TELEMETRY_MAX_AGE: Duration = Duration::from_secs(TELEMETRY_MAX_DAYS as u64 * DAY_S);
/// Largest telemetry message, in bytes.
pub const TELEMETRY_MAX_BYTES: usize = 64 * 1024;
/// How long dead letters are kept.
pub const DEAD_LETTERS_MAX_AGE: Duration = Duration::from_secs(DEAD_LETTERS_MAX_DAYS as u64 * DAY_S);
/// Most bytes of dead letters; the oldest go first.
pub const DEAD_LETTERS_MAX_BYTES: i64 = 256 * 1024 * 1024;
/// Largest event of a network server, in bytes.
pub const NETWORK_BODY_MAX_BYTES: usize = 128 * 1024;
/// Most events of one tenant that wait. Further ones are refused.
pub const NETWORK_TENANT_MAX: i64 = 20_000;
/// Most bytes of events that wait, of all tenants. Further ones are refused.
pub const NETWORK_MAX_BYTES: i64 = 64 * 1024 * 1024;
/// Most bytes of events of one tenant that wait, as estimated (ADR 80). Further ones are refused.
pub const NETWORK_TENANT_MAX_BYTES: u64 = NETWORK_MAX_BYTES as u64 / 4;
/// Within this time a copy of an event is recognised as one.
pub const NETWORK_DUPLICATES_WITHIN: Duration = Duration::from_secs(120);
/// Largest value of a secret, in bytes.
pub const SECRET_VALUE_MAX_BYTES: usize = 16 * 1024;
/// How long a deleted secret leaves a mark.
pub const SECRET_MARKER_TTL: Duration = Duration::from_secs(60);
/// How long a session, or the mark of an ended one, is kept after its last change. No session lasts longer, so a process that was cut off
/// still finds the mark of a session that it knows.
pub const SESSIONS_MAX_AGE: Duration = Duration::from_secs(DAY_S);
/// Most bytes of sessions; beyond, no further one begins.
pub const SESSIONS_MAX_BYTES: i64 = 32 * 1024 * 1024;
/// Largest sealed session, in bytes.
pub const SESSION_VALUE_MAX_BYTES: usize = 2 * 1024;
/// How long a ticket, or the mark of a used one, is kept. No ticket lasts longer.
pub const TICKETS_MAX_AGE: Duration = Duration::from_secs(120);
/// Most bytes of tickets; beyond, no further one is issued.
pub const TICKETS_MAX_BYTES: i64 = 64 * 1024 * 1024;
/// Largest lease, in bytes.
const LEASE_MAX_BYTES: i32 = 1_024;
/// How long to wait for JetStream to be ready.
pub(crate) const READY_TIMEOUT: Duration = Duration::from_secs(30);
pub(crate) const READY_PAUSE: Duration = Duration::from_millis(200);
/// Room for headers beside the largest record, in bytes.
const HEADERS_BYTES: usize = 4 * 1024;

const DAY_S: u64 = 24 * 60 * 60;
const STREAM_NOT_FOUND: u64 = 10_059;

/// What to do about a stream that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    Create,
    /// Wait, up to a limit, until another process has created it.
    Wait,
}

/// Why the streams can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("nats-server {found} is too old: {} or newer is needed", version_text(SERVER_VERSION_MIN))]
    ServerTooOld { found: String },
    #[error("nats-server takes messages of {found} bytes; set max_payload to {wanted} or more")]
    PayloadTooSmall { found: usize, wanted: usize },
    #[error(
        "stream {stream}: {field} is {found}, must be {wanted}; refusing to start, change it or point to another NATS account"
    )]
    Differs { stream: String, field: &'static str, found: String, wanted: String },
    #[error("stream {stream} is missing and can't be created: {reason}")]
    CannotCreate { stream: String, reason: String },
    #[error("stream {0} is missing: start a process with the API, which creates it")]
    Missing(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl SetupError {
    /// Whether waiting may help.
    fn may_pass(&self) -> bool {
        matches!(self, Self::Missing(_)) || matches!(self, Self::Store(error) if error.is_unavailable())
    }
}

/// Checks the server and all streams; missing ones are created with this many replicas, or waited for. Waits, up to a limit, until JetStream
/// is ready.
pub async fn ensure(client: &Client, replicas: usize, missing: Missing) -> Result<(), SetupError> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        match ensure_now(client, replicas, missing).await {
            Err(error) if error.may_pass() && Instant::now() < deadline => sleep(READY_PAUSE).await,
            done => return done,
        }
    }
}

async fn ensure_now(client: &Client, replicas: usize, missing: Missing) -> Result<(), SetupError> {
    crate::jetstream_api::connected(client)?;
    check_server(client)?;
    let streams = [events, feed, telemetry, dead_letters, network_events, secrets, sessions, tickets]
        .map(|config| config(replicas));
    for wanted in streams {
        match found(client, &wanted.name).await? {
            Some(found) => compare(&wanted, &found)?,
            None if missing == Missing::Create => create(client, wanted).await?,
            None => return Err(SetupError::Missing(wanted.name)),
        }
    }
    ensure_leases(client, replicas, missing).await
}

fn check_server(client: &Client) -> Result<(), SetupError> {
    let info = client.server_info();
    let numbers: Vec<u64> = info.version.split(['.', '-']).map_while(|part| part.parse().ok()).take(3).collect();
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if numbers < vec![major, minor, patch] {
        return Err(SetupError::ServerTooOld { found: info.version });
    }
    let wanted = RECORD_MAX_BYTES + HEADERS_BYTES;
    if info.max_payload < wanted {
        return Err(SetupError::PayloadTooSmall { found: info.max_payload, wanted });
    }
    Ok(())
}

fn base(name: &str, subject: &str, replicas: usize) -> Config {
    Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::Old,
        num_replicas: replicas,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_bytes: -1,
        max_consumers: -1,
        max_message_size: -1,
        allow_direct: true,
        allow_rollup: false,
        ..Config::default()
    }
}

/// The event log: keeps everything, forbids deletion of single messages, and refuses new records when it is full.
pub fn events(replicas: usize) -> Config {
    Config {
        discard: DiscardPolicy::New,
        deny_delete: true,
        max_message_size: RECORD_MAX_BYTES as i32,
        ..base(EVENTS, "ev.>", replicas)
    }
}

/// The public feed: retention by age.
pub fn feed(replicas: usize) -> Config {
    Config { max_age: FEED_MAX_AGE, deny_delete: true, ..base(FEED, "feed.>", replicas) }
}

/// Heartbeats, progress and measurements: retention by age.
pub fn telemetry(replicas: usize) -> Config {
    let max_message_size = TELEMETRY_MAX_BYTES as i32;
    Config { max_age: TELEMETRY_MAX_AGE, max_message_size, ..base(TELEMETRY, "telemetry.>", replicas) }
}

/// Messages of devices that could not be understood: bounded by age and size.
pub fn dead_letters(replicas: usize) -> Config {
    Config {
        max_age: DEAD_LETTERS_MAX_AGE,
        max_bytes: DEAD_LETTERS_MAX_BYTES,
        ..base(DEAD_LETTERS, "dead.>", replicas)
    }
}

/// Events of network servers that wait to be handled. It never drops one: when it is full, or a tenant has the most that it may have, further
/// ones are refused.
pub fn network_events(replicas: usize) -> Config {
    Config {
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        discard_new_per_subject: true,
        max_messages_per_subject: NETWORK_TENANT_MAX,
        max_bytes: NETWORK_MAX_BYTES,
        max_message_size: (NETWORK_BODY_MAX_BYTES + HEADERS_BYTES) as i32,
        duplicate_window: NETWORK_DUPLICATES_WITHIN,
        ..base(NETWORK, "net.*", replicas)
    }
}

/// The bucket of the secrets: one value per name, so that nothing remains of an older one.
pub fn secrets(replicas: usize) -> Config {
    Config {
        discard: DiscardPolicy::New,
        deny_delete: true,
        max_messages_per_subject: 1,
        max_message_size: (SECRET_VALUE_MAX_BYTES + trust::sealing::SEAL_MAX_BYTES + HEADERS_BYTES) as i32,
        allow_rollup: true,
        allow_message_ttl: true,
        subject_delete_marker_ttl: Some(SECRET_MARKER_TTL),
        ..base(&format!("KV_{SECRETS}"), &format!("$KV.{SECRETS}.>"), replicas)
    }
}

/// The bucket of the sessions: one value per key, bounded by age and size. When it is full, no session is lost; none begins.
pub fn sessions(replicas: usize) -> Config {
    Config {
        discard: DiscardPolicy::New,
        max_messages_per_subject: 1,
        max_age: SESSIONS_MAX_AGE,
        max_bytes: SESSIONS_MAX_BYTES,
        max_message_size: (SESSION_VALUE_MAX_BYTES + HEADERS_BYTES) as i32,
        ..base(SESSIONS_STREAM, &format!("$KV.{SESSIONS}.>"), replicas)
    }
}

/// The bucket of the tickets: one value per key, for a short time.
pub fn tickets(replicas: usize) -> Config {
    Config {
        max_age: TICKETS_MAX_AGE,
        max_bytes: TICKETS_MAX_BYTES,
        ..Config { name: TICKETS_STREAM.to_owned(), subjects: vec![format!("$KV.{TICKETS}.>")], ..sessions(replicas) }
    }
}

type Field = (&'static str, fn(&Config) -> String);

/// The fields that are compared: those that this crate depends on.
const FIELDS: [Field; 18] = [
    ("subjects", |config| config.subjects.join(" ")),
    ("retention", |config| format!("{:?}", config.retention)),
    ("storage", |config| format!("{:?}", config.storage)),
    ("discard", |config| format!("{:?}", config.discard)),
    ("discard_new_per_subject", |config| config.discard_new_per_subject.to_string()),
    ("num_replicas", |config| config.num_replicas.to_string()),
    ("max_msgs", |config| unlimited(config.max_messages)),
    ("max_msgs_per_subject", |config| unlimited(config.max_messages_per_subject)),
    ("max_bytes", |config| unlimited(config.max_bytes)),
    ("max_msg_size", |config| unlimited(i64::from(config.max_message_size))),
    ("max_age", |config| format!("{} s", config.max_age.as_secs())),
    ("allow_direct", |config| config.allow_direct.to_string()),
    ("allow_rollup_hdrs", |config| config.allow_rollup.to_string()),
    ("deny_delete", |config| config.deny_delete.to_string()),
    ("no_ack", |config| config.no_ack.to_string()),
    ("sealed", |config| config.sealed.to_string()),
    ("mirror", |config| config.mirror.is_some().to_string()),
    ("subject_transform", |config| config.subject_transform.is_some().to_string()),
];

fn unlimited(limit: i64) -> String {
    if limit <= 0 { "unlimited".to_owned() } else { limit.to_string() }
}

fn compare(wanted: &Config, found: &Config) -> Result<(), SetupError> {
    for (field, text) in FIELDS {
        let (found, wanted_text) = (text(found), text(wanted));
        if found != wanted_text {
            return Err(SetupError::Differs { stream: wanted.name.clone(), field, found, wanted: wanted_text });
        }
    }
    Ok(())
}

async fn found(client: &Client, stream: &str) -> Result<Option<Config>, SetupError> {
    #[derive(serde::Deserialize)]
    struct Info {
        config: Config,
    }
    match ask::<Info>(client, format!("$JS.API.STREAM.INFO.{stream}"), Bytes::new()).await? {
        Ok(info) => Ok(Some(info.config)),
        Err(ApiError { err_code: STREAM_NOT_FOUND, .. }) => Ok(None),
        Err(error) => Err(error.into_store_error().into()),
    }
}

async fn create(client: &Client, wanted: Config) -> Result<(), SetupError> {
    let stream = wanted.name.clone();
    let body = serde_json::to_vec(&wanted).map_err(|error| StoreError::Refused(error.to_string()))?;
    let answer = ask::<serde::de::IgnoredAny>(client, format!("$JS.API.STREAM.CREATE.{stream}"), body.into()).await;
    match answer {
        Ok(Ok(_)) => {
            tracing::info!(stream, replicas = wanted.num_replicas, "stream created");
            Ok(())
        }
        Ok(Err(error)) if error.code != 503 => Err(SetupError::CannotCreate { stream, reason: error.description }),
        Ok(Err(error)) => Err(error.into_store_error().into()),
        Err(error) => Err(error.into()),
    }
}

async fn ensure_leases(client: &Client, replicas: usize, missing: Missing) -> Result<(), SetupError> {
    let stream = format!("KV_{LEASES}");
    if found(client, &stream).await?.is_some() {
        return Ok(());
    }
    if missing == Missing::Wait {
        return Err(SetupError::Missing(stream));
    }
    let config = kv::Config {
        bucket: LEASES.to_owned(),
        history: 1,
        max_value_size: LEASE_MAX_BYTES,
        num_replicas: replicas,
        ..kv::Config::default()
    };
    match connection::jetstream(client).create_key_value(config).await {
        Ok(_) => Ok(()),
        Err(error) => Err(SetupError::CannotCreate { stream: format!("KV_{LEASES}"), reason: error.to_string() }),
    }
}

fn version_text((major, minor, patch): (u64, u64, u64)) -> String {
    format!("{major}.{minor}.{patch}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_keeps_less_is_refused() {
        let found = Config { max_messages_per_subject: 10, ..events(1) };
        let error = compare(&events(1), &found).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stream EVENTS: max_msgs_per_subject is 10, must be unlimited; refusing to start, change it or point to another NATS account"
        );
    }

    #[test]
    fn zero_and_minus_one_are_both_unlimited() {
        assert!(compare(&events(1), &Config { max_messages: 0, ..events(1) }).is_ok());
    }
}
