//! Writers run while the only server is killed again and again. This tests the death of a process, not the loss of power.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use domain::CommandId;
use event_store::{Log, Recorded};
use runtime::clock;

use super::servers::OneServer;
use super::tally::{TallyEvent, add, insist, key, request_as, store};

const WRITERS: usize = 8;
const AGGREGATES: usize = 20;
/// Commands between two kills.
const COMMANDS_BETWEEN: usize = 500;
/// Longest wait for them, an outage included.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How long no server answers, so that commands also meet a server that is down, not only one that restarts.
const OUTAGE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commands_survive_kill_9_and_take_effect_once() {
    let mut server = OneServer::start().await;
    let log = server.log().await;
    let writing = Writing::start(&log);
    for _ in 0..3 {
        writing.progresses().await;
        server.nats.kill9();
        tokio::time::sleep(OUTAGE).await;
        server.nats.restart().await.unwrap();
    }
    writing.progresses().await;
    writing.stop_and_compare(&log).await;
}

/// Writers that continue after every error; each records which commands were acknowledged.
pub(super) struct Writing {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    writers: Vec<tokio::task::JoinHandle<Vec<Acknowledged>>>,
}

struct Acknowledged {
    aggregate: usize,
    id: CommandId,
    position: u64,
}

impl Writing {
    pub(super) fn start(log: &Arc<dyn Log>) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::<AtomicUsize>::default());
        let stores = [store(log), store(log)];
        let writers = (0..WRITERS).map(|writer| {
            let (store, stop, count) = (stores[writer % stores.len()].clone(), stop.clone(), acknowledged.clone());
            #[expect(clippy::disallowed_methods, reason = "the writers are joined below")]
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in writer.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let aggregate = n % AGGREGATES;
                    let id = CommandId(clock::new_id());
                    let key = key("crash", &format!("t-{aggregate}"));
                    let position = insist(&store, &key, request_as(id, add(1))).await;
                    acknowledged.push(Acknowledged { aggregate, id, position });
                    count.fetch_add(1, Ordering::Relaxed);
                }
                acknowledged
            })
        });
        let writers = writers.collect();
        Self { stop, acknowledged, writers }
    }

    /// Waits until this many further commands are acknowledged, even while servers are down.
    pub(super) async fn progresses(&self) {
        let wanted = self.acknowledged.load(Ordering::Relaxed) + COMMANDS_BETWEEN;
        let progress = async {
            while self.acknowledged.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(POLL).await;
            }
        };
        let outcome = tokio::time::timeout(PATIENCE, progress).await;
        assert!(outcome.is_ok(), "{} of {wanted} acknowledged", self.acknowledged.load(Ordering::Relaxed));
    }

    /// Every acknowledged command is in the log once, at the acknowledged position, with nothing else; versions have no gaps.
    pub(super) async fn stop_and_compare(self, log: &Arc<dyn Log>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut acknowledged = Vec::new();
        for writer in self.writers {
            acknowledged.extend(writer.await.unwrap());
        }
        assert!(acknowledged.len() > AGGREGATES, "writers made no progress: {}", acknowledged.len());
        for aggregate in 0..AGGREGATES {
            let history = history_of(log, aggregate).await;
            let mut stored: Vec<_> = history.iter().map(|one| (one.position.sequence, one.command_id)).collect();
            let mut wanted: Vec<_> = acknowledged
                .iter()
                .filter(|one| one.aggregate == aggregate)
                .map(|one| (one.position, one.id))
                .collect();
            stored.sort();
            wanted.sort();
            assert_eq!(stored, wanted, "aggregate {aggregate}");
            let versions = history.iter().map(|one| one.version);
            assert!(versions.eq(1..=history.len() as u64), "versions of {aggregate} have gaps");
        }
    }
}

/// All events of an aggregate, as soon as the servers answer again.
async fn history_of(log: &Arc<dyn Log>, aggregate: usize) -> Vec<Recorded<TallyEvent>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match store(log).history(&key("crash", &format!("t-{aggregate}")), 1, usize::MAX).await {
            Ok(history) => return history,
            Err(error) => assert!(Instant::now() < deadline, "aggregate {aggregate}: {error}"),
        }
        tokio::time::sleep(POLL).await;
    }
}
