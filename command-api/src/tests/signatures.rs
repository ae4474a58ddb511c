//! Keys that a tenant trusts, signatures by them, and what a rule about them keeps back.

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::values::Sha256Digest;
use serde_json::{Value, json};
use trust::signatures::{Manifest, SigningKey};

use super::{Answer, Api, MODEL, token};
use crate::auth::Role;

/// Of RFC 8410, section 10.3.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
/// Of minisign.
const OTHER: &str = "RWQ7B08wVnODs+BG9XMxhk5IT+ojWXu2aIZYO0zjNbD7AQGYJI1t20GT";
const KEYS: &str = "/tenants/acme/trusted-keys";

fn key() -> SigningKey {
    SigningKey::from_pem(KEY).unwrap()
}

fn signature(version: &str, bytes: &[u8]) -> Value {
    let manifest = Manifest::new(MODEL, "firmware", version, bytes.len() as u64, Sha256Digest::of(bytes)).unwrap();
    json!({"scheme": "waybill-manifest-v1", "sig": STANDARD.encode(key().sign(&manifest))})
}

async fn trust(api: &Api) -> String {
    let wanted = json!({"public_key": key().verification_key().to_pem(), "name": "build server"});
    let trusted = api.post(KEYS, wanted).await;
    assert_eq!(trusted.status, 200, "{}", trusted.body);
    trusted.body["fingerprint"].as_str().unwrap().to_owned()
}

async fn require(api: &Api, signatures: u8) -> Answer {
    api.call(Method::PATCH, "/tenants/acme", &[], json!({"rules": {"require_signatures": signatures}})).await
}

fn metadata() -> Vec<u8> {
    json!({"name": "F", "version": "2.0.0", "device_model": MODEL}).to_string().into_bytes()
}

#[tokio::test]
async fn admins_trust_keys_and_everybody_sees_which() {
    let api = Api::new();
    let fingerprint = trust(&api).await;
    let stored = api.stored().await;
    assert_eq!(trust(&api).await, fingerprint);
    assert_eq!(api.stored().await, stored, "it was trusted already");
    let listed = api.bearing(token("acme", Role::Viewer)).get(KEYS).await;
    assert_eq!(listed.body["items"][0]["key"], fingerprint[..8], "{}", listed.body);
    assert_eq!(listed.body["items"][0]["algorithm"], "ed25519");
    for (caller, expected) in [(token("acme", Role::Operator), 403), (token("rival", Role::Admin), 404)] {
        let refused = api.bearing(caller).post(KEYS, json!({"public_key": OTHER})).await;
        assert_eq!(refused.status.as_u16(), expected, "{}", refused.body);
    }
    let private = api.post(KEYS, json!({"public_key": KEY})).await;
    assert_eq!((private.status.as_u16(), &private.body["errors"][0]["field"]), (422, &json!("public_key")));
    assert!(!private.body.to_string().contains("MC4CAQ"), "it isn't repeated: {}", private.body);
    let path = format!("{KEYS}/{fingerprint}");
    assert_eq!(api.call(Method::DELETE, &path, &[], json!({"reason": "leaked"})).await.status, 200);
    let again = api.call(Method::DELETE, &path, &[], json!({})).await;
    assert_eq!((again.status.as_u16(), again.problem()), (404, "key_not_trusted"));
    assert_eq!(api.call(Method::DELETE, &format!("{KEYS}/x"), &[], json!({})).await.status, 404);
}

#[tokio::test]
async fn signatures_come_with_the_bytes_or_later_and_only_by_trusted_keys() {
    let api = Api::new();
    let upload = async |part: &'static str, text: String| {
        api.multipart(&[("metadata", metadata()), (part, text.into_bytes()), ("file", b"one".to_vec())], true).await
    };
    let untrusted = upload("signature", signature("2.0.0", b"one").to_string()).await;
    assert_eq!((untrusted.status.as_u16(), untrusted.problem()), (409, "signature_untrusted"), "{}", untrusted.body);
    let fingerprint = trust(&api).await;
    for (part, text, expected) in [
        ("signature", signature("2.0.1", b"one").to_string(), 409),
        ("signature", signature("2.0.0", b"two").to_string(), 409),
        ("signature", json!({"scheme": "waybill-manifest-v1", "sig": "AAAA"}).to_string(), 422),
        ("signature", json!({"scheme": "rot13", "sig": "AAAA"}).to_string(), 422),
        ("signature", "{".to_owned(), 400),
        ("minisign", "nonsense".to_owned(), 422),
        ("cosign_bundle", "{}".to_owned(), 422),
    ] {
        let refused = upload(part, text.clone()).await;
        assert_eq!(refused.status.as_u16(), expected, "{part} {text}: {}", refused.body);
    }
    assert!(api.kept().await.is_empty(), "nothing is kept of a refused upload");
    let signed = upload("signature", signature("2.0.0", b"one").to_string()).await;
    assert_eq!(signed.status, 201, "{}", signed.body);
    assert_eq!(signed.body["signatures"][0]["fingerprint"], fingerprint);

    let other = api.firmware("3.0.0").await;
    let path = format!("/firmware/{other}/signatures");

    let bytes = b"3.0.0".to_vec();
    let sign = async |signature: Value| api.post(&path, json!({"signatures": [signature]})).await;
    assert_eq!(sign(signature("3.0.0", b"other")).await.problem(), "signature_untrusted");
    let done = sign(signature("3.0.0", &bytes)).await;
    assert_eq!((done.status.as_u16(), &done.body["signatures"][0]["key"]), (200, &json!(fingerprint[..8])));
    let stored = api.stored().await;
    assert_eq!(sign(signature("3.0.0", &bytes)).await.status, 200);
    assert_eq!(api.stored().await, stored, "it had this signature");
    let minisign = json!({"scheme": "minisign", "sig": "x"});
    assert_eq!(sign(minisign).await.status, 422, "it needs the bytes");
    assert_eq!(api.post(&path, json!({"signatures": []})).await.status, 422);
}

/// Counting a tenant's bytes needs PostgreSQL, and these tests have none.
#[tokio::test]
async fn the_same_bytes_with_a_signature_are_not_counted_again() {
    let api = Api::new();
    trust(&api).await;
    let upload = async |mut parts: Vec<(&'static str, Vec<u8>)>| {
        parts.push(("file", b"one".to_vec()));
        api.multipart(&parts, true).await
    };
    let first = upload(vec![("metadata", metadata())]).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let platform = api.bearing(token("default", Role::PlatformAdmin));
    let quota = json!({"quotas": {"firmware_bytes": 3}});
    assert_eq!(platform.call(Method::PATCH, "/tenants/acme", &[], quota).await.status, 200);
    let signature = signature("2.0.0", b"one").to_string().into_bytes();
    let signed = upload(vec![("metadata", metadata()), ("signature", signature)]).await;
    assert_eq!(signed.status, 200, "it existed already: {}", signed.body);
    assert_eq!(signed.body["signatures"].as_array().unwrap().len(), 1, "{}", signed.body);
    assert_eq!(signed.body["firmware_id"], first.body["firmware_id"]);
    assert_eq!(api.kept().await.len(), 1, "its bytes stay");
    let other = json!({"name": "F", "version": "2.1.0", "device_model": MODEL}).to_string().into_bytes();
    assert_eq!(upload(vec![("metadata", other)]).await.status, 503, "a new firmware is counted");
}

#[tokio::test]
async fn what_is_not_signed_goes_to_no_device_where_signatures_are_asked_for() {
    let api = Api::new();
    assert_eq!(require(&api, 1).await.problem(), "too_few_trusted_keys");
    let fingerprint = trust(&api).await;
    assert_eq!(require(&api, 2).await.problem(), "too_few_trusted_keys");
    assert_eq!(require(&api, 1).await.status, 200);
    let firmware = api.firmware("2.0.0").await;
    api.device("d-1").await;
    let order = async || api.post("/devices/d-1/update", json!({"firmware_id": firmware})).await;
    let refused = order().await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (409, "not_eligible"), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains("unsigned"), "{}", refused.body);
    let signatures = json!({"signatures": [signature("2.0.0", b"2.0.0")]});
    assert_eq!(api.post(&format!("/firmware/{firmware}/signatures"), signatures).await.status, 200);
    let path = format!("{KEYS}/{fingerprint}");
    assert_eq!(api.call(Method::DELETE, &path, &[], json!({})).await.status, 200);
    assert_eq!(order().await.problem(), "not_eligible", "its key isn't trusted any more");
    trust(&api).await;
    assert_eq!(order().await.status, 201, "it had been signed");
}
