//! The harness: a whole Waybill for one test, with operators, devices and failures.

mod cluster;
mod fleet;
mod manual_device;
mod records;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::{ApiClient, Reply};
use waybill::stack::{NatsOptions, Process, Spawner, Stack, Tools, free_port};

use crate::directory::Directory;

pub(crate) use fleet::{device, devices};
pub(crate) use manual_device::ManualDevice;
pub(crate) use records::Records;

/// Longest wait in a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const POLL: Duration = Duration::from_millis(50);
pub(crate) const TENANT: &str = "default";
pub(crate) const MODEL: &str = "SF-2024-Pro";
/// For processes that must be given one.
pub(crate) const MASTER_KEY: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// A Waybill with its servers. All are stopped and removed when it is dropped.
pub(crate) struct World {
    pub(crate) stack: Stack,
    waybill: Option<Process>,
    spawner: Spawner,
    http: SocketAddr,
    directory: Directory,
    extra: Vec<String>,
    /// Devices need no credentials.
    anonymous_devices: bool,
}

impl World {
    /// Starts everything, with short pauses between attempts and short limits for silent devices.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts everything with further flags of `waybill serve`.
    pub(crate) async fn start_with(extra: &[&str]) -> Self {
        Self::start_on(NatsOptions::default(), extra).await
    }

    /// Starts everything; devices need credentials.
    pub(crate) async fn start_closed() -> Self {
        Self::start_closed_with(&[]).await
    }

    /// The same with further flags of `waybill serve`.
    pub(crate) async fn start_closed_with(extra: &[&str]) -> Self {
        Self::start_as(NatsOptions::default(), extra, false).await
    }

    /// Starts everything on a nats-server with other settings.
    pub(crate) async fn start_on(nats: NatsOptions, extra: &[&str]) -> Self {
        Self::start_as(nats, extra, true).await
    }

    async fn start_as(nats: NatsOptions, extra: &[&str], anonymous_devices: bool) -> Self {
        let directory = Directory::new();
        let tools = Tools::locate().unwrap();
        cluster::provide(&tools, directory.path()).await;
        let stack = Stack::start(&tools, directory.path(), nats).await.unwrap();
        let http = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        let spawner = Spawner::start();
        let mut world = Self { stack, waybill: None, spawner, http, directory, extra, anonymous_devices };
        world.start_waybill().await;
        world
    }

    /// Starts the service and waits until it is ready.
    pub(crate) async fn start_waybill(&mut self) {
        self.spawn_waybill();
        self.until("waybill is ready", async || {
            self.http_get("/health/ready").await.is_some_and(|status| status == 200)
        })
        .await;
    }

    /// Starts the service with other flags than before.
    pub(crate) async fn restart_with(&mut self, extra: &[&str]) {
        self.extra = extra.iter().map(|flag| (*flag).to_owned()).collect();
        self.start_waybill().await;
    }

    /// Starts the service without waiting.
    pub(crate) fn spawn_waybill(&mut self) {
        let log = self.directory.path().join("waybill.log");
        self.waybill = Some(self.spawn_process(self.http, &self.extra, &log));
    }

    /// Starts a further process with other flags and waits until it is ready.
    pub(crate) async fn another_process(&self, flags: &[&str]) -> Process {
        self.another_process_at(flags).await.0
    }

    /// Starts a further process that serves the API; returns its origin, too.
    pub(crate) async fn another_api(&self, flags: &[&str]) -> (Process, String) {
        self.another_process_at(&[&["--role", "api"][..], flags].concat()).await
    }

    async fn another_process_at(&self, flags: &[&str]) -> (Process, String) {
        let http = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let process = self.spawn_process(http, &flags, &self.directory.path().join("another.log"));
        let ready = format!("http://{http}/health/ready");
        self.until("another process is ready", async || {
            reqwest::get(&ready).await.is_ok_and(|reply| reply.status().is_success())
        })
        .await;
        (process, format!("http://{http}"))
    }

    fn spawn_process(&self, http: SocketAddr, extra: &[String], log: &Path) -> Process {
        let nats = &self.stack.nats;
        let mut args: Vec<String> = [
            "serve",
            "--development",
            "--http-listen",
            &http.to_string(),
            "--nats-devices-url",
            &nats.devices_url(),
            "--nats-auth-url",
            &nats.auth_url(),
            "--nats-system-url",
            &nats.system_url(),
            "--nats-issuer-seed",
            nats.issuer_seed(),
            "--mqtt-url",
            &nats.mqtt_url(),
            "--database-url",
            &self.stack.postgres.url(),
            "--data-dir",
            &self.directory.path().display().to_string(),
            "--retry-backoff-seconds",
            "1",
        ]
        .map(str::to_owned)
        .to_vec();
        if !extra.iter().any(|flag| flag == "--nats-url") {
            args.extend(["--nats-url".to_owned(), nats.waybill_url()]);
        }
        args.extend(self.anonymous_devices.then(|| "--anonymous-devices".to_owned()));
        args.extend(extra.iter().cloned());
        Process::run("waybill", &self.spawner, &waybill_binary(), &args, log).unwrap()
    }

    /// SIGKILL to the service.
    pub(crate) fn kill_waybill(&mut self) {
        drop(self.waybill.take());
    }

    /// SIGTERM to the service; returns the time it took to end.
    pub(crate) async fn stop_waybill(&mut self) -> Duration {
        let started = Instant::now();
        if let Some(mut waybill) = self.waybill.take() {
            waybill.terminate().await;
        }
        started.elapsed()
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where the service keeps its files.
    pub(crate) fn data_dir(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn log_text(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("waybill.log")).unwrap_or_default()
    }

    /// An administrator of the default tenant.
    pub(crate) async fn operator(&self) -> ApiClient {
        self.operator_of(TENANT, &["admin"]).await
    }

    pub(crate) async fn operator_of(&self, tenant: &str, roles: &[&str]) -> ApiClient {
        ApiClient::sign_in(&self.base(), tenant, roles).await.unwrap()
    }

    /// Status of a plain GET, without credentials.
    pub(crate) async fn http_get(&self, path: &str) -> Option<u16> {
        reqwest::get(format!("{}{path}", self.base())).await.ok().map(|reply| reply.status().as_u16())
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}\n{}", tail(&self.log_text()));
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until a GET returns an expected body; returns it.
    pub(crate) async fn until_get(
        &self,
        api: &ApiClient,
        path: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = api.send(Method::GET, path, None).await;
            if let Ok(Reply { status, body }) = &reply
                && status.is_success()
                && wanted(body)
            {
                return body.clone();
            }
            assert!(
                Instant::now() < deadline,
                "not within {PATIENCE:?}: {what}; last {reply:?}\n{}",
                tail(&self.log_text())
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until every read model has reached the end of the log, twice in a row at the same position.
    pub(crate) async fn settles(&self) {
        let db = projections::Db::connect(&self.stack.postgres.url()).unwrap();
        let log = self.log().await;
        let deadline = Instant::now() + PATIENCE;
        let mut last = None;
        loop {
            let head = log.info().await.map(|info| info.last_sequence).unwrap_or(u64::MAX);
            let behind = db.positions().await.map(|all| all.iter().filter(|(_, position)| *position < head).count());
            if last == Some(head) && behind.is_ok_and(|behind| behind == 0) {
                return;
            }
            last = Some(head);
            assert!(
                Instant::now() < deadline,
                "the read models don't reach the end of the log\n{}",
                tail(&self.log_text())
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The log, read without the service.
    pub(crate) async fn log(&self) -> std::sync::Arc<dyn event_store::Log> {
        let client = waybill::nats::connect(&self.stack.nats.waybill_url(), "waybill-test").await.unwrap();
        let tasks = runtime::lifecycle::Tasks::new();
        std::sync::Arc::new(event_store::JetStreamLog::connect(client, &tasks).await.unwrap())
    }

    /// Fails when any read model differs from a replay of the log into empty tables.
    pub(crate) async fn read_models_equal_a_replay(&self) {
        self.settles().await;
        let db = projections::Db::connect(&self.stack.postgres.url()).unwrap();
        let differences = projections::compare(&db, self.log().await).await.unwrap();
        assert!(differences.is_empty(), "{differences:?}");
        Records::read(self).await.say_where_they_come_from();
    }

    /// Uploads random bytes as a firmware of the test model; returns its id.
    pub(crate) async fn firmware(&self, api: &ApiClient, version: &str) -> String {
        let mut file = vec![0_u8; 64 * 1024];
        rand::fill(&mut file[..]);
        let metadata = json!({"name": "Firmware", "version": version, "device_model": MODEL});
        let reply = api.upload(&metadata, file).await.unwrap().success().unwrap();
        reply["firmware_id"].as_str().unwrap().to_owned()
    }

    /// Creates and starts a campaign over all devices of the test model; `more` overrides any field.
    pub(crate) async fn campaign(&self, api: &ApiClient, firmware_id: &str, more: Value) -> String {
        let mut wanted = json!({
            "name": "Test",
            "firmware_id": firmware_id,
            "deployment_strategy": "staged",
            "target_all": true,
        });
        for (field, value) in more.as_object().unwrap() {
            wanted[field] = value.clone();
        }
        let campaign = api.post("/campaigns", &wanted).await.unwrap();
        let id = campaign["campaign_id"].as_str().unwrap().to_owned();
        api.post(&format!("/campaigns/{id}/start"), &json!({})).await.unwrap();
        id
    }

    /// Waits until a campaign has one of these statuses; returns its status reply.
    pub(crate) async fn campaign_is(&self, api: &ApiClient, id: &str, statuses: &[&str]) -> Value {
        let path = format!("/campaigns/{id}/status");
        let what = format!("campaign is {statuses:?}");
        self.until_get(api, &path, &what, |body| statuses.iter().any(|status| body["status"] == *status)).await
    }
}

/// The service's binary, beside the test's own.
pub(crate) fn waybill_binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let binary = test.ancestors().nth(2).unwrap().join("waybill");
    assert!(binary.exists(), "{} is missing: run `make test`, or `make build` first", binary.display());
    binary
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}
