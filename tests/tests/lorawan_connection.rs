//! A tenant's connection to its ChirpStack, changed by several at once, by requests that come again, and by the configuration.

use std::path::PathBuf;
use std::time::Duration;

use fake_chirpstack::{
    APPLICATION_ID, CLASS_A_PROFILE_ID, Command, FakeChirpstack, Settings, TENANT_ID, TENANT_KEY, TlsSettings,
};
use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::certificates::{Ca, Certificate};
use crate::world::World;

const PATH: &str = "/tenants/default/chirpstack";
/// Pause between two tries to connect.
const PAUSE: Duration = Duration::from_millis(5);
/// Requests at the same time.
const AT_ONCE: usize = 6;

struct Place {
    world: World,
    api: ApiClient,
    lns: FakeChirpstack,
}

fn connection(lns: &FakeChirpstack, key: Option<&str>) -> Value {
    let mut connection = json!({
        "url": lns.url(), "chirpstack_tenant_id": TENANT_ID, "default_device_profile_id": CLASS_A_PROFILE_ID,
    });
    if let Some(key) = key {
        connection["api_key"] = key.into();
    }
    connection
}

impl Place {
    async fn send(&self, method: Method, body: &Value, idempotency_key: Option<&str>) -> Response {
        let url = format!("{}/api/v1{PATH}", self.api.base());
        let mut request = self.api.http().request(method, url).bearer_auth(self.api.token()).json(body);
        if let Some(key) = idempotency_key {
            request = request.header("Idempotency-Key", key);
        }
        request.send().await.unwrap()
    }

    /// The key that the connection names is there, and ChirpStack takes it.
    async fn works(&self) {
        let path = format!("{PATH}?dry_run=true");
        let check = self.api.send(Method::PUT, &path, Some(&connection(&self.lns, None))).await.unwrap();
        assert_eq!(check.success().unwrap()["check"]["result"], "ok");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_changed_at_once_or_again_keep_the_secrets_that_they_name() {
    let lns = FakeChirpstack::start(Settings::default()).await.unwrap();
    let world = World::start().await;
    let api = world.operator().await;
    let place = Place { world, api, lns };
    let keys: Vec<String> = (0..AT_ONCE).map(|n| format!("key-{n}")).collect();
    for key in &keys {
        place.lns.carry_out(Command::AcceptKey { key: key.clone(), tenant_id: TENANT_ID.to_owned() }).unwrap();
    }

    // One of those that come at once wins; no other removes its key.
    let puts = keys
        .iter()
        .map(|key| async { place.send(Method::PUT, &connection(&place.lns, Some(key)), None).await.status().as_u16() });
    let statuses = join_all(puts).await;
    assert!(statuses.contains(&200) && statuses.iter().all(|status| [200, 409].contains(status)), "{statuses:?}");
    place.works().await;

    // A removal that comes again after another connection removes nothing.
    let reason = json!({"reason": "moved"});
    assert_eq!(place.send(Method::DELETE, &reason, Some("remove-1")).await.status(), 200);
    assert_eq!(place.api.send(Method::GET, PATH, None).await.unwrap().status, 404);
    assert_eq!(place.send(Method::PUT, &connection(&place.lns, Some(TENANT_KEY)), None).await.status(), 200);
    assert_eq!(place.send(Method::DELETE, &reason, Some("remove-1")).await.status(), 200);
    place.works().await;

    // Two secrets of webhooks count while one replaces the other.
    let with = |first: Value, second: Value| {
        let mut wanted = connection(&place.lns, None);
        (wanted["webhook_secret"], wanted["second_webhook_secret"]) = (first, second);
        wanted
    };
    let webhook = async |secret: &str| {
        let url = format!("{}/api/v1/lorawan/webhooks/default/status", place.world.base());
        let request = place.api.http().post(url).header("X-Waybill-Webhook-Secret", secret);
        request.json(&json!({"devEUI": "0102030405060708", "status": "online"})).send().await.unwrap().status().as_u16()
    };
    assert_eq!(place.send(Method::PUT, &with(Value::Null, json!("new")), None).await.status(), 422);
    let set = place.send(Method::PUT, &with(json!("old"), json!("new")), None).await;
    let set: Value = serde_json::from_slice(&set.bytes().await.unwrap()).unwrap();
    assert_eq!((&set["webhook_secret"], &set["second_webhook_secret"]), (&json!("set"), &json!("set")), "{set}");
    place.world.until("both count", async || webhook("new").await == 200 && webhook("old").await == 200).await;
    assert_eq!(webhook("other").await, 401);
    let replaced = place.send(Method::PUT, &with(json!("new"), Value::Null), None).await;
    let replaced: Value = serde_json::from_slice(&replaced.bytes().await.unwrap()).unwrap();
    assert_eq!((&replaced["webhook_secret"], &replaced["second_webhook_secret"]), (&json!("set"), &json!("missing")));
    place.world.until("the old one is gone", async || webhook("old").await == 401).await;
    assert_eq!(webhook("new").await, 200);
    assert_eq!(place.send(Method::PUT, &with(Value::Null, Value::Null), None).await.status(), 200);
    place.world.until("none is needed, in development", async || webhook("any").await == 200).await;
    place.works().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_connects_the_default_tenant_while_the_configuration_does_wins() {
    let lns = FakeChirpstack::start(Settings::default()).await.unwrap();
    let configured = FakeChirpstack::start(Settings::default()).await.unwrap();
    let mut world = World::start().await;
    let api = world.operator().await;
    world.stop_waybill().await;
    let url = configured.url();
    let flags =
        ["--chirpstack-api-url", url.as_str(), "--chirpstack-tenant-id", TENANT_ID, "--chirpstack-api-key", TENANT_KEY];
    // Sent until the service answers, so it comes while the tenant is being filled.
    let wanted = connection(&lns, Some(TENANT_KEY));
    let connects = async {
        loop {
            let sent = api.send(Method::PUT, PATH, Some(&wanted)).await;
            match sent {
                Ok(reply) if reply.status == 200 => return,
                Ok(reply) => assert!([409, 503].contains(&reply.status.as_u16()), "{}", reply.body),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::join!(world.restart_with(&flags), connects);
    let place = Place { world, api, lns };
    place.works().await;
    let shown = place.api.get(PATH).await.unwrap();
    assert_eq!(shown["url"], place.lns.url(), "{shown}");
    // Nor does the next start replace it.
    let mut place = place;
    place.world.stop_waybill().await;
    place.world.restart_with(&flags).await;
    place.works().await;
    assert_eq!(place.api.get(PATH).await.unwrap()["url"], place.lns.url());
}

/// A ChirpStack that lets in clients of an authority only, the directory with its files, and what Waybill shows.
struct Guarded {
    lns: FakeChirpstack,
    ca: PathBuf,
    shown: Certificate,
    files: PathBuf,
}

impl Guarded {
    async fn start(world: &World) -> Self {
        let (authority, files) = (Ca::new("CA of a ChirpStack"), world.data_dir().join("chirpstack"));
        std::fs::create_dir_all(&files).unwrap();
        let ca = authority.writes(files.join("ca.crt"));
        let (server, shown) = (authority.of_server(), authority.of_client("waybill"));
        shown.writes(&files, "waybill");
        let client_ca_pem = Some(std::fs::read_to_string(&ca).unwrap());
        let tls = TlsSettings { certificate_pem: server.cert, key_pem: server.key, client_ca_pem };
        let lns = FakeChirpstack::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
        Self { lns, ca, shown, files }
    }

    fn flags(&self) -> Vec<String> {
        let file = |name: &str| self.files.join(name).display().to_string();
        let flags = [
            ("--chirpstack-api-url", self.lns.url()),
            ("--chirpstack-tenant-id", TENANT_ID.to_owned()),
            ("--chirpstack-api-key", TENANT_KEY.to_owned()),
            ("--chirpstack-ca", file("ca.crt")),
            ("--chirpstack-cert", file("waybill.crt")),
            ("--chirpstack-key-file", file("waybill.key")),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chirpstack_that_wants_a_certificate_sees_the_one_of_the_configuration_and_of_the_tenant() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let guarded = Guarded::start(&world).await;
    world.stop_waybill().await;
    let flags = guarded.flags();
    world.restart_with(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let is_connected = |body: &Value| body["client_key"] == "set" && body["client_certificate"] == guarded.shown.cert;
    let shown = world.until_get(&api, PATH, "connected by the configuration", is_connected).await;
    assert!(!shown.to_string().contains("PRIVATE KEY"), "{shown}");

    // The process managers show it, too.
    let device = json!({
        "device_id": "d-1", "device_type": "lora_sensor", "lorawan_dev_eui": "0000000000000001",
        "chirpstack_app_id": APPLICATION_ID, "device_profile_id": CLASS_A_PROFILE_ID,
    });
    api.post("/devices", &device).await.unwrap();
    world.until_get(&api, "/devices/d-1", "synced", |body| body["sync_state"] == "synced").await;
    assert!(guarded.lns.device("0000000000000001").is_some());

    let place = Place { world, api, lns: guarded.lns.clone() };
    let with = |certificate: Value, key: Value| {
        let mut wanted = connection(&guarded.lns, None);
        wanted["ca"] = std::fs::read_to_string(&guarded.ca).unwrap().into();
        (wanted["client_certificate"], wanted["client_key"]) = (certificate, key);
        wanted
    };
    let own = || json!(guarded.shown.cert);
    let check = async |wanted: &Value| {
        let path = format!("{PATH}?dry_run=true");
        let reply = place.api.send(Method::PUT, &path, Some(wanted)).await.unwrap();
        (reply.status.as_u16(), reply.body["check"]["result"].as_str().map(str::to_owned))
    };
    let ok = || (200, Some("ok".to_owned()));
    assert_eq!(check(&with(own(), json!(guarded.shown.key))).await, ok());
    assert_eq!(check(&with(Value::Null, Value::Null)).await, (200, Some("unreachable".to_owned())));
    let other = Ca::new("another").of_client("waybill");
    assert_eq!(check(&with(json!(other.cert), json!(other.key))).await, (200, Some("unreachable".to_owned())));
    assert_eq!(check(&with(own(), json!(other.key))).await.0, 422, "the key of another certificate");
    assert_eq!(check(&with(own(), json!("no key"))).await.0, 422);
    assert_eq!(check(&with(own(), Value::Null)).await.0, 422);
    // Like other secrets, a key that is left out stays.
    let mut kept = with(own(), Value::Null);
    kept.as_object_mut().unwrap().remove("client_key");
    assert_eq!(check(&kept).await, ok());
}
