//! Servers die during a campaign; PostgreSQL is down; the service stops and starts.
//!
//! SIGKILL tests the death of processes, not power loss.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waybill::simulate::Pace;

use crate::world::{MODEL, PATIENCE, POLL, World, devices};

#[derive(Clone, Copy, Debug)]
enum Victim {
    Nats,
    Postgres,
    Waybill,
}

/// Kills a server after a third of the campaign, restarts it, and checks the outcome.
async fn survives(victim: Victim) {
    const DEVICES: usize = 40;
    const CONCURRENT: usize = 6;
    let mut world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let specs = devices(DEVICES);
    world.register(&api, &specs).await;
    let fleet = world.fleet_at_pace(specs, Pace::default().scaled(2.0));
    world.online(&api, DEVICES).await;
    let more = json!({"deployment_strategy": "immediate", "max_concurrent_updates": CONCURRENT});
    let id = world.campaign(&api, &firmware, more).await;
    let path = format!("/campaigns/{id}/status");
    let third = DEVICES as u64 / 3;
    world.until_get(&api, &path, "a third is done", |body| body["confirmed"].as_u64() >= Some(third)).await;
    match victim {
        Victim::Nats => {
            world.stack.nats.kill9();
            world.stack.nats.restart().await.unwrap();
        }
        Victim::Postgres => {
            world.stack.postgres.kill9();
            world.stack.postgres.restart().await.unwrap();
        }
        Victim::Waybill => {
            world.kill_waybill();
            world.start_waybill().await;
        }
    }
    let status = world.campaign_is(&api, &id, &["completed"]).await;
    assert_eq!(status["confirmed"], DEVICES, "{victim:?}: {status}");
    let devices = fleet.status();
    assert_eq!(devices.repeated_installs, 0, "{victim:?}: an attempt was installed twice");
    assert_eq!(devices.most_installs, 1, "{victim:?}: an update ran twice on a device");
    assert!(devices.working_peak <= CONCURRENT as u64, "{victim:?}: {} working at once", devices.working_peak);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_survives_the_death_of_nats_server() {
    survives(Victim::Nats).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_survives_the_death_of_postgresql() {
    survives(Victim::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_survives_the_death_of_waybill() {
    survives(Victim::Waybill).await;
}

/// Invariant 3, row by row.
#[tokio::test(flavor = "multi_thread")]
async fn without_postgresql_commands_work_and_reads_answer_503() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(12)).await;
    let draft =
        json!({"name": "later", "firmware_id": firmware, "deployment_strategy": "immediate", "target_all": true});
    let draft = api.post("/campaigns", &draft).await.unwrap()["campaign_id"].as_str().unwrap().to_owned();
    let running = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate", "max_concurrent_updates": 1, "target_devices": ["d-0", "d-1", "d-2", "d-3"], "target_all": false})).await;
    world.campaign_is(&api, &running, &["running"]).await;
    world.stack.postgres.kill9();

    // These work.
    let registered =
        api.send(Method::POST, "/devices", Some(&json!({"device_id": "new", "device_model": MODEL}))).await.unwrap();
    assert_eq!(registered.status, 201, "registration: {}", registered.body);
    let update = json!({"firmware_id": firmware});
    let updated = api.send(Method::POST, "/devices/d-11/update", Some(&update)).await.unwrap();
    assert_eq!(updated.status, 201, "an update of one device: {}", updated.body);
    let paused = api.send(Method::POST, &format!("/campaigns/{running}/pause"), Some(&json!({}))).await.unwrap();
    assert_eq!(paused.status, 200, "pause: {}", paused.body);
    world
        .until("d-11 installs it without PostgreSQL", async || {
            fleet.device("d-11").unwrap().status().installs.len() == 1
        })
        .await;

    // These answer 503 and name PostgreSQL.
    for (method, path) in [
        (Method::GET, "/devices".to_owned()),
        (Method::GET, format!("/campaigns/{running}")),
        (Method::POST, format!("/campaigns/{draft}/start")),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let reply = api.send(method.clone(), &path, body.as_ref()).await.unwrap();
        assert_eq!(reply.status, 503, "{method} {path}: {}", reply.body);
        assert!(reply.body.to_string().contains("PostgreSQL"), "{method} {path}: {}", reply.body);
    }

    // After the restart everything continues.
    world.stack.postgres.restart().await.unwrap();
    world.settles().await;
    let path = "/devices/d-11/updates/1";
    world.until_get(&api, path, "d-11 is confirmed", |body| body["phase"] == "confirmed").await;
    api.post(&format!("/campaigns/{running}/resume"), &json!({})).await.unwrap();
    world.campaign_is(&api, &running, &["completed"]).await;
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

/// Projectors don't wait for the disk, so PostgreSQL may lose their last commits when it dies. Replies must still include them.
#[tokio::test(flavor = "multi_thread")]
async fn queries_wait_for_commits_that_postgresql_lost() {
    const ROUNDS: usize = 4;
    const DEVICES: usize = 40;
    let mut world = World::start().await;
    let api = world.operator().await;
    for round in 0..ROUNDS {
        for n in 0..DEVICES {
            let device = json!({"device_id": format!("r{round}-{n}"), "device_model": MODEL});
            api.post("/devices", &device).await.unwrap();
        }
        let last = format!("/devices?limit=1&count=true&q=r{round}-");
        let seen = api.get(&last).await.unwrap();
        assert_eq!(seen["total"], DEVICES, "{seen}");
        world.stack.postgres.kill9();
        world.stack.postgres.restart().await.unwrap();
        world
            .until("PostgreSQL answers, with nothing missing", async || {
                let reply = api.send(Method::GET, &last, None).await.unwrap();
                let complete = reply.status == 200 && reply.body["total"] == DEVICES;
                assert!(complete || reply.status == 503, "after round {round}: {}", reply.body);
                complete
            })
            .await;
    }
    world.read_models_equal_a_replay().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_nats_server_commands_answer_503_and_are_not_queued() {
    let mut world = World::start().await;
    let api = world.operator().await;
    world.stack.nats.kill9();
    let reply =
        api.send(Method::POST, "/devices", Some(&json!({"device_id": "lost", "device_model": MODEL}))).await.unwrap();
    assert_eq!(reply.status, 503, "{}", reply.body);
    assert!(reply.body.to_string().contains("event log"), "{}", reply.body);
    let many = json!([{"device_id": "lost", "device_model": MODEL}, {"device_id": "gone", "device_model": MODEL}]);
    let reply = api.send(Method::POST, "/devices/bulk", Some(&many)).await.unwrap();
    assert_eq!(reply.status, 503, "{}", reply.body);
    world.stack.nats.restart().await.unwrap();
    world
        .until("commands work again", async || {
            let device = json!({"device_id": "found", "device_model": MODEL});
            api.send(Method::POST, "/devices", Some(&device)).await.is_ok_and(|reply| reply.status == 201)
        })
        .await;
    world.settles().await;
    let lost = api.send(Method::GET, "/devices/lost", None).await.unwrap();
    assert_eq!(lost.status, 404, "a refused command took effect: {}", lost.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_stops_soon_after_sigterm() {
    let mut world = World::start().await;
    let took = world.stop_waybill().await;
    assert!(took < std::time::Duration::from_secs(10), "{took:?}");
    world.start_waybill().await;
}

/// Its body arrives while the process is already stopping.
#[tokio::test(flavor = "multi_thread")]
async fn a_command_under_way_is_answered_while_the_service_stops() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let (base, body) = (world.base(), json!({"device_id": "last", "device_model": MODEL}).to_string());
    let address = base.trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        api.token(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::time::timeout(PATIENCE, stream.readable()).await.expect("it is asked for its body").unwrap();
    let answered = async {
        while TcpStream::connect(&address).await.is_ok() {
            tokio::time::sleep(POLL).await;
        }
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (_, answer) = tokio::join!(world.stop_waybill(), tokio::time::timeout(PATIENCE, answered));
    assert!(answer.as_ref().is_ok_and(|answer| answer.contains(" 201 ")), "{answer:?}");
    world.start_waybill().await;
    let api = world.operator().await;
    world.until_get(&api, "/devices/last", "the device is stored", |body| body["device_id"] == "last").await;
}
