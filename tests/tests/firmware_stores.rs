//! Firmware in buckets, on real servers: moto for S3, Azurite for Azure.
//!
//! An upload comes back byte for byte. An upload that stops half-way, also by kill -9, leaves nothing. Bytes that were changed in the bucket are
//! not given out. A store that is away or hangs stops only downloads. Firmware moves from one store to another while it is given out.

mod azurite;
mod moto;
mod sealing;
mod sending;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use self::azurite::Azurite;
use self::moto::Moto;
use self::sending::HalfUpload;
use crate::world::{MODEL, World, waybill_binary};

/// More than two parts of a multipart upload.
const SIZE: usize = 20 * 1024 * 1024 + 7;
/// A download from a store that hangs is refused within this time.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
/// Unfinished uploads are swept after this time.
const ABANDONED: [&str; 2] = ["--upload-abandoned-seconds", "3"];

fn random(size: usize) -> Vec<u8> {
    let mut bytes = vec![0_u8; size];
    rand::fill(&mut bytes[..]);
    bytes
}

async fn uploaded(api: &ApiClient, version: &str, bytes: &[u8]) -> Value {
    let metadata = json!({"name": "F", "version": version, "device_model": MODEL});
    api.upload(&metadata, bytes.to_vec()).await.unwrap().success().unwrap()
}

async fn link(api: &ApiClient, firmware: &Value) -> String {
    let path = format!("/firmware/{}/download", firmware["firmware_id"].as_str().unwrap());
    api.get(&path).await.unwrap()["download_url"].as_str().unwrap().to_owned()
}

async fn fetch(url: &str, range: Option<&str>) -> Response {
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let mut request = client.get(url);
    if let Some(range) = range {
        request = request.header("range", range);
    }
    request.send().await.unwrap()
}

async fn bytes_of(url: &str) -> Vec<u8> {
    fetch(url, None).await.error_for_status().unwrap().bytes().await.unwrap().to_vec()
}

async fn refusal(url: &str) -> (u16, String, String) {
    let reply = fetch(url, None).await;
    let status = reply.status().as_u16();
    let body: Value = reply.json().await.unwrap();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("type"), text("detail"))
}

fn flags<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&ABANDONED[..], more].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn firmware_is_kept_in_a_bucket_of_s3() {
    let moto = Moto::start("firmware").await;
    let url = moto.url("fleet");
    let mut world = World::start_with(&flags(&["--firmware-store", &url])).await;
    let api = world.operator().await;

    let bytes = random(SIZE);
    let firmware = uploaded(&api, "2.0.0", &bytes).await;
    let download = link(&api, &firmware).await;
    assert!(bytes_of(&download).await == bytes);
    let part = fetch(&download, Some("bytes=8388600-8388700")).await;
    assert_eq!((part.status().as_u16(), &part.bytes().await.unwrap()[..]), (206, &bytes[8_388_600..=8_388_700]));
    let parts = fetch(&download, Some("bytes=0-0,-1")).await;
    assert!(parts.headers()["content-type"].to_str().unwrap().starts_with("multipart/byteranges"));
    let name = format!(
        "fleet/default/{}/{}",
        firmware["firmware_id"].as_str().unwrap(),
        firmware["checksum_sha256"].as_str().unwrap()
    );
    moto.has(&world, std::slice::from_ref(&name)).await;

    // An upload with a wrong digest and an upload that breaks off leave nothing.
    let metadata = json!({"name": "F", "version": "3.0.0", "device_model": MODEL, "checksum_md5": "0".repeat(32)});
    assert_eq!(api.upload(&metadata, random(SIZE)).await.unwrap().status.as_u16(), 422);
    let half = HalfUpload::begin(&api, "3.0.0", random(SIZE)).await;
    moto.has_uploads(1).await;
    half.breaks_off();
    moto.has_uploads(0).await;
    moto.has(&world, std::slice::from_ref(&name)).await;
    let half = HalfUpload::begin(&api, "3.0.0", random(SIZE)).await;
    moto.has_a_marked_upload().await;
    world.kill_waybill();
    half.breaks_off();
    assert_eq!(moto.uploads().await, 1, "kill -9 leaves it");
    world.restart_with(&flags(&["--firmware-store", &url, "--firmware-redirect"])).await;
    moto.has_uploads(0).await;
    moto.has(&world, std::slice::from_ref(&name)).await;

    // From here on downloads are redirected to the bucket. No client keeps such a redirect, because its link ends soon.
    let api = world.operator().await;
    let sent_on = fetch(&download, None).await;
    assert_eq!(sent_on.status(), 302);
    let there = sent_on.headers()["location"].to_str().unwrap().to_owned();
    assert!(there.starts_with(&moto.origin) && there.contains("X-Amz-Signature="), "{there}");
    assert_eq!(sent_on.headers()["cache-control"], "no-store");
    assert!(!sent_on.headers().contains_key("etag"), "{:?}", sent_on.headers());
    assert!(bytes_of(&there).await == bytes);
    let head = Client::new().head(&download).send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()),
        (200, SIZE.to_string().as_str())
    );

    // Somebody writes other bytes to the bucket, and the right ones again.
    let mut other = bytes.clone();
    other[SIZE - 1] ^= 1;
    moto.put(&name, other).await;
    let (status, kind, _) = refusal(&download).await;
    assert_eq!((status, kind.as_str()), (503, "/problems/firmware_bytes_differ"));
    moto.put(&name, bytes).await;
    assert_eq!(fetch(&download, None).await.status(), 302);

    a_store_that_hangs_or_is_away_stops_downloads_alone(&world, &api, moto).await;
}

async fn a_store_that_hangs_or_is_away_stops_downloads_alone(world: &World, api: &ApiClient, mut moto: Moto) {
    let listed = api.get("/firmware").await.unwrap();
    let download = link(api, &listed["items"][0]).await;
    let device = async |id: &str| {
        let wanted = json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"});
        api.post("/devices", &wanted).await.unwrap();
    };
    let unavailable = (503, "/problems/firmware_store_unavailable".to_owned());
    moto.process.freeze();
    let begun = Instant::now();
    let ((status, kind, detail), ()) = tokio::join!(refusal(&download), device("d-0"));
    assert!(begun.elapsed() < REFUSED_WITHIN, "{:?}", begun.elapsed());
    assert_eq!((status, kind), unavailable);
    assert!(detail.contains("s3://firmware/fleet is not available"), "{detail}");
    moto.process.kill9();
    let (status, kind, _) = refusal(&download).await;
    assert_eq!((status, kind), unavailable);
    device("d-1").await;
    let health = api.send(Method::GET, "/../../health/detailed", None).await.unwrap();
    assert!(health.body.to_string().contains("s3://firmware/fleet"), "{}", health.body);
    assert_eq!(world.http_get("/health/ready").await, Some(200));
}

fn copy_store(from: &str, to: &str) -> Output {
    let arguments = ["firmware", "copy-store", "--from", from, "--to", to];
    Command::new(waybill_binary()).args(arguments).output().unwrap()
}

fn directory_url(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

#[tokio::test(flavor = "multi_thread")]
async fn firmware_moves_to_a_container_of_azure_while_it_is_given_out() {
    let azurite = Azurite::start("firmware").await;
    let mut world = World::start_with(&ABANDONED).await;
    let api = world.operator().await;
    let (first, second) = (random(SIZE), random(SIZE));
    let firmware = uploaded(&api, "2.0.0", &first).await;
    let download = link(&api, &firmware).await;
    let old = directory_url(&world.data_dir().join("firmware"));

    let (new, wrong) = (azurite.url(), azurite.url_with_a_wrong_key());
    let refused = copy_store(&old, &wrong);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("az://firmware refuses the credentials"), "{said}");

    world.stop_waybill().await;
    world.restart_with(&flags(&["--firmware-store", &wrong])).await;
    let (status, _, detail) = refusal(&download).await;
    assert!(status == 503 && detail.contains("az://firmware"), "{status} {detail}");
    world.until("the log says why", async || world.log_text().contains("refuses the credentials")).await;

    world.stop_waybill().await;
    world.restart_with(&flags(&["--firmware-store", &new, "--firmware-store-old", &old])).await;
    let api = world.operator().await;
    assert!(bytes_of(&download).await == first, "from the old store");
    let other = uploaded(&api, "3.0.0", &second).await;
    let versions = async |query: &str| {
        let listed = api.get(&format!("/firmware{query}")).await.unwrap();
        let items = listed["items"].as_array().unwrap().clone();
        assert!(items.iter().all(|item| item["created_by"] == "user:demo"), "{listed}");
        items.iter().map(|item| item["version"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(versions("").await, ["3.0.0", "2.0.0"], "the newest first");
    assert_eq!(versions("?limit=1&status=active&q=f").await, ["3.0.0"]);
    assert_eq!(versions("?q=2.0.").await, ["2.0.0"]);
    assert_eq!(versions("?status=withdrawn").await, [""; 0]);
    let copied = copy_store(&old, &new);
    let said = String::from_utf8_lossy(&copied.stdout).into_owned();
    assert!(copied.status.success() && said.contains("1 objects copied"), "{said}");
    let again = copy_store(&old, &new);
    assert!(String::from_utf8_lossy(&again.stdout).contains("0 objects copied (0 bytes), 1 were there"));
    std::fs::remove_dir_all(world.data_dir().join("firmware/default")).unwrap();
    assert!(bytes_of(&download).await == first, "from the new store");
    let download_of_other = link(&api, &other).await;
    assert!(bytes_of(&download_of_other).await == second);

    // Downloads are redirected to the container, and the bytes of deleted firmware are removed there.
    world.stop_waybill().await;
    world.restart_with(&flags(&["--firmware-store", &new, "--firmware-redirect"])).await;
    let api = world.operator().await;
    let sent_on = fetch(&download, None).await;
    let there = sent_on.headers()["location"].to_str().unwrap().to_owned();
    assert!(there.contains("sig=") && bytes_of(&there).await == first, "{there}");
    let deletion = json!({"force": true, "reason": "the test ends"});
    let path = format!("/firmware/{}", firmware["firmware_id"].as_str().unwrap());
    api.send(Method::DELETE, &path, Some(&deletion)).await.unwrap().success().unwrap();
    world.until("its bytes are gone", async || fetch(&there, None).await.status() == 404).await;
}
