//! What people who run Waybill see: invalid settings, missing rights, closed output, health, metrics, traces, the log.

mod collector;
mod metrics;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use waybill::role_user::RoleUser;

use crate::directory::Directory;
use collector::Collector;
use serde_json::{Value, json};
use waybill::simulate::{Behaviour, DeviceSpec};

use crate::world::{MODEL, World, devices, waybill_binary};

/// Errors that need no waiting come within this time, on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(15);
/// No server listens there.
const NOWHERE: &str = "127.0.0.1:9";

fn waybill(args: &[&str]) -> Command {
    let mut command = Command::new(waybill_binary());
    command.args(args).stdin(Stdio::null());
    command
}

/// The error of a command that fails at once.
fn refused(args: &[&str]) -> String {
    let began = Instant::now();
    let output = waybill(args).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?} succeeds");
    assert!(began.elapsed() < AT_ONCE, "{args:?} took {:?}: {error}", began.elapsed());
    error
}

#[test]
fn invalid_settings_are_refused_before_any_connection() {
    let directory = Directory::new();
    let data = directory.path().display().to_string();
    let nats = format!("nats://waybill:waybill@{NOWHERE}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = format!("{data}/file");
    std::fs::write(&file, "no directory").unwrap();
    for (wrong, said) in [
        (&["--jwt-secret", "short"][..], "WAYBILL_JWT_SECRET has 5 bytes"),
        (&["--download-secret", "short"], "WAYBILL_DOWNLOAD_SECRET has 5 bytes"),
        (&["--credential-secret", "short"], "WAYBILL_CREDENTIAL_SECRET has 5 bytes"),
        (&["--master-key", "short"], "WAYBILL_MASTER_KEY: line 1 is not a master key"),
        (&["--nats-devices-url", "nats://a b"], "WAYBILL_NATS_DEVICES_URL"),
        (&["--nats-auth-url", "nats://a b"], "WAYBILL_NATS_AUTH_URL"),
        (&["--nats-system-url", "nats://a b"], "WAYBILL_NATS_SYSTEM_URL"),
        (&["--nats-issuer-seed", "SUAXYZ"], "WAYBILL_NATS_ISSUER_SEED: not the seed of a NATS account"),
        (&["--stream-replicas", "1"], "WAYBILL_NATS_ISSUER_SEED is the key of nats.conf for development"),
        (&["--anonymous-devices"], "WAYBILL_ANONYMOUS_DEVICES lets anybody in as any device: it needs --development"),
        (&["--mqtt-url", "ws://broker"], "must begin with mqtt:// or mqtts://"),
        (&["--mqtt-url", "mqtt://broker", "--mqtt-ca", "ca.pem"], "WAYBILL_MQTT_CA"),
        (&["--nats-ca", "ca.pem"], "WAYBILL_NATS_CA: ca.pem can't be read"),
        (&["--tls-cert", "missing.pem", "--tls-key", "missing.pem"], "WAYBILL_TLS_CERT: missing.pem can't be read"),
        (&["--database-url", "mysql//x"], "WAYBILL_DATABASE_URL"),
        (&["--http-listen", &taken], "can't be used for HTTP"),
        (&["--data-dir", &file], "Not a directory"),
        (&["--stream-replicas", "0"], "--stream-replicas"),
        (&["--log-level", "loud"], "info,mqtt_bridge=debug"),
        (&["--otlp-endpoint", "grpc://collector:4317"], "must begin with http://"),
    ] {
        let defaults = ["serve", "--nats-url", &nats, "--http-listen", "127.0.0.1:0", "--data-dir", &data];
        // A flag that is given twice would be refused for that.
        let kept = defaults[1..].chunks(2).filter(|pair| pair[0] != wrong[0]).flatten().copied();
        let args: Vec<&str> = ["serve"].into_iter().chain(kept).chain(wrong.iter().copied()).collect();
        let error = refused(&args);
        assert!(error.contains(said), "{wrong:?}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nats_user_without_rights_gets_an_error_that_names_the_missing_right() {
    let world = World::start().await;
    let directory = Directory::new();
    let data = directory.path().display().to_string();
    let (analyst, waybill) = (world.stack.nats.analyst_url(), world.stack.nats.waybill_url());
    let issuer = ["--nats-issuer-seed", world.stack.nats.issuer_seed()];
    let serve = [
        &["serve", "--development", "--http-listen", "127.0.0.1:0", "--data-dir", &data, "--nats-url", &analyst],
        &issuer[..],
    ]
    .concat();
    let replay = ["replay", "--aggregate", "device/d-1", "--nats-url", &analyst];
    for args in [&serve[..], &replay] {
        let error = refused(args);
        assert!(error.contains("forbids user analyst to") && error.contains("nats.conf"), "{args:?}: {error}");
    }
    // An account without the devices' streams.
    let serve = ["serve", "--development", "--http-listen", "127.0.0.1:0", "--data-dir", &data, "--nats-url", &waybill];
    let error = refused(&[&serve[..], &issuer, &["--nats-devices-url", &analyst]].concat());
    assert!(error.contains("WAYBILL_NATS_DEVICES_URL") && error.contains("forbids user analyst to"), "{error}");
}

/// Runs a command whose output is not read: the reading ends of its pipes are closed before it begins to write.
fn unread(mut command: Command) -> (std::process::ExitStatus, String) {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let log = std::env::temp_dir().join(format!("waybill-unread-{}", std::process::id()));
    let status = command.stdout(closed()).stderr(std::fs::File::create(&log).unwrap()).status().unwrap();
    let said = std::fs::read_to_string(&log).unwrap();
    std::fs::remove_file(log).unwrap();
    command.stderr(closed()).status().unwrap();
    (status, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_does_not_panic_when_its_output_is_closed() {
    let world = World::start().await;
    let api = world.operator().await;
    api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let (nats, database) = (world.stack.nats.role_url(RoleUser::Reader), world.stack.postgres.url());
    let servers = ["--nats-url", &nats, "--database-url", &database];
    for args in [
        &["openapi"][..],
        &["asyncapi"],
        &["--help"],
        &[&["replay", "--aggregate", "device/d-1", "--state"][..], &servers].concat(),
        &[&["rebuild", "fleet"][..], &servers].concat(),
        &[&["projections", "unpark", "fleet"][..], &servers].concat(),
        &["simulate", "--devices", "1", "--mqtt", NOWHERE, "--for-seconds", "1"],
    ] {
        let (status, said) = unread(waybill(args));
        assert!(status.success() && !said.contains("panicked"), "{args:?}: {status} {said}");
    }
    // An error is still reported.
    let (status, _) = unread(waybill(&[&["replay", "--aggregate", "device/none"][..], &servers].concat()));
    assert!(!status.success());
}

fn output(args: &[&str]) -> Output {
    waybill(args).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_refuses_an_invalid_or_future_time_or_position() {
    let world = World::start().await;
    let api = world.operator().await;
    api.post("/devices", &json!({"device_id": "d-1", "device_model": MODEL})).await.unwrap();
    let (nats, database) = (world.stack.nats.role_url(RoleUser::Reader), world.stack.postgres.url());
    let servers = ["--nats-url", &nats, "--database-url", &database];
    for (moment, said) in [
        (["--at", "14:03"], "RFC 3339"),
        (["--at", "2026-03-01T14:03:00"], "RFC 3339"),
        (["--at", "2999-01-01T00:00:00Z"], "lies in the future"),
        (["--at-position", "1000"], "position 1000 lies in the future: the log ends at"),
    ] {
        for archive in [&[][..], &["--from-archive"]] {
            let args = [&["replay", "--aggregate", "device/d-1"][..], &servers, &moment, archive].concat();
            let failed = output(&args);
            let error = String::from_utf8_lossy(&failed.stderr);
            let said = if archive.is_empty() { said } else { said.split(": the log").next().unwrap() };
            assert!(!failed.status.success() && error.contains(said), "{moment:?}: {error}");
        }
    }
}

/// A campaign of four devices that all fail, until its gate is closed.
async fn gate_closes(world: &World) -> String {
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let failing = |device: DeviceSpec| DeviceSpec { behaviour: Behaviour { fail: true, ..device.behaviour }, ..device };
    let fleet = world.online_fleet(&api, devices(4).into_iter().map(failing).collect()).await;
    let wanted = json!({"deployment_strategy": "immediate", "max_retries": 0, "gate_min_settled": 1});
    let campaign = world.campaign(&api, &firmware, wanted).await;
    world.campaign_is(&api, &campaign, &["paused"]).await;
    fleet.stop().await;
    campaign
}

async fn scrape(world: &World) -> std::collections::BTreeMap<String, metrics::Family> {
    metrics::parse(&reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_gate_shows_in_metrics_that_were_zero_and_in_the_log() {
    let world = World::start().await;
    let before = scrape(&world).await;
    metrics::check(&before);
    for (name, label) in [
        ("waybill_gates_closed_total", Some(("gate", "failure"))),
        ("waybill_append_conflicts_total", Some(("aggregate", "device"))),
        ("waybill_process_manager_errors_total", Some(("process_manager", "rollout"))),
        ("waybill_mqtt_dead_letters_dropped_total", None),
        ("waybill_feed_interruptions_total", None),
        ("waybill_projection_parked_aggregates", Some(("projection", "fleet"))),
        ("waybill_devices", Some(("reachability", "online"))),
        ("waybill_campaigns", Some(("status", "paused"))),
    ] {
        assert_eq!(before.get(name).and_then(|family| family.value(label)), Some(0.0), "{name} {label:?}");
    }
    let campaign = gate_closes(&world).await;
    let after = scrape(&world).await;
    metrics::check(&after);
    assert_eq!(after["waybill_gates_closed_total"].value(Some(("gate", "failure"))), Some(1.0));
    for name in ["waybill_command_seconds", "waybill_http_request_seconds", "process_resident_memory_bytes"] {
        assert!(after[name].samples.iter().any(|(_, value)| *value > 0.0), "{name}");
    }
    assert_eq!(after["waybill_build_info"].value(Some(("version", env!("CARGO_PKG_VERSION")))), Some(1.0));

    let log = world.log_text();
    let line = log.lines().find(|line| line.contains("A gate closed")).unwrap();
    for part in
        ["WARN", &format!("campaign.id={campaign}"), "gate=\"failure\"", "measured_percent=100", "limit_percent="]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(!log.contains('\u{1b}'), "colours in a file");
    // Devices have downloaded, so a logged token would be found.
    let requests: Vec<&str> = log.lines().filter(|line| line.contains("HTTP request")).collect();
    let uploaded = requests.iter().find(|line| line.contains("/api/v1/firmware\"")).unwrap();
    for part in ["http.status=201", "elapsed_ms=", "command.id="] {
        assert!(uploaded.contains(part), "{part}: {uploaded}");
    }
    assert!(requests.iter().any(|line| line.contains("http.route=\"/d/{token}\"")), "no download is logged");
    assert!(log.matches("/d/").count() == log.matches("/d/{token}").count(), "a token is logged");
    assert!(!requests.iter().any(|line| line.contains("/metrics") || line.contains("/health")), "probes are logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_shows_details_of_each_part_only_to_admins() {
    let world = World::start().await;
    let operator = world.operator().await;
    let detailed = async |token: Option<&str>| {
        let request = reqwest::Client::new().get(format!("{}/health/detailed", world.base()));
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        request.send().await.unwrap().json::<Value>().await.unwrap()
    };
    let all_up = async || detailed(None).await["status"] == "ok";
    world.until("every part is up", all_up).await;
    let seen = detailed(Some(operator.token())).await;
    let parts = seen["components"].as_array().unwrap();
    for name in [
        "event log",
        "PostgreSQL",
        "projection fleet",
        "projection archive",
        "MQTT link",
        "logins of devices",
        "revocations",
        "backlog",
        "process manager rollout",
        "process manager deadlines",
        "watermark of devices",
        "secrets",
        "object store",
    ] {
        let part = parts.iter().find(|part| part["name"] == name).unwrap_or_else(|| panic!("{name}: {seen}"));
        assert_eq!((&part["status"], &part["up"]), (&json!("up"), &json!(true)), "{part}");
    }
    for part in detailed(None).await["components"].as_array().unwrap() {
        assert_eq!(part.as_object().unwrap().keys().collect::<Vec<_>>(), ["name", "up"], "{part}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_trace_continues_through_command_and_append() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let collector = Collector::start().await;
    let world = World::start_with(&["--otlp-endpoint", &format!("http://{}", collector.address)]).await;
    let api = world.operator().await;
    let sent = reqwest::Client::new()
        .post(format!("{}/api/v1/devices", world.base()))
        .bearer_auth(api.token())
        .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
        .json(&json!({"device_id": "d-1", "device_model": MODEL}))
        .send()
        .await
        .unwrap();
    assert_eq!(sent.status(), 201);
    let id: Vec<u8> = (0..16).map(|n| u8::from_str_radix(&TRACE[2 * n..2 * n + 2], 16).unwrap()).collect();
    let wanted = [&id[..], b"POST /api/v1/devices", b"command device", b"append"];
    world.until("the collector has the trace", async || collector.has(&wanted)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_collector_delays_nothing_and_is_logged_once() {
    let world = World::start_with(&["--otlp-endpoint", &format!("http://{NOWHERE}")]).await;
    let api = world.operator().await;
    let said = || world.log_text().matches("collector of traces").count();
    let register = async |id: String| api.post("/devices", &json!({"device_id": id, "device_model": MODEL})).await;
    register("first".to_owned()).await.unwrap();
    world.until("the failure is logged", async || said() == 1).await;
    let began = Instant::now();
    for n in 0..50 {
        register(format!("d-{n}")).await.unwrap();
    }
    assert!(began.elapsed() < AT_ONCE);
    assert_eq!(said(), 1, "it is logged again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unregistered_fleet_is_reported_at_once() {
    let world = World::start().await;
    let (mqtt, server) = (world.stack.nats.mqtt_listen().to_string(), world.base());
    let places = ["simulate", "--devices", "3", "--for-seconds", "2", "--mqtt", &mqtt, "--server", &server];
    let said = |more: &[&str]| {
        let output = output(&[&places[..], more].concat());
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let unknown = said(&[]);
    assert!(unknown.contains("doesn't know device sim-00001") && unknown.contains("--register"), "{unknown}");
    assert!(said(&["--register"]).contains("registered 3 devices, 0 refused"));
    let known = said(&[]);
    assert!(!known.contains("doesn't know"), "{known}");
}
