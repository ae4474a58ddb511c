//! Everything over TLS: the API, nats-server, its MQTT listener, PostgreSQL, devices and their downloads.

mod cluster;
mod devices;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use waybill::stack::{NatsOptions, NatsServer, Process, Spawner, Stack, Tools, free_port};
use waybill::tls::{CertificateArgs, NatsTlsArgs};

use crate::certificates::Ca;
use crate::directory::Directory;
use crate::world::{MODEL, PATIENCE, POLL, waybill_binary};

/// Exit codes of curl: a certificate that isn't trusted.
const CURL_UNTRUSTED: i32 = 60;

/// A Waybill whose connections are all encrypted.
struct TlsWorld {
    stack: Stack,
    spawner: Spawner,
    http: SocketAddr,
    ca: Ca,
    /// Of another authority.
    other_ca: PathBuf,
    directory: Directory,
}

impl TlsWorld {
    /// The servers, without Waybill.
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other settings of nats-server.
    async fn start_with(change: impl FnOnce(&mut NatsOptions)) -> Self {
        let directory = Directory::new();
        let ca = Ca::new("CA of a test");
        let certificates = directory.path().join("tls");
        ca.equips(&certificates);
        let other_ca = Ca::new("another CA").writes(directory.path().join("other.crt"));
        let mut nats = NatsOptions { certificates: Some(certificates), ..NatsOptions::default() };
        change(&mut nats);
        let stack = Stack::start(&Tools::locate().unwrap(), directory.path(), nats).await.unwrap();
        let http = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        Self { stack, spawner: Spawner::start(), http, ca, other_ca, directory }
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join("tls").join(name).display().to_string()
    }

    /// Starts Waybill. Later flags take the place of earlier ones.
    fn serve(&self, flags: &[(&str, &str)]) -> Process {
        let nats = &self.stack.nats;
        let data_dir = self.directory.path().display().to_string();
        let mut settings = vec![
            ("--http-listen", self.http.to_string()),
            ("--tls-cert", self.file("server.crt")),
            ("--tls-key", self.file("server.key")),
            ("--nats-url", nats.waybill_url()),
            ("--nats-devices-url", nats.devices_url()),
            ("--nats-auth-url", nats.auth_url()),
            ("--nats-system-url", nats.system_url()),
            ("--nats-issuer-seed", nats.issuer_seed().to_owned()),
            ("--nats-ca", self.file("ca.crt")),
            ("--mqtt-url", nats.mqtt_url()),
            ("--mqtt-ca", self.file("ca.crt")),
            ("--database-url", self.stack.postgres.url()),
            ("--data-dir", data_dir),
        ];
        for (flag, value) in flags {
            settings.retain(|(name, _)| name != flag);
            settings.push((flag, (*value).to_owned()));
        }
        let settings = settings.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
        let args: Vec<String> = ["serve", "--development"].map(str::to_owned).into_iter().chain(settings).collect();
        Process::run("waybill", &self.spawner, &waybill_binary(), &args, &self.log()).unwrap()
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("waybill.log")
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.http)
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{}", self.said());
            tokio::time::sleep(POLL).await;
        }
    }

    async fn until_ready(&self) {
        let (ca, url) = (self.file("ca.crt"), self.url("/health/ready"));
        self.until("waybill is ready", async || curl(&ca, &["--fail", &url]).await.0 == 0).await;
    }
}

/// Runs curl with this CA; its exit code and what it printed.
async fn curl(ca: impl AsRef<Path>, args: &[&str]) -> (i32, String) {
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*", "--cacert"]).arg(ca.as_ref());
    let output = command.args(args).kill_on_drop(true).output().await.expect("curl is installed");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// An administrator who uses curl.
struct Operator {
    base: String,
    ca: String,
    token: String,
}

impl Operator {
    async fn sign_in(world: &TlsWorld) -> Self {
        let (ca, wanted) = (world.file("ca.crt"), json!({"user_id": "me", "expires_in": 3600}).to_string());
        let url = world.url("/api/v1/auth/dev-token");
        let (code, said) = curl(&ca, &["--fail", "--json", &wanted, &url]).await;
        assert_eq!(code, 0, "{said}");
        let reply: Value = serde_json::from_str(&said).unwrap();
        Self { base: world.url("/api/v1"), ca, token: reply["token"].as_str().unwrap().to_owned() }
    }

    async fn sends(&self, args: &[&str], path: &str) -> Result<Value, String> {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let url = format!("{}{path}", self.base);
        let all = [&["--fail-with-body", "--header", &authorization], args, &[&url]].concat();
        match curl(&self.ca, &all).await {
            (0, said) => Ok(serde_json::from_str(&said).unwrap()),
            (_, said) => Err(said),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_runs_over_tls_from_the_upload_to_the_devices_report() {
    let mut world = TlsWorld::start().await;
    let mut waybill = world.serve(&[]);
    world.until_ready().await;
    let operator = Operator::sign_in(&world).await;

    let mqtts = format!("mqtts://{}", world.stack.nats.mqtt_listen());
    let base = world.url("");
    let ca = world.file("ca.crt");
    let args = ["simulate", "--register", &base, "--mqtt", &mqtts, "--ca", &ca, "--devices", "1", "--model", MODEL];
    let args = args.map(str::to_owned);
    let log = world.directory.path().join("simulator.log");
    let _simulator = Process::run("simulator", &world.spawner, &waybill_binary(), &args, &log).unwrap();
    let simulated = || std::fs::read_to_string(&log).unwrap_or_default();
    let is_online =
        async || operator.sends(&[], "/devices/sim-00001").await.is_ok_and(|device| device["status"] == "online");
    world.until("the device logs in with its credential", is_online).await;

    let image = world.directory.path().join("image.bin");
    std::fs::write(&image, vec![7; 100_000]).unwrap();
    let metadata = json!({"name": "Firmware", "version": "2.0.0", "device_model": MODEL});
    let (file, metadata) = (format!("file=@{}", image.display()), format!("metadata={metadata}"));
    let firmware = operator.sends(&["--form", &metadata, "--form", &file], "/firmware").await.unwrap();
    let order = json!({"firmware_id": firmware["firmware_id"]}).to_string();
    operator.sends(&["--json", &order], "/devices/sim-00001/update").await.unwrap();
    let is_confirmed = async || {
        let updates = operator.sends(&[], "/devices/sim-00001/updates").await;
        updates.is_ok_and(|updates| updates["items"][0]["status"] == "completed")
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_confirmed().await {
        assert!(Instant::now() < deadline, "{}\n{}", world.said(), simulated());
        tokio::time::sleep(POLL).await;
    }
    if has_tls(&world.stack) {
        let encrypted = encrypted_connections(&world.stack.postgres.url()).await;
        assert_eq!(encrypted, "t", "all connections to PostgreSQL are encrypted");
    }
    let nats = world.stack.nats.waybill_url();
    for command in [&["replay", "--aggregate", "device/sim-00001"][..], &["secrets", "list"]] {
        let args = [command, &["--nats-url", &nats, "--nats-ca", &ca]].concat();
        let data_dir = world.directory.path();
        let output = tokio::process::Command::new(waybill_binary()).args(args).arg("--data-dir").arg(data_dir).output();
        let output = output.await.unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    waybill.terminate().await;
    world.stack.stop().await;
}

/// Whether PostgreSQL speaks TLS here. The one from PyPI doesn't, and then its part isn't tested.
fn has_tls(stack: &Stack) -> bool {
    let has_tls = stack.postgres.has_tls();
    if !has_tls {
        eprintln!("PostgreSQL was built without TLS here: connections to it are not tested");
    }
    has_tls
}

/// Whether all connections to the database by TCP are encrypted; nothing if there are none.
async fn encrypted_connections(url: &str) -> String {
    let psql = Tools::locate().unwrap().postgres_bin.join("psql");
    let sql = "select bool_and(ssl) from pg_stat_ssl join pg_stat_activity using (pid) \
               where datname = 'waybill' and client_addr is not null and pid <> pg_backend_pid()";
    let output = tokio::process::Command::new(psql).args([url, "-XAtc", sql]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn https_refuses_plain_http_and_takes_a_new_certificate_without_a_restart() {
    let world = TlsWorld::start().await;
    let _waybill = world.serve(&[]);
    world.until_ready().await;
    let (ca, url) = (world.file("ca.crt"), world.url("/health/ready"));
    let (code, said) = curl(&world.other_ca, &[&url]).await;
    assert_eq!(code, CURL_UNTRUSTED, "{said}");
    for version in ["1.2", "1.3"] {
        let (code, said) = curl(&ca, &["--fail", "--tls-max", version, &url]).await;
        assert_eq!(code, 0, "TLS {version}: {said}");
    }
    let plain = url.replace("https://", "http://");
    let (code, said) = curl(&ca, &["--include", "--write-out", " %{http_code}", &plain]).await;
    assert!(code == 0 && said.ends_with(" 400") && said.contains("this port speaks HTTPS"), "{code}: {said}");
    assert!(said.contains("application/problem+json") && said.contains("nosniff"), "{said}");
    let post = ["--write-out", " %{http_code}", "--data", &"x".repeat(10_000), &plain];
    assert!(curl(&ca, &post).await.1.ends_with(" 400"));

    // The key comes first; until its certificate is there, the old ones are served.
    let next = Ca::new("the next CA");
    let certificate = next.of_server();
    let directory = world.directory.path().join("tls");
    std::fs::write(directory.join("server.key"), &certificate.key).unwrap();
    world.until("the pair that doesn't fit is refused", async || world.said().contains("can't be used")).await;
    assert_eq!(curl(&ca, &["--fail", &url]).await.0, 0);
    std::fs::write(directory.join("server.crt"), &certificate.cert).unwrap();
    let next_ca = next.writes(world.directory.path().join("next.crt"));
    world.until("the new certificate is shown", async || curl(&next_ca, &["--fail", &url]).await.0 == 0).await;
    assert_eq!(curl(&ca, &[&url]).await.0, CURL_UNTRUSTED);
    assert!(!world.said().contains("PRIVATE KEY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_with_a_certificate_of_another_authority_are_not_trusted() {
    let world = TlsWorld::start().await;
    let other = world.other_ca.display().to_string();
    let mut waybill = world.serve(&[("--nats-ca", &other)]);
    world.until("it ends", async || world.said().contains("WAYBILL_NATS_CA")).await;
    let deadline = Instant::now() + PATIENCE;
    while waybill.ended().is_none() {
        assert!(Instant::now() < deadline, "it goes on: {}", world.said());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!waybill.ended().unwrap().success());
    assert!(world.said().contains("shows a certificate that isn't trusted"), "{}", world.said());

    let _waybill = world.serve(&[("--mqtt-ca", &other)]);
    world.until("the listener isn't trusted", async || world.said().contains("UnknownIssuer")).await;

    if !has_tls(&world.stack) {
        return;
    }
    let url = world.stack.postgres.url();
    projections::Db::connect(&url).unwrap().ping().await.unwrap();
    let trusting_other = url.replace(&world.file("ca.crt"), &other);
    assert!(projections::Db::connect(&trusting_other).unwrap().ping().await.is_err());
    let by_another_name = url.replace("@127.0.0.1:", "@127.0.0.2:");
    assert!(projections::Db::connect(&by_another_name).unwrap().ping().await.is_err());
}

#[test]
fn a_certificate_that_cannot_be_served_is_refused_with_its_file() {
    let directory = Directory::new();
    let path = |name: &str| directory.path().join(name);
    let ca = Ca::new("CA");
    ca.of_server().writes(directory.path(), "one");
    ca.of_server().writes(directory.path(), "other");
    std::fs::write(path("empty.crt"), "").unwrap();
    std::fs::write(path("broken.crt"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    std::fs::write(path("geheim.key"), "geheim").unwrap();
    let load = |cert: &str, key: &str| {
        CertificateArgs { tls_cert: Some(path(cert)), tls_key: Some(path(key)) }
            .load()
            .map(|loaded| loaded.is_some())
            .map_err(|error| format!("{error:#}"))
    };
    assert_eq!(load("one.crt", "one.key"), Ok(true));
    assert_eq!(CertificateArgs::default().load().unwrap().map(drop), None);
    for (cert, key, wanted) in [
        ("missing.crt", "one.key", "missing.crt can't be read"),
        ("one.crt", "missing.key", "missing.key can't be read"),
        ("empty.crt", "one.key", "empty.crt has no certificate in PEM form"),
        ("broken.crt", "one.key", "broken.crt"),
        ("one.key", "one.key", "one.key has no certificate in PEM form"),
        ("one.crt", "geheim.key", "geheim.key has no private key in PEM form"),
        ("one.crt", "one.crt", "one.crt has no private key in PEM form"),
        ("one.crt", "other.key", "other.key can't be used for the certificate in"),
    ] {
        let error = load(cert, key).unwrap_err();
        assert!(error.contains(wanted) && !error.contains("PRIVATE"), "{cert} {key}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_server_may_ask_clients_for_certificates() {
    let directory = Directory::new();
    let (ca, certificates) = (Ca::new("CA"), directory.path().join("tls"));
    ca.equips(&certificates);
    ca.of_client("waybill").writes(&certificates, "client");
    Ca::new("another CA").of_client("waybill").writes(&certificates, "other");
    let options =
        NatsOptions { certificates: Some(certificates.clone()), verify_clients: true, ..NatsOptions::default() };
    let tools = Tools::locate().unwrap();
    let nats = NatsServer::start(&tools, &Spawner::start(), &directory.path().join("nats"), options).await.unwrap();
    let connect = async |cert: Option<&str>| {
        let file = |name: String| Some(certificates.join(name));
        let args = NatsTlsArgs {
            nats_ca: file("ca.crt".to_owned()),
            nats_cert: cert.and_then(|cert| file(format!("{cert}.crt"))),
            nats_key_file: cert.and_then(|cert| file(format!("{cert}.key"))),
        };
        let tls = args.checked().unwrap();
        waybill::nats::connect_with_rights(Duration::ZERO, &nats.waybill_url(), &tls, "waybill").await.map(drop)
    };
    connect(Some("client")).await.unwrap();
    assert!(connect(None).await.is_err());
    assert!(connect(Some("other")).await.is_err());
}
