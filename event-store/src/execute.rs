//! The one executor: load, decide, append, bounded retry.
//!
//! Before a rejection or a command without effect is returned, the state that it was decided on is compared with the leader. After a
//! conflict or a timeout the aggregate is read again and first searched for the command's own id. So a command whose acknowledgement was
//! lost finds its outcome, and sending a command twice is harmless.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{AggregateKey, CommandId, CommandOf, Decider, Key};
use tokio::time::{Instant, sleep, timeout};
use tracing::Instrument;

use crate::command_hash::CommandHash;
use crate::context::{CommandOutcome, Loaded, Origin};
use crate::error::{AppendError, ExecuteError, StoreError};
use crate::log::RECORD_MAX_BYTES;
use crate::record;
use crate::request::{Checked, Committed, Request};
use crate::store::EventStore;
use crate::threads::Links;

/// How often a command is decided and appended before it ends as a conflict.
pub const TRIES_MAX: u32 = 5;
/// Time limit of a command.
pub const EXECUTE_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest pause before the second try, in microseconds; doubles with each further one.
const RETRY_PAUSE_US: u64 = 2_000;
/// How long a command waits for a leader of the log, in which nothing of it can be stored.
const LEADER_WAIT_MAX: Duration = Duration::from_secs(5);
/// Pause before an append with unknown outcome is looked for again.
const LOOK_AGAIN_PAUSE: Duration = Duration::from_millis(100);

impl EventStore {
    /// Decides a command and stores what follows from it.
    pub async fn execute<A: Decider>(
        &self,
        key: &Key<A>,
        request: Request<CommandOf<A>>,
    ) -> Result<Committed<A>, ExecuteError> {
        let began = Instant::now();
        let execution = Execution::new(self, key.raw(), &request)?;
        let span = tracing::info_span!("command", otel.name = %format_args!("command {}", A::TYPE), aggregate = %key.raw(), command.id = %request.id);
        let outcome = match timeout(EXECUTE_TIMEOUT, execution.run(key)).instrument(span).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Unavailable("the command got no outcome in time".to_owned()).into()),
        };
        metrics::counter!("waybill_commands_total", "aggregate" => A::TYPE, "outcome" => word(&outcome)).increment(1);
        metrics::histogram!("waybill_command_seconds", "aggregate" => A::TYPE).record(began.elapsed());
        outcome
    }

    /// Decides a command on the newest state without storing anything. For a command that was stored before it returns that outcome.
    pub async fn check<A: Decider>(
        &self,
        key: &Key<A>,
        request: &Request<CommandOf<A>>,
    ) -> Result<Checked<A>, ExecuteError> {
        let loaded = self.load_fresh(key).await?;
        if let Some(outcome) = loaded.recent.find(request.id).copied() {
            let stored = self.stored(key.raw(), &loaded, outcome, &digests(request)?, true).await?;
            let Committed { position, version, aggregate, origin, events, .. } = stored;
            let times = loaded.times.clone();
            return Ok(Checked { position, version, aggregate: A::clone(&aggregate), origin, times, events });
        }
        let events = decide_on(&loaded, request)?;
        let (mut aggregate, mut times) = (A::clone(&loaded.aggregate), loaded.times.clone());
        for event in events.iter().cloned() {
            times.apply::<A>(&event, request.now);
            aggregate.apply(event);
        }
        let (position, version, origin) = (loaded.last_sequence, loaded.version, loaded.origin.clone());
        Ok(Checked { position, version, aggregate, origin, times, events })
    }

    /// What a command stored when it was sent earlier, if the aggregate remembers it. For senders that check more than the aggregate before
    /// they send. Any of the digests identifies the same command.
    pub async fn repeated<A: Decider>(
        &self,
        key: &Key<A>,
        id: CommandId,
        digests: &[CommandHash],
    ) -> Result<Option<Committed<A>>, ExecuteError> {
        let loaded = self.load_fresh(key).await?;
        match loaded.recent.find(id) {
            Some(outcome) => self.stored(key.raw(), &loaded, *outcome, digests, true).await.map(Some),
            None => Ok(None),
        }
    }

    /// The answer to a command whose id the aggregate knows.
    async fn stored<A: Decider>(
        &self,
        key: &AggregateKey,
        loaded: &Loaded<A>,
        outcome: CommandOutcome,
        digests: &[CommandHash],
        repeated: bool,
    ) -> Result<Committed<A>, ExecuteError> {
        if !digests.contains(&outcome.hash) {
            return Err(ExecuteError::CommandIdReused);
        }
        let events = self.events_at::<A>(key, outcome.sequence).await?;
        Ok(committed(loaded, outcome, events, repeated))
    }
}

/// The execution of one command.
struct Execution<'a, A: Decider> {
    store: &'a EventStore,
    key: &'a AggregateKey,
    request: &'a Request<CommandOf<A>>,
    /// The digest that is stored, then others that prove a repeated command.
    digests: [CommandHash; 2],
    /// Whether an append of this command got no answer, so it may have been stored.
    unanswered: bool,
    /// Whether the state has been compared with the leader.
    fresh: bool,
}

/// Result of one round.
enum Round<A: Decider> {
    Done(Committed<A>),
    Again(Arc<Loaded<A>>),
}

impl<'a, A: Decider> Execution<'a, A> {
    fn new(
        store: &'a EventStore,
        key: &'a AggregateKey,
        request: &'a Request<CommandOf<A>>,
    ) -> Result<Self, StoreError> {
        Ok(Self { store, key, request, digests: digests(request)?, unanswered: false, fresh: false })
    }

    async fn run(mut self, key: &Key<A>) -> Result<Committed<A>, ExecuteError> {
        let mut loaded = self.store.load(key).await?;
        // The round after the last try only checks whether that try was stored.
        for round in 0..=TRIES_MAX {
            if (1..TRIES_MAX).contains(&round) {
                pause_before(round).await;
            }
            if let Some(outcome) = loaded.recent.find(self.request.id).copied() {
                let now = self.store.load_fresh(key).await?;
                return self.store.stored(self.key, &now, outcome, &self.digests, !self.unanswered).await;
            }
            if round == TRIES_MAX {
                break;
            }
            match self.decide(loaded).await? {
                Round::Done(committed) => return Ok(committed),
                Round::Again(newer) => loaded = newer,
            }
        }
        Err(ExecuteError::Conflict)
    }

    async fn decide(&mut self, loaded: Arc<Loaded<A>>) -> Result<Round<A>, ExecuteError> {
        match decide_on(&loaded, self.request) {
            Ok(events) if !events.is_empty() => self.append(loaded, events).await,
            settled => {
                if !self.fresh {
                    self.fresh = true;
                    let last = self.store.log.last_sequence(self.key).await?;
                    if last != loaded.last_sequence {
                        return Ok(Round::Again(self.store.advance_to(self.key, loaded, last).await?));
                    }
                }
                settled?;
                Ok(Round::Done(without_effect(&loaded)))
            }
        }
    }

    async fn append(&mut self, loaded: Arc<Loaded<A>>, events: Vec<A::Event>) -> Result<Round<A>, ExecuteError> {
        let links = Links::of(&loaded, self.request, &events);
        let body = record::encode(self.request, &links, &self.digests[0], loaded.version + 1, &events)
            .map_err(|error| StoreError::Refused(error.to_string()))?;
        let bytes = body.len();
        if bytes > RECORD_MAX_BYTES {
            return Err(StoreError::TooLarge { bytes, max_bytes: RECORD_MAX_BYTES }.into());
        }
        let span = tracing::info_span!("append", bytes);
        match self.append_record(loaded.last_sequence, body).instrument(span).await {
            Ok(sequence) => {
                let outcome = CommandOutcome {
                    id: self.request.id,
                    hash: self.digests[0],
                    sequence,
                    version: loaded.version + events.len() as u64,
                    event_count: events.len() as u32,
                };
                let correlations = links.events.into_iter().map(|link| link.correlation_id);
                let applied = events.clone().into_iter().zip(correlations);
                let now = self.store.cache.update(self.key, loaded, |held| {
                    held.apply_events(applied, self.request.now, outcome, bytes);
                    held.begins_with(|| Origin { at: self.request.now, by: self.request.actor.clone() });
                });
                Ok(Round::Done(committed(&now, outcome, events, false)))
            }
            Err(error) => {
                self.store.cache.remove(self.key);
                self.after_failure(error).await.map(Round::Again)
            }
        }
    }

    /// If an earlier try of the same command may have been stored, its outcome must be found. So the append is retried until it is accepted
    /// or refused, or the time limit is reached.
    /// Without a leader nothing is stored, so the append waits for the next one.
    async fn append_record(&self, expected_last: u64, body: Bytes) -> Result<u64, AppendError> {
        let began = Instant::now();
        loop {
            match self.store.log.append(self.key, expected_last, body.clone()).await {
                Err(AppendError::Unavailable(_) | AppendError::NoLeader) if self.unanswered => {
                    sleep(LOOK_AGAIN_PAUSE).await;
                }
                Err(AppendError::NoLeader) if began.elapsed() < LEADER_WAIT_MAX => sleep(LOOK_AGAIN_PAUSE).await,
                appended => return appended,
            }
        }
    }

    /// The state for the next decision, read from the beginning of the log.
    async fn after_failure(&mut self, error: AppendError) -> Result<Arc<Loaded<A>>, ExecuteError> {
        let named = match error {
            AppendError::Conflict { last } => {
                metrics::counter!("waybill_append_conflicts_total", "aggregate" => A::TYPE).increment(1);
                last
            }
            AppendError::Ambiguous(reason) => {
                tracing::info!(aggregate = %self.key, command.id = %self.request.id, reason, "append unanswered; looking for it");
                self.unanswered = true;
                None
            }
            AppendError::Unavailable(reason) => return Err(StoreError::Unavailable(reason).into()),
            AppendError::NoLeader => return Err(StoreError::Unavailable("its stream has no leader".to_owned()).into()),
            AppendError::NoSpace(reason) => return Err(StoreError::NoSpace(reason).into()),
            AppendError::Refused(reason) => return Err(StoreError::Refused(reason).into()),
            AppendError::TooLarge { bytes, max_bytes } => return Err(StoreError::TooLarge { bytes, max_bytes }.into()),
        };
        self.fresh = true;
        loop {
            match self.read_anew(named).await {
                // Only the leader knows whether the command was stored. A cluster elects a new leader within seconds.
                Err(error) if self.unanswered && error.is_unavailable() => sleep(LOOK_AGAIN_PAUSE).await,
                read => return Ok(read?),
            }
        }
    }

    async fn read_anew(&self, named: Option<u64>) -> Result<Arc<Loaded<A>>, StoreError> {
        let last = match named {
            Some(last) => last,
            None => self.store.log.last_sequence(self.key).await?,
        };
        self.store.advance_to(self.key, Arc::default(), last).await
    }
}

/// Digests that identify a command: the request digest, if there is one, and the digest of the command itself, which earlier versions
/// stored.
fn digests<C: serde::Serialize>(request: &Request<C>) -> Result<[CommandHash; 2], StoreError> {
    let command = CommandHash::of(&request.command).map_err(|error| StoreError::Refused(error.to_string()))?;
    Ok([request.request_digest.unwrap_or(command), command])
}

fn committed<A: Decider>(
    loaded: &Loaded<A>,
    outcome: CommandOutcome,
    events: Vec<A::Event>,
    repeated: bool,
) -> Committed<A> {
    Committed {
        position: outcome.sequence,
        version: loaded.version,
        aggregate: loaded.aggregate.clone(),
        origin: loaded.origin.clone(),
        times: loaded.times.clone(),
        events,
        repeated,
    }
}

/// Decides a command at the expected version. If the aggregate does not exist yet, a rejection by the rules takes precedence.
fn decide_on<A: Decider>(loaded: &Loaded<A>, request: &Request<CommandOf<A>>) -> Result<Vec<A::Event>, ExecuteError> {
    let differs = request.expected_version.as_ref().is_some_and(|expected| !expected.includes(loaded.version));
    if differs && loaded.version > 0 {
        return Err(ExecuteError::VersionDiffers { version: loaded.version });
    }
    let events = loaded.aggregate.decide(request.now, &request.command)?;
    if differs { Err(ExecuteError::VersionDiffers { version: loaded.version }) } else { Ok(events) }
}

/// Outcome of a command, for the metrics.
fn word<A: Decider>(outcome: &Result<Committed<A>, ExecuteError>) -> &'static str {
    match outcome {
        Ok(committed) if committed.repeated => "repeated",
        Ok(committed) if committed.events.is_empty() => "no_effect",
        Ok(_) => "stored",
        Err(ExecuteError::Rejected(_)) => "rejected",
        Err(ExecuteError::VersionDiffers { .. }) => "version_differs",
        Err(ExecuteError::Conflict) => "conflict",
        Err(ExecuteError::CommandIdReused) => "command_id_reused",
        Err(ExecuteError::Store(error)) if error.is_unavailable() => "unavailable",
        Err(ExecuteError::Store(_)) => "failed",
    }
}

fn without_effect<A: Decider>(loaded: &Loaded<A>) -> Committed<A> {
    Committed {
        position: loaded.last_sequence,
        version: loaded.version,
        aggregate: loaded.aggregate.clone(),
        origin: loaded.origin.clone(),
        times: loaded.times.clone(),
        events: Vec::new(),
        repeated: false,
    }
}

async fn pause_before(round: u32) {
    let longest = RETRY_PAUSE_US << (round - 1);
    sleep(Duration::from_micros(rand::random_range(0..=longest))).await;
}
