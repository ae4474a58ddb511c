//! Who a caller is: tokens of an issuer that publishes its keys.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::StatusCode;
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use crate::world::World;

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "waybill";

/// Made for the tests of tokens.
fn key() -> EncodingKey {
    let hex = include_str!("../../command-api/src/tokens/keys/test-keys/ed25519.hex");
    EncodingKey::from_ed_der(&hex::decode(hex.trim()).unwrap())
}

/// Publishes the public key until the tasks end; returns its address.
async fn issuer(tasks: &Tasks) -> String {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::EdDSA).unwrap()).unwrap();
    jwk["kid"] = "k1".into();
    let body = json!({"keys": [jwk]}).to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("issuer", async move {
        while let Ok((connection, _)) = listener.accept().await {
            let mut connection = BufReader::new(connection);
            let mut line = String::new();
            while connection.read_line(&mut line).await.unwrap() > 2 {
                line.clear();
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            connection.write_all((head + body.as_str()).as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}/jwks.json")
}

fn token(change: impl FnOnce(&mut Value)) -> String {
    let exp = (runtime::clock::now() + chrono::TimeDelta::minutes(5)).timestamp();
    let mut claims = json!({"sub": "u-1", "tenant_id": "default", "roles": ["operator"], "kind": "person", "iss": ISSUER, "aud": AUDIENCE, "exp": exp});
    change(&mut claims);
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, &claims, &key()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_publishes_its_keys_says_who_calls() {
    let tasks = Tasks::new();
    let url = issuer(&tasks).await;
    let flags = ["--jwks-url", &url, "--jwt-issuer", ISSUER, "--jwt-audience", AUDIENCE];
    let world = World::start_with(&flags).await;
    let http = reqwest::Client::new();
    let creates = async |token: &str, device: &str| {
        let request = http.post(format!("{}/api/v1/devices", world.base())).bearer_auth(token);
        request.json(&json!({"device_id": device})).send().await.unwrap().status()
    };
    assert_eq!(creates(&token(|_| {}), "d-1").await, StatusCode::CREATED);
    for (wrong, change) in [
        ("issuer", (|claims| claims["iss"] = "https://other.example.com".into()) as fn(&mut Value)),
        ("audience", |claims| claims["aud"] = "another-service".into()),
        ("expiry", |claims| claims["exp"] = 1.into()),
        ("tenant", |claims| claims["tenant_id"] = "../default".into()),
    ] {
        assert_eq!(creates(&token(change), "d-2").await, StatusCode::UNAUTHORIZED, "{wrong}");
    }
    assert_eq!(creates(&token(|claims| claims["roles"] = json!(["viewer"])), "d-2").await, StatusCode::FORBIDDEN);
    // In development dev tokens are accepted beside them.
    let api = world.operator().await;
    let (events, actor) = (api.get("/devices/d-1/history").await.unwrap(), "user:u-1");
    assert_eq!(events["items"][0]["actor"], actor, "{events}");
}
