//! Downloads are counted per firmware and campaign, also when PostgreSQL dies and the service restarts.

use reqwest::{Client, Method};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{World, devices};

/// Size of the world's firmware, in bytes.
const SIZE: u64 = 64 * 1024;

fn counts(body: &Value) -> (u64, u64, u64) {
    let count = |name: &str| body["downloads"][name].as_u64().unwrap();
    (count("started"), count("completed"), count("bytes"))
}

impl World {
    async fn link(&self, api: &ApiClient, firmware: &str) -> String {
        let link = api.get(&format!("/firmware/{firmware}/download")).await.unwrap();
        link["download_url"].as_str().unwrap().to_owned()
    }

    async fn downloads_are(&self, api: &ApiClient, firmware: &str, wanted: (u64, u64, u64)) {
        let path = format!("/firmware/{firmware}");
        self.until_get(api, &path, &format!("downloads are {wanted:?}"), |body| counts(body) == wanted).await;
    }
}

async fn fetch(url: &str, range: Option<&str>) -> u64 {
    let mut request = Client::new().get(url);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    let reply = request.send().await.unwrap().error_for_status().unwrap();
    reply.bytes().await.unwrap().len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_of_a_campaign_are_counted_for_it_and_for_its_firmware() {
    const DEVICES: u64 = 5;
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let fleet = world.online_fleet(&api, devices(DEVICES as usize)).await;
    let id = world.campaign(&api, &firmware, json!({"deployment_strategy": "immediate"})).await;
    world.campaign_is(&api, &id, &["completed"]).await;
    let all = (DEVICES, DEVICES, DEVICES * SIZE);
    world.downloads_are(&api, &firmware, all).await;
    for path in
        [format!("/campaigns/{id}/status"), format!("/ota/campaigns/{id}/status"), format!("/stats/campaigns/{id}")]
    {
        let status = api.get(&path).await.unwrap();
        assert_eq!((counts(&status), &status["bytes"]), (all, &json!(DEVICES * SIZE)), "{path}");
    }
    // An operator's download counts only for the firmware.
    fetch(&world.link(&api, &firmware).await, None).await;
    world.downloads_are(&api, &firmware, (DEVICES + 1, DEVICES + 1, (DEVICES + 1) * SIZE)).await;
    assert_eq!(counts(&api.get(&format!("/campaigns/{id}/status")).await.unwrap()), all);
    let rival = world.operator_of("rival", &["admin"]).await;
    let hidden = rival.send(Method::GET, &format!("/firmware/{firmware}"), None).await.unwrap();
    assert_eq!(hidden.status, 404, "{}", hidden.body);
    world.read_models_equal_a_replay().await;
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_in_two_halves_counts_once_and_a_head_request_does_not_count() {
    let world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let url = world.link(&api, &firmware).await;
    let head = Client::new().head(&url).send().await.unwrap();
    assert_eq!(head.headers()["content-length"], SIZE.to_string());
    assert_eq!(fetch(&url, Some("bytes=0-32767")).await, SIZE / 2);
    world.downloads_are(&api, &firmware, (1, 0, SIZE / 2)).await;
    assert_eq!(fetch(&url, Some("bytes=32768-")).await, SIZE / 2);
    world.downloads_are(&api, &firmware, (1, 1, SIZE)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_the_death_of_postgresql_and_a_restart() {
    let mut world = World::start().await;
    let api = world.operator().await;
    let firmware = world.firmware(&api, "2.0.0").await;
    let url = world.link(&api, &firmware).await;
    world.settles().await;
    for round in 0..3 {
        fetch(&url, None).await;
        world.stack.postgres.kill9();
        fetch(&url, None).await;
        world.stack.postgres.restart().await.unwrap();
        let downloads = 2 * (round + 1);
        world.downloads_are(&api, &firmware, (downloads, downloads, downloads * SIZE)).await;
    }
    // Asked to stop directly after a download, the service stores its counts.
    fetch(&url, None).await;
    world.stop_waybill().await;
    world.start_waybill().await;
    let api = world.operator().await;
    world.downloads_are(&api, &firmware, (7, 7, 7 * SIZE)).await;
    world.read_models_equal_a_replay().await;
}
