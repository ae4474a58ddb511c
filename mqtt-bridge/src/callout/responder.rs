//! Answers nats-server's questions, several processes together: each question goes to one of them.
//!
//! nats-server waits for an answer as long as `authorization { timeout }` in nats.conf says, 4 s, then it refuses the client. A question
//! that can't be decided before that is refused here, with its reason counted. Who is connected stays connected, whatever happens to this process.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use runtime::clock;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use trust::DeviceLogin;
use trust::login::NoUsername;

use super::answer::answer;
use super::credentials::{Credentials, Found, Proof};
use super::decision::{Admission, Claim, Refusal, admit_anonymous, admit_device, admit_reader, admit_self_check};
use super::device_limits::DeviceLimits;
use super::issuer::Issuer;
use super::own_login;
use super::question::Question;

/// Where nats-server asks, in account AUTH.
const SUBJECT: &str = "$SYS.REQ.USER.AUTH";
const QUEUE_GROUP: &str = "waybill-callout";
/// How long a question may wait for its turn, when many devices come at once. Together with a look-up less than nats-server waits.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a look-up may take. The answer follows it at once.
const LOOK_UP_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Questions that are decided at the same time. Further ones are refused at once: their clients come again.
const QUESTIONS_MAX: usize = 4_096;
/// Devices that are read from the log at the same time.
const LOOK_UPS_MAX: usize = 128;
/// Characters of an unknown user that are logged.
const SHOWN_MAX: usize = 96;

/// Decides who may connect.
pub(super) struct Judge {
    issuer: Arc<Issuer>,
    credentials: Arc<dyn Credentials>,
    limits: DeviceLimits,
    anonymous_devices: bool,
    look_ups: Semaphore,
}

pub(super) struct Responder {
    client: Client,
    questions: Subscriber,
    judge: Judge,
}

type Work<'a> = FuturesUnordered<BoxFuture<'a, ()>>;

impl Responder {
    /// Subscribes; questions that come from now on are answered by [`Self::run`].
    pub(super) async fn subscribe(client: Client, judge: Judge) -> Result<Self, String> {
        let questions = client.queue_subscribe(SUBJECT, QUEUE_GROUP.to_owned()).await;
        let questions = questions.map_err(|error| error.to_string())?;
        client.flush().await.map_err(|error| error.to_string())?;
        Ok(Self { client, questions, judge })
    }

    /// Answers until stopped.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Self { client, mut questions, judge } = self;
        let mut in_work = Work::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = in_work.next() => {}
                question = questions.next() => match question {
                    Some(message) => {
                        let is_busy = in_work.len() >= QUESTIONS_MAX;
                        in_work.push(respond(&client, &judge, message, is_busy).boxed());
                    }
                    None => return,
                }
            }
        }
        // Further questions go to other processes.
        if let Err(error) = questions.unsubscribe().await {
            tracing::debug!(%error, "nats-server still asks this process");
        }
        let answered = async { while in_work.next().await.is_some() {} };
        if timeout(TURN_TIMEOUT + LOOK_UP_TIMEOUT, answered).await.is_err() {
            tracing::debug!("not all questions were answered before the stop");
        }
    }
}

async fn respond(client: &Client, judge: &Judge, message: Message, is_busy: bool) {
    let turn_by = Instant::now() + TURN_TIMEOUT;
    let Some(reply) = message.reply else { return };
    let Some(answer) = judge.answer(&message.payload, is_busy, turn_by).await else { return };
    if let Err(error) = client.publish(reply, answer).await {
        tracing::debug!(%error, "an answer to nats-server can't be sent");
    }
}

impl Judge {
    pub(super) fn new(
        issuer: Arc<Issuer>,
        credentials: Arc<dyn Credentials>,
        limits: DeviceLimits,
        anonymous_devices: bool,
    ) -> Self {
        Self { issuer, credentials, limits, anonymous_devices, look_ups: Semaphore::new(LOOK_UPS_MAX) }
    }

    /// The answer to a question; none if the message isn't one.
    async fn answer(&self, payload: &[u8], is_busy: bool, turn_by: Instant) -> Option<Bytes> {
        let question = match Question::read(payload) {
            Ok(question) => question,
            Err(error) => {
                tracing::debug!(%error, "a question of nats-server can't be read, so it isn't answered");
                return None;
            }
        };
        let decision = self.decide(&question, is_busy, turn_by).await;
        record(&question, &decision);
        Some(answer(&self.issuer, &question, &decision, clock::now()).into())
    }

    async fn decide(&self, question: &Question, is_busy: bool, turn_by: Instant) -> Result<Admission, Refusal> {
        match Claim::of(&question.login, &self.issuer, self.anonymous_devices)? {
            // However many devices come back at once, Waybill's own test login is let in: without it no bridge starts.
            Claim::SelfCheck => Ok(admit_self_check(clock::now())),
            _ if is_busy => Err(Refusal::Busy),
            Claim::Anonymous => Ok(admit_anonymous()),
            // Its own logins have exhausted it, and nobody else's.
            Claim::Device(device, _) if self.limits.is_exhausted(&device, Instant::now()) => Err(Refusal::TooOften),
            Claim::Device(device, proof) => {
                let permit = timeout_at(turn_by, self.look_ups.acquire()).await;
                let _permit = permit.map_err(|_| Refusal::Busy)?;
                let found = timeout(LOOK_UP_TIMEOUT, self.look_up(&device, &proof)).await;
                let admission = admit_device(&device, found.map_err(|_| Refusal::Unavailable)??, clock::now())?;
                self.limits.accepted(&device, &question.login.client_id, Instant::now());
                Ok(admission)
            }
            Claim::Reader(key) => {
                let permit = timeout_at(turn_by, self.look_ups.acquire()).await;
                let _permit = permit.map_err(|_| Refusal::Busy)?;
                let found = timeout(LOOK_UP_TIMEOUT, self.credentials.look_up_key(&key, clock::now())).await;
                let found = found.map_err(|_| Refusal::Unavailable)?.map_err(|error| {
                    tracing::debug!(tenant = %key.tenant, error, "an API key can't be looked up");
                    Refusal::Unavailable
                })?;
                admit_reader(&key, found, clock::now())
            }
        }
    }

    async fn look_up(&self, device: &DeviceLogin, proof: &Proof) -> Result<Found, Refusal> {
        self.credentials.look_up(device, proof, clock::now()).await.map_err(|error| {
            tracing::debug!(tenant = %device.tenant, device.id = %device.device, error, "a device can't be looked up");
            Refusal::Unavailable
        })
    }
}

/// Counts a decision on a client that isn't Waybill itself, and logs a refusal with the names that the client gave, but without its password.
fn record(question: &Question, decision: &Result<Admission, Refusal>) {
    if question.login.user == own_login::USER {
        return;
    }
    let outcome = match decision {
        Ok(_) => "accepted",
        Err(refusal) => (*refusal).into(),
    };
    metrics::counter!("waybill_mqtt_logins_total", "outcome" => outcome).increment(1);
    let Err(refusal) = decision else { return };
    let reason: &'static str = (*refusal).into();
    let client_id: String = question.login.client_id.chars().take(SHOWN_MAX).collect();
    match question.login.user.parse() {
        Ok(DeviceLogin { tenant, device }) => {
            tracing::debug!(%tenant, device.id = %device, mqtt.client_id = client_id, reason, "A device may not connect.");
        }
        Err(NoUsername) => {
            let user: String = question.login.user.chars().take(SHOWN_MAX).collect();
            tracing::debug!(mqtt.user = user, mqtt.client_id = client_id, reason, "A client may not connect.");
        }
    }
}
