//! Devices with a LoRaWAN EUI and their copies in ChirpStack: created, updated, removed, repaired, and what happens while it is away.

use std::time::{Duration, Instant};

use fake_chirpstack::{
    APPLICATION_ID, CLASS_A_PROFILE_ID, CLASS_C_PROFILE_ID, Command, FakeChirpstack, FaultKind, Settings, TENANT_ID,
    TENANT_KEY,
};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::World;

/// Join keys that are nowhere else.
const NWK_KEY: &str = "5ca1ab1e5ca1ab1e5ca1ab1e00c0ffee";
/// The 95th percentile of device requests stays below this, also while ChirpStack hangs.
const P95_MAX: Duration = Duration::from_millis(200);
/// Requests that are measured.
const REQUESTS: usize = 60;

struct Lorawan {
    world: World,
    api: ApiClient,
    lns: FakeChirpstack,
}

impl Lorawan {
    /// A Waybill with a connected ChirpStack, and short pauses between sweeps.
    async fn start() -> Self {
        let lns = FakeChirpstack::start(Settings::default()).await.unwrap();
        let world = World::start_with(&["--network-sweep-seconds", "1"]).await;
        let api = world.operator().await;
        let lorawan = Self { world, api, lns };
        let connected = lorawan.connect("default", TENANT_KEY).await;
        assert_eq!((&connected["api_key"], &connected["webhook_secret"]), (&json!("set"), &json!("missing")));
        lorawan
    }

    async fn connect(&self, tenant: &str, key: &str) -> Value {
        self.put(&format!("/tenants/{tenant}/chirpstack"), &connection(&self.lns, key)).await
    }

    async fn put(&self, path: &str, body: &Value) -> Value {
        self.api.send(Method::PUT, path, Some(body)).await.unwrap().success().unwrap()
    }

    /// With one idempotency key for all; returns the status.
    async fn put_keyed(&self, path: &str, body: &Value) -> u16 {
        let request = self.api.http().put(format!("{}/api/v1{path}", self.api.base())).bearer_auth(self.api.token());
        request.header("Idempotency-Key", "keys").json(body).send().await.unwrap().status().as_u16()
    }

    async fn patch(&self, id: &str, body: Value) {
        self.api.send(Method::PATCH, &format!("/devices/{id}"), Some(&body)).await.unwrap().success().unwrap();
    }

    async fn delete(&self, path: &str) {
        self.api.send(Method::DELETE, path, Some(&json!({"reason": "test"}))).await.unwrap().success().unwrap();
    }

    async fn create(&self, id: &str, more: Value) {
        let mut body = json!({
            "device_id": id, "device_type": "lora_sensor", "lorawan_dev_eui": eui(id), "chirpstack_app_id": APPLICATION_ID,
        });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let created = self.api.post("/devices", &body).await.unwrap();
        assert_eq!((&created["sync_state"], &created["chirpstack_synced"]), (&json!("pending"), &json!(false)));
    }

    async fn until(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.world.until_get(&self.api, &format!("/devices/{id}"), &format!("{id} {what}"), wanted).await
    }

    async fn until_synced(&self, id: &str) -> Value {
        self.until(id, "is synced", |body| body["sync_state"] == "synced").await
    }

    /// Waits until the device is refused; returns why.
    async fn until_failed(&self, id: &str) -> String {
        let body = self.until(id, "has failed", |body| body["sync_state"] == "failed").await;
        body["sync_error"].as_str().unwrap().to_owned()
    }

    async fn until_there(&self, what: &str, wanted: impl Fn(&FakeChirpstack) -> bool) {
        self.world.until(what, async || wanted(&self.lns)).await;
    }

    fn there(&self, command: Command) {
        self.lns.carry_out(command).unwrap();
    }

    fn goes_wrong(&self, path: &str, times: u32, fault: FaultKind) {
        self.there(Command::Fault { path: path.to_owned(), times, fault });
    }
}

fn connection(lns: &FakeChirpstack, key: &str) -> Value {
    json!({
        "url": lns.url(), "chirpstack_tenant_id": TENANT_ID, "api_key": key,
        "default_device_profile_id": CLASS_A_PROFILE_ID,
    })
}

/// An EUI for a device whose id ends with a number.
fn eui(id: &str) -> String {
    let number: u64 = id.rsplit('-').next().unwrap().parse().unwrap();
    format!("00000000000000{number:02x}")
}

fn someones_device(id: &str, variables: &[(&str, &str)]) -> Command {
    Command::PutDevice {
        dev_eui: eui(id),
        application_id: Some(APPLICATION_ID.to_owned()),
        device_profile_id: Some(CLASS_C_PROFILE_ID.to_owned()),
        name: Some("Boiler".to_owned()),
        is_disabled: None,
        tags: Some([("site".to_owned(), "north".to_owned())].into()),
        variables: Some(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()),
    }
}

fn renamed(id: &str, name: &str) -> Command {
    Command::PutDevice {
        dev_eui: eui(id),
        application_id: None,
        device_profile_id: None,
        name: Some(name.to_owned()),
        is_disabled: None,
        tags: None,
        variables: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_has_a_copy_in_chirpstack_from_its_registration_to_its_end() {
    let lorawan = Lorawan::start().await;
    lorawan.create("d-1", json!({"name": "Lab Sensor", "join_eui": "00000000000000AA"})).await;
    let synced = lorawan.until_synced("d-1").await;
    assert_eq!((&synced["chirpstack_synced"], &synced["sync_error"]), (&json!(true), &Value::Null));
    let copy = lorawan.lns.device(&eui("d-1")).unwrap();
    assert_eq!((copy.name.as_str(), copy.application_id.as_str()), ("Lab Sensor", APPLICATION_ID));
    assert_eq!((copy.device_profile_id.as_str(), copy.join_eui.as_str()), (CLASS_A_PROFILE_ID, "00000000000000aa"));
    assert_eq!(copy.variables["waybill_device_id"], "d-1");

    // Without an application it is stored, and there is nothing to sync.
    let lone = json!({"device_id": "d-2", "lorawan_dev_eui": eui("d-2")});
    assert_eq!(lorawan.api.post("/devices", &lone).await.unwrap()["sync_state"], "not_applicable");
    let refused = lorawan.api.send(Method::POST, "/devices/d-2/sync", Some(&json!({}))).await.unwrap();
    assert_eq!((refused.status.as_u16(), &refused.body["type"]), (409, &json!("/problems/network_not_applicable")));

    // A change of the device is a change over there, and nothing else is lost.
    lorawan.there(Command::PutDevice {
        dev_eui: eui("d-1"),
        application_id: None,
        device_profile_id: None,
        name: None,
        is_disabled: None,
        tags: Some([("floor".to_owned(), "2".to_owned())].into()),
        variables: None,
    });
    lorawan.patch("d-1", json!({"name": "Pump", "device_profile_id": CLASS_C_PROFILE_ID})).await;
    lorawan.until_there("the copy is renamed", |lns| lns.device(&eui("d-1")).unwrap().name == "Pump").await;
    lorawan.until_synced("d-1").await;
    let copy = lorawan.lns.device(&eui("d-1")).unwrap();
    assert_eq!((copy.device_profile_id.as_str(), copy.tags["floor"].as_str()), (CLASS_C_PROFILE_ID, "2"));

    // Join keys go there and are shown nowhere.
    let keys = lorawan.put("/devices/d-1/lorawan-keys", &json!({"nwk_key": NWK_KEY})).await;
    assert_eq!((&keys["nwk_key"], &keys["app_key"]), (&json!("set"), &json!("missing")));
    let other = json!({"nwk_key": NWK_KEY, "app_key": NWK_KEY});
    let one = json!({"nwk_key": NWK_KEY});
    for (body, status) in [(&one, 200), (&one, 200), (&other, 422)] {
        assert_eq!(lorawan.put_keyed("/devices/d-1/lorawan-keys", body).await, status);
    }
    let kept = |lns: &FakeChirpstack| lns.keys(&eui("d-1")).is_some_and(|keys| keys.nwk_key == NWK_KEY);
    lorawan.until_there("the keys are there", kept).await;
    lorawan.until_synced("d-1").await;
    let history = lorawan.api.get("/devices/d-1/history").await.unwrap().to_string();
    assert!(history.contains("device.lorawan_keys_set") && !history.contains(NWK_KEY));
    assert!(!lorawan.world.log_text().contains(NWK_KEY) && !lorawan.world.log_text().contains(TENANT_KEY));
    lorawan.delete("/devices/d-1/lorawan-keys").await;
    lorawan.until_there("the keys are gone", |lns| lns.keys(&eui("d-1")).is_none()).await;

    // Another EUI is another copy; the former one goes.
    lorawan.until_synced("d-1").await;
    lorawan.patch("d-1", json!({"lorawan_dev_eui": eui("d-9")})).await;
    lorawan
        .until_there("the copy has moved", |lns| lns.device(&eui("d-1")).is_none() && lns.device(&eui("d-9")).is_some())
        .await;
    lorawan.until_synced("d-1").await;
    lorawan.patch("d-1", json!({"lorawan_dev_eui": eui("d-1")})).await;
    lorawan.until_synced("d-1").await;

    // Edited and deleted by hand: repaired, because Waybill has created it.
    lorawan.there(renamed("d-1", "vandalised"));
    lorawan.until_there("the name is repaired", |lns| lns.device(&eui("d-1")).unwrap().name == "Pump").await;
    lorawan.until_synced("d-1").await;
    lorawan.there(Command::DeleteDevice { dev_eui: eui("d-1") });
    lorawan.until_there("the copy is there again", |lns| lns.device(&eui("d-1")).is_some()).await;
    lorawan.until_synced("d-1").await;
    lorawan.there(Command::PutDevice {
        dev_eui: eui("d-1"),
        application_id: None,
        device_profile_id: None,
        name: None,
        is_disabled: Some(true),
        tags: None,
        variables: None,
    });
    lorawan.until("d-1", "is shown as disabled", |body| body["chirpstack_disabled"] == true).await;

    lorawan.delete("/devices/d-1").await;
    lorawan.until_there("the copy is gone", |lns| lns.device(&eui("d-1")).is_none()).await;
    let gone = |body: &Value| body["sync_state"] == "not_applicable";
    lorawan.until("d-1", "has no copy", gone).await;
    assert!(lorawan.lns.devices().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_created_is_adopted_or_refused_and_never_deleted() {
    let lorawan = Lorawan::start().await;
    lorawan.there(someones_device("d-1", &[]));
    lorawan.create("d-1", json!({})).await;
    lorawan.until_synced("d-1").await;
    let copy = lorawan.lns.device(&eui("d-1")).unwrap();
    assert_eq!((copy.name.as_str(), copy.device_profile_id.as_str()), ("Boiler", CLASS_C_PROFILE_ID));
    assert_eq!((copy.tags["site"].as_str(), copy.variables["waybill_device_id"].as_str()), ("north", "d-1"));
    lorawan.patch("d-1", json!({"name": "Pump"})).await;
    lorawan.until_there("it is renamed", |lns| lns.device(&eui("d-1")).unwrap().name == "Pump").await;
    lorawan.until_synced("d-1").await;
    lorawan.there(renamed("d-1", "Valve"));
    lorawan.until("d-1", "is shown as edited", |body| body["chirpstack_edited"] == json!(["name"])).await;
    assert_eq!(lorawan.lns.device(&eui("d-1")).unwrap().name, "Valve", "it is not Waybill's to repair");
    lorawan.delete("/devices/d-1").await;
    lorawan.until("d-1", "has no copy", |body| body["sync_state"] == "not_applicable").await;
    assert!(lorawan.lns.device(&eui("d-1")).is_some());

    // Another device of Waybill has it.
    lorawan.there(someones_device("d-2", &[("waybill_device_id", "elsewhere")]));
    lorawan.create("d-2", json!({})).await;
    let reason = lorawan.until_failed("d-2").await;
    assert!(reason.starts_with("eui_taken: ") && reason.contains("elsewhere"), "{reason}");

    // What ChirpStack refuses for good.
    let app = "11111111-1111-4111-8111-111111111111";
    lorawan.create("d-3", json!({"chirpstack_app_id": app})).await;
    lorawan.create("d-4", json!({"device_profile_id": app})).await;
    lorawan.create("d-5", json!({"chirpstack_app_id": "1", "device_profile_id": "abc-123"})).await;
    for (id, code) in
        [("d-3", "application_unknown"), ("d-4", "device_profile_unknown"), ("d-5", "application_unknown")]
    {
        let reason = lorawan.until_failed(id).await;
        assert!(reason.starts_with(&format!("{code}: ")), "{id}: {reason}");
    }
    let page = lorawan.api.get("/devices?sync_state=failed").await.unwrap();
    assert_eq!(page["items"].as_array().unwrap().len(), 4);
    assert_eq!(lorawan.api.get("/devices?synced=true").await.unwrap()["items"], json!([]));

    // Once the application is there, a request tries again.
    lorawan.there(Command::CreateApplication { id: app.to_owned(), name: "late".to_owned(), tags: Default::default() });
    let requested = lorawan.api.post("/devices/sync", &json!({"sync_state": "failed"})).await.unwrap();
    assert_eq!((&requested["requested"], &requested["next_after"]), (&json!(4), &Value::Null));
    lorawan.until_synced("d-3").await;
    let found = lorawan.api.get(&format!("/devices?lorawan_dev_eui={}", eui("d-3"))).await.unwrap();
    assert_eq!(found["items"][0]["device_id"], "d-3");
    let found = lorawan.api.get(&format!("/devices?chirpstack_app_id={app}")).await.unwrap();
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert!(lorawan.until_failed("d-2").await.contains("elsewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_a_wrong_key_and_a_crash_lose_nothing() {
    let mut lorawan = Lorawan::start().await;
    // Away, and Waybill is restarted meanwhile.
    lorawan.there(Command::GoDown);
    lorawan.create("d-1", json!({})).await;
    lorawan.world.kill_waybill();
    lorawan.world.start_waybill().await;
    assert_eq!(lorawan.api.get("/devices/d-1").await.unwrap()["sync_state"], "pending");
    lorawan.there(Command::ComeUp);
    lorawan.until_synced("d-1").await;

    // The answer to the creation is lost; then the process dies between creation and report.
    lorawan.goes_wrong("DeviceService/Create", 1, FaultKind::LosesReply);
    lorawan.create("d-2", json!({})).await;
    lorawan.until_synced("d-2").await;
    lorawan.goes_wrong("DeviceService/CreateKeys", 1, FaultKind::Hangs);
    lorawan.create("d-3", json!({})).await;
    lorawan.put("/devices/d-3/lorawan-keys", &json!({"nwk_key": NWK_KEY})).await;
    lorawan.until_there("it is created", |lns| lns.device(&eui("d-3")).is_some()).await;
    lorawan.world.kill_waybill();
    lorawan.world.start_waybill().await;
    lorawan.until_synced("d-3").await;
    lorawan.until_there("the keys are there", |lns| lns.keys(&eui("d-3")).is_some()).await;
    assert_eq!(lorawan.lns.devices().len(), 3);
    lorawan.delete("/devices/d-2").await;
    lorawan.until_there("it counts as created", |lns| lns.device(&eui("d-2")).is_none()).await;

    // A key that was revoked, and another one.
    lorawan.there(Command::RevokeKey { key: TENANT_KEY.to_owned() });
    lorawan.create("d-4", json!({})).await;
    let reason = lorawan.until_failed("d-4").await;
    assert!(reason.starts_with("key_refused: "), "{reason}");
    let dry = "/tenants/default/chirpstack?dry_run=true";
    let check = lorawan.put(dry, &connection(&lorawan.lns, "wrong")).await;
    assert_eq!(check["check"]["result"], "key_refused");
    lorawan.there(Command::AcceptKey { key: "another-key".to_owned(), tenant_id: TENANT_ID.to_owned() });
    let check = lorawan.put(dry, &connection(&lorawan.lns, "another-key")).await;
    assert_eq!(check["check"]["result"], "ok");
    assert_eq!(lorawan.api.get("/devices/d-4").await.unwrap()["sync_state"], "failed", "a dry run changes nothing");
    lorawan.connect("default", "another-key").await;
    lorawan.until_synced("d-4").await;
    let same = lorawan.connect("default", "another-key").await;
    assert_eq!(same["revision"], 2, "the same connection again is no other one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_chirpstack_slows_no_request_and_no_other_tenant() {
    let lorawan = Lorawan::start().await;
    lorawan.goes_wrong("", 1_000, FaultKind::Hangs);
    let rival_lns = FakeChirpstack::start(Settings::default()).await.unwrap();
    let rival = lorawan.world.operator_of("rival", &["admin"]).await;
    let path = "/tenants/rival/chirpstack";
    rival.send(Method::PUT, path, Some(&connection(&rival_lns, TENANT_KEY))).await.unwrap().success().unwrap();
    let mut times = Vec::new();
    for n in 0..REQUESTS {
        let begun = Instant::now();
        lorawan.create(&format!("d-{n}"), json!({})).await;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let p95 = times[REQUESTS * 95 / 100];
    println!("p95 of {REQUESTS} device requests with a hanging ChirpStack: {p95:?}");
    assert!(p95 < P95_MAX, "{p95:?}");
    let body = json!({"device_id": "r-1", "lorawan_dev_eui": eui("r-1"), "chirpstack_app_id": APPLICATION_ID});
    rival.post("/devices", &body).await.unwrap();
    lorawan.world.until_get(&rival, "/devices/r-1", "is synced", |body| body["sync_state"] == "synced").await;
    assert!(rival_lns.device(&eui("r-1")).is_some() && lorawan.lns.devices().is_empty());
}
