//! An OpenID provider in memory, which can be made to answer wrongly.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use runtime::clock;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::sign_in::ProviderHttp;

pub(super) const ISSUER: &str = "https://id.example.com/realms/acme";
pub(super) const CLIENT: &str = "waybill";
pub(super) const SECRET: &str = "a secret: 1%";

type Change = Box<dyn Fn(&mut Value) + Send>;

#[derive(Default)]
struct State {
    /// Codes that were not exchanged yet, with what the sign-in asked.
    codes: HashMap<String, HashMap<String, String>>,
    groups: Vec<String>,
    is_away: bool,
    metadata: Option<Change>,
    claims: Option<Change>,
    /// Claims of userinfo; none: there is no such endpoint.
    userinfo: Option<Value>,
    forged: Option<String>,
    /// How clients have shown themselves.
    shown: Vec<(Option<String>, HashMap<String, String>)>,
}

/// Clones share it.
#[derive(Clone, Default)]
pub(super) struct Provider(Arc<Mutex<State>>);

fn key() -> EncodingKey {
    let hex: String = include_str!("../../tokens/keys/test-keys/ec.hex").split_whitespace().collect();
    EncodingKey::from_ec_der(&hex::decode(hex).unwrap())
}

fn public_key() -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::ES256).unwrap()).unwrap();
    jwk["kid"] = "e".into();
    jwk
}

/// The public key as an attacker would use it as a shared secret.
pub(super) fn public_key_text() -> String {
    public_key().to_string()
}

pub(super) fn parameters(text: &str) -> HashMap<String, String> {
    serde_urlencoded::from_str(text).unwrap()
}

impl Provider {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }

    /// A code for what a browser was sent with.
    pub(super) fn lets_in(&self, asked: HashMap<String, String>) -> String {
        let code = format!("code-{}", clock::new_id());
        self.change(|state| drop(state.codes.insert(code.clone(), asked)));
        code
    }

    pub(super) fn with_groups(self, groups: &[&str]) -> Self {
        self.change(|state| state.groups = groups.iter().map(|group| (*group).to_owned()).collect());
        self
    }

    pub(super) fn set_away(&self, is_away: bool) {
        self.change(|state| state.is_away = is_away);
    }

    /// Changes what it says of itself.
    pub(super) fn describing(self, change: impl Fn(&mut Value) + Send + 'static) -> Self {
        self.change(|state| state.metadata = Some(Box::new(change)));
        self
    }

    /// Changes the claims of its ID tokens.
    pub(super) fn claiming(self, change: impl Fn(&mut Value) + Send + 'static) -> Self {
        self.change(|state| state.claims = Some(Box::new(change)));
        self
    }

    /// Answers with these claims at its userinfo endpoint.
    pub(super) fn informing(self, claims: Value) -> Self {
        self.change(|state| state.userinfo = Some(claims));
        self
    }

    /// Answers with this header, and signed with a shared secret or not at all.
    pub(super) fn forging(self, secret: Option<&str>) -> Self {
        self.change(|state| state.forged = Some(secret.unwrap_or_default().to_owned()));
        self
    }

    pub(super) fn shown(&self) -> Vec<(Option<String>, HashMap<String, String>)> {
        self.0.lock().unwrap().shown.clone()
    }

    fn description(&self) -> Value {
        let mut description = json!({
            "issuer": ISSUER,
            "authorization_endpoint": format!("{ISSUER}/auth"),
            "token_endpoint": format!("{ISSUER}/token"),
            "jwks_uri": format!("{ISSUER}/keys"),
            "end_session_endpoint": format!("{ISSUER}/logout"),
            "code_challenge_methods_supported": ["plain", "S256"],
        });
        if self.0.lock().unwrap().userinfo.is_some() {
            description["userinfo_endpoint"] = format!("{ISSUER}/me").into();
        }
        if let Some(change) = &self.0.lock().unwrap().metadata {
            change(&mut description);
        }
        description
    }

    fn id_token(&self, asked: &HashMap<String, String>) -> String {
        let state = self.0.lock().unwrap();
        let now = clock::now().timestamp();
        let mut claims = json!({
            "iss": ISSUER, "aud": CLIENT, "sub": "7f3c", "nonce": asked["nonce"], "iat": now, "exp": now + 60, "groups": state.groups,
            "name": "Erika Mustermann", "email": "erika@example.com", "tenant": "acme",
        });
        if let Some(change) = &state.claims {
            change(&mut claims);
        }
        match state.forged.as_deref() {
            None => {
                let header = Header { kid: Some("e".to_owned()), ..Header::new(Algorithm::ES256) };
                jsonwebtoken::encode(&header, &claims, &key()).unwrap()
            }
            Some("") => {
                let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
                format!("{}.{}.", part(&json!({"alg": "none", "kid": "e"})), part(&claims))
            }
            Some(secret) => {
                let header = Header { kid: Some("e".to_owned()), ..Header::new(Algorithm::HS256) };
                jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
            }
        }
    }
}

#[async_trait]
impl ProviderHttp for Provider {
    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        if self.0.lock().unwrap().is_away {
            return Err("away".to_owned());
        }
        match url.strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => Ok(self.description().to_string().into_bytes()),
            Some("/keys") => Ok(json!({"keys": [public_key()]}).to_string().into_bytes()),
            _ => Err(format!("nothing at {url}")),
        }
    }

    async fn get_as(&self, url: &str, authorization: &str) -> Result<(u16, Vec<u8>), String> {
        assert_eq!((url, authorization), (format!("{ISSUER}/me").as_str(), "Bearer x"));
        match &self.0.lock().unwrap().userinfo {
            Some(Value::Null) => Ok((401, vec![])),
            Some(claims) => Ok((200, claims.to_string().into_bytes())),
            None => Err(format!("nothing at {url}")),
        }
    }

    async fn post(&self, url: &str, authorization: Option<&str>, form: String) -> Result<(u16, Vec<u8>), String> {
        assert_eq!(url, format!("{ISSUER}/token"));
        let form = parameters(&form);
        let asked = {
            let mut state = self.0.lock().unwrap();
            if state.is_away {
                return Err("away".to_owned());
            }
            state.shown.push((authorization.map(str::to_owned), form.clone()));
            state.codes.remove(&form["code"])
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
        match asked {
            Some(asked) if asked["code_challenge"] == challenge && asked["redirect_uri"] == form["redirect_uri"] => {
                let answer = json!({"id_token": self.id_token(&asked), "access_token": "x", "token_type": "Bearer"});
                Ok((200, answer.to_string().into_bytes()))
            }
            _ => Ok((400, json!({"error": "invalid_grant"}).to_string().into_bytes())),
        }
    }
}
