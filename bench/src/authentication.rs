//! Commands through the API with each kind of credential: what it costs to find out who has sent them.
//!
//! Waybill measures that part of each request itself, so no version of it without authentication is needed. A process with role `api` does
//! nothing else meanwhile, which makes the share as large as it can be.

mod admissions;
mod credentials;
mod provider;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use waybill::stack::Tools;

use crate::fleet::{MODEL, device_id};
use crate::report::{Measurement, Report, per_second};
use crate::service::{Service, WAYBILL};
use crate::world::World;
use admissions::Admissions;
use credentials::{Credential, credentials};
use provider::Provider;

/// Devices that the commands go to in turn.
const DEVICES: usize = 500;
const CONNECTIONS: usize = 32;
/// One part of the count for each kind of credential.
const COUNT_SHARE: usize = 4;
/// Commands with each credential before the measurement.
const WARM_UP: usize = 100;
const PERCENT: f64 = 100.0;

/// A share of `count` commands with each kind of credential.
pub(crate) async fn run(tools: &Tools, count: usize, report: &mut Report) -> Result<()> {
    let count = count / COUNT_SHARE;
    println!("Commands through the API, {count} with each kind of credential");
    let world = World::start(tools, "authentication").await?;
    let provider = Provider::start().await?;
    register(&world).await?;
    let service = Service::start_with(&world, |origin| arguments(origin, &provider)).await?;
    let mut largest = Largest::default();
    for credential in credentials(&service, &provider).await? {
        commands(&service, &credential, WARM_UP).await?;
        measure(&world, &service, &credential, count, &mut largest, report).await?;
    }
    report.add(Measurement::new("authentication.share", largest.share * PERCENT, "%"));
    report.add(Measurement::time("authentication.time.p99", largest.p99));
    service.stop().await;
    provider.stop().await;
    world.stop().await;
    Ok(())
}

/// Registers the devices with a process of all roles, which also makes the read models: an API alone isn't ready before.
async fn register(world: &World) -> Result<()> {
    let service = Service::start(world).await?;
    let devices = (0..DEVICES).map(|n| Ok(json!({"device_id": device_id(n)?.to_string(), "device_model": MODEL})));
    service.api.post("/devices/bulk", &Value::Array(devices.collect::<Result<_>>()?)).await?;
    service.stop().await;
    Ok(())
}

/// The most that any kind of credential costs.
#[derive(Default)]
struct Largest {
    /// Of the CPU time that the API spends on a command.
    share: f64,
    p99: Duration,
}

/// A process that is the API and nothing else, with every way in.
fn arguments(origin: &str, provider: &Provider) -> Vec<String> {
    let secret = "0".repeat(64);
    let master_key = format!("bench:{secret}");
    let issuer = provider.issuer();
    let keys = format!("{issuer}/keys");
    let pairs = [
        ("--role", "api"),
        ("--jwt-secret", &secret),
        ("--download-secret", &secret),
        ("--credential-secret", &secret),
        ("--master-key", &master_key),
        ("--jwks-url", &keys),
        ("--jwt-issuer", issuer),
        ("--jwt-audience", provider::AUDIENCE),
        ("--oidc-issuer", issuer),
        ("--oidc-client-id", provider::CLIENT),
        ("--oidc-roles", provider::ROLES),
        ("--public-url", origin),
        ("--tenant-requests-per-second", "0"),
        ("--credential-requests-per-second", "0"),
    ];
    pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]).collect()
}

async fn measure(
    world: &World,
    service: &Service,
    credential: &Credential,
    count: usize,
    largest: &mut Largest,
    report: &mut Report,
) -> Result<()> {
    let name = credential.name;
    let watched = service.watched(world);
    let (admitted, before, began) = (Admissions::of(service, credential).await?, watched.cpu(), Instant::now());
    commands(service, credential, count).await?;
    let (elapsed, used) = (began.elapsed(), watched.cpu().since(&before));
    let admitted = Admissions::of(service, credential).await?.since(&admitted);
    ensure!(admitted.count() == count, "{} of {count} commands were measured", admitted.count());
    let share = admitted.seconds() * 1_000.0 / used.of(&[WAYBILL]);
    let p99 = admitted.percentile(99.0);
    largest.share = largest.share.max(share);
    largest.p99 = largest.p99.max(p99);
    let without = per_second(count, elapsed) / (1.0 - share).max(f64::MIN_POSITIVE);
    report.add(
        Measurement::rate(format!("authentication.commands.{name}"), count, elapsed, "commands/s")
            .cpu(&used, count)
            .ceiling("the same without authentication's share of the API's CPU time", without),
    );
    report.add(Measurement::time(format!("authentication.time.{name}.mean"), admitted.mean()));
    report.add(Measurement::time(format!("authentication.time.{name}.p99"), p99));
    Ok(())
}

/// Holds and releases devices in turn.
async fn commands(service: &Service, credential: &Credential, count: usize) -> Result<()> {
    let http = reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build()?;
    let send = |n: usize| {
        let http = http.clone();
        async move {
            let verb = if (n / DEVICES).is_multiple_of(2) { "hold" } else { "release" };
            let url = format!("{}/api/v1/devices/{}/{verb}", service.api.base(), device_id(n % DEVICES)?);
            let reply = http.post(url).headers(credential.headers.clone()).json(&json!({})).send().await?;
            reply.error_for_status()?.bytes().await?;
            Ok::<_, anyhow::Error>(())
        }
    };
    futures::stream::iter((0..count).map(send)).buffer_unordered(CONNECTIONS).try_for_each(|()| async { Ok(()) }).await
}
