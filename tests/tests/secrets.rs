//! Secrets of tenants: sealed in NATS, and readable by running processes while master keys change.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;

use domain::{SecretRef, TenantId};
use event_store::streams::{self, SECRET_VALUE_MAX_BYTES};
use event_store::{Keyring, SecretPlace, SecretStore};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use trust::{MasterKey, SecretValue};
use waybill::api_client::ApiClient;
use waybill::stack::{NatsOptions, Stack, Tools};

use waybill::role_user::RoleUser;

use crate::directory::Directory;
use crate::world::{World, waybill_binary};

const VALUE: &str = "geheim-1f0c2b9d";
const SECRETS_PER_TENANT_MAX: usize = 100;

/// A file of master keys that a test changes.
struct KeysFile(PathBuf);

impl KeysFile {
    fn with(directory: &Directory, keys: &[&str]) -> Self {
        let file = Self(directory.path().join("keys"));
        file.has(keys);
        file
    }

    fn has(&self, keys: &[&str]) {
        std::fs::write(&self.0, keys.join("\n")).unwrap();
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

/// A random key with this id.
fn key(id: &str) -> String {
    let text = MasterKey::generate_text();
    format!("{id}:{}", text.split_once(':').unwrap().1)
}

/// Runs `waybill secrets` as an operator does.
async fn secrets(world: &World, keys: &KeysFile, args: &[&str], input: &str) -> Output {
    let mut command = tokio::process::Command::new(waybill_binary());
    command.arg("secrets").args(args).args(["--nats-url", &world.stack.nats.role_url(RoleUser::Secrets)]);
    command.args(["--master-keys-file", keys.path()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    // A command that fails at once closes its input.
    stdin.write_all(input.as_bytes()).await.ok();
    drop(stdin);
    let output = process.wait_with_output().await.unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains(VALUE), "{args:?} prints the value");
    output
}

async fn done(world: &World, keys: &KeysFile, args: &[&str], input: &str) -> String {
    let output = secrets(world, keys, args, input).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whether a file below a directory contains a text.
fn is_on_disk(directory: &Path, text: &str) -> bool {
    std::fs::read_dir(directory).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return is_on_disk(&path, text);
        }
        // A file may vanish meanwhile.
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

/// Waits until the service says in its health that it can read the secrets, or can't.
async fn the_process_says(world: &World, api: &ApiClient, status: &str, detail: &str) {
    let url = format!("{}/health/detailed", world.base());
    world
        .until(detail, async || {
            let Ok(reply) = api.http().get(&url).bearer_auth(api.token()).send().await else { return false };
            let body: Value = reply.json().await.unwrap();
            let parts = body["components"].as_array().unwrap();
            let found = parts.iter().find(|part| part["name"] == "secrets").unwrap();
            found["status"] == *status && found["detail"].as_str().unwrap().contains(detail)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn master_keys_change_while_processes_run_and_without_them_nothing_is_read() {
    let directory = Directory::new();
    let (old, new, other) = (key("old"), key("new"), key("other"));
    let keys = KeysFile::with(&directory, &[&old]);
    let mut world = World::start_with(&["--master-keys-file", keys.path()]).await;
    let api = world.operator().await;
    // Nothing of this needs PostgreSQL.
    world.stack.postgres.kill9();

    done(&world, &keys, &["put", "chirpstack-key"], &format!("{VALUE}\n")).await;
    done(&world, &keys, &["put", "chirpstack-key", "--tenant", "acme"], VALUE).await;
    let listed = done(&world, &keys, &["list"], "").await;
    let fields: Vec<Vec<&str>> = listed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        fields.iter().map(|line| line[..2].join(" ")).collect::<Vec<_>>(),
        ["acme/chirpstack-key old", "default/chirpstack-key old"]
    );
    let store = world.data_dir().join("nats/store");
    assert!(is_on_disk(&store, "chirpstack-key") && !is_on_disk(&store, VALUE), "the value is sealed");
    the_process_says(&world, &api, "up", "readable: 2 under key old").await;

    keys.has(&[&new, &old]);
    let rotated = done(&world, &keys, &["rotate"], "").await;
    assert_eq!(rotated, "2 secrets are sealed anew under key new, 0 were sealed under it before\n");
    let again = done(&world, &keys, &["rotate"], "").await;
    assert_eq!(again, "0 secrets are sealed anew under key new, 2 were sealed under it before\n");
    keys.has(&[&new]);
    the_process_says(&world, &api, "up", "readable: 2 under key new").await;
    assert_eq!(done(&world, &keys, &["check"], "").await, "2 secrets under key new\n");

    keys.has(&[&other]);
    for command in ["check", "rotate"] {
        let output = secrets(&world, &keys, &[command], "").await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains("2 secrets can't be read"), "{command}: {said}");
        let reason = "secret acme/chirpstack-key can't be read: it is sealed under master key new, which isn't among";
        assert!(said.contains(reason), "{command}: {said}");
    }
    the_process_says(&world, &api, "up", "readable: 2 under key new").await;

    world.stack.postgres.restart().await.unwrap();
    world.stop_waybill().await;
    world.start_waybill().await;
    let missing =
        "2 can't be read, such as: secret acme/chirpstack-key can't be read: it is sealed under master key new";
    the_process_says(&world, &api, "degraded", missing).await;
    assert!(!world.log_text().contains(VALUE));

    done(&world, &keys, &["delete", "chirpstack-key", "--tenant", "acme"], "").await;
    let output = secrets(&world, &keys, &["delete", "chirpstack-key", "--tenant", "acme"], "").await;
    assert!(String::from_utf8(output.stderr).unwrap().contains("there is no secret acme/chirpstack-key"));
    keys.has(&["geheim"]);
    let output = secrets(&world, &keys, &["list"], "").await;
    assert!(String::from_utf8(output.stderr).unwrap().contains("keys: line 1 is not a master key"));
}

fn place(tenant: &str, name: &str) -> SecretPlace {
    SecretPlace { tenant: TenantId::new(tenant).unwrap(), name: name.parse().unwrap() }
}

/// A stack whose streams exist, and two users of the secrets, one of which has its keys from the file.
async fn stores(directory: &Directory, keys: &KeysFile) -> (Stack, SecretStore, async_nats::Client) {
    let stack = Stack::start(&Tools::locate().unwrap(), directory.path(), NatsOptions::default()).await.unwrap();
    let client = waybill::nats::connect(&stack.nats.waybill_url(), "waybill-test").await.unwrap();
    streams::ensure(&client, 1, streams::Missing::Create).await.unwrap();
    let keyring = Arc::new(Keyring::of_file(&keys.0).await.unwrap());
    (stack, SecretStore::new(client.clone(), keyring), client)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_waybill_reads_a_secret_by_its_reference() {
    let directory = Directory::new();
    let (old, new) = (key("old"), key("new"));
    let keys = KeysFile::with(&directory, &[&old]);
    let (_stack, store, client) = stores(&directory, &keys).await;
    let (acme, reference): (_, SecretRef) = (TenantId::new("acme").unwrap(), "secret:api".parse().unwrap());
    let place_of_acme = place("acme", "api");
    assert_eq!(store.read(&acme, &reference).await.unwrap_err().to_string(), "there is no secret acme/api");
    store.put(&place_of_acme, &SecretValue::new("first")).await.unwrap();
    store.put(&place_of_acme, &SecretValue::new("second")).await.unwrap();
    assert_eq!(store.read(&acme, &reference).await.unwrap().reveal_text(), Some("second"));

    // Another process seals with a key that this one reads only now.
    keys.has(&[&new, &old]);
    let other = SecretStore::new(client.clone(), Arc::new(Keyring::of_file(&keys.0).await.unwrap()));
    other.put(&place_of_acme, &SecretValue::new("third")).await.unwrap();
    assert_eq!(store.read(&acme, &reference).await.unwrap().reveal_text(), Some("third"));

    // A sealed value belongs to its tenant and name.
    let bucket = async_nats::jetstream::new(client.clone()).get_key_value("SECRETS").await.unwrap();
    let stolen = bucket.get("acme.api").await.unwrap().unwrap();
    bucket.put("mallory.api", stolen.clone()).await.unwrap();
    let mallory = TenantId::new("mallory").unwrap();
    let error = store.read(&mallory, &reference).await.unwrap_err().to_string();
    assert!(error.contains("it was changed, or belongs to another tenant or name"), "{error}");

    assert!(store.delete(&place_of_acme).await.unwrap() && !store.delete(&place_of_acme).await.unwrap());
    assert!(store.read(&acme, &reference).await.is_err());
    let stream = async_nats::jetstream::new(client).get_stream("KV_SECRETS").await.unwrap();
    let marks: Vec<usize> =
        [stream.get_last_raw_message_by_subject("$KV.SECRETS.acme.api").await.unwrap().payload.len()].into();
    assert_eq!(marks, [0], "nothing of the value remains");
    store.put(&place_of_acme, &SecretValue::new("again")).await.unwrap();
    assert_eq!(store.read(&acme, &reference).await.unwrap().reveal_text(), Some("again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_bounded_in_size_and_number() {
    let directory = Directory::new();
    let keys = KeysFile::with(&directory, &[&key("k")]);
    let (_stack, store, _client) = stores(&directory, &keys).await;
    let largest = SecretValue::new(vec![7; SECRET_VALUE_MAX_BYTES]);
    for n in 0..SECRETS_PER_TENANT_MAX {
        let value = if n == 0 { largest.clone() } else { SecretValue::new("v") };
        store.put(&place("acme", &format!("s-{n}")), &value).await.unwrap();
    }
    let error = store.put(&place("acme", "one-more"), &SecretValue::new("v")).await.unwrap_err().to_string();
    assert!(error.contains("tenant acme has 100 secrets"), "{error}");
    store.put(&place("acme", "s-1"), &SecretValue::new("changed")).await.unwrap();
    store.put(&place("acme-2", "one-more"), &SecretValue::new("v")).await.unwrap();
    for wrong in [vec![], vec![7; SECRET_VALUE_MAX_BYTES + 1]] {
        let error = store.put(&place("acme", "s-1"), &SecretValue::new(wrong)).await.unwrap_err().to_string();
        assert!(error.contains("1 to 16384 bytes"), "{error}");
    }
    assert_eq!(store.list(Some(&TenantId::new("acme").unwrap())).await.unwrap().len(), SECRETS_PER_TENANT_MAX);
    assert_eq!(store.list(None).await.unwrap().len(), SECRETS_PER_TENANT_MAX + 1);
    let check = store.check(usize::MAX).await.unwrap();
    assert_eq!((check.readable.into_values().sum::<u64>(), check.unreadable.count), (101, 0));
    assert!(store.check(10).await.unwrap().is_partial);
}

/// Rotations run beside one another and beside writers, and some of them are dropped half-way.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_can_be_interrupted_and_loses_no_change() {
    const SECRETS: usize = 40;
    let directory = Directory::new();
    let (old, new) = (key("old"), key("new"));
    let keys = KeysFile::with(&directory, &[&old]);
    let (_stack, store, client) = stores(&directory, &keys).await;
    let name = |n: usize| place("acme", &format!("s-{n}"));
    for n in 0..SECRETS {
        store.put(&name(n), &SecretValue::new("before")).await.unwrap();
    }
    keys.has(&[&new, &old]);
    let writer = async {
        for n in (0..SECRETS).step_by(2) {
            store.put(&name(n), &SecretValue::new("after")).await.unwrap();
        }
    };
    let other = SecretStore::new(client.clone(), Arc::new(Keyring::of_file(&keys.0).await.unwrap()));
    let interrupted = async {
        for pause_ms in [1, 3, 5, 8] {
            let pause = std::time::Duration::from_millis(pause_ms);
            tokio::time::timeout(pause, other.rotate()).await.ok();
        }
    };
    let ((), (), rotated) = tokio::join!(writer, interrupted, store.rotate());
    assert_eq!(rotated.unwrap().unreadable.count, 0);
    let last = store.rotate().await.unwrap();
    assert_eq!((last.key.as_str(), last.sealed_anew + last.unchanged), ("new", SECRETS as u64));
    keys.has(&[&new]);
    let reader = SecretStore::new(client, Arc::new(Keyring::of_file(&keys.0).await.unwrap()));
    for n in 0..SECRETS {
        let wanted = if n % 2 == 0 { "after" } else { "before" };
        let value = reader.read(&name(n).tenant, &SecretRef(name(n).name)).await.unwrap();
        assert_eq!(value.reveal_text(), Some(wanted), "{n}");
    }
}
