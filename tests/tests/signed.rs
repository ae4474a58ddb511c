//! Signed firmware: what goes to devices where a tenant asks for signatures, and what taking away a key stops.

use std::path::Path;
use std::process::Command;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, World, waybill_binary};

/// The bytes of the signed firmware.
const BYTES: &[u8] = b"a firmware that is signed";

fn run(program: &Path, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Has OpenSSL make a key, and Waybill's program sign with it; returns the public key and the signature.
fn build_server(directory: &Path, version: &str) -> (String, Value) {
    let openssl = |arguments: &[&str]| run(Path::new("openssl"), arguments, directory);
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    let public = String::from_utf8(openssl(&["pkey", "-in", "key.pem", "-pubout"])).unwrap();
    std::fs::write(directory.join("firmware.bin"), BYTES).unwrap();
    let arguments =
        ["firmware", "sign", "--key", "key.pem", "--device-model", MODEL, "--version", version, "firmware.bin"];
    let signature = run(&waybill_binary(), &arguments, directory);
    (public, serde_json::from_slice(&signature).unwrap())
}

async fn upload(api: &ApiClient, version: &str, signature: Option<&Value>) -> (u16, Value) {
    let metadata = json!({"name": "F", "version": version, "device_model": MODEL});
    let file = Part::bytes(BYTES.to_vec()).file_name("firmware.bin");
    let mut form = Form::new().text("metadata", metadata.to_string()).part("file", file);
    if let Some(signature) = signature {
        form = form.text("signature", signature.to_string());
    }
    let url = format!("{}/api/v1/firmware", api.base());
    let reply = api.http().post(url).bearer_auth(api.token()).multipart(form).send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

async fn online(world: &World, api: &ApiClient, id: &str) -> ManualDevice {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"})).await.unwrap();
    let device = world.manual_device(id).await;
    device.boots("b1", "1.0.0").await;
    world.until_get(api, &format!("/devices/{id}"), "online", |body| body["status"] == "online").await;
    device
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_an_untrusted_key_has_signed_goes_to_nobody() {
    let world = World::start().await;
    let api = world.operator().await;
    let directory = world.data_dir().join("build-server");
    std::fs::create_dir_all(&directory).unwrap();
    let (public, signature) = build_server(&directory, "2.0.0");
    let keys = "/tenants/default/trusted-keys";
    assert_eq!(upload(&api, "2.0.0", Some(&signature)).await.0, 409, "the key isn't trusted");
    let trusted = api.post(keys, &json!({"public_key": public, "name": "build server"})).await.unwrap();
    let (status, firmware) = upload(&api, "2.0.0", Some(&signature)).await;
    assert_eq!((status, &firmware["signatures"][0]["fingerprint"]), (201, &trusted["fingerprint"]), "{firmware}");
    let (status, unsigned) = upload(&api, "3.0.0", None).await;
    assert_eq!(status, 201, "{unsigned}");
    let rule = json!({"rules": {"require_signatures": 1}});
    api.send(Method::PATCH, "/tenants/default", Some(&rule)).await.unwrap().success().unwrap();

    let (first, second) = (online(&world, &api, "d-0").await, online(&world, &api, "d-1").await);
    let refused = json!({"firmware_id": unsigned["firmware_id"]});
    let refused = api.send(Method::POST, "/devices/d-0/update", Some(&refused)).await.unwrap();
    assert_eq!(refused.status.as_u16(), 409, "{}", refused.body);
    let preview = json!({"name": "c", "firmware_id": unsigned["firmware_id"], "deployment_strategy": "immediate", "target_all": true});
    let preview = api.post("/campaigns/preview", &preview).await.unwrap();
    assert_eq!(preview["excluded"]["unsigned"], 2, "{preview}");

    let id = firmware["firmware_id"].as_str().unwrap();
    let campaign = world.campaign(&api, id, json!({"deployment_strategy": "immediate"})).await;
    let expected = json!([{"scheme": "waybill-manifest-v1", "key": signature["key"], "sig": signature["sig"]}]);
    let is_update = |heard: &Value| heard["command"] == "ota_update";
    for device in [&first, &second] {
        let (command, _) = device.hears("its update", is_update).await;
        assert_eq!(command["signatures"], expected, "{command}");
        device.forgets();
    }

    // The key has leaked.
    let path = format!("{keys}/{}", trusted["fingerprint"].as_str().unwrap());
    api.send(Method::DELETE, &path, Some(&json!({"reason": "leaked"}))).await.unwrap().success().unwrap();
    for device in [&first, &second] {
        device.hears("that nothing is left to do", |body| *body == Value::Null).await;
    }
    let status = format!("/campaigns/{campaign}/status");
    let waits = |body: &Value| body["waits_for"].to_string().contains("\"signatures\"");
    world.until_get(&api, &status, "the campaign waits for signatures", waits).await;
    first.forgets();
    first.says("commands/get", &json!({})).await;
    first.hears("that there is nothing to do", |heard| heard["command"] == "none").await;

    // It was a mistake.
    api.post(keys, &json!({"public_key": public})).await.unwrap();
    for device in [&first, &second] {
        device.hears("its update again", is_update).await;
    }
}
