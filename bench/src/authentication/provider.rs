//! An issuer of tokens, at which people sign in at once. It trusts everybody who asks.

use std::sync::Arc;

use anyhow::Result;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::KeyPair;
use runtime::clock;
use runtime::lifecycle::Tasks;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use waybill::serve::SHUTDOWN_TIMEOUT;

use crate::fleet::TENANT;

/// Waybill's API, as access tokens name it.
pub(super) const AUDIENCE: &str = "waybill-api";
/// Waybill's client id.
pub(super) const CLIENT: &str = "waybill";
/// The role that the group of all people has.
pub(super) const ROLES: &str = "/ops=default/operator";
const GROUP: &str = "/ops";
const KEY_ID: &str = "bench";
/// Life of its tokens, in seconds.
const TOKEN_LIFE_S: i64 = 86_400;

pub(super) struct Provider {
    signer: Arc<Signer>,
    tasks: Tasks,
}

struct Signer {
    issuer: String,
    key: EncodingKey,
}

#[derive(Deserialize)]
struct TokenForm {
    /// The nonce of the sign-in.
    code: String,
}

impl Provider {
    pub(super) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let issuer = format!("http://{}", listener.local_addr()?);
        let signer = Arc::new(Signer { issuer, key: EncodingKey::from_ec_der(&KeyPair::generate()?.serialize_der()) });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(signer.clone());
        let tasks = Tasks::new();
        let stop = tasks.token().clone();
        tasks.spawn("provider", async move {
            axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
        });
        Ok(Self { signer, tasks })
    }

    pub(super) async fn stop(self) {
        self.tasks.shutdown(SHUTDOWN_TIMEOUT).await;
    }

    pub(super) fn issuer(&self) -> &str {
        &self.signer.issuer
    }

    /// A bearer token of a person.
    pub(super) fn access_token(&self) -> Result<String> {
        self.signer.sign(json!({
            "aud": AUDIENCE, "sub": "bench-token", "tenant_id": TENANT, "roles": ["operator"], "kind": "person",
        }))
    }
}

impl Signer {
    fn sign(&self, mut claims: Value) -> Result<String> {
        let now = clock::now().timestamp();
        (claims["iss"], claims["iat"], claims["exp"]) = (json!(self.issuer), json!(now), json!(now + TOKEN_LIFE_S));
        let header = Header { kid: Some(KEY_ID.to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }
}

async fn description(State(signer): State<Arc<Signer>>) -> Json<Value> {
    let issuer = &signer.issuer;
    Json(json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
    }))
}

fn failed<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

async fn keys(State(signer): State<Arc<Signer>>) -> Result<Json<Value>, StatusCode> {
    let key = Jwk::from_encoding_key(&signer.key, Algorithm::ES256).map_err(failed)?;
    let mut key = serde_json::to_value(key).map_err(failed)?;
    key["kid"] = json!(KEY_ID);
    Ok(Json(json!({"keys": [key]})))
}

async fn token(State(signer): State<Arc<Signer>>, form: String) -> Result<Json<Value>, StatusCode> {
    let asked: TokenForm = serde_urlencoded::from_str(&form).map_err(failed)?;
    let claims = json!({"aud": CLIENT, "sub": "bench-session", "nonce": asked.code, "groups": [GROUP]});
    let id_token = signer.sign(claims).map_err(failed)?;
    Ok(Json(json!({"id_token": id_token, "access_token": "none", "token_type": "Bearer"})))
}
