use std::sync::Mutex;

use chirpstack::grpc::device_queue::DeviceQueueItem;
use domain::device::{DeviceEvent, FirmwareSnapshot, Limits, Profile, UpdateKind, UpdateRef, UpdateSpec};
use domain::values::{Priority, Sha256Digest};
use domain::{DeviceId, FirmwareId, TenantId};

use super::*;

const NOW: DateTime<Utc> = DateTime::from_timestamp_nanos(1_790_000_000_123_456_789);
const EUI: &str = "0102030405060708";
const WAIT: TimeDelta = TimeDelta::hours(5);

/// The queue of one device in a ChirpStack.
#[derive(Default)]
struct FakeQueue {
    items: Mutex<Vec<DeviceQueueItem>>,
    /// Calls are carried out, and their answers are lost.
    loses_answers: bool,
    refuses_device: bool,
    refuses_key: bool,
}

impl FakeQueue {
    fn data(&self) -> Vec<Vec<u8>> {
        self.items.lock().unwrap().iter().map(|item| item.data.clone()).collect()
    }

    fn answered<T>(&self, answer: T) -> Result<T, Error> {
        if self.loses_answers { Err(Error::DeadlineExceeded) } else { Ok(answer) }
    }
}

#[async_trait]
impl DeviceQueues for FakeQueue {
    async fn items(&self, dev_eui: &str) -> Result<Vec<DeviceQueueItem>, Error> {
        assert_eq!(dev_eui, EUI);
        if self.refuses_device {
            return Err(Error::Unauthenticated { message: String::new() });
        }
        Ok(self.items.lock().unwrap().clone())
    }

    async fn enqueue(&self, item: DeviceQueueItem, flush: bool) -> Result<(), Error> {
        let mut items = self.items.lock().unwrap();
        if flush {
            items.retain(|item| item.is_pending);
        }
        items.push(item);
        self.answered(())
    }

    async fn flush(&self, _dev_eui: &str) -> Result<(), Error> {
        self.items.lock().unwrap().clear();
        self.answered(())
    }

    async fn probe(&self, _application_id: &str, _chirpstack_tenant_id: &str) -> Result<KeyState, Error> {
        Ok(if self.refuses_key { KeyState::Refused } else { KeyState::Accepted })
    }
}

/// A device, its queue, and what the owner remembers of it.
struct Case {
    device: DeviceRef,
    aggregate: Device,
    opening: Opening,
    queue: FakeQueue,
    remembered: Cache<DeviceRef, Queued>,
}

impl Case {
    fn dispatched() -> Self {
        Self {
            device: DeviceRef { tenant: TenantId::new("acme").unwrap(), device: DeviceId::new("d-1").unwrap() },
            aggregate: dispatched(7),
            opening: Opening::Always,
            queue: FakeQueue::default(),
            remembered: Cache::new(10),
        }
    }

    fn to(&self) -> Recipient<'_> {
        Recipient { device: &self.device, aggregate: &self.aggregate, opening: self.opening, signatures: &[], now: NOW }
    }

    fn command(&self) -> Command {
        let Some(downlink) = downlink(&self.aggregate).unwrap() else { return Command::nothing() };
        let fingerprint = command::fingerprint(&self.aggregate, InstallWindow::Always);
        Command { fingerprint, payload: downlink.encode().into(), expires_at: None }
    }

    async fn look(&self) -> Result<Brought, Error> {
        let wanted = wanted(&self.to(), &self.command()).unwrap();
        let brought = bring(&self.queue, &self.remembered, &self.to(), EUI, wanted.as_ref()).await;
        brought.map_err(|FailedCall { error, .. }| error)
    }

    /// The owner is another process from now on.
    fn is_restarted(&mut self) {
        self.remembered = Cache::new(10);
    }

    fn device_receives(&self) {
        self.queue.items.lock().unwrap().clear();
    }
}

fn dispatched(ordinal: u32) -> Device {
    let spec = UpdateSpec {
        firmware: FirmwareSnapshot {
            firmware_id: FirmwareId(uuid::Uuid::from_u128(1)),
            device_model: "m".into(),
            component: "firmware".into(),
            version: "2.0.0".into(),
            reported_version: None,
            size: 1,
            sha256: Sha256Digest([0xab; 32]),
            hardware_versions: vec![],
            min_hardware_version: None,
            max_hardware_version: None,
            requires_version: None,
            requires_reboot: true,
            rollback_allowed: true,
            encryption: None,
            lack: None,
        },
        campaign: None,
        priority: Priority::Normal,
        kind: UpdateKind::Update,
        from_version: None,
        from_firmware_id: None,
        limits: Limits::default(),
        max_attempts: 3,
        transport: Transport::Lorawan,
        activate: true,
        force_update: false,
        allow_downgrade: false,
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: None,
    };
    let update = |attempt| UpdateRef { ordinal, attempt, campaign: None };
    let profile = Profile { lorawan_dev_eui: Some(EUI.to_owned()), ..Profile::default() }.reached_by_identity();
    let mut device = Device::default();
    for event in [
        DeviceEvent::Registered { profile, versions: [].into() },
        DeviceEvent::UpdateQueued { update: update(0), spec: Box::new(spec), wait_until: NOW + WAIT },
        DeviceEvent::UpdateDispatched { update: update(1), grant: None },
    ] {
        device.apply(&event);
    }
    device
}

const INSTALL: [u8; 9] = [1, 0, 7, 1, 0xab, 0xab, 0xab, 0xab, 1];

#[tokio::test]
async fn an_unanswered_command_is_in_the_queue_once() {
    let mut case = Case::dispatched();
    assert_eq!(case.look().await, Ok(Brought::Queued));
    assert_eq!(case.look().await, Ok(Brought::Stands));
    case.is_restarted();
    assert_eq!(case.look().await, Ok(Brought::Stands));
    assert_eq!(case.queue.data(), [INSTALL]);
    let item = case.queue.items.lock().unwrap()[0].clone();
    assert_eq!((item.f_port, item.confirmed), (20, true));
    assert_eq!(item.expires_at.unwrap().seconds, (NOW + WAIT).timestamp());
}

#[tokio::test]
async fn an_enqueue_whose_answer_was_lost_is_not_repeated() {
    let mut case = Case::dispatched();
    case.queue.loses_answers = true;
    assert_eq!(case.look().await, Err(Error::DeadlineExceeded));
    case.queue.loses_answers = false;
    assert_eq!(case.look().await, Ok(Brought::Stands));
    case.is_restarted();
    assert_eq!(case.look().await, Ok(Brought::Stands));
    assert_eq!(case.queue.data(), [INSTALL]);
}

#[tokio::test(start_paused = true)]
async fn a_device_has_time_to_answer_before_it_is_told_again() {
    let case = Case::dispatched();
    case.look().await.unwrap();
    case.device_receives();
    assert_eq!(case.look().await, Ok(Brought::Left));
    assert_eq!(case.look().await, Ok(Brought::TooSoon(SPACING)), "a second look at once changes nothing");
    tokio::time::advance(SPACING).await;
    assert_eq!(case.look().await, Ok(Brought::Queued));
    // Each time after a longer time.
    case.device_receives();
    assert_eq!(case.look().await, Ok(Brought::Left));
    tokio::time::advance(SPACING).await;
    assert_eq!(case.look().await, Ok(Brought::TooSoon(SPACING)));
    tokio::time::advance(SPACING).await;
    assert_eq!(case.look().await, Ok(Brought::Queued));
}

#[tokio::test]
async fn an_update_taken_back_leaves_the_queue_and_other_items_stay() {
    let mut case = Case::dispatched();
    case.look().await.unwrap();
    let reference = UpdateRef { ordinal: 7, attempt: 1, campaign: None };
    case.aggregate.apply(&DeviceEvent::UpdateCancelling { reason: None, update: reference });
    assert_eq!(case.look().await, Ok(Brought::Queued));
    assert_eq!(case.queue.data(), [vec![2, 0, 7]], "the install is gone");

    let mut case = Case::dispatched();
    case.look().await.unwrap();
    case.aggregate.apply(&DeviceEvent::Decommissioned {});
    assert_eq!(case.look().await, Ok(Brought::TakenBack));
    assert_eq!(case.queue.data(), Vec::<Vec<u8>>::new());
    let others = DeviceQueueItem { f_port: 2, ..DeviceQueueItem::default() };
    case.queue.items.lock().unwrap().push(others);
    assert_eq!(case.look().await, Ok(Brought::Stands));
    assert_eq!(case.queue.data().len(), 1);
}

#[test]
fn a_command_does_not_outlive_its_window() {
    let mut case = Case::dispatched();
    let soon = NOW + TimeDelta::minutes(30);
    case.opening = Opening::Open { until: soon };
    assert_eq!(wanted(&case.to(), &case.command()).unwrap().unwrap().expires_at, soon);
    case.opening = Opening::Closed { until: soon };
    let until = NotSent::Later(Duration::from_secs(30 * 60 + 1));
    assert_eq!(wanted(&case.to(), &case.command()), Err(until));
}

#[test]
fn what_the_codec_has_no_room_for_is_an_error() {
    assert_eq!(downlink(&dispatched(65_536)), Err(CommandError::TooManyUpdates { ordinal: 65_536, attempt: 1 }));
    assert!(downlink(&dispatched(65_535)).is_ok());
}

#[tokio::test]
async fn an_unknown_device_is_not_a_refused_key() {
    let mut case = Case::dispatched();
    case.queue.refuses_device = true;
    let calls = TenantCalls::new();
    let found = async |case: Case, is_wanted: bool| {
        let error = case.look().await.unwrap_err();
        let Case { device, aggregate, opening, queue, .. } = case;
        let to = Recipient { device: &device, aggregate: &aggregate, opening, signatures: &[], now: NOW };
        let made = Made::with(queue);
        not_brought(&made, &calls, &to, FailedCall { error, is_known: false }, is_wanted).await
    };
    assert_eq!(found(case, true).await, Err(("unknown_device", UNKNOWN_PAUSE)));
    assert_eq!(calls.pause(), None, "other devices of the tenant go on");

    let mut case = Case::dispatched();
    case.queue.refuses_device = true;
    assert_eq!(found(case, false).await, Ok(Duration::ZERO), "there is nothing to take back");

    let mut case = Case::dispatched();
    (case.queue.refuses_device, case.queue.refuses_key) = (true, true);
    assert!(matches!(found(case, true).await, Err(("unavailable", _))));
    assert!(calls.pause().is_some(), "nobody calls with a key that is refused");
}
