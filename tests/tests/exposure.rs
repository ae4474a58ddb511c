//! Documents of firmware: the rules of a tenant hold back a firmware without them, the exposure of devices changes with a campaign, and hostile
//! documents are refused.

use std::path::Path;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use crate::world::{MODEL, ManualDevice, World};

const CVE: &str = "CVE-2022-3602";
const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

async fn add(
    api: &ApiClient,
    firmware: &str,
    document: impl Into<Vec<u8>>,
    more: &[(&'static str, &str)],
) -> (u16, Value) {
    let mut form = Form::new().part("document", Part::bytes(document.into()).file_name("document.json"));
    for (name, value) in more {
        form = form.text(*name, (*value).to_owned());
    }
    let url = format!("{}/api/v1/firmware/{firmware}/documents", api.base());
    let reply = api.http().post(url).bearer_auth(api.token()).multipart(form).send().await.unwrap();
    (reply.status().as_u16(), reply.json().await.unwrap())
}

async fn added(api: &ApiClient, firmware: &str, document: &Value) -> Value {
    let (status, body) = add(api, firmware, document.to_string(), &[]).await;
    assert_eq!(status, 201, "{body}");
    body
}

fn sbom(openssl: &str) -> Value {
    let url = format!("pkg:generic/openssl@{openssl}");
    json!({"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
        "components": [{"type": "library", "name": "openssl", "version": openssl, "purl": url}]})
}

fn openvex(status: &str) -> Value {
    json!({"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://acme.example/vex/1", "author": "acme", "version": 1,
        "timestamp": "2026-01-01T00:00:00Z",
        "statements": [{"vulnerability": {"name": CVE}, "products": [{"@id": "pkg:generic/fw"}], "status": status}]})
}

fn csaf(product_sha256: &str) -> Value {
    let hashes = json!([{"filename": "fw", "file_hashes": [{"algorithm": "sha256", "value": product_sha256}]}]);
    json!({"document": {"category": "csaf_vex", "csaf_version": "2.0"},
        "product_tree": {"full_product_names": [
            {"product_id": "OLD", "name": "old"},
            {"product_id": "NEW", "name": "new", "product_identification_helper": {"hashes": hashes}}]},
        "vulnerabilities": [{"cve": CVE, "product_status": {"known_affected": ["OLD"], "fixed": ["NEW"]}}]})
}

fn run(program: &str, arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = Command::new(program).args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// A provenance of the bytes with this digest in an envelope that OpenSSL has signed.
fn provenance(sha256: &str, directory: &Path) -> String {
    let statement =
        json!({"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1",
        "subject": [{"name": "fw", "digest": {"sha256": sha256}}],
        "predicate": {"buildDefinition": {}, "runDetails": {"builder": {"id": "https://ci.acme.example"}}}})
        .to_string();
    let signed = format!("DSSEv1 {} {PAYLOAD_TYPE} {} {statement}", PAYLOAD_TYPE.len(), statement.len());
    std::fs::write(directory.join("signed"), signed).unwrap();
    let sign = ["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "signed", "-out", "signature"];
    run("openssl", &sign, directory);
    let signature = STANDARD.encode(std::fs::read(directory.join("signature")).unwrap());
    json!({"payloadType": PAYLOAD_TYPE, "payload": STANDARD.encode(statement), "signatures": [{"keyid": "", "sig": signature}]})
        .to_string()
}

async fn online(world: &World, api: &ApiClient, id: &str) -> ManualDevice {
    api.post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "2.0.0"})).await.unwrap();
    let device = world.manual_device(id).await;
    device.boots("b1", "2.0.0").await;
    world.until_get(api, &format!("/devices/{id}"), "online", |body| body["status"] == "online").await;
    device
}

async fn exposure(api: &ApiClient, question: &str) -> Value {
    api.get(&format!("/exposure?{question}")).await.unwrap()["devices"].clone()
}

async fn hostile_documents_are_refused(api: &ApiClient, firmware: &str) {
    let begin = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","components":["#;
    for (document, expected) in [
        (b"\x1f\x8b\x08\x00".to_vec(), "compressed"),
        (b"PK\x03\x04zip".to_vec(), "compressed"),
        (format!("{begin}{}", "[".repeat(1_000_000)).into_bytes(), "nested deeper"),
        (format!("{{\"x\":{}", "[".repeat(1_000_000)).into_bytes(), "nested deeper"),
        (
            format!("{begin}{}{{\"name\":\"a\"}}]}}", "{\"name\":\"a\"},".repeat(100_000)).into_bytes(),
            "100000 components",
        ),
        (b"{\"bomFormat\":\"CycloneDX\",\"bomFormat\":\"CycloneDX\"}".to_vec(), "given twice"),
        (format!("{{\"n\":{}}}", "9".repeat(10_000)).into_bytes(), "a number"),
        (b"{\"something\":\"else\"}".to_vec(), "neither CycloneDX"),
    ] {
        let (status, body) = add(api, firmware, document, &[]).await;
        assert_eq!((status, &body["errors"][0]["field"]), (422, &json!("document")), "{body}");
        assert!(body["detail"].as_str().unwrap().contains(expected), "{expected}: {body}");
    }
    let listed = api.get(&format!("/firmware/{firmware}/documents")).await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 0, "nothing of them is kept: {listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vulnerability_is_followed_from_the_documents_to_the_fixed_devices() {
    let world = World::start().await;
    let api = world.operator().await;
    let directory = world.data_dir().join("build-server");
    std::fs::create_dir_all(&directory).unwrap();
    run("openssl", &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"], &directory);
    let public = String::from_utf8(run("openssl", &["pkey", "-in", "key.pem", "-pubout"], &directory)).unwrap();
    let (old, new) = (world.firmware(&api, "2.0.0").await, world.firmware(&api, "2.1.0").await);
    let devices = [online(&world, &api, "d-0").await, online(&world, &api, "d-1").await];
    hostile_documents_are_refused(&api, &new).await;

    // Before and after the documents of the old firmware.
    let unknown = api.get(&format!("/exposure?cve={CVE}")).await.unwrap();
    assert_eq!(unknown["devices"]["unknown"], 2, "{unknown}");
    added(&api, &old, &sbom("3.0.6")).await;
    let investigated = added(&api, &old, &openvex("under_investigation")).await;
    assert_eq!(exposure(&api, &format!("cve={CVE}")).await["under_investigation"], 2);
    let replaces = investigated["document_id"].as_str().unwrap();
    let (status, replaced) = add(&api, &old, openvex("affected").to_string(), &[("replaces", replaces)]).await;
    assert_eq!(status, 201, "{replaced}");
    let affected = exposure(&api, &format!("cve={CVE}")).await;
    assert_eq!((&affected["affected"], &affected["fix_offered"]), (&json!(2), &json!(0)), "{affected}");
    assert_eq!(exposure(&api, "purl=pkg:generic/openssl@3.0.6?arch=arm").await["affected"], 2);
    assert_eq!(exposure(&api, "purl=pkg:generic/openssl@3.0.7").await["not_affected"], 2);

    // The rules hold back the fix until it has its documents.
    let (rules, image) = ("/tenants/default", api.get(&format!("/firmware/{new}")).await.unwrap());
    let sha256 = image["checksum_sha256"].as_str().unwrap();
    let forged = provenance(&"0".repeat(64), &directory);
    assert_eq!(add(&api, &new, provenance(sha256, &directory), &[]).await.0, 409, "the key isn't trusted");
    let all = json!({"rules": {"require_sbom": true, "require_provenance": true}});
    assert_eq!(api.send(Method::PATCH, rules, Some(&all)).await.unwrap().status, 409, "no key could satisfy the rule");
    api.post("/tenants/default/trusted-keys", &json!({"public_key": public})).await.unwrap();
    api.send(Method::PATCH, rules, Some(&all)).await.unwrap().success().unwrap();
    let campaign = json!({"name": "fix", "firmware_id": new, "deployment_strategy": "immediate", "target_all": true});
    let excluded = async || api.post("/campaigns/preview", &campaign).await.unwrap()["excluded"].clone();
    assert_eq!(excluded().await["sbom_missing"], 2);
    added(&api, &new, &sbom("3.0.7")).await;
    assert_eq!(excluded().await["provenance_missing"], 2);
    let refused = api.send(Method::POST, "/devices/d-0/update", Some(&json!({"firmware_id": new}))).await.unwrap();
    assert!(refused.status == 409 && refused.body.to_string().contains("provenance_missing"), "{}", refused.body);
    assert_eq!(add(&api, &new, forged, &[]).await.0, 422, "of other bytes");
    let (status, built) = add(&api, &new, provenance(sha256, &directory), &[]).await;
    assert_eq!((status, &built["format"]), (201, &json!("slsa-provenance-v1")), "{built}");
    added(&api, &new, &csaf(sha256)).await;
    let before = api.get(&format!("/exposure?cve={CVE}")).await.unwrap();
    assert_eq!(before["devices"]["fix_offered"], 2, "{before}");
    assert_eq!(before["unread_documents"], 0, "{before}");

    // The campaign installs the fix.
    let id = world.campaign(&api, &new, json!({"deployment_strategy": "immediate"})).await;
    for device in &devices {
        let (command, _) = device.hears("its update", |heard| heard["command"] == "ota_update").await;
        device.installs(command["ordinal"].as_u64().unwrap(), 1, "b2", "2.1.0").await;
    }
    world.campaign_is(&api, &id, &["completed"]).await;
    let after = api.get(&format!("/exposure?cve={CVE}")).await.unwrap();
    assert_eq!((&after["devices"]["affected"], &after["devices"]["not_affected"]), (&json!(0), &json!(2)), "{after}");
    assert_eq!(after["ran_fix"].as_array().unwrap().last().unwrap()["devices"], 2, "{after}");
    let then = exposure(&api, &format!("cve={CVE}&at={}", before["at"].as_str().unwrap())).await;
    assert_eq!(then["affected"], 2, "what ran before the campaign: {then}");
    let page = api.get(&format!("/exposure/devices?cve={CVE}&exposure=not_affected&limit=1")).await.unwrap();
    assert_eq!((&page["items"][0]["device_id"], page["next_cursor"].is_string()), (&json!("d-0"), true), "{page}");

    // A removed document no longer counts.
    let vex = replaced["document_id"].as_str().unwrap();
    let path = format!("/firmware/{old}/documents/{vex}");
    assert_eq!(api.get(&path).await.unwrap()["statements"][0]["status"], "affected");
    api.send(Method::DELETE, &path, Some(&json!({"reason": "wrong"}))).await.unwrap().success().unwrap();
    assert_eq!(api.send(Method::GET, &path, None).await.unwrap().status, 404);
    world.read_models_equal_a_replay().await;
}
