//! Rate limits, transfers, and the headers of every answer.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::Request;
use domain::ActorKind;
use futures::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Answer, Api, token};
use crate::caller::Role;
use crate::client_address::ConnectedFrom;
use crate::{ForwardedHeader, RateLimits, TransferLimits, TrustedProxies};

/// Requests that may come at once with one per second.
const BURST: usize = 10;
/// More requests than that, also with those that come free meanwhile.
const MANY: usize = 5 * BURST;

fn limited(tenant: u32, credential: u32, address: u32) -> Api {
    Api::with_config(|config| config.rate_limits = RateLimits { tenant, credential, address })
}

impl Api {
    /// A request from an address, without a credential unless a header has one.
    async fn from(&self, address: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        let address: SocketAddr = format!("{address}:4711").parse().unwrap();
        let mut request = Request::get(path).extension(ConnectedFrom(address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }
}

/// The answers to many requests: how many were not refused, and one that was.
async fn many(request: impl AsyncFn() -> Answer) -> (usize, Option<Answer>) {
    let (mut answered, mut refused) = (0, None);
    for _ in 0..MANY {
        let answer = request().await;
        if answer.status == 429 { refused = Some(answer) } else { answered += 1 }
    }
    (answered, refused)
}

#[tokio::test]
async fn a_credential_that_sends_too_much_is_told_when_to_go_on() {
    let api = limited(0, 1, 0);
    let first = api.get("/registration-tokens/x").await;
    assert_eq!(first.header("ratelimit-policy"), "\"credential\";q=10;w=10");
    assert_eq!(first.header("ratelimit"), "\"credential\";r=9;t=1", "{}", first.status);
    let (answered, refused) = many(async || api.get("/registration-tokens/x").await).await;
    let refused = refused.expect("a refusal");
    assert!((BURST - 1..MANY / 2).contains(&answered), "{answered}");
    assert_eq!((refused.problem(), refused.header("retry-after")), ("rate_limited", "1"));
    assert_eq!(refused.header("ratelimit"), "\"credential\";r=0;t=1");
    assert_eq!(refused.body["instance"], "/api/v1/registration-tokens/x");
    let colleague = api.acting(ActorKind::Person, "7", Role::Admin);
    assert_eq!(colleague.get("/registration-tokens/x").await.header("ratelimit"), "\"credential\";r=9;t=1");
    assert_ne!(api.from("192.0.2.1", "/health", &[]).await.status, 429);
}

#[tokio::test]
async fn a_tenant_that_sends_too_much_leaves_others_alone() {
    let api = limited(1, 0, 0);
    let (answered, refused) = many(async || api.get("/registration-tokens/x").await).await;
    assert!((BURST..MANY / 2).contains(&answered), "{answered}");
    assert_eq!(refused.expect("a refusal").header("ratelimit-policy"), "\"tenant\";q=10;w=10");
    let other = api.bearing(token("globex", Role::Admin));
    assert_ne!(other.get("/registration-tokens/x").await.status, 429);
    assert_eq!(api.stored().await, 0);
}

#[tokio::test]
async fn who_has_no_valid_credential_is_limited_by_address() {
    let api = limited(0, 0, 1);
    let wrong = [("authorization", "Bearer x.y.z")];
    for (path, headers, status) in [
        ("/api/v1/devices", &[][..], 401),
        ("/api/v1/devices", &wrong, 401),
        ("/api/v1/service/stats", &[], 200),
        ("/nothing", &[], 404),
        ("/d/x", &[], 403),
    ] {
        let api = limited(0, 0, 1);
        let first = api.from("192.0.2.1", path, headers).await;
        assert_eq!((first.status.as_u16(), first.header("ratelimit")), (status, "\"address\";r=9;t=1"), "{path}");
        let (answered, refused) = many(async || api.from("192.0.2.1", path, headers).await).await;
        assert!((BURST - 1..MANY / 2).contains(&answered), "{path} {answered}");
        assert_eq!(refused.expect("a refusal").problem(), "rate_limited", "{path}");
        assert_eq!(api.from("192.0.2.2", path, headers).await.status, status, "{path}");
    }
    let (_, refused) = many(async || api.from("192.0.2.1", "/api/v1/devices", &wrong).await).await;
    assert!(refused.is_some());
    let bearer = format!("Bearer {}", token("acme", Role::Admin));
    let valid = [("authorization", bearer.as_str())];
    let answer = api.from("192.0.2.1", "/api/v1/registration-tokens/x", &valid).await;
    assert_ne!(answer.status, 429, "others at its address don't shut out a valid credential");
    let (answered, refused) = many(async || api.from("192.0.2.1", "/metrics", &[]).await).await;
    assert!(answered == MANY && refused.is_none(), "monitoring isn't limited");
}

#[tokio::test]
async fn a_spoofed_header_is_no_new_address_and_a_proxy_names_its_clients() {
    let forwarded = |n: usize| format!("203.0.113.{n}");
    let ask = async |api: &Api, n: usize| {
        api.from("10.0.0.1", "/api/v1/devices", &[("x-forwarded-for", &forwarded(n))]).await.status
    };
    let (direct, mut refused) = (limited(0, 0, 1), 0);
    for n in 0..MANY {
        refused += usize::from(ask(&direct, n).await == 429);
    }
    assert!(refused > MANY / 2, "{refused}");
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let proxied = Api::with_config(|config| {
        config.rate_limits = RateLimits { tenant: 0, credential: 0, address: 1 };
        config.trusted_proxies = TrustedProxies { networks, header: ForwardedHeader::XForwardedFor };
    });
    for n in 0..MANY {
        assert_eq!(ask(&proxied, n).await, 401);
    }
}

#[tokio::test]
async fn a_download_keeps_its_place_until_it_ends() {
    let limits = TransferLimits { tenant_downloads: 1, tenant_uploads: 1, ..TransferLimits::default() };
    let api = Api::with_config(|config| config.transfer_limits = limits);
    let firmware = api.firmware("2.0.0").await;
    let link = api.get(&format!("/firmware/{firmware}/download")).await.body["download_url"].clone();
    let path = link.as_str().unwrap().strip_prefix("http://localhost:8240").unwrap().to_owned();
    let get = async || api.router.clone().oneshot(Request::get(&path).body(Body::empty()).unwrap()).await.unwrap();
    let mut open = get().await.into_body().into_data_stream();
    assert!(open.next().await.is_some());
    let refused = api.from("192.0.2.1", &path, &[]).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "5"), "{}", refused.body);
    drop(open);
    assert_eq!(api.from("192.0.2.1", &path, &[]).await.bytes, b"2.0.0");
    assert_eq!(api.from("192.0.2.1", &path, &[("range", "bytes=0-0,2-2")]).await.status, 206);
    assert_eq!(api.firmware("2.0.1").await.len(), firmware.len(), "an upload ends with its request");
}

#[tokio::test]
async fn every_answer_says_what_browsers_and_caches_must_not_do() {
    let api = Api::new();
    let firmware = api.firmware("2.0.0").await;
    let link = api.get(&format!("/firmware/{firmware}/download")).await.body["download_url"].clone();
    let path = link.as_str().unwrap().strip_prefix("http://localhost:8240").unwrap().to_owned();
    let bytes = api.from("192.0.2.1", &path, &[]).await;
    let same = api.from("192.0.2.1", &path, &[("if-none-match", bytes.header("etag"))]).await;
    assert_eq!(same.status, 304);
    for download in [&bytes, &same] {
        assert_eq!(download.header("cache-control"), "private, no-transform");
    }
    let created = api.post("/devices", json!({"device_id": "d-1"})).await;
    assert_eq!((created.status.as_u16(), created.header("etag")), (201, "\"1\""));
    let unknown = api.from("192.0.2.1", "/nothing", &[]).await;
    let unauthorized = api.from("192.0.2.1", "/api/v1/devices", &[]).await;
    let health = api.from("192.0.2.1", "/health", &[]).await;
    for answer in [&created, &unknown, &unauthorized, &health] {
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    for answer in [&bytes, &created, &unknown, &unauthorized, &health] {
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!(answer.header("strict-transport-security"), "", "only with https");
    }
    let private = Api::with_config(|config| config.public_base_url = "https://waybill.example.com".to_owned());
    let health = private.from("192.0.2.1", "/health", &[]).await;
    assert_eq!(health.header("strict-transport-security"), "max-age=63072000");
}

#[tokio::test]
async fn the_page_of_the_description_has_all_that_it_loads() {
    let api = Api::new();
    let page = api.from("192.0.2.1", "/api/docs/", &[]).await;
    let text = String::from_utf8(page.bytes.clone()).unwrap();
    assert_eq!((page.status.as_u16(), page.header("cache-control")), (200, "no-cache"));
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.contains("script-src 'self'") && policy.contains("connect-src 'self'"), "{policy}");
    assert!(!text.contains("<script>") && !text.contains("onload="), "the policy allows no script within the page");
    let quoted = text.split(['"', '\'']).skip(1).step_by(2);
    let files: Vec<&str> = quoted.filter(|part| part.ends_with(".js") || part.ends_with(".css")).collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        assert!(!file.contains("//"), "{file} is of another origin");
        let found = api.from("192.0.2.1", &format!("/api/docs/{}", file.trim_start_matches("./")), &[]).await;
        assert_eq!(found.status, 200, "{file}");
    }
    let described = api.from("192.0.2.1", "/openapi.json", &[]).await;
    assert_eq!((described.status.as_u16(), described.body["openapi"] != Value::Null), (200, true));
}
