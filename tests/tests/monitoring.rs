//! A real Prometheus with our rules and dashboards, and what devices measured.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::{Method, Url};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::simulate::{Behaviour, DeviceSpec};
use waybill::stack::{Process, Spawner, free_port};

use crate::directory::Directory;
use crate::world::{World, devices};

/// What a dashboard's variables stand for.
const VARIABLES: [(&str, &str); 2] = [("$job", "waybill"), ("$__rate_interval", "1m")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A program that `scripts/setup-prometheus` has unpacked.
fn program(name: &str) -> PathBuf {
    let tools = std::env::var_os("WAYBILL_TOOLS_DIR").map_or_else(|| root().join(".waybill/tools"), PathBuf::from);
    let program = tools.join("prometheus").join(name);
    assert!(program.exists(), "{} is missing: run scripts/setup-prometheus", program.display());
    program
}

/// The queries of all dashboards.
fn queries() -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("monitoring/grafana")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        for target in
            dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap())
        {
            let query = target["expr"].as_str().unwrap().to_owned();
            found.push(VARIABLES.iter().fold(query, |query, (name, value)| query.replace(name, value)));
        }
    }
    assert!(found.len() > 20, "{found:?}");
    found
}

/// Names of metrics in queries. Recorded ones have a colon.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    let names =
        words.filter(|word| (word.starts_with("waybill_") || word.starts_with("process_")) && !word.contains(':'));
    let names = names.filter(|word| *word != "process_manager");
    names.map(str::to_owned).collect()
}

struct Prometheus {
    _process: Process,
    base: String,
    _directory: Directory,
}

impl Prometheus {
    /// Scrapes the service each second.
    async fn start(world: &World) -> Self {
        let (directory, port) = (Directory::new(), free_port().unwrap());
        let target = world.base().replace("http://", "");
        let rules = root().join("monitoring/rules.yml").canonicalize().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{}]\n\
             scrape_configs:\n  - job_name: waybill\n    static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let args = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        let log = directory.path().join("prometheus.log");
        let process = Process::run("prometheus", &Spawner::start(), &program("prometheus"), &args, &log).unwrap();
        let prometheus = Self { _process: process, base: format!("http://127.0.0.1:{port}"), _directory: directory };
        let ready = format!("{}/-/ready", prometheus.base);
        let is_ready = async || reqwest::get(&ready).await.is_ok_and(|reply| reply.status().is_success());
        world.until("Prometheus is ready", is_ready).await;
        prometheus
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let url = Url::parse_with_params(&format!("{}{path}", self.base), query).unwrap();
        reqwest::get(url).await.unwrap().json().await.unwrap()
    }

    /// The value of the only series of a query, if there is one.
    async fn value(&self, query: &str) -> Option<f64> {
        let answer = self.get("/api/v1/query", &[("query", query)]).await;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"][0]["value"][1].as_str().and_then(|value| value.parse().ok())
    }
}

/// A campaign in which one of four devices fails and one message can't be understood.
async fn something_happens(world: &World, api: &ApiClient) {
    let firmware = world.firmware(api, "2.0.0").await;
    let mut specs = devices(4);
    specs[3] = DeviceSpec { behaviour: Behaviour { fail: true, ..Behaviour::default() }, ..specs[3].clone() };
    let fleet = world.online_fleet(api, specs).await;
    let wanted = json!({"deployment_strategy": "immediate", "max_retries": 0, "failure_threshold_percent": 90});
    let campaign = world.campaign(api, &firmware, wanted).await;
    world.campaign_is(api, &campaign, &["completed_with_failures"]).await;
    let by_device = format!("/firmware/{firmware}/downloads?group_by=device");
    let all =
        |body: &Value| body["items"].as_array().unwrap().iter().filter(|item| item["completed"] == 1).count() == 4;
    world.until_get(api, &by_device, "each device has fetched it", all).await;
    fleet.stop().await;
}

/// What a device measures is listed, the latest by name and all of it in pages.
async fn telemetry_is_listed(world: &World, api: &ApiClient) {
    world.register(api, &[crate::world::device("t-1")]).await;
    let device = world.manual_device("t-1").await;
    let empty = api.get("/devices/t-1/telemetry").await.unwrap();
    assert_eq!((&empty["items"], &empty["latest"], &empty["next_cursor"]), (&json!([]), &json!({}), &Value::Null));
    device.boots("b1", "1.0.0").await;
    for n in 0..5 {
        device.says("telemetry", &json!({"temperature": 20 + n, "humidity": 50})).await;
    }
    device.says("telemetry", &json!({"pressure": 990})).await;
    let has_all =
        |body: &Value| body["latest"]["pressure"]["value"] == 990 && body["items"].as_array().unwrap().len() == 6;
    let all = world.until_get(api, "/devices/t-1/telemetry", "six messages", has_all).await;
    assert_eq!((&all["latest"]["temperature"]["value"], &all["latest"]["humidity"]["value"]), (&json!(24), &json!(50)));
    let (mut seen, mut path) = (Vec::new(), "/devices/t-1/telemetry?limit=2&name=temperature".to_owned());
    loop {
        let page = api.get(&path).await.unwrap();
        assert_eq!(page["latest"].as_object().unwrap().len(), 1, "{page}");
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["data"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => path = format!("/devices/t-1/telemetry?limit=2&name=temperature&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(json!(seen), json!((0..5).map(|n| json!({"temperature": 20 + n})).collect::<Vec<_>>()));
    let third = all["items"][2]["at"].as_str().unwrap().to_owned();
    for (query, wanted) in
        [(format!("from={third}"), 4), (format!("to={third}"), 3), (format!("from={third}&to={third}"), 1)]
    {
        let page = api.get(&format!("/devices/t-1/telemetry?{query}")).await.unwrap();
        assert_eq!(page["items"].as_array().unwrap().len(), wanted, "{query}: {page}");
    }
    let rival = world.operator_of("rival", &["admin"]).await;
    for (caller, path, status) in [
        (&rival, "/devices/t-1/telemetry", 404),
        (api, "/devices/none/telemetry", 404),
        (api, "/devices/t-1/telemetry?cursor=x", 400),
        (api, "/devices/t-1/telemetry?from=x", 400),
        (api, "/devices/t-1/telemetry?count=true", 400),
    ] {
        let reply = caller.send(Method::GET, path, None).await.unwrap();
        assert_eq!(reply.status.as_u16(), status, "{path}: {}", reply.body);
    }
    // It becomes a dead letter, which the metrics show.
    device.says("telemetry", &json!("no object")).await;
    let set_apart = |body: &Value| !body["items"].as_array().unwrap().is_empty();
    world.until_get(api, "/devices/t-1/dead-letters", "a dead letter", set_apart).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_every_metric_that_dashboards_and_rules_name() {
    let rules = root().join("monitoring/rules.yml");
    let checked = Command::new(program("promtool")).args(["check", "rules"]).arg(rules).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));

    let world = World::start().await;
    let api = world.operator().await;
    let prometheus = Prometheus::start(&world).await;
    something_happens(&world, &api).await;
    telemetry_is_listed(&world, &api).await;

    let rules = std::fs::read_to_string(root().join("monitoring/rules.yml")).unwrap();
    let expressions: Vec<&str> = rules.lines().filter(|line| line.contains("waybill_")).collect();
    let named = queries().iter().map(String::as_str).chain(expressions).flat_map(metrics_in).collect::<BTreeSet<_>>();
    // Some are measured only from time to time.
    let missing = async || {
        let shown = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
        let known = metrics_in(&shown);
        named.iter().filter(|name| !known.contains(*name)).cloned().collect::<Vec<_>>()
    };
    world.until(&format!("{named:?} are in /metrics"), async || missing().await.is_empty()).await;

    for (query, wanted) in [
        (r#"sum(waybill_updates_ended_total{kind="update",outcome="confirmed"})"#, 3.0),
        (r#"sum(waybill_updates_ended_total{kind="update",outcome="failed"})"#, 1.0),
        (r#"sum(waybill_updates_requested_total{kind="update"})"#, 4.0),
        ("sum(waybill_update_seconds_count)", 3.0),
        ("sum(waybill_download_bytes_total) / 65536", 4.0),
        ("max(waybill_updates_in_flight)", 0.0),
        (r#"up{job="waybill"}"#, 1.0),
    ] {
        world.until(&format!("{query} is {wanted}"), async || prometheus.value(query).await == Some(wanted)).await;
    }
    for query in queries() {
        prometheus.value(&query).await;
    }
    let rules = prometheus.get("/api/v1/rules", &[]).await;
    let groups = rules["data"]["groups"].as_array().unwrap();
    let all: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert!(all.len() > 10 && all.iter().all(|rule| rule["health"] != "err"), "{rules}");
}
