//! People sign in at an OpenID provider, and use the API with a session.

mod ended;
mod live;
mod opened;
mod other_providers;
mod provider;
mod refusals;
mod roles;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use event_store::Keyring;
use event_store::sessions::MemorySessions;
use serde_json::{Value, json};
use trust::SecretValue;

use super::{Answer, Api, until};
use crate::sessions::SessionLimits;
use crate::sign_in::{ProviderHttp, RoleMap, SignInConfig, SignInParts};
use provider::{CLIENT, ISSUER, Provider, SECRET, parameters, public_key_text};

const ORIGIN: &str = "https://waybill.example.com";
const SESSION: &str = "__Host-waybill_session";
const PENDING: &str = "__Host-waybill_sign_in";
const CONSOLE: &str = "/api/v1/auth/sign-in?return_to=/console/";
const OWN: (&str, &str) = ("sec-fetch-site", "same-origin");

fn config(roles: &[&str]) -> SignInConfig {
    let roles: Vec<String> = roles.iter().map(|role| (*role).to_owned()).collect();
    SignInConfig {
        issuer: ISSUER.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: Some(SecretValue::new(SECRET)),
        public_url: ORIGIN.to_owned(),
        scopes: "openid groups".to_owned(),
        groups_claim: "groups".to_owned(),
        tenant_claim: None,
        userinfo: false,
        roles: RoleMap::new(&roles, None, false).unwrap(),
        sessions: SessionLimits::default(),
    }
}

/// A service at which people sign in.
struct Service {
    api: Api,
    bucket: MemorySessions,
    provider: Provider,
}

/// The cookies of one browser.
#[derive(Debug, Clone, Default)]
struct Browser(HashMap<String, String>);

impl Browser {
    fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn keeps(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            match value {
                "" => drop(self.0.remove(name)),
                value => drop(self.0.insert(name.to_owned(), value.to_owned())),
            }
        }
    }
}

impl Service {
    async fn start(provider: Provider) -> Self {
        Self::with(provider, |_| {}).await
    }

    async fn with(provider: Provider, change: impl FnOnce(&mut SignInConfig)) -> Self {
        let mut of_tests =
            config(&["/ops=acme/operator", "/leads=acme/admin", "/ops-globex=globex/viewer", "lost=nowhere/viewer"]);
        change(&mut of_tests);
        Self::over(of_tests, Some(provider)).await
    }

    async fn over(config: SignInConfig, provider: Option<Provider>) -> Self {
        let bucket = MemorySessions::default();
        let keys = "k1:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
        let http = provider.clone().map(|provider| Arc::new(provider) as Arc<dyn ProviderHttp>);
        let parts = SignInParts {
            config,
            http,
            bucket: Arc::new(bucket.clone()),
            keyring: Arc::new(Keyring::of(keys.parse().unwrap())),
        };
        let api = Api::with_config(|config| config.sign_in = Some(parts));
        let service = Self { api, bucket, provider: provider.unwrap_or_default() };
        let follows = async || service.api.app.sign_in.as_ref().unwrap().sessions.is_current();
        until("sessions are followed", follows, |follows| *follows).await;
        service
    }

    async fn send(&self, method: &str, path: &str, browser: &Browser, headers: &[(&str, &str)], body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header(header::COOKIE, browser.header());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.api.send(request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str, browser: &Browser) -> Answer {
        self.send("GET", path, browser, &[], Value::Null).await
    }

    /// Begins a sign-in; what the provider is asked.
    async fn begins(&self, browser: &mut Browser, path: &str) -> HashMap<String, String> {
        let answer = self.get(path, browser).await;
        assert_eq!(answer.status, 302, "{}", answer.body);
        browser.keeps(&answer);
        let (endpoint, asked) = answer.header("location").split_once('?').unwrap();
        assert_eq!(endpoint, format!("{ISSUER}/auth"));
        parameters(asked)
    }

    async fn comes_back(&self, browser: &mut Browser, more: &[(&str, &str)]) -> Answer {
        let query = serde_urlencoded::to_string(more).unwrap();
        let answer = self.get(&format!("/api/v1/auth/callback?{query}"), browser).await;
        browser.keeps(&answer);
        answer
    }

    /// A whole sign-in; its last answer.
    async fn signs_in(&self, browser: &mut Browser) -> Answer {
        self.signs_in_by(browser, CONSOLE).await
    }

    async fn signs_in_by(&self, browser: &mut Browser, path: &str) -> Answer {
        let asked = self.begins(browser, path).await;
        let (state, code) = (asked["state"].clone(), self.provider.lets_in(asked));
        self.comes_back(browser, &[("code", &code), ("state", &state)]).await
    }
}

fn told(answer: &Answer) -> (u16, &str) {
    (answer.status.as_u16(), answer.problem())
}

fn device(id: &str) -> Value {
    json!({"device_id": id, "device_model": super::MODEL})
}

#[tokio::test]
async fn a_person_signs_in_works_and_signs_out() {
    let service = Service::start(Provider::default().with_groups(&["/ops", "unknown"])).await;
    let mut browser = Browser::default();
    let asked = service.begins(&mut browser, CONSOLE).await;
    assert_eq!(asked["redirect_uri"], format!("{ORIGIN}/api/v1/auth/callback"));
    assert_eq!((asked["code_challenge_method"].as_str(), asked["scope"].as_str()), ("S256", "openid groups"));
    let (state, code) = (asked["state"].clone(), service.provider.lets_in(asked));
    let extra = [("code", code.as_str()), ("state", &state), ("iss", ISSUER), ("session_state", "x")];
    let back = service.comes_back(&mut browser, &extra).await;
    assert_eq!(
        (back.status.as_u16(), back.header("location")),
        (303, "https://waybill.example.com/console/"),
        "{}",
        back.body
    );
    let cookies: Vec<_> = back.headers.get_all(header::SET_COOKIE).iter().map(|one| one.to_str().unwrap()).collect();
    let attributes = "; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure";
    assert!(cookies[0].starts_with(&format!("{SESSION}=wbs_")) && cookies[0].ends_with(attributes), "{cookies:?}");
    assert!(cookies[1].starts_with(&format!("{PENDING}=; Path=/; Max-Age=0;")), "{cookies:?}");
    assert_eq!(back.header("cache-control"), "no-store");

    let session = service.get("/api/v1/auth/session", &browser).await;
    assert_eq!(session.status, 200, "{}", session.body);
    assert_eq!((&session.body["actor"], &session.body["tenant_id"]), (&json!("user:7f3c"), &json!("acme")));
    assert_eq!(session.body["roles"], json!(["operator"]));
    assert!(!session.body.to_string().contains("rika"), "{}", session.body);
    assert_eq!(
        (session.header("vary"), session.header("cache-control")),
        ("Authorization, Cookie, X-API-Key", "no-store")
    );

    let made = service.send("POST", "/api/v1/devices", &browser, &[OWN], device("d-1")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let history = service.get("/api/v1/devices/d-1/history", &browser).await;
    assert_eq!(history.body["items"][0]["actor"], "user:7f3c");
    assert!(!history.body.to_string().contains("rika"));
    let refused = service.send("POST", "/api/v1/api-keys", &browser, &[OWN], json!({"roles": ["viewer"]})).await;
    assert_eq!(told(&refused), (403, "forbidden"));
    assert_eq!(service.get("/api/v1/tenants/globex/devices/d-1/history", &browser).await.status, 404);

    let stolen = browser.clone();
    let out = service.send("POST", "/api/v1/auth/sign-out", &browser, &[OWN], Value::Null).await;
    assert_eq!(
        (out.status.as_u16(), &out.body["end_session_url"]),
        (200, &json!(format!("{ISSUER}/logout?client_id=waybill")))
    );
    browser.keeps(&out);
    assert!(browser.0.is_empty(), "{browser:?}");
    for path in ["/api/v1/auth/session", "/api/v1/devices/d-1/history"] {
        assert_eq!(service.get(path, &stolen).await.status, 401, "{path}");
    }
    assert_eq!(service.send("POST", "/api/v1/auth/sign-out", &stolen, &[OWN], Value::Null).await.status, 401);
}

#[tokio::test]
async fn a_browser_is_sent_nowhere_else() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    for path in ["//evil.example", "/%5Cevil.example", "https://evil.example", "/%09/evil.example", "evil"] {
        let answer = service.get(&format!("/api/v1/auth/sign-in?return_to={path}"), &Browser::default()).await;
        assert_eq!(told(&answer), (400, "bad_request"), "{path}");
    }
    let mut browser = Browser::default();
    let back = service.signs_in_by(&mut browser, "/api/v1/auth/sign-in").await;
    assert_eq!(back.header("location"), format!("{ORIGIN}/"));
}

#[tokio::test]
async fn an_answer_counts_only_in_its_browser_and_once() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    let mut browser = Browser::default();
    let asked = service.begins(&mut browser, CONSOLE).await;
    let (state, code) = (asked["state"].clone(), service.provider.lets_in(asked));
    let right = [("code", code.as_str()), ("state", state.as_str())];

    let mut other = Browser::default();
    assert_eq!(told(&service.comes_back(&mut other, &right).await), (400, "sign_in_failed"), "no cookie");
    service.begins(&mut other, CONSOLE).await;
    assert_eq!(
        told(&service.comes_back(&mut other, &right).await),
        (400, "sign_in_failed"),
        "another sign-in's cookie"
    );
    let wrong_state = [("code", code.as_str()), ("state", "x")];
    assert_eq!(told(&service.comes_back(&mut browser, &wrong_state).await), (400, "sign_in_failed"));
    assert_eq!(told(&service.comes_back(&mut browser, &[("code", &code)]).await), (400, "sign_in_failed"));
    let wrong_issuer = [right[0], right[1], ("iss", "https://evil.example")];
    assert_eq!(told(&service.comes_back(&mut browser, &wrong_issuer).await), (403, "issuer_differs"));

    let kept = browser.clone();
    assert_eq!(service.comes_back(&mut browser, &right).await.status, 303);
    let mut replayed = kept.clone();
    let again = service.comes_back(&mut replayed, &right).await;
    assert_eq!(told(&again), (400, "sign_in_failed"), "the same state again");
    assert!(again.headers.get(header::SET_COOKIE).is_none());

    let asked = service.begins(&mut other, CONSOLE).await;
    let used = [("code", code.as_str()), ("state", asked["state"].as_str())];
    assert_eq!(told(&service.comes_back(&mut other, &used).await), (400, "sign_in_failed"), "the same code again");
    let asked = service.begins(&mut other, CONSOLE).await;
    let denied = [("error", "access_denied"), ("state", asked["state"].as_str())];
    assert_eq!(told(&service.comes_back(&mut other, &denied).await), (403, "sign_in_refused"));
}

#[tokio::test]
async fn an_answer_must_name_its_issuer_where_the_provider_says_so() {
    let provider = Provider::default().with_groups(&["/ops"]);
    let provider = provider.describing(|said| said["authorization_response_iss_parameter_supported"] = true.into());
    let service = Service::start(provider).await;
    assert_eq!(told(&service.signs_in(&mut Browser::default()).await), (403, "issuer_differs"));
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_opens_nothing() {
    let past = |claims: &mut Value| claims["exp"] = (claims["iat"].as_i64().unwrap() - 60).into();
    type Change = Box<dyn Fn(&mut Value) + Send>;
    let cases: Vec<(&str, Change)> = vec![
        ("another nonce", Box::new(|claims| claims["nonce"] = "x".into())),
        ("no nonce", Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("nonce")))),
        ("another audience", Box::new(|claims| claims["aud"] = "other".into())),
        ("no audience", Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("aud")))),
        ("several audiences without azp", Box::new(|claims| claims["aud"] = json!([CLIENT, "other"]))),
        ("another party", Box::new(|claims| claims["azp"] = "other".into())),
        ("another issuer", Box::new(|claims| claims["iss"] = "https://id.example.com/realms/other".into())),
        ("no issuer", Box::new(|claims| drop(claims.as_object_mut().unwrap().remove("iss")))),
        ("expired", Box::new(past)),
        ("of the future", Box::new(|claims| claims["iat"] = (claims["iat"].as_i64().unwrap() + 60).into())),
        ("no sub", Box::new(|claims| claims["sub"] = "".into())),
        ("a sub with blanks", Box::new(|claims| claims["sub"] = "Erika Mustermann".into())),
    ];
    for (name, change) in cases {
        let service = Service::start(Provider::default().with_groups(&["/ops"]).claiming(change)).await;
        let mut browser = Browser::default();
        assert_eq!(told(&service.signs_in(&mut browser).await), (403, "id_token_invalid"), "{name}");
        assert!(!browser.0.contains_key(SESSION), "{name}");
    }
    for (name, secret) in [
        ("alg none", None),
        ("the client secret", Some(SECRET.to_owned())),
        ("the public key", Some(public_key_text())),
    ] {
        let service = Service::start(Provider::default().with_groups(&["/ops"]).forging(secret.as_deref())).await;
        assert_eq!(told(&service.signs_in(&mut Browser::default()).await), (403, "id_token_invalid"), "{name}");
    }
    let several = Provider::default().with_groups(&["/ops"]).claiming(|claims| {
        claims["aud"] = json!([CLIENT, "other"]);
        claims["azp"] = CLIENT.into();
    });
    assert_eq!(Service::start(several).await.signs_in(&mut Browser::default()).await.status, 303);
}

#[tokio::test]
async fn a_request_of_another_origin_changes_nothing() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    let mut browser = Browser::default();
    service.signs_in(&mut browser).await;
    let before = service.api.stored().await;
    let hostile: [&[(&str, &str)]; 7] = [
        &[],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("origin", "https://waybill.example.com.evil.example"), ("sec-fetch-site", "cross-site")],
    ];
    for headers in hostile {
        for (method, path, body) in [
            ("POST", "/api/v1/devices", device("d-1")),
            ("DELETE", "/api/v1/devices/d-1", Value::Null),
            ("POST", "/api/v1/auth/sign-out", Value::Null),
        ] {
            let answer = service.send(method, path, &browser, headers, body).await;
            assert_eq!(told(&answer), (403, "cross_origin"), "{method} {path} {headers:?}");
        }
    }
    assert_eq!(service.api.stored().await, before);
    for (id, headers) in [("d-1", [OWN]), ("d-2", [("origin", ORIGIN)])] {
        assert_eq!(
            service.send("POST", "/api/v1/devices", &browser, &headers, device(id)).await.status,
            201,
            "{headers:?}"
        );
    }
    assert_eq!(
        service
            .send("GET", "/api/v1/auth/session", &browser, &[("sec-fetch-site", "cross-site")], Value::Null)
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_header_counts_before_a_cookie() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    let mut browser = Browser::default();
    service.signs_in(&mut browser).await;
    let bearer = format!("Bearer {}", super::token("acme", crate::caller::Role::Viewer));
    let asks = async |headers: &[(&str, &str)]| {
        let answer = service.send("POST", "/api/v1/devices", &browser, headers, device("d-1")).await;
        (answer.status.as_u16(), answer.problem().to_owned())
    };
    assert_eq!(asks(&[OWN, ("authorization", &bearer)]).await, (403, "forbidden".to_owned()), "a viewer");
    assert_eq!(asks(&[OWN, ("authorization", "Bearer x")]).await.0, 401);
    assert_eq!(asks(&[OWN, ("x-api-key", "wbk_x")]).await.0, 401);
    let session =
        service.send("GET", "/api/v1/auth/session", &browser, &[("authorization", &bearer)], Value::Null).await;
    assert_eq!(session.status, 401);
}

#[tokio::test]
async fn nobody_goes_on_with_a_session_from_before_the_sign_in() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    let planted = trust::SessionToken::generate();
    let mut browser = Browser::default();
    browser.0.insert(SESSION.to_owned(), planted.as_ref().reveal().to_owned());
    let attacker = browser.clone();
    assert_eq!(service.signs_in(&mut browser).await.status, 303);
    assert_ne!(browser.0[SESSION], attacker.0[SESSION]);
    assert_eq!(service.get("/api/v1/auth/session", &attacker).await.status, 401);

    let first = browser.clone();
    assert_eq!(service.get("/api/v1/auth/session", &first).await.status, 200);
    assert_eq!(service.signs_in(&mut browser).await.status, 303);
    assert_eq!(service.get("/api/v1/auth/session", &first).await.status, 401, "the one before has ended");
    assert_eq!(service.get("/api/v1/auth/session", &browser).await.status, 200);
}
