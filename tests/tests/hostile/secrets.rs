//! Attackers, by what they have.

use chrono::TimeDelta;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::{Method, RequestBuilder};
use runtime::clock;
use serde_json::{Value, json};

use crate::world::{MODEL, World};

/// Somebody with a secret that should open nothing here.
pub(super) struct Attacker {
    name: &'static str,
    /// What the attacker sends in `Authorization`.
    bearer: Option<String>,
    /// Has rights in another tenant.
    elsewhere: bool,
}

impl Attacker {
    pub(super) fn name(&self) -> &str {
        self.name
    }

    pub(super) fn is_known_elsewhere(&self) -> bool {
        self.elsewhere
    }

    pub(super) fn signs(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.bearer {
            Some(bearer) => request.bearer_auth(bearer),
            None => request,
        }
    }
}

fn claims(expires_in: TimeDelta) -> Value {
    let exp = (clock::now() + expires_in).timestamp();
    json!({"sub": "42", "tenant_id": "acme", "roles": ["admin", "platform_admin"], "kind": "person", "exp": exp})
}

fn signed(secret: &[u8], algorithm: Algorithm, expires_in: TimeDelta) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), &claims(expires_in), &EncodingKey::from_secret(secret)).unwrap()
}

/// A token without a signature, as `alg: none` has it.
fn unsigned() -> String {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims(TimeDelta::minutes(5))))
}

pub(super) async fn attackers(world: &World) -> Vec<Attacker> {
    let secret = std::fs::read(world.data_dir().join("secrets/jwt")).unwrap();
    let rival = world.operator_of("rival", &["admin"]).await;
    rival.post("/devices", &json!({"device_id": "d-rival", "device_model": MODEL})).await.unwrap();
    let of_device = rival.post("/devices/d-rival/credentials", &json!({})).await.unwrap()["token"].clone();
    let registration = rival.post("/registration-tokens", &json!({"devices_max": 1})).await.unwrap()["token"].clone();
    let key = rival.post("/api-keys", &json!({"roles": ["admin"]})).await.unwrap();
    let gone = rival.post("/api-keys", &json!({"roles": ["admin"]})).await.unwrap();
    let revoked = format!("/api-keys/{}", gone["key_id"].as_str().unwrap());
    rival.send(Method::DELETE, &revoked, Some(&json!({"reason": "leaked"}))).await.unwrap().success().unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let nobody = |name, bearer| Attacker { name, bearer, elsewhere: false };
    let somebody = |name, bearer| Attacker { name, bearer, elsewhere: true };
    let minutes = TimeDelta::minutes(5);
    vec![
        nobody("nobody", None),
        nobody("an empty token", Some(String::new())),
        nobody("an expired token", Some(signed(&secret, Algorithm::HS256, -minutes))),
        nobody("another secret", Some(signed(&[7; 32], Algorithm::HS256, minutes))),
        nobody("another algorithm", Some(signed(&secret, Algorithm::HS512, minutes))),
        nobody("no signature", Some(unsigned())),
        nobody("a stolen device", text(&of_device)),
        nobody("a registration token", text(&registration)),
        nobody("a revoked API key", text(&gone["token"])),
        somebody("an API key of another tenant", text(&key["token"])),
        somebody("an admin of another tenant", Some(rival.token().to_owned())),
    ]
}
