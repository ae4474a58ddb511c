//! Commands as downlinks: the way to devices of LoRaWAN.
//!
//! A retained message replaces the one before; a downlink is one more item of a queue. [`super::device_queue`] makes sending the same command
//! again harmless: the queue is read first. What has left the queue may be on its way, or the device's answer may be, so the command goes out
//! again only when the device had time to answer, or when ChirpStack says that the item ended otherwise. A new owner doesn't know what has left
//! the queue, and the queue alone decides.

use std::time::Duration;

use async_trait::async_trait;
use chirpstack::grpc::{Error, KeyState};
use chrono::{DateTime, TimeDelta, Utc};
use domain::TenantId;
use domain::device::{Desired, Device, Update};
use domain::values::Transport;
use domain::window::Opening;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::time::Instant;

use super::clients::{Clients, Made, NoClient, TenantCalls};
use super::codec::{DownMessage, short_ordinal};
use super::device_queue::{self, DeviceQueues, QueueStep, WantedDownlink, next_step};
use crate::changed_tenants::ChangedTenants;
use crate::command::{self, COMMAND_TTL_S, Command, CommandError, Fingerprint};
use crate::device_ref::DeviceRef;
use crate::install_window::InstallWindow;
use crate::topics::Channel;
use crate::way::{NotSent, Recipient, Way};

/// Most devices whose last downlink is remembered. The downlink of an evicted one is sent again if its queue is empty.
const REMEMBERED_MAX: u64 = 100_000;
/// How long a device may take to answer that doesn't say how often it sends, in seconds.
const CONTACT_DEFAULT_S: u32 = 900;
/// Bounds of that time, in seconds.
const CONTACT_S: std::ops::RangeInclusive<u32> = 30..=6 * 3_600;
/// Least time between two downlinks of the same command; doubles up to the longest.
const SPACING: Duration = Duration::from_secs(5);
const SPACING_MAX: Duration = Duration::from_secs(3_600);
/// Pause after an Enqueue without an answer: it may still be carried out.
const SETTLE: Duration = Duration::from_secs(10);
/// Pause of a device that ChirpStack doesn't know or refuses, or whose tenant has no ChirpStack. Events that change this are hints.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(600);
/// Pause of a device after an internal error of ChirpStack.
const BROKEN_PAUSE: Duration = Duration::from_secs(60);
/// How long a cancel waits for its device. It waits also when the update counts as cancelled because the device didn't answer.
const CANCEL_TTL: TimeDelta = TimeDelta::days(1);

pub(crate) struct Downlinks {
    clients: Clients,
    changed_tenants: ChangedTenants,
    queued: Cache<DeviceRef, Queued>,
}

/// A downlink that was put into a queue, as far as this process knows.
#[derive(Debug, Clone)]
struct Queued {
    data: Vec<u8>,
    /// How often.
    times: u32,
    /// When it was put into the queue last.
    at: Instant,
    /// It was no longer in the queue, or ChirpStack has said that it ended.
    has_left: bool,
}

/// What was found in a queue, or done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Brought {
    /// The queue is as it should be.
    Stands,
    /// The command has left the queue; its answer is awaited.
    Left,
    /// It has left the queue without an answer, but is sent again only after this time.
    TooSoon(Duration),
    Queued,
    /// Removed from the queue.
    TakenBack,
}

impl Brought {
    /// For metrics.
    fn word(self) -> &'static str {
        match self {
            Self::Stands => "stands",
            Self::Left | Self::TooSoon(_) => "left",
            Self::Queued => "queued",
            Self::TakenBack => "taken_back",
        }
    }
}

/// A call that failed.
struct FailedCall {
    error: Error,
    /// The device's queue was read before: ChirpStack knows the device.
    is_known: bool,
}

impl Downlinks {
    pub(crate) fn new(clients: Clients, changed_tenants: ChangedTenants) -> Self {
        // The default policy keeps devices whose updates have ended, if they were used more often.
        let queued = Cache::builder().max_capacity(REMEMBERED_MAX).eviction_policy(EvictionPolicy::lru()).build();
        Self { clients, changed_tenants, queued }
    }

    /// ChirpStack has dropped an item of the device.
    pub(crate) fn has_ended(&self, device: &DeviceRef) {
        if let Some(queued) = self.queued.get(device) {
            self.queued.insert(device.clone(), Queued { has_left: true, ..queued });
        }
    }

    async fn try_send(&self, to: &Recipient<'_>, dev_eui: &str, command: &Command) -> Result<Duration, NotSent> {
        let wanted = wanted(to, command)?;
        let tenant = &to.device.tenant;
        let calls = self.clients.calls(tenant);
        let _turn = calls.turn().await.map_err(NotSent::Later)?;
        let position = self.changed_tenants.get(tenant).unwrap_or(0);
        let made = match self.clients.client(tenant, &calls, position).await {
            Ok(made) => made,
            Err(NoClient::NotConnected) if wanted.is_none() => return Ok(Duration::ZERO),
            Err(error) => return Err(no_client(tenant, &calls, command, &error)),
        };
        match bring(&*made.queues, &self.queued, to, dev_eui, wanted.as_ref()).await {
            Ok(brought) => {
                calls.has_answered(tenant);
                count(command, brought.word());
                match brought {
                    Brought::TooSoon(wait) => Err(NotSent::Later(wait)),
                    _ => Ok(answer_within(to.aggregate)),
                }
            }
            Err(failed) => {
                let is_wanted = wanted.is_some();
                not_brought(&made, &calls, to, failed, is_wanted).await.map_err(|(outcome, pause)| {
                    count(command, outcome);
                    NotSent::Later(pause)
                })
            }
        }
    }
}

#[async_trait]
impl Way for Downlinks {
    fn reaches(&self, device: &Device) -> bool {
        device.profile.transport == Transport::Lorawan
    }

    fn is_open(&self) -> bool {
        true
    }

    fn pause(&self, tenant: &TenantId) -> Option<Duration> {
        self.clients.calls(tenant).pause()
    }

    /// A device that restarts knows its update; downlinks are scarce.
    fn sends_answered(&self) -> bool {
        false
    }

    /// It goes out when the device sends something, which may be later than the time for its answer.
    fn leaves_unanswered(&self) -> bool {
        true
    }

    fn runs_commands(&self) -> bool {
        false
    }

    fn fingerprint(&self, to: &Recipient<'_>) -> Fingerprint {
        command::fingerprint(to.aggregate, InstallWindow::Always)
    }

    fn command(&self, to: &Recipient<'_>) -> Result<Command, CommandError> {
        let Some(downlink) = downlink(to.aggregate)? else { return Ok(Command::nothing()) };
        Ok(Command { fingerprint: self.fingerprint(to), payload: downlink.encode().into(), expires_at: None })
    }

    async fn send(&self, to: &Recipient<'_>, _channel: Channel, command: &Command) -> Result<Duration, NotSent> {
        match &to.aggregate.profile.lorawan_dev_eui {
            Some(dev_eui) => self.try_send(to, dev_eui, command).await,
            // It is no LoRaWAN device any more. ChirpStack removes its queue with its copy.
            None => Ok(Duration::ZERO),
        }
    }
}

/// The device's current command.
fn downlink(device: &Device) -> Result<Option<DownMessage>, CommandError> {
    let ordinal = |update: &Update| short_ordinal(update.ordinal).ok_or_else(|| too_many(update));
    Ok(Some(match device.desired() {
        Desired::Nothing => return Ok(None),
        Desired::Cancel(update) => DownMessage::Cancel { ordinal: ordinal(update)? },
        Desired::Activate(update) => DownMessage::Activate { ordinal: ordinal(update)? },
        Desired::Install(update) => {
            let (sha256, activate) = (&update.spec.firmware.sha256, update.spec.activate);
            DownMessage::install(update.ordinal, update.attempt, sha256, activate).ok_or_else(|| too_many(update))?
        }
    }))
}

fn too_many(update: &Update) -> CommandError {
    CommandError::TooManyUpdates { ordinal: update.ordinal, attempt: update.attempt }
}

/// What the queue should have. While the window is closed the device gets no command, because a downlink can't say that it has to ask.
fn wanted(to: &Recipient<'_>, command: &Command) -> Result<Option<WantedDownlink>, NotSent> {
    if command.fingerprint == Fingerprint::Nothing {
        return Ok(None);
    }
    let longest = to.now + TimeDelta::seconds(COMMAND_TTL_S);
    let by_limits = match to.aggregate.desired() {
        Desired::Install(update) if !update.reached => longest.min(update.wait_until),
        Desired::Cancel(_) => to.now + CANCEL_TTL,
        Desired::Install(_) | Desired::Activate(_) | Desired::Nothing => longest,
    };
    let expires_at = match to.opening {
        Opening::Always => by_limits,
        Opening::Open { until } => by_limits.min(until),
        Opening::Closed { until } => return Err(NotSent::Later(until_after(to.now, until))),
    };
    Ok(Some(WantedDownlink { data: command.payload.to_vec(), expires_at }))
}

fn until_after(now: DateTime<Utc>, until: DateTime<Utc>) -> Duration {
    (until - now).to_std().unwrap_or_default() + Duration::from_secs(1)
}

/// How long the device may take to answer: it receives something only after it has sent something.
fn answer_within(device: &Device) -> Duration {
    let contact_s = device.profile.contact_interval_s.unwrap_or(CONTACT_DEFAULT_S);
    Duration::from_secs(contact_s.clamp(*CONTACT_S.start(), *CONTACT_S.end()).into())
}

/// Makes the device's queue have what is wanted.
async fn bring(
    queues: &dyn DeviceQueues,
    queued: &Cache<DeviceRef, Queued>,
    to: &Recipient<'_>,
    dev_eui: &str,
    wanted: Option<&WantedDownlink>,
) -> Result<Brought, FailedCall> {
    let failed = |is_known: bool| move |error: Error| FailedCall { error, is_known };
    let device = to.device;
    let items = queues.items(dev_eui).await.map_err(failed(false))?;
    let before = queued.get(device).filter(|before| wanted.is_some_and(|wanted| wanted.data == before.data));
    match (next_step(wanted.map(|wanted| &wanted.data[..]), &items, to.now), wanted) {
        (QueueStep::Stands, None) => Ok(Brought::Stands),
        (QueueStep::Stands, Some(wanted)) => {
            let found = Queued { data: wanted.data.clone(), times: 1, at: Instant::now(), has_left: false };
            queued.insert(device.clone(), before.map_or(found, |before| Queued { has_left: false, ..before }));
            Ok(Brought::Stands)
        }
        (QueueStep::Enqueue { flush }, Some(wanted)) => {
            match before.clone() {
                Some(before) if !before.has_left => {
                    queued.insert(device.clone(), Queued { has_left: true, ..before });
                    return Ok(Brought::Left);
                }
                Some(before) if !before.spacing_left().is_zero() => return Ok(Brought::TooSoon(before.spacing_left())),
                _ => {}
            }
            queues.enqueue(device_queue::item(dev_eui, wanted), flush).await.map_err(failed(true))?;
            let times = before.map_or(1, |before| before.times.saturating_add(1));
            let now = Queued { data: wanted.data.clone(), times, at: Instant::now(), has_left: false };
            queued.insert(device.clone(), now);
            Ok(Brought::Queued)
        }
        (QueueStep::Flush | QueueStep::Enqueue { .. }, _) => {
            queues.flush(dev_eui).await.map_err(failed(true))?;
            queued.invalidate(device);
            Ok(Brought::TakenBack)
        }
    }
}

impl Queued {
    /// How long the same command is not put into the queue again.
    fn spacing_left(&self) -> Duration {
        let spacing = SPACING.saturating_mul(1 << self.times.saturating_sub(1).min(10)).min(SPACING_MAX);
        spacing.saturating_sub(self.at.elapsed())
    }
}

/// What a failed call means for the device: an outcome for metrics, and a pause. `Ok` if there is nothing to take back.
async fn not_brought(
    made: &Made,
    calls: &TenantCalls,
    to: &Recipient<'_>,
    FailedCall { error, is_known }: FailedCall,
    is_wanted: bool,
) -> Result<Duration, (&'static str, Duration)> {
    let (tenant, device) = (&to.device.tenant, &to.device.device);
    let tenant_waits = |error: &Error| {
        calls.has_failed(tenant, error);
        let pause = calls.pause().unwrap_or_default();
        Err(("unavailable", if is_known { pause.max(SETTLE) } else { pause }))
    };
    let refused = match error {
        Error::Unavailable { .. } | Error::DeadlineExceeded | Error::NotChirpstack { .. } => {
            return tenant_waits(&error);
        }
        // The key may read, but not write.
        Error::Unauthenticated { .. } if is_known => return tenant_waits(&error),
        Error::NotFound { .. } => None,
        Error::Unauthenticated { .. } => {
            let application = to.aggregate.profile.chirpstack_app_id.as_deref().unwrap_or_default();
            match made.queues.probe(application, &made.chirpstack_tenant_id).await {
                Ok(KeyState::Accepted | KeyState::ApplicationUnknown) => None,
                Ok(KeyState::Refused) => return tenant_waits(&error),
                Err(error) => return tenant_waits(&error),
            }
        }
        Error::Internal { .. } => Some((error, ("failed", BROKEN_PAUSE))),
        Error::Duplicate { .. } | Error::Malformed { .. } | Error::Refused { .. } => {
            Some((error, ("refused", UNKNOWN_PAUSE)))
        }
    };
    calls.has_answered(tenant);
    match refused {
        None if !is_wanted => Ok(Duration::ZERO),
        None => Err(("unknown_device", UNKNOWN_PAUSE)),
        Some((error, outcome)) => {
            tracing::info!(tenant.id = %tenant, device.id = %device, %error, "ChirpStack doesn't take a command");
            Err(outcome)
        }
    }
}

fn no_client(tenant: &TenantId, calls: &TenantCalls, command: &Command, error: &NoClient) -> NotSent {
    match error {
        NoClient::Store(error) if !error.is_final() => NotSent::Soon,
        NoClient::NotConnected => {
            count(command, "not_connected");
            NotSent::Later(UNKNOWN_PAUSE)
        }
        NoClient::Store(_) | NoClient::Secret(_) | NoClient::Invalid(_) => {
            count(command, "unavailable");
            calls.has_failed(tenant, error);
            NotSent::Later(calls.pause().unwrap_or(UNKNOWN_PAUSE))
        }
    }
}

fn count(command: &Command, outcome: &'static str) {
    let kind = command.fingerprint.kind();
    metrics::counter!("waybill_lorawan_commands_total", "kind" => kind, "outcome" => outcome).increment(1);
}

#[cfg(test)]
mod tests;
