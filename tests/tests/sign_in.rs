//! People sign in at a real OpenID provider, and work with two processes of the API.

mod browser;

use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use waybill::stack::{Process, Spawner, free_port};

use crate::directory::Directory;
use crate::world::{MASTER_KEY, MODEL, PATIENCE, POLL, World};
use browser::Browser;

const SECRETS: [&str; 8] = [
    "--jwt-secret",
    "a secret for tokens that is long enough",
    "--download-secret",
    "a secret for links that is long enough",
    "--credential-secret",
    "a secret for hashes that is long enough",
    "--master-key",
    MASTER_KEY,
];
/// Where the session is, over HTTP.
const COOKIE: &str = "waybill_session";
/// Within this time every process knows what another one has ended.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);
const ROLES: &str = "ops=default/operator;leads=default/approver;elsewhere=globex/viewer";

/// The provider, as a child process.
struct Provider {
    _process: Process,
    issuer: String,
    secret_file: String,
    _directory: Directory,
}

impl Provider {
    /// `claims_in`: `userinfo` if the provider gives the claims of scopes only there.
    async fn start(redirect_uri: &str, claims_in: &str) -> Self {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("oidc-provider");
        assert!(
            home.join("node_modules/oidc-provider").exists(),
            "the provider isn't there: run scripts/setup-clients"
        );
        let (directory, port) = (Directory::new(), free_port().unwrap());
        let program = home.join("provider.mjs").display().to_string();
        let args = [program, port.to_string(), redirect_uri.to_owned(), claims_in.to_owned()];
        let log = directory.path().join("provider.log");
        let process = Process::run("provider", &Spawner::start(), Path::new("node"), &args, &log).unwrap();
        let issuer = format!("http://127.0.0.1:{port}");
        let deadline = Instant::now() + PATIENCE;
        while reqwest::get(format!("{issuer}/.well-known/openid-configuration")).await.is_err() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            assert!(Instant::now() < deadline, "the provider doesn't start: {said}");
            tokio::time::sleep(POLL).await;
        }
        let secret_file = directory.path().join("client-secret");
        std::fs::write(&secret_file, "a secret of the client: 1%\n").unwrap();
        Self { _process: process, issuer, secret_file: secret_file.display().to_string(), _directory: directory }
    }

    fn flags<'a>(&'a self, public_url: &'a str) -> Vec<&'a str> {
        let of_oidc = [
            "--oidc-issuer",
            &self.issuer,
            "--oidc-client-id",
            "waybill",
            "--oidc-client-secret-file",
            &self.secret_file,
            "--public-url",
            public_url,
            "--oidc-scopes",
            "openid groups profile email",
            "--oidc-roles",
            ROLES,
        ];
        [&SECRETS[..], &of_oidc].concat()
    }
}

/// What a process says about the session of a browser.
async fn session(browser: &mut Browser, base: &str) -> (StatusCode, Value) {
    let page = browser.asks(Method::GET, &format!("{base}/api/v1/auth/session"), &Value::Null).await;
    (page.status, page.json())
}

async fn until_status(browser: &mut Browser, base: &str, wanted: StatusCode) -> Duration {
    let began = Instant::now();
    loop {
        let (seen, body) = session(browser, base).await;
        if seen == wanted {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "no {wanted} within {PATIENCE:?}; last {seen} {body}");
        tokio::time::sleep(POLL / 10).await;
    }
}

async fn signing_in() -> (World, Provider) {
    let mut world = World::start_with(&SECRETS).await;
    let base = world.base();
    let provider = Provider::start(&format!("{base}/api/v1/auth/callback"), "").await;
    world.stop_waybill().await;
    world.restart_with(&provider.flags(&base)).await;
    (world, provider)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_at_a_provider_and_works_with_every_process_until_they_sign_out() {
    let (world, provider) = signing_in().await;
    let (base, mut browser) = (world.base(), Browser::new());
    let flags = provider.flags(&base);
    let (_other, other) = world.another_api(&flags).await;
    let sign_in = format!("{base}/api/v1/auth/sign-in?return_to=/api/v1/auth/session");

    let back = browser.signs_in(&sign_in, "7f3c-ops").await;
    assert_eq!((back.status, back.url.path()), (StatusCode::OK, "/api/v1/auth/session"), "{}", back.text);
    let told = back.json();
    assert_eq!(
        (&told["actor"], &told["tenant_id"], &told["roles"]),
        (&json!("user:7f3c-ops"), &json!("default"), &json!(["operator"]))
    );
    assert_eq!(session(&mut browser, &other).await.0, StatusCode::OK, "known elsewhere at once");

    let device = json!({"device_id": "d-1", "device_model": MODEL});
    let made = browser.asks(Method::POST, &format!("{base}/api/v1/devices"), &device).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
    let forged = browser
        .asks(Method::POST, &format!("{other}/api/v1/devices"), &json!({"device_id": "d-2", "device_model": MODEL}))
        .await;
    assert_eq!(
        (forged.status, &forged.json()["type"]),
        (StatusCode::FORBIDDEN, &json!("/problems/cross_origin")),
        "another origin"
    );
    let history = browser.asks(Method::GET, &format!("{other}/api/v1/devices/d-1/history"), &Value::Null).await;
    assert_eq!(history.json()["items"][0]["actor"], "user:7f3c-ops", "{}", history.text);
    let keys = browser.asks(Method::POST, &format!("{base}/api/v1/api-keys"), &json!({"roles": ["viewer"]})).await;
    assert_eq!(keys.status, StatusCode::FORBIDDEN, "an operator issues no keys");

    let token = browser.cookie(COOKIE).unwrap().to_owned();
    let mut stolen = browser.clone();
    let out = browser.asks(Method::POST, &format!("{base}/api/v1/auth/sign-out"), &Value::Null).await;
    assert_eq!(out.status, StatusCode::OK, "{}", out.text);
    assert!(out.json()["end_session_url"].as_str().unwrap().starts_with(&provider.issuer));
    assert_eq!(browser.cookie(COOKIE), None);
    assert_eq!(session(&mut stolen, &base).await.0, StatusCode::UNAUTHORIZED);
    let took = until_status(&mut stolen, &other, StatusCode::UNAUTHORIZED).await;
    println!("refused by the other process after {took:?}");
    assert!(took < KNOWN_WITHIN, "{took:?}");

    let again = browser.signs_in(&sign_in, "7f3c-ops").await;
    assert_eq!(again.status, StatusCode::OK, "the provider remembers the browser: {}", again.text);
    assert_ne!(browser.cookie(COOKIE).unwrap(), token);
    let log = world.log_text();
    for private in ["Mustermann", "erika@example.com", &token, "a secret of the client"] {
        assert!(!log.contains(private), "the log has {private}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_without_a_role_are_refused_and_no_session_begins() {
    let (world, _provider) = signing_in().await;
    let sign_in = format!("{}/api/v1/auth/sign-in", world.base());
    for (account, problem) in [("8a1d", "no_role"), ("8a1e-Ops", "no_role"), ("8a1f-elsewhere", "tenant_unknown")] {
        let mut browser = Browser::new();
        let page = browser.signs_in(&sign_in, account).await;
        let told = (page.status, page.json()["type"].clone());
        assert_eq!(told, (StatusCode::FORBIDDEN, json!(format!("/problems/{problem}"))), "{account}: {}", page.text);
        assert_eq!(browser.cookie(COOKIE), None);
    }
    let mut browser = Browser::new();
    let page = browser.opens(&format!("{}/api/v1/auth/callback?code=x&state=y", world.base())).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.text);
    groups_come_from_userinfo(world).await;
}

/// The provider has groups only in userinfo. The process asks for them, or doesn't.
async fn groups_come_from_userinfo(mut world: World) {
    let base = world.base();
    let provider = Provider::start(&format!("{base}/api/v1/auth/callback"), "userinfo").await;
    let flags = provider.flags(&base);
    let sign_in = format!("{base}/api/v1/auth/sign-in?return_to=/api/v1/auth/session");
    for (more, status) in [(&[][..], StatusCode::FORBIDDEN), (&["--oidc-userinfo"], StatusCode::OK)] {
        world.stop_waybill().await;
        world.restart_with(&[&flags[..], more].concat()).await;
        let page = Browser::new().signs_in(&sign_in, "7f3c-ops").await;
        assert_eq!(page.status, status, "{more:?}: {}", page.text);
        if status == StatusCode::OK {
            assert_eq!(page.json()["roles"], json!(["operator"]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_lost_nats_neither_lets_in_nor_forgets_a_session() {
    let (mut world, _provider) = signing_in().await;
    let (base, mut browser) = (world.base(), Browser::new());
    browser.signs_in(&format!("{base}/api/v1/auth/sign-in?return_to=/api/v1/auth/session"), "7f3c-ops").await;
    assert_eq!(session(&mut browser, &base).await.0, StatusCode::OK);
    world.stack.nats.kill9();
    let took = until_status(&mut browser, &base, StatusCode::SERVICE_UNAVAILABLE).await;
    println!("503 after {took:?}");
    world.stack.nats.restart().await.unwrap();
    until_status(&mut browser, &base, StatusCode::OK).await;

    // A new process follows the sessions from their beginning.
    world.kill_waybill();
    world.start_waybill().await;
    assert_eq!(session(&mut browser, &base).await.0, StatusCode::OK);
}
