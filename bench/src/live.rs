//! A thousand clients of one campaign's live messages: how soon each hears of an event, and what they cost those who write.
//!
//! A process with role `api` serves them and does nothing else. The commands of the campaign are written into the log by this process, which also has the clients:
//! what they need of the processors to read counts among what they cost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use domain::Key;
use domain::campaign::{Campaign, CampaignCommand, PauseCause};
use event_store::EventStore;
use futures::future::try_join_all;
use reqwest::Response;
use runtime::clock;
use runtime::lifecycle::Tasks;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use waybill::serve::SHUTDOWN_TIMEOUT;
use waybill::stack::Tools;

use crate::cpu::Cpu;
use crate::fleet::Fleet;
use crate::release::Release;
use crate::report::{Measurement, Report, per_second, percentile};
use crate::service::Service;
use crate::world::World;

const CLIENTS: usize = 1_000;
/// Clients that connect at the same time.
const AT_ONCE: usize = 50;
/// Changes in a quiet time, each of which every client hears of.
const QUIET_CHANGES: usize = 20;
/// Pause after each: the next one is the first after a quiet time.
const QUIET_PAUSE: Duration = Duration::from_millis(300);
/// How long a client may be without a message.
const PATIENCE: Duration = Duration::from_secs(30);

/// Updates of this many devices without clients, and of as many with them.
pub(crate) async fn run(tools: &Tools, devices: usize, report: &mut Report) -> Result<()> {
    println!("{CLIENTS} clients of a campaign of {devices} devices");
    let world = World::start(tools, "live").await?;
    // Makes the read models: an API alone isn't ready before.
    Service::start(&world).await?.stop().await;
    let service = Service::start_with(&world, |_| arguments()).await?;
    let tasks = Tasks::new();
    let fleet = Fleet::new(EventStore::new(world.log(&tasks).await?))?;
    fleet.register(0..2 * devices).await?;
    fleet.connect(0..2 * devices).await?;

    let alone = fleet.release("Without clients").await?;
    let without = played(&world, &service, &fleet, &alone, 0..devices).await?;
    let release = fleet.release("With clients").await?;
    let mut crowd = Crowd::gather(&service, &release, &tasks).await?;
    let with = played(&world, &service, &fleet, &release, devices..2 * devices).await?;
    // The last message comes a quarter of a second after the last event.
    tokio::time::sleep(QUIET_PAUSE).await;
    let loaded = crowd.delays();
    let quiet = crowd.quiet(&fleet, &release).await?;
    for (name, times) in [("live.first_change", &quiet), ("live.under_load", &loaded)] {
        for percent in [50.0, 99.0] {
            report.add(Measurement::time(format!("{name}.p{percent}"), percentile(times, percent)).devices(devices));
        }
    }
    report.add(
        Measurement::new("live.commands", with.rate, "commands/s")
            .devices(devices)
            .cpu(&with.cpu, with.commands)
            .ceiling("the same without clients", without.rate)
            .limited_by("the processors, which clients and writers share"),
    );
    report.add(
        Measurement::new("live.commands_without_clients", without.rate, "commands/s")
            .devices(devices)
            .cpu(&without.cpu, without.commands),
    );
    crowd.leave();
    service.stop().await;
    tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    world.stop().await;
    Ok(())
}

/// A process that is the API and nothing else.
fn arguments() -> Vec<String> {
    let secret = "0".repeat(64);
    let master_key = format!("bench:{secret}");
    let pairs = [
        ("--role", "api"),
        ("--jwt-secret", &secret),
        ("--download-secret", &secret),
        ("--credential-secret", &secret),
        ("--master-key", &master_key),
    ];
    pairs.iter().flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]).collect()
}

/// Commands of a campaign, and what they cost.
struct Played {
    commands: usize,
    rate: f64,
    cpu: Cpu,
}

async fn played(
    world: &World,
    service: &Service,
    fleet: &Fleet,
    release: &Release,
    devices: std::ops::Range<usize>,
) -> Result<Played> {
    let watched = service.watched(world);
    let (head, before, began) = (fleet.head().await?, watched.cpu(), Instant::now());
    let count = devices.len();
    fleet.play_release(release, devices, count).await?;
    let (took, cpu) = (began.elapsed(), watched.cpu().since(&before));
    let commands = usize::try_from(fleet.head().await? - head)?;
    Ok(Played { commands, rate: per_second(commands, took), cpu })
}

/// What a client was told.
struct Heard {
    at: DateTime<Utc>,
    /// When the last event of the message was stored.
    last: DateTime<Utc>,
    /// The same of the client's message before.
    before: Option<DateTime<Utc>>,
}

/// The clients.
struct Crowd {
    heard: UnboundedReceiver<Heard>,
    leaving: Arc<AtomicBool>,
}

impl Crowd {
    async fn gather(service: &Service, release: &Release, tasks: &Tasks) -> Result<Self> {
        let url = format!("{}/api/v1/events/stream?campaign_id={}", service.api.base(), release.campaign);
        let (sender, heard) = unbounded_channel();
        let leaving = Arc::new(AtomicBool::new(false));
        for _ in 0..CLIENTS / AT_ONCE {
            let open = || async {
                anyhow::Ok(
                    service.api.http().get(&url).bearer_auth(service.api.token()).send().await?.error_for_status()?,
                )
            };
            for response in try_join_all((0..AT_ONCE).map(|_| open())).await? {
                let listening = listen(response, sender.clone(), Arc::clone(&leaving));
                tasks.spawn("client", listening);
            }
        }
        Ok(Self { heard, leaving })
    }

    /// How old the oldest event of each message can have been: no older than the last one of the message before.
    fn delays(&mut self) -> Vec<Duration> {
        let mut times = Vec::new();
        while let Ok(heard) = self.heard.try_recv() {
            let since = heard.before.unwrap_or(heard.last);
            times.push((heard.at - since).to_std().unwrap_or_default());
        }
        times.sort_unstable();
        times
    }

    /// From a command to each client that hears of it.
    async fn quiet(&mut self, fleet: &Fleet, release: &Release) -> Result<Vec<Duration>> {
        let key = Key::<Campaign>::new(&fleet.tenant, &release.campaign);
        let mut times = Vec::with_capacity(CLIENTS * QUIET_CHANGES);
        for n in 0..QUIET_CHANGES {
            tokio::time::sleep(QUIET_PAUSE).await;
            self.delays();
            let command = match n % 2 {
                0 => CampaignCommand::Pause { cause: PauseCause::Operator },
                _ => CampaignCommand::Resume { accept_failures: false },
            };
            let asked = clock::now();
            fleet.operate(&key, command).await?;
            for _ in 0..CLIENTS {
                let heard = tokio::time::timeout(PATIENCE, self.heard.recv()).await?.context("no client is left")?;
                times.push((heard.at - asked).to_std().unwrap_or_default());
            }
        }
        times.sort_unstable();
        ensure!(!times.is_empty(), "nobody heard anything");
        Ok(times)
    }

    fn leave(self) {
        self.leaving.store(true, Ordering::Relaxed);
    }
}

/// Reads a stream until it ends.
async fn listen(mut response: Response, heard: UnboundedSender<Heard>, leaving: Arc<AtomicBool>) -> Result<()> {
    let (mut text, mut before) = (String::new(), None);
    while let Ok(Some(chunk)) = response.chunk().await {
        let at = clock::now();
        if leaving.load(Ordering::Relaxed) {
            return Ok(());
        }
        text.push_str(std::str::from_utf8(&chunk)?);
        while let Some((event, rest)) = text.split_once("\n\n") {
            let (last, rest) = (stored_at(event)?, rest.to_owned());
            if let Some(last) = last {
                let told = heard.send(Heard { at, last, before });
                before = Some(last);
                if told.is_err() {
                    return Ok(());
                }
            }
            text = rest;
        }
    }
    ensure!(leaving.load(Ordering::Relaxed), "a stream has ended: {text}");
    Ok(())
}

/// When the last event of a message was stored; none of one that tells no changes.
fn stored_at(event: &str) -> Result<Option<DateTime<Utc>>> {
    const TIME: &str = "\"time\":\"";
    ensure!(!event.contains("event: resync") && !event.contains("event: end"), "a client can't go on: {event}");
    let Some((_, rest)) = event.split_once(TIME) else { return Ok(None) };
    let time = rest.split('"').next().context("a message is cut off")?;
    Ok(Some(time.parse()?))
}
