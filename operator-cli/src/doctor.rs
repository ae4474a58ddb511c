//! `waybill doctor`: whether the command line can work, and what is in its way.

use std::time::{Duration, Instant};

use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use crate::config;
use crate::contexts;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::flags;
use crate::http::{Client, Request};
use crate::out;
use crate::output::{self, Format, printable};
use crate::sse::Stream;
use crate::target::Target;

/// Time for the first live message.
const STREAM_MAX: Duration = Duration::from_secs(10);

pub(crate) fn command() -> Command {
    flags::common(Command::new("doctor").about("Check configuration, service, token and live messages"))
}

/// One check.
struct Check {
    name: &'static str,
    outcome: std::result::Result<String, Failure>,
}

/// Prints all checks. Ends as the first one that failed.
pub(crate) async fn run(matches: &ArgMatches) -> Result<Exit> {
    let checks = checks(matches).await;
    let format = Format::of(matches);
    if format.is_table() {
        for Check { name, outcome } in &checks {
            let (word, text) = match outcome {
                Ok(text) => ("ok", text.clone()),
                Err(failure) => ("FAILED", failure.sentence.clone()),
            };
            out::line(format_args!("{word}\t{name}\t{}", printable(&text)))?;
        }
    } else {
        let rows: Vec<Value> = checks.iter().map(row).collect();
        output::made(format, &Value::Array(rows))?;
    }
    Ok(checks.iter().find_map(|check| check.outcome.as_ref().err()).map_or(Exit::Done, |failure| failure.exit))
}

fn row(check: &Check) -> Value {
    match &check.outcome {
        Ok(detail) => json!({"check": check.name, "ok": true, "detail": detail}),
        Err(failure) => {
            json!({"check": check.name, "ok": false, "detail": failure.sentence, "exit_code": failure.exit.code()})
        }
    }
}

async fn checks(matches: &ArgMatches) -> Vec<Check> {
    let mut checks = vec![Check { name: "configuration", outcome: configuration() }];
    let client = Target::of(matches).and_then(Client::new);
    let context = client.as_ref().map(|client| format!("{} at {}", client.target.name, client.target.context.url));
    checks.push(Check { name: "context", outcome: context.map_err(copy) });
    let Ok(client) = client else { return checks };
    let service = service(&client).await;
    let is_there = service.is_ok();
    checks.push(Check { name: "service", outcome: service });
    if is_there {
        checks.push(Check { name: "token", outcome: token(&client).await });
        checks.push(Check { name: "live messages", outcome: live(&client).await });
    }
    checks
}

fn copy(failure: &Failure) -> Failure {
    Failure::new(failure.exit, failure.sentence.clone())
}

fn configuration() -> Result<String> {
    let path = config::path()?;
    let contexts = config::Config::read(&path)?.contexts.len();
    if config::is_open_to_others(&path) {
        return Err(Failure::here(format!("others can read {}, which has tokens: run chmod 600 {0}", path.display())));
    }
    Ok(format!("{} has {contexts} contexts", path.display()))
}

async fn service(client: &Client) -> Result<String> {
    let began = Instant::now();
    client.send(&Request::get("/health/ready")).await?;
    let took = began.elapsed();
    let stats = client.get("/api/v1/service/stats").await?;
    let version = stats["version"].as_str().unwrap_or_default();
    Ok(format!("ready in {} ms, version {version} (this is {})", took.as_millis(), env!("CARGO_PKG_VERSION")))
}

async fn token(client: &Client) -> Result<String> {
    if client.target.context.token.is_none() {
        return Err(Failure::new(Exit::NotAllowed, "there is none: run `waybill login`, or set WAYBILL_TOKEN"));
    }
    contexts::check(client).await?;
    Ok(match client.target.tenant() {
        Some(tenant) => format!("taken, for tenant {tenant}"),
        None => "taken".to_owned(),
    })
}

async fn live(client: &Client) -> Result<String> {
    let mut stream = Stream::new(client, Vec::new(), None);
    match tokio::time::timeout(STREAM_MAX, stream.next()).await {
        Ok(message) => Ok(format!("told up to {}", message?["position"].as_str().unwrap_or_default())),
        Err(_) => Err(Failure::new(Exit::Away, "no message came: does a proxy keep answers back?")),
    }
}
