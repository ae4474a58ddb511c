//! Firmware that is sealed in its store: nobody reads it there, devices get it plain, also in ranges, and its keys change meanwhile.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;
use waybill::role_user::RoleUser;

use super::moto::Moto;
use super::{SIZE, bytes_of, copy_store, directory_url, fetch, link, refusal};
use crate::world::{MASTER_KEY, MODEL, TENANT, World, device, waybill_binary};

/// It is all over the firmware.
const MARK: &[u8] = b"a text that only devices may read.";
/// Some chunks.
const SMALL: usize = 300_000;
const PLAIN: [&str; 2] = ["--master-key", MASTER_KEY];
const SEALING: [&str; 3] = ["--master-key", MASTER_KEY, "--firmware-seal"];

fn image(size: usize) -> Vec<u8> {
    MARK.iter().copied().cycle().take(size).collect()
}

/// A firmware that was uploaded, its link, and its bytes.
struct Uploaded {
    firmware: Value,
    link: String,
    bytes: Vec<u8>,
}

impl Uploaded {
    async fn new(api: &ApiClient, version: &str, size: usize) -> Self {
        let encryption = json!({"scheme": "aes-128-ctr", "key_id": "fleet-7"});
        let metadata = json!({"name": "F", "version": version, "device_model": MODEL, "encryption": encryption});
        // No two have the same bytes.
        let bytes = [version.as_bytes(), &image(size)].concat();
        let firmware = api.upload(&metadata, bytes.clone()).await.unwrap().success().unwrap();
        assert_eq!(firmware["encryption"], encryption, "{firmware}");
        Self { link: link(api, &firmware).await, firmware, bytes }
    }

    /// Its name in the store, as it is sealed.
    fn sealed_name(&self) -> String {
        let text = |name: &str| self.firmware[name].as_str().unwrap().to_owned();
        format!("{TENANT}/{}/{}.sealed", text("firmware_id"), text("checksum_sha256"))
    }

    /// It comes whole and in ranges, also over the borders of chunks and of parts of an upload.
    async fn is_given_out(&self) {
        assert!(bytes_of(&self.link).await == self.bytes, "{}", self.link);
        let size = self.bytes.len();
        for (first, last) in [(0, 0), (65_535, 65_536), (131_072, 200_000), (size - 1, size - 1), (1, size - 2)] {
            let reply = fetch(&self.link, Some(&format!("bytes={first}-{last}"))).await;
            assert_eq!(reply.status(), 206);
            assert!(reply.bytes().await.unwrap() == self.bytes[first..=last], "{first}-{last}");
        }
    }

    async fn is_refused_as(&self, problem: &str) {
        let (status, kind, detail) = refusal(&self.link).await;
        assert_eq!((status, kind.as_str()), (503, format!("/problems/{problem}").as_str()), "{detail}");
    }
}

async fn are_given_out(all: &[&Uploaded]) {
    for one in all {
        one.is_given_out().await;
    }
}

/// All objects of a store in a directory, with their bytes. A run that was killed leaves parts of objects, which are no objects.
fn objects(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|path| !path.display().to_string().contains('#'));
    let own = files.map(|path| (path.clone(), std::fs::read(path).unwrap()));
    own.chain(directories.iter().flat_map(|directory| objects(directory))).collect()
}

/// It would be at the beginning already.
fn has_mark(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(SMALL)].windows(MARK.len()).any(|window| window == MARK)
}

fn readable(directory: &Path) -> usize {
    objects(directory).iter().filter(|(_, bytes)| has_mark(bytes)).count()
}

fn seal_command(world: &World, more: &[&str]) -> Command {
    let store = directory_url(&world.data_dir().join("firmware"));
    let nats = world.stack.nats.role_url(RoleUser::Secrets);
    let mut command = Command::new(waybill_binary());
    command.args(["firmware", "seal", "--firmware-store", &store, "--nats-url", &nats, "--master-key", MASTER_KEY]);
    command.args(more);
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs it and returns what it says.
fn seal(world: &World, more: &[&str]) -> String {
    let output = seal_command(world, more).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Kills it as soon as it has sealed something.
fn seal_and_kill(world: &World) {
    let mut running = seal_command(world, &[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let first = lines.next().expect("a line").unwrap();
    assert!(first.starts_with("sealed "), "{first}");
    running.kill().unwrap();
    running.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn firmware_is_sealed_in_its_store_and_its_keys_change() {
    let mut world = World::start_with(&PLAIN).await;
    let api = world.operator().await;
    let store = world.data_dir().join("firmware");
    let (before, large) = (Uploaded::new(&api, "1.0.0", SMALL).await, Uploaded::new(&api, "1.1.0", SIZE).await);
    world.stop_waybill().await;
    world.restart_with(&SEALING).await;
    let api = world.operator().await;
    let after = Uploaded::new(&api, "2.0.0", SMALL).await;
    let kept = store.join(TENANT);
    assert_eq!(readable(&kept), 2, "what was there before");
    are_given_out(&[&before, &large, &after]).await;
    a_device_is_told_of_the_encryption(&world, &api, &after).await;

    // Sealing is killed after the first object, and done by the next run.
    seal_and_kill(&world);
    are_given_out(&[&before, &large, &after]).await;
    let done = seal(&world, &[]);
    assert!(done.contains("0 can't be sealed"), "{done}");
    assert_eq!((objects(&kept).len(), readable(&kept)), (3, 0));
    are_given_out(&[&before, &large, &after]).await;

    // A new key. What was sealed under the old one, such as a backup, is lost with it.
    let backup = std::fs::read(store.join(after.sealed_name())).unwrap();
    let output = seal_command(&world, &["--new-key", "--forget-older-keys"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("the older ones can be forgotten when"), "{output:?}");
    are_given_out(&[&before, &after]).await;
    let done = seal(&world, &["--forget-older-keys", "--key-age-seconds", "0"]);
    assert!(done.contains("3 objects sealed") && done.contains("1 older keys forgotten"), "{done}");
    are_given_out(&[&before, &large, &after]).await;
    let of = |one: &Uploaded| store.join(one.sealed_name());
    let sealed = std::fs::read(of(&after)).unwrap();
    assert!(sealed != backup);
    std::fs::write(of(&after), &backup).unwrap();
    after.is_refused_as("firmware_keys_unavailable").await;
    before.is_given_out().await;
    assert_eq!(world.http_get("/health/ready").await, Some(200));

    // Nor does anything else go out that is not what was uploaded.
    std::fs::write(of(&after), std::fs::read(of(&before)).unwrap()).unwrap();
    after.is_refused_as("firmware_bytes_differ").await;
    let mut changed = sealed.clone();
    changed[200_000] ^= 1;
    std::fs::write(of(&after), &changed).unwrap();
    after.is_refused_as("firmware_bytes_differ").await;
    std::fs::write(of(&after), &sealed[..70_000]).unwrap();
    after.is_refused_as("firmware_bytes_differ").await;
    std::fs::write(of(&after), &sealed).unwrap();
    after.is_given_out().await;

    sealed_firmware_moves_to_a_bucket(&mut world, &[&before, &large, &after]).await;
}

async fn a_device_is_told_of_the_encryption(world: &World, api: &ApiClient, firmware: &Uploaded) {
    world.register(api, &[device("d-1")]).await;
    let manual = world.manual_device("d-1").await;
    manual.boots("b1", "1.0.0").await;
    api.post("/devices/d-1/update", &json!({"firmware_id": firmware.firmware["firmware_id"]})).await.unwrap();
    let (command, _) = manual.hears("its command", |command| command["command"] == "ota_update").await;
    assert_eq!(command["encryption"], firmware.firmware["encryption"], "{command}");
    let bytes = bytes_of(command["url"].as_str().unwrap()).await;
    assert!(bytes == firmware.bytes && command["sha256"] == firmware.firmware["checksum_sha256"]);
}

/// Downloads aren't redirected to it, although they would be.
async fn sealed_firmware_moves_to_a_bucket(world: &mut World, all: &[&Uploaded]) {
    let moto = Moto::start("firmware").await;
    let (old, new) = (directory_url(&world.data_dir().join("firmware")), moto.url("fleet"));
    world.stop_waybill().await;
    let stores = ["--firmware-store", &new, "--firmware-store-old", &old, "--firmware-redirect"];
    world.restart_with(&[&SEALING[..], &stores].concat()).await;
    let copied = copy_store(&old, &new);
    assert!(said(&copied).contains("3 objects copied"), "{copied:?}");
    std::fs::remove_dir_all(world.data_dir().join("firmware").join(TENANT)).unwrap();
    let api = world.operator().await;
    let in_bucket = Uploaded::new(&api, "3.0.0", SIZE).await;
    are_given_out(&[all, &[&in_bucket]].concat()).await;
    for one in all.iter().chain(&[&in_bucket]) {
        assert!(!has_mark(&moto.bytes(&format!("fleet/{}", one.sealed_name())).await));
    }
    let done = seal(world, &["--firmware-store-old", &new, "--new-key"]);
    assert!(done.contains("4 objects sealed"), "{done}");
    are_given_out(&[all, &[&in_bucket]].concat()).await;

    // With the tenant go its firmware and its keys.
    let nats = world.stack.nats.role_url(RoleUser::Secrets);
    let secrets = || {
        let arguments = ["secrets", "list", "--nats-url", &nats, "--master-key", MASTER_KEY];
        said(&Command::new(waybill_binary()).args(arguments).output().unwrap())
    };
    assert!(secrets().contains(&format!("{TENANT}/firmware-keys")), "{}", secrets());
    let platform = world.operator_of("house", &["platform_admin"]).await;
    let (path, reason) = (format!("/tenants/{TENANT}"), json!({"reason": "the test ends"}));
    platform.send(Method::DELETE, &path, Some(&reason)).await.unwrap().success().unwrap();
    assert!(!secrets().contains("firmware-keys"), "{}", secrets());
    moto.has(world, &[]).await;
}
