//! Keys of an issuer, and tokens that it has signed.

use std::sync::atomic::{AtomicUsize, Ordering};

use chrono::TimeDelta;
use jsonwebtoken::{EncodingKey, Header};
use runtime::clock;
use serde_json::{Value, json};

use super::*;
use crate::tokens::{TokenRules, Tokens};

const ISSUER: &str = "https://id.example.com";
const AUDIENCE: &str = "waybill";

/// A key that was made for these tests.
fn der(hex: &str) -> Vec<u8> {
    hex::decode(hex.split_whitespace().collect::<String>()).unwrap()
}

fn rsa(number: u8) -> EncodingKey {
    let hex = if number == 1 { include_str!("test-keys/rsa-1.hex") } else { include_str!("test-keys/rsa-2.hex") };
    EncodingKey::from_rsa_der(&der(hex))
}

fn ec() -> EncodingKey {
    EncodingKey::from_ec_der(&der(include_str!("test-keys/ec.hex")))
}

fn ed25519() -> EncodingKey {
    EncodingKey::from_ed_der(&der(include_str!("test-keys/ed25519.hex")))
}

fn public(key: &EncodingKey, algorithm: Algorithm, id: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    jwk["kid"] = id.into();
    jwk["use"] = "sig".into();
    jwk
}

/// An issuer whose keys change, and that may be away.
#[derive(Default)]
struct Issuer {
    keys: std::sync::Mutex<Option<Vec<Value>>>,
    fetches: AtomicUsize,
}

impl Issuer {
    fn with(keys: Vec<Value>) -> Arc<Self> {
        let issuer = Self::default();
        issuer.publishes(Some(keys));
        Arc::new(issuer)
    }

    fn publishes(&self, keys: Option<Vec<Value>>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl KeySource for Issuer {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        let keys = self.keys.lock().unwrap().clone().ok_or("away")?;
        Ok(json!({"keys": keys}).to_string().into_bytes())
    }
}

fn tokens(issuer: &Arc<Issuer>) -> Tokens {
    Tokens::new(&TokenRules {
        secret: None,
        issuer: Some(ISSUER.to_owned()),
        audience: Some(AUDIENCE.to_owned()),
        keys: Some(Arc::clone(issuer) as Arc<dyn KeySource>),
    })
}

fn claims() -> Value {
    let exp = (clock::now() + TimeDelta::minutes(1)).timestamp();
    json!({"sub": "42", "tenant_id": "acme", "roles": ["viewer"], "iss": ISSUER, "aud": [AUDIENCE, "other"], "exp": exp})
}

fn signed(key: &EncodingKey, algorithm: Algorithm, id: Option<&str>, claims: &Value) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

async fn status(tokens: &Tokens, token: &str) -> u16 {
    tokens.verify(token).await.map_or_else(|problem| problem.status().as_u16(), |_| 200)
}

#[tokio::test]
async fn tokens_of_each_algorithm_are_accepted() {
    let keys = [("r", rsa(1), Algorithm::RS256), ("e", ec(), Algorithm::ES256), ("o", ed25519(), Algorithm::EdDSA)];
    let issuer = Issuer::with(keys.iter().map(|(id, key, algorithm)| public(key, *algorithm, id)).collect());
    let tokens = tokens(&issuer);
    for (id, key, algorithm) in &keys {
        assert_eq!(status(&tokens, &signed(key, *algorithm, Some(id), &claims())).await, 200, "{id}");
        // The only key of its algorithm.
        assert_eq!(status(&tokens, &signed(key, *algorithm, None, &claims())).await, 200, "{id}");
    }
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn another_issuer_audience_or_key_is_refused() {
    let issuer = Issuer::with(vec![public(&rsa(1), Algorithm::RS256, "a")]);
    let tokens = tokens(&issuer);
    let with = |change: fn(&mut Value)| {
        let mut claims = claims();
        change(&mut claims);
        signed(&rsa(1), Algorithm::RS256, Some("a"), &claims)
    };
    assert_eq!(status(&tokens, &with(|_| {})).await, 200);
    let refused = [
        with(|claims| claims["iss"] = "https://other.example.com".into()),
        with(|claims| claims["aud"] = "other".into()),
        with(|claims| drop(claims.as_object_mut().unwrap().remove("iss"))),
        with(|claims| drop(claims.as_object_mut().unwrap().remove("aud"))),
        with(|claims| drop(claims.as_object_mut().unwrap().remove("exp"))),
        with(|claims| claims["exp"] = (clock::now() - TimeDelta::minutes(1)).timestamp().into()),
        signed(&rsa(2), Algorithm::RS256, Some("a"), &claims()),
        signed(&rsa(1), Algorithm::RS384, Some("a"), &claims()),
        signed(&ec(), Algorithm::ES256, Some("a"), &claims()),
    ];
    for token in refused {
        assert_eq!(status(&tokens, &token).await, 401, "{token}");
    }
}

/// An attacker knows the public key and signs with it as if it were a shared secret.
#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let mut shared = json!({"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3I", "alg": "HS256"});
    shared["kid"] = "s".into();
    let issuer = Issuer::with(vec![public(&rsa(1), Algorithm::RS256, "a"), shared]);
    let tokens = tokens(&issuer);
    let modulus = public(&rsa(1), Algorithm::RS256, "a")["n"].as_str().unwrap().to_owned();
    for (id, secret) in [("a", modulus.as_bytes()), ("s", b"secret-secret-secret-secret-secr"), ("s", b"")] {
        let token = signed(&EncodingKey::from_secret(secret), Algorithm::HS256, Some(id), &claims());
        assert_eq!(status(&tokens, &token).await, 401, "{id}");
    }
    let unsigned = signed(&rsa(1), Algorithm::RS256, Some("a"), &claims());
    let payload = unsigned.split('.').nth(1).unwrap();
    // {"alg":"none"}
    assert_eq!(status(&tokens, &format!("eyJhbGciOiJub25lIn0.{payload}.")).await, 401);
    // A key that its issuer uses for encryption, or for another algorithm.
    for (field, value) in [("use", "enc"), ("alg", "RS512")] {
        let mut key = public(&rsa(1), Algorithm::RS256, "a");
        key[field] = value.into();
        let other = Issuer::with(vec![key]);
        let token = signed(&rsa(1), Algorithm::RS256, Some("a"), &claims());
        assert_eq!(status(&super::tests::tokens(&other), &token).await, 401, "{field}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_is_fetched_when_a_token_names_it_and_an_old_one_ends() {
    let issuer = Issuer::with(vec![public(&rsa(1), Algorithm::RS256, "a")]);
    let tokens = tokens(&issuer);
    let old = signed(&rsa(1), Algorithm::RS256, Some("a"), &claims());
    let new = signed(&rsa(2), Algorithm::RS256, Some("b"), &claims());
    assert_eq!((status(&tokens, &old).await, status(&tokens, &new).await), (200, 401));
    issuer.publishes(Some(vec![public(&rsa(2), Algorithm::RS256, "b")]));
    // Tokens with unknown keys don't make it ask without end.
    for _ in 0..20 {
        assert_eq!(status(&tokens, &new).await, 401);
    }
    assert_eq!(issuer.fetches(), 1);
    tokio::time::advance(FETCH_PAUSE).await;
    assert_eq!((status(&tokens, &new).await, status(&tokens, &old).await), (200, 401));
    assert_eq!(issuer.fetches(), 2);
}

/// The signature of a known token isn't calculated again, so the key must be the same one, not only one of the same name.
#[tokio::test(start_paused = true)]
async fn a_token_that_was_accepted_ends_with_its_key() {
    let issuer = Issuer::with(vec![public(&rsa(1), Algorithm::RS256, "a")]);
    let tokens = tokens(&issuer);
    let token = signed(&rsa(1), Algorithm::RS256, Some("a"), &claims());
    let (head, signature) = token.rsplit_once('.').unwrap();
    let forged = format!("{head}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    for _ in 0..2 {
        assert_eq!((status(&tokens, &token).await, status(&tokens, &forged).await), (200, 401));
    }
    tokio::time::advance(REFRESH_AFTER).await;
    assert_eq!((status(&tokens, &token).await, issuer.fetches()), (200, 2), "the same keys, fetched again");
    issuer.publishes(Some(vec![public(&rsa(2), Algorithm::RS256, "a")]));
    tokio::time::advance(REFRESH_AFTER).await;
    assert_eq!((status(&tokens, &token).await, issuer.fetches()), (401, 3));
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_is_away_shuts_nobody_out_for_a_day() {
    let issuer = Arc::new(Issuer::default());
    let tokens = tokens(&issuer);
    let token = signed(&rsa(1), Algorithm::RS256, Some("a"), &claims());
    assert_eq!(status(&tokens, &token).await, 503, "its keys were never fetched");
    issuer.publishes(Some(vec![public(&rsa(1), Algorithm::RS256, "a")]));
    tokio::time::advance(FETCH_PAUSE).await;
    assert_eq!(status(&tokens, &token).await, 200);
    issuer.publishes(None);
    tokio::time::advance(REFRESH_AFTER).await;
    assert_eq!((status(&tokens, &token).await, issuer.fetches()), (200, 3));
    tokio::time::advance(KEPT_MAX).await;
    assert_eq!(status(&tokens, &token).await, 503);
}

/// An issuer that answers only the first request.
#[derive(Default)]
struct Hanging {
    issuer: Issuer,
}

#[async_trait]
impl KeySource for Hanging {
    async fn fetch(&self) -> Result<Vec<u8>, String> {
        let keys = self.issuer.fetch().await;
        if self.issuer.fetches() > 1 { std::future::pending().await } else { keys }
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_hangs_delays_one_request_and_is_not_asked_again_at_once() {
    let hanging = Arc::new(Hanging::default());
    hanging.issuer.publishes(Some(vec![public(&rsa(1), Algorithm::RS256, "a")]));
    let keys = Keys::new(Arc::clone(&hanging) as Arc<dyn KeySource>);
    let find = async |id| keys.find(Some(id), Algorithm::RS256).await.map(drop);
    assert_eq!(find("a").await, Ok(()));
    tokio::time::advance(REFRESH_AFTER).await;
    let one_second = Duration::from_secs(1);
    let mut first = std::pin::pin!(find("a"));
    assert!(tokio::time::timeout(one_second, &mut first).await.is_err(), "one request renews the keys");
    assert_eq!(tokio::time::timeout(one_second, find("a")).await, Ok(Ok(())), "the others go on");
    assert_eq!(hanging.issuer.fetches(), 2);
}

/// A client that names unknown keys and closes its connection.
#[tokio::test(start_paused = true)]
async fn requests_that_are_given_up_do_not_fetch_again_and_again() {
    let hanging = Arc::new(Hanging::default());
    hanging.issuer.publishes(Some(vec![public(&rsa(1), Algorithm::RS256, "a")]));
    let keys = Keys::new(Arc::clone(&hanging) as Arc<dyn KeySource>);
    keys.find(Some("a"), Algorithm::RS256).await.unwrap();
    tokio::time::advance(FETCH_PAUSE).await;
    for _ in 0..5 {
        let unknown = keys.find(Some("x"), Algorithm::RS256);
        drop(tokio::time::timeout(Duration::from_millis(1), unknown).await);
    }
    assert_eq!(hanging.issuer.fetches(), 2);
}

#[test]
fn a_set_of_keys_that_makes_no_sense_is_refused() {
    let key = public(&rsa(1), Algorithm::RS256, "a");
    assert_eq!(parse(json!({"keys": [key]}).to_string().as_bytes()).map(|keys| keys.len()), Ok(1));
    let twice = json!({"keys": [key, key]}).to_string();
    for bytes in [b"".to_vec(), b"[]".to_vec(), twice.into_bytes(), vec![b' '; KEY_SET_MAX_BYTES + 1]] {
        assert!(parse(&bytes).is_err());
    }
    let unknown = json!({"keys": [{"kty": "new", "kid": "x"}, {"kty": "RSA", "kid": "y"}]}).to_string();
    assert_eq!(parse(unknown.as_bytes()).map_or(0, |keys| keys.len()), 0);
}
