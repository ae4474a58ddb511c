//! Health checks of the parts of a process, for `/health/detailed`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::Client;
use async_nats::connection::State;
use chrono::TimeDelta;
use command_api::{Finding, HealthCheck, PartStatus};
use event_store::SecretStore;
use event_store::secrets::{SecretError, SecretsCheck};
use firmware_store::FirmwareStore;
use futures::FutureExt;
use mqtt_bridge::{Backlog, Bridge};
use process_managers::{Pulse, PulseOf};
use projections::Db;
use projections::watermark::Watermark;
use runtime::clock;
use tokio::sync::Mutex;

/// A run of a process manager that takes longer is reported as degraded.
const LOOK_MAX: Duration = Duration::from_secs(60);
/// From this number on, messages are a backlog, not a burst.
const BACKLOG_MESSAGES: u64 = 10_000;
/// Clocks of updates stand still when the watermark of devices lags more.
const HEARING_LAG_MAX: TimeDelta = TimeDelta::minutes(1);
/// A check of the secrets is reused for this long.
const SECRETS_INTERVAL: Duration = Duration::from_secs(5);
/// A trial of the firmware stores is reused for this long.
const STORES_INTERVAL: Duration = Duration::from_secs(2);
/// Most secrets that are opened for a check.
const SECRETS_LOOKED_AT_MAX: usize = 100;

/// The link for commands to devices, and the backlog of devices' messages.
pub(crate) fn of_bridge(bridge: Arc<Bridge>) -> HealthCheck {
    Arc::new(move || {
        let connected = bridge.is_connected();
        let link = match connected {
            true => Finding::new("MQTT link", PartStatus::Up, None),
            false => Finding::new("MQTT link", PartStatus::Down, "not connected to the MQTT broker".to_owned()),
        };
        let backlog = backlog(&bridge.backlog.borrow());
        let brokers = brokers(bridge.brokers.wanted(), bridge.brokers.up());
        async move { vec![link, backlog, brokers] }.boxed()
    })
}

/// Brokers of ChirpStacks: one process reads all of them.
fn brokers(wanted: i64, up: i64) -> Finding {
    let (status, detail) = match (wanted, up) {
        (0, _) => (PartStatus::Up, "none is read by this process".to_owned()),
        (wanted, up) if up >= wanted => (PartStatus::Up, format!("{up} are read")),
        (wanted, up) => (PartStatus::Degraded, format!("{up} of {wanted} are read; the log names the tenants")),
    };
    Finding::new("brokers of ChirpStacks", status, detail)
}

/// The connections by which devices are let in and disconnected.
pub(crate) fn of_callout(auth: Client, system: Client) -> HealthCheck {
    Arc::new(move || {
        let finding = |name, client: &Client, lost: &str| match client.connection_state() {
            State::Connected => Finding::new(name, PartStatus::Up, None),
            State::Pending | State::Disconnected => Finding::new(name, PartStatus::Down, lost.to_owned()),
        };
        let logins = finding("logins of devices", &auth, "not connected to account AUTH: no device can connect");
        let lost = "not connected to the system account: revoked devices stay connected";
        let revocations = finding("revocations", &system, lost);
        async move { vec![logins, revocations] }.boxed()
    })
}

fn backlog(backlog: &Backlog) -> Finding {
    let Backlog { pending, unacknowledged, error } = backlog;
    let counts = format!("{pending} messages of devices to read, {unacknowledged} in work");
    match error {
        Some(error) => {
            Finding::new("backlog", PartStatus::Degraded, format!("can't be counted: {error}; before: {counts}"))
        }
        None if pending + unacknowledged > BACKLOG_MESSAGES => Finding::new("backlog", PartStatus::Degraded, counts),
        None => Finding::new("backlog", PartStatus::Up, counts),
    }
}

pub(crate) fn of_process_managers(pulse: Pulse) -> HealthCheck {
    Arc::new(move || {
        let findings = pulse.status().into_iter().map(process_manager).collect();
        async move { findings }.boxed()
    })
}

fn process_manager(pulse: PulseOf) -> Finding {
    let name = format!("process manager {}", pulse.name);
    let since = match pulse.succeeded {
        Some(succeeded) => format!("last success {} s ago", succeeded.as_secs()),
        None => "no success yet".to_owned(),
    };
    let busy = pulse.at_work.filter(|at_work| *at_work > LOOK_MAX);
    match (&pulse.error, busy) {
        (Some(error), _) => {
            Finding::new(name, PartStatus::Down, format!("{since}; failed {} times since: {error}", pulse.failures))
        }
        (None, Some(at_work)) => Finding::new(
            name,
            PartStatus::Degraded,
            format!("{since}; the current run takes {} s so far", at_work.as_secs()),
        ),
        (None, None) => Finding::new(name, PartStatus::Up, since),
    }
}

/// The watermark of devices, which clocks of updates wait for.
pub(crate) fn of_watermark(db: Db) -> HealthCheck {
    Arc::new(move || {
        let db = db.clone();
        async move {
            let finding = match Watermark::read(&db).await {
                Ok(hearing) => watermark(&hearing),
                Err(error) => (PartStatus::Degraded, format!("not known: {error}")),
            };
            vec![Finding::new("watermark of devices", finding.0, finding.1)]
        }
        .boxed()
    })
}

fn watermark(hearing: &Watermark) -> (PartStatus, String) {
    match hearing {
        Watermark::Absent => (PartStatus::Up, "no watermark is needed here".to_owned()),
        Watermark::Unknown => (PartStatus::Degraded, "no bridge has published a watermark yet".to_owned()),
        Watermark::Until { until, .. } => {
            let lag = clock::now() - *until;
            let status = if lag > HEARING_LAG_MAX { PartStatus::Degraded } else { PartStatus::Up };
            (status, format!("messages of devices are processed up to {} s ago", lag.num_seconds().max(0)))
        }
    }
}

/// Whether this process has the master keys of the stored secrets: tries to open some.
pub(crate) fn of_secrets(store: SecretStore) -> HealthCheck {
    let last: Arc<Mutex<Option<(Instant, Finding)>>> = Arc::default();
    Arc::new(move || {
        let (store, last) = (store.clone(), Arc::clone(&last));
        async move {
            let mut last = last.lock().await;
            match &*last {
                Some((at, finding)) if at.elapsed() < SECRETS_INTERVAL => vec![finding.clone()],
                _ => {
                    let finding = secrets(store.check(SECRETS_LOOKED_AT_MAX).await);
                    *last = Some((Instant::now(), finding.clone()));
                    vec![finding]
                }
            }
        }
        .boxed()
    })
}

fn secrets(checked: Result<SecretsCheck, SecretError>) -> Finding {
    let (status, detail) = match checked {
        Ok(SecretsCheck { readable, unreadable, is_partial }) => {
            let of_key: Vec<String> = readable.iter().map(|(key, count)| format!("{count} under key {key}")).collect();
            let of_key = if of_key.is_empty() { "none".to_owned() } else { of_key.join(", ") };
            let some = if is_partial { " among the first ones" } else { "" };
            match unreadable.reasons.first() {
                None => (PartStatus::Up, format!("readable{some}: {of_key}")),
                Some(reason) => (
                    PartStatus::Degraded,
                    format!("{} can't be read{some}, such as: {reason}; readable: {of_key}", unreadable.count),
                ),
            }
        }
        Err(error) => (PartStatus::Degraded, error.to_string()),
    };
    Finding::new("secrets", status, detail)
}

/// What a trial of the stores found.
struct Trial {
    at: Instant,
    findings: Vec<Finding>,
}

/// Whether firmware can be stored: tries to store an object in each store. What is found is reused for a while.
pub(crate) fn of_stores(stores: FirmwareStore) -> HealthCheck {
    let last: Arc<Mutex<Option<Trial>>> = Arc::default();
    Arc::new(move || {
        let (stores, last) = (stores.clone(), Arc::clone(&last));
        async move {
            let mut last = last.lock().await;
            match &*last {
                Some(Trial { at, findings }) if at.elapsed() < STORES_INTERVAL => findings.clone(),
                _ => {
                    let findings = tried(&stores).await;
                    *last = Some(Trial { at: Instant::now(), findings: findings.clone() });
                    findings
                }
            }
        }
        .boxed()
    })
}

async fn tried(stores: &FirmwareStore) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (store, name) in stores.stores().iter().zip(["object store", "old object store"]) {
        findings.push(match store.try_it().await {
            Ok(()) => Finding::new(name, PartStatus::Up, None),
            Err(error) => Finding::new(name, PartStatus::Down, error.to_string()),
        });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(error: Option<&str>, at_work_s: Option<u64>) -> PulseOf {
        PulseOf {
            name: "rollout",
            succeeded: Some(Duration::from_secs(3)),
            at_work: at_work_s.map(Duration::from_secs),
            failures: u32::from(error.is_some()),
            error: error.map(str::to_owned),
        }
    }

    #[test]
    fn a_process_manager_that_fails_is_down_and_one_that_hangs_degraded() {
        let status = |pulse| process_manager(pulse).status;
        assert_eq!(status(pulse(None, Some(1))), PartStatus::Up);
        assert_eq!(status(pulse(None, Some(61))), PartStatus::Degraded);
        assert_eq!(status(pulse(Some("PostgreSQL is away"), None)), PartStatus::Down);
        let detail = process_manager(pulse(Some("PostgreSQL is away"), None)).detail.unwrap();
        assert_eq!(detail, "last success 3 s ago; failed 1 times since: PostgreSQL is away");
    }

    #[test]
    fn a_backlog_and_a_watermark_that_lags_degrade() {
        let of = |pending| backlog(&Backlog { pending, ..Backlog::default() }).status;
        assert_eq!((of(10_000), of(10_001)), (PartStatus::Up, PartStatus::Degraded));
        let heard = |ago: i64| {
            let until = clock::now() - TimeDelta::seconds(ago);
            watermark(&Watermark::Until { until, since: until }).0
        };
        assert_eq!((heard(5), heard(62)), (PartStatus::Up, PartStatus::Degraded));
    }

    #[test]
    fn a_broker_that_is_not_read_degrades() {
        let status = |wanted, up| brokers(wanted, up).status;
        assert_eq!((status(0, 0), status(2, 2), status(2, 1)), (PartStatus::Up, PartStatus::Up, PartStatus::Degraded));
    }

    #[tokio::test]
    async fn a_store_that_takes_nothing_is_down() {
        let directory = std::env::temp_dir().join(format!("waybill-objects-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let store = object_store::local::LocalFileSystem::new_with_prefix(&directory).unwrap();
        let stores = FirmwareStore::of(Arc::new(store));
        let check = || tried(&stores);
        assert_eq!(check().await[0].status, PartStatus::Up);
        std::fs::remove_dir_all(&directory).unwrap();
        std::fs::write(&directory, "no directory").unwrap();
        let found = check().await.remove(0);
        std::fs::remove_file(&directory).unwrap();
        assert_eq!(found.status, PartStatus::Down, "{found:?}");
        assert!(found.detail.unwrap().contains("nothing can be stored"));
    }
}
