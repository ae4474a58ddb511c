//! One device: load it, and send its command if that isn't what was sent last. The one rule for all transports.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{CommandState, Desired, Device, Lifecycle, Phase, Reachability, Update, WaitReason};
use domain::window::Opening;
use domain::{CampaignId, Key, TenantId};
use event_store::{EventStore, StoreError};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use runtime::clock;
use tokio::time::Instant;

use super::pending::{Force, Hint};
use crate::changed_tenants::ChangedTenants;
use crate::command::{self, COMMAND_TTL_S, Command, CommandError, Fingerprint};
use crate::device_ref::DeviceRef;
use crate::dispatch_rules::{self, Ruling};
use crate::install_window;
use crate::topics::Channel;
use crate::way::{NotSent, Recipient, Way};

/// Most topics whose last command is kept, in some 450 bytes each: more than have something under way. The command of an evicted one is
/// published again at the next hint.
const REMEMBERED_MAX: u64 = 100_000;
/// Most changed campaigns that are kept. An evicted one is up to date when the process that knows it has read it again.
const ADJUSTED_MAX: u64 = 10_000;
/// A link is renewed when less than half of its lifetime is left.
const RENEW_BEFORE: TimeDelta = TimeDelta::seconds(COMMAND_TTL_S / 2);

/// The published command of a topic, as far as this owner knows.
#[derive(Debug, Clone, Copy)]
pub(super) struct Published {
    pub(super) fingerprint: Fingerprint,
    expires_at: Option<DateTime<Utc>>,
    /// How often it was sent.
    pub(super) sent: u32,
    /// When it was sent last.
    pub(super) at: Instant,
}

/// The last published command of each topic: [`Channel::Commands`] and [`Channel::Run`] of each device.
pub(super) type Memory = Cache<(DeviceRef, Channel), Published>;

/// Campaigns that were changed while they run, with the position: another process may have changed them.
pub(super) type Adjusted = Cache<(TenantId, CampaignId), u64>;

pub(super) fn adjusted() -> Adjusted {
    Cache::new(ADJUSTED_MAX)
}

pub(super) fn memory() -> Memory {
    // The default policy keeps devices whose updates have ended, if they were used more often.
    Cache::builder().max_capacity(REMEMBERED_MAX).eviction_policy(EvictionPolicy::lru()).build()
}

pub(super) struct Deliverer {
    pub(super) store: EventStore,
    pub(super) way: Arc<dyn Way>,
    pub(super) memory: Memory,
    pub(super) adjusted: Adjusted,
    pub(super) changed_tenants: ChangedTenants,
}

/// Result of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivered {
    /// The current commands are published.
    Stands { awaited: Unanswered },
    /// The device is not reached this way.
    Elsewhere,
    /// To be retried.
    Failed,
    /// To be retried, but not soon.
    Later { pause: Duration },
}

/// The commands of each topic that were sent and that the device has not answered yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Unanswered {
    commands: Option<Sent>,
    run: Option<Sent>,
}

/// A command that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// How often.
    pub(super) times: u32,
    /// How long an answer may take at least.
    pub(super) answer_within: Duration,
}

impl Unanswered {
    pub(super) fn each(self) -> impl Iterator<Item = (Channel, Sent)> {
        let both = [(Channel::Commands, self.commands), (Channel::Run, self.run)];
        both.into_iter().filter_map(|(channel, sent)| Some((channel, sent?)))
    }
}

/// The command that a topic should have.
struct Wanted {
    channel: Channel,
    fingerprint: Fingerprint,
    /// The device has not answered it yet.
    is_awaited: bool,
}

impl Deliverer {
    pub(super) async fn deliver(self: Arc<Self>, device: DeviceRef, hint: Hint) -> (DeviceRef, Delivered) {
        if let Some(pause) = self.way.pause(&device.tenant) {
            return (device, Delivered::Later { pause });
        }
        let delivered = match self.load(&device, hint).await {
            Ok(aggregate) if self.way.reaches(&aggregate) => self.publish(&device, &aggregate, hint.force).await,
            Ok(aggregate) => self.leave(&device, &aggregate).await,
            Err(error) => not_loaded(&device, &error),
        };
        (device, delivered)
    }

    /// The device with all events up to the hint.
    async fn load(&self, device: &DeviceRef, hint: Hint) -> Result<Arc<Device>, StoreError> {
        let key = Key::<Device>::new(&device.tenant, &device.device);
        let known = self.store.load(&key).await?;
        let loaded =
            if hint.to > 0 && known.last_sequence >= hint.to { known } else { self.store.load_fresh(&key).await? };
        Ok(Arc::clone(&loaded.aggregate))
    }

    /// Takes back what was sent to a device that is now reached another way. An earlier owner may have sent what this one doesn't know, so each
    /// topic is cleared once, and then remembered as clear.
    async fn leave(&self, device: &DeviceRef, aggregate: &Device) -> Delivered {
        let to = Recipient { device, aggregate, opening: Opening::Always, signatures: &[], now: clock::now() };
        let runs_commands = self.way.runs_commands() && aggregate.commands.last_n > 0;
        for channel in [Some(Channel::Commands), runs_commands.then_some(Channel::Run)].into_iter().flatten() {
            let key = (device.clone(), channel);
            if self.memory.get(&key).is_some_and(|last| last.fingerprint == Fingerprint::Nothing) {
                continue;
            }
            if let Err(not_sent) = self.way.send(&to, channel, &Command::nothing()).await {
                return not_sent.into();
            }
            self.memory.insert(key, Published::nothing());
        }
        Delivered::Elsewhere
    }

    async fn publish(&self, device: &DeviceRef, aggregate: &Device, force: Force) -> Delivered {
        let now = clock::now();
        let (opening, Ruling { keeps_back, signatures }) = match self.circumstances(device, aggregate, now).await {
            Ok(found) => found,
            Err(error) => return not_loaded(device, &error),
        };
        let to = Recipient { device, aggregate, opening, signatures: &signatures, now };
        let fingerprint = if keeps_back { Fingerprint::Nothing } else { self.way.fingerprint(&to) };
        let is_awaited = !keeps_back && is_awaited(aggregate);
        let of_update = Wanted { channel: Channel::Commands, fingerprint, is_awaited };
        let commands = match self.stays(&to, &of_update).await {
            Ok(true) => Ok(None),
            Ok(false) => self.bring_up_to_date(&to, of_update, force, || self.way.command(&to)).await,
            Err(error) => return not_loaded(device, &error),
        };
        let run = match self.publish_run(&to, force).await {
            Ok(run) => run,
            Err(error) => return not_loaded(device, &error),
        };
        match (commands, run) {
            (Ok(commands), Ok(run)) => Delivered::Stands { awaited: Unanswered { commands, run } },
            (Err(not_sent), _) | (_, Err(not_sent)) => not_sent.into(),
        }
    }

    /// Whether an earlier command stays under way: on a slow way, one that wasn't answered in time may still be. Not when the tenant's rules
    /// keep it back.
    async fn stays(&self, to: &Recipient<'_>, wanted: &Wanted) -> Result<bool, StoreError> {
        if wanted.fingerprint != Fingerprint::Nothing
            || !self.way.leaves_unanswered()
            || to.aggregate.lifecycle != Lifecycle::Active
        {
            return Ok(false);
        }
        let is_unanswered = |update: &&Update| update.phase == Phase::Waiting(WaitReason::Unresponsive);
        let Some(update) = to.aggregate.updates.values().find(is_unanswered) else { return Ok(false) };
        let tenant = &to.device.tenant;
        let ruling = dispatch_rules::rule_on_beginning(&self.store, tenant, update, self.changed_at(tenant)).await?;
        Ok(!ruling.keeps_back)
    }

    /// The last known record of a tenant.
    fn changed_at(&self, tenant: &TenantId) -> u64 {
        self.changed_tenants.get(tenant).unwrap_or(0)
    }

    /// Publishes the command that the device should run beside its updates. Nothing is done for a device that never had one.
    async fn publish_run(&self, to: &Recipient<'_>, force: Force) -> Result<Result<Option<Sent>, NotSent>, StoreError> {
        let aggregate = to.aggregate;
        if aggregate.commands.last_n == 0 || !self.way.runs_commands() {
            return Ok(Ok(None));
        }
        let tenant = &to.device.tenant;
        let is_kept_back =
            dispatch_rules::keeps_back_run(&self.store, tenant, aggregate, self.changed_at(tenant)).await?;
        let wanted = Wanted {
            channel: Channel::Run,
            fingerprint: if is_kept_back { Fingerprint::Nothing } else { command::run_fingerprint(aggregate) },
            is_awaited: !is_kept_back && is_run_awaited(aggregate),
        };
        Ok(self.bring_up_to_date(to, wanted, force, || command::run(aggregate, to.now)).await)
    }

    /// Sends the command of a topic if it isn't the last one that was sent, or must be sent again. Returns how often it has been sent, if it
    /// was sent now and is awaited.
    async fn bring_up_to_date(
        &self,
        to: &Recipient<'_>,
        wanted: Wanted,
        force: Force,
        make: impl FnOnce() -> Result<Command, CommandError>,
    ) -> Result<Option<Sent>, NotSent> {
        let Wanted { channel, fingerprint, is_awaited } = wanted;
        let device = to.device;
        let key = (device.clone(), channel);
        let same = self.memory.get(&key).filter(|last| last.fingerprint == fingerprint);
        // Only an unanswered command is sent again.
        let again = force.includes(channel) && is_awaited;
        if same.is_some_and(|same| !again && !same.is_ending(to.now)) {
            return Ok(None);
        }
        if !is_awaited && fingerprint != Fingerprint::Nothing && !self.way.sends_answered() {
            return Ok(None);
        }
        let made = if fingerprint == Fingerprint::Nothing { Ok(Command::nothing()) } else { make() };
        let command = match made {
            Ok(command) => command,
            Err(error) => {
                tracing::error!(device.id = %device.device, %error, "no command can be made for a device");
                return Ok(None);
            }
        };
        let times = same.map_or(1, |same| same.sent.saturating_add(1));
        match self.way.send(to, channel, &command).await {
            Ok(answer_within) => {
                let expires_at = command.expires_at;
                let published = Published { fingerprint, expires_at, sent: times, at: Instant::now() };
                self.memory.insert(key, published);
                Ok(is_awaited.then_some(Sent { times, answer_within }))
            }
            Err(not_sent) => {
                // It may or may not have been sent.
                self.memory.invalidate(&key);
                Err(not_sent)
            }
        }
    }

    /// When the device may begin to install, and what the rules of its tenant make of it.
    async fn circumstances(
        &self,
        device: &DeviceRef,
        aggregate: &Device,
        now: DateTime<Utc>,
    ) -> Result<(Opening, Ruling), StoreError> {
        let tenant = &device.tenant;
        let ruling = dispatch_rules::rule(&self.store, tenant, aggregate, self.changed_at(tenant)).await?;
        let Some(campaign) = install_window::campaign_of(aggregate) else { return Ok((Opening::Always, ruling)) };
        let position = self.adjusted.get(&(tenant.clone(), campaign)).unwrap_or(0);
        let opening = install_window::opening(&self.store, tenant, aggregate, position, now).await?;
        Ok((opening, ruling))
    }
}

impl From<NotSent> for Delivered {
    fn from(not_sent: NotSent) -> Self {
        match not_sent {
            NotSent::Soon => Self::Failed,
            NotSent::Later(pause) => Self::Later { pause },
        }
    }
}

/// Temporary errors are retried. A device with events that are newer than this program gets its command from a newer process, which finds
/// the hint not yet followed.
fn not_loaded(device: &DeviceRef, error: &StoreError) -> Delivered {
    if error.is_final() {
        tracing::error!(device.id = %device.device, %error, "a device can't be loaded, so it gets no command");
        return Delivered::Stands { awaited: Unanswered::default() };
    }
    metrics::counter!("waybill_mqtt_devices_not_loaded_total").increment(1);
    tracing::debug!(device.id = %device.device, %error, "a device can't be loaded now");
    Delivered::Failed
}

impl Published {
    fn nothing() -> Self {
        Self { fingerprint: Fingerprint::Nothing, expires_at: None, sent: 1, at: Instant::now() }
    }

    fn is_ending(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at - now < RENEW_BEFORE)
    }
}

/// Whether the device has not answered its command yet.
fn is_awaited(device: &Device) -> bool {
    match device.desired() {
        Desired::Install(update) => update.phase == Phase::Dispatched,
        Desired::Activate(update) => update.phase == Phase::Activating,
        Desired::Cancel(_) => true,
        Desired::Nothing => false,
    }
}

/// A device that counts as offline gets its command with its next subscription.
fn is_run_awaited(device: &Device) -> bool {
    let is_sent = device.desired_command().is_some_and(|command| command.state == CommandState::Sent);
    is_sent && device.reachability == Reachability::Online
}

#[cfg(test)]
mod tests {
    use domain::{DeviceId, TenantId};

    use super::super::fake_way::FakeWay;
    use super::*;

    fn device() -> DeviceRef {
        DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d-1").unwrap() }
    }

    #[tokio::test]
    async fn what_an_earlier_owner_sent_to_a_device_that_is_reached_another_way_is_cleared_once() {
        let way = Arc::new(FakeWay::default());
        let deliverer = Arc::new(way.deliverer());
        for _ in 0..2 {
            let (_, delivered) = Arc::clone(&deliverer).deliver(device(), Hint::look_again()).await;
            assert_eq!(delivered, Delivered::Elsewhere);
        }
        assert_eq!(way.sent(), [(Channel::Commands, Fingerprint::Nothing)]);
    }

    #[test]
    fn a_device_with_events_of_a_newer_program_is_looked_at_again() {
        let newer = StoreError::UnknownEvent { event_type: "device.teleported".to_owned(), schema: 1, position: 7 };
        assert_eq!(not_loaded(&device(), &newer), Delivered::Failed);
        let damaged = StoreError::Corrupt { position: 7, reason: String::new() };
        assert_eq!(not_loaded(&device(), &damaged), Delivered::Stands { awaited: Unanswered::default() });
    }
}
