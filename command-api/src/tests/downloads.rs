use axum::body::Body;
use axum::http::{Method, Request};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{DeviceId, TenantId};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use runtime::clock;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Answer, Api};

impl Api {
    async fn link(&self, firmware: &str) -> String {
        let answer = self.get(&format!("/firmware/{firmware}/download")).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let url = answer.body["download_url"].as_str().unwrap();
        url.strip_prefix("http://localhost:8240").unwrap().to_owned()
    }

    async fn fetch(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).unwrap()).await
    }

    /// Started, completed and bytes of the only firmware since the last call.
    fn counted(&self) -> (u64, u64, u64) {
        let counted = self.app.downloads.take();
        assert!(counted.len() <= 1, "{counted:?}");
        counted.first().map_or((0, 0, 0), |row| (row.downloads.started, row.downloads.completed, row.downloads.bytes))
    }
}

async fn uploaded() -> (Api, String, String) {
    let api = Api::new();
    let bytes: Vec<u8> = (0..=255).collect();
    let answer = api.upload(&bytes, json!({})).await;
    let id = answer.body["firmware_id"].as_str().unwrap().to_owned();
    let link = api.link(&id).await;
    (api, id, link)
}

#[tokio::test]
async fn a_link_gives_the_bytes_without_credentials() {
    let (api, _, link) = uploaded().await;
    let whole = api.fetch(Method::GET, &link, &[("Accept-Encoding", "gzip")]).await;
    assert_eq!((whole.status.as_u16(), whole.bytes.len()), (200, 256));
    assert_eq!(whole.header("content-length"), "256");
    assert_eq!(whole.header("content-encoding"), "");
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let head = api.fetch(Method::HEAD, &link, &[("Range", "bytes=0-1")]).await;
    assert_eq!((head.status.as_u16(), head.bytes.len()), (200, 0));
    assert_eq!((head.header("content-length"), head.header("etag")), ("256", whole.header("etag")));
    // Clients of hawkBit show their token here, too. It neither helps nor hurts.
    for shown in ["TargetToken wbd_x", "GatewayToken wbr_x", "Bearer x"] {
        let also = api.fetch(Method::GET, &link, &[("Authorization", shown)]).await;
        assert_eq!((also.status.as_u16(), also.bytes.len()), (200, 256), "{shown}");
    }
    let known = api.fetch(Method::GET, &link, &[("If-None-Match", whole.header("etag"))]).await;
    assert_eq!(known.status, 304);
}

#[tokio::test]
async fn a_link_is_good_for_as_long_as_was_asked_for() {
    let (api, id, _) = uploaded().await;
    for (query, seconds) in [("", 3_600), ("?expires_in=60", 60), ("?expires_in=86400", 86_400)] {
        let asked_at = clock::now();
        let answer = api.get(&format!("/firmware/{id}/download{query}")).await;
        let expires_at: DateTime<Utc> = answer.body["expires_at"].as_str().unwrap().parse().unwrap();
        let left = (expires_at - asked_at).num_seconds();
        assert!((seconds - 2..=seconds + 2).contains(&left), "{query}: {left}");
    }
    for query in ["?expires_in=59", "?expires_in=86401", "?expires_in=x", "?expires=60"] {
        assert_eq!(api.get(&format!("/firmware/{id}/download{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn bytes_that_were_changed_in_the_store_are_refused() {
    let (api, id, link) = uploaded().await;
    assert_eq!(api.fetch(Method::GET, &link, &[]).await.status, 200);
    let sha256 = api.fetch(Method::HEAD, &link, &[]).await.header("etag").trim_matches('"').to_owned();
    let path = Path::from(format!("acme/{id}/{sha256}"));
    let right: Vec<u8> = (0..=255).collect();
    let mut wrong = right.clone();
    wrong[255] = 0;
    api.objects.put(&path, wrong.into()).await.unwrap();
    for headers in [&[][..], &[("Range", "bytes=0-1")], &[("Range", "bytes=0-1,5-6")]] {
        let refused = api.fetch(Method::GET, &link, headers).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (503, "firmware_bytes_differ"), "{headers:?}");
    }
    api.objects.put(&path, right.clone().into()).await.unwrap();
    assert_eq!(api.fetch(Method::GET, &link, &[]).await.bytes, right);
}

#[tokio::test]
async fn ranges_give_what_was_asked_for() {
    let (api, _, link) = uploaded().await;
    let part = api.fetch(Method::GET, &link, &[("Range", "bytes=250-")]).await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &[250, 251, 252, 253, 254, 255][..]));
    assert_eq!(part.header("content-range"), "bytes 250-255/256");
    assert_eq!(part.header("content-length"), "6");
    let behind = api.fetch(Method::GET, &link, &[("Range", "bytes=256-")]).await;
    assert_eq!((behind.status.as_u16(), behind.header("content-range")), (416, "bytes */256"));
    assert_eq!(
        (behind.header("content-type"), behind.problem()),
        ("application/problem+json", "range_not_satisfiable")
    );

    let several = api.fetch(Method::GET, &link, &[("Range", "bytes=0-1,-2")]).await;
    assert_eq!(several.status, 206);
    assert_eq!(several.header("content-length"), several.bytes.len().to_string());
    let boundary = several.header("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let text = String::from_utf8_lossy(&several.bytes).into_owned();
    assert_eq!(text.matches(&format!("--{boundary}\r\n")).count(), 2);
    assert!(text.contains("bytes 0-1/256") && text.contains("bytes 254-255/256"));
    assert!(text.ends_with(&format!("--{boundary}--\r\n")));
}

#[tokio::test]
async fn a_resumed_download_starts_anew_when_the_bytes_differ() {
    let (api, _, link) = uploaded().await;
    let etag = api.fetch(Method::HEAD, &link, &[]).await.header("etag").to_owned();
    let same = api.fetch(Method::GET, &link, &[("Range", "bytes=0-0"), ("If-Range", &etag)]).await;
    assert_eq!(same.status, 206);
    let other = api.fetch(Method::GET, &link, &[("Range", "bytes=0-0"), ("If-Range", "\"x\"")]).await;
    assert_eq!((other.status.as_u16(), other.bytes.len()), (200, 256));
}

#[tokio::test]
async fn bad_links_and_withdrawn_firmware_give_nothing() {
    let (api, id, link) = uploaded().await;
    assert_eq!(api.fetch(Method::GET, &format!("{link}x"), &[]).await.status, 403);
    assert_eq!(api.fetch(Method::GET, "/d/nonsense", &[]).await.status, 403);
    let withdrawn = api.post(&format!("/firmware/{id}/withdraw"), json!({"reason": "bricks"})).await;
    assert_eq!((withdrawn.status.as_u16(), &withdrawn.body["status"]), (200, &json!("withdrawn")));
    let gone = api.fetch(Method::GET, &link, &[]).await;
    assert_eq!((gone.status.as_u16(), gone.problem()), (410, "firmware_gone"));
    assert_eq!(api.get(&format!("/firmware/{id}/download")).await.status, 409);
}

#[tokio::test]
async fn a_devices_link_is_good_until_its_update_has_ended() {
    let (api, id, _) = uploaded().await;
    api.device("d-1").await;
    let (tenant, device) = (TenantId::new("acme").unwrap(), DeviceId::new("d-1").unwrap());
    let end = clock::now() + TimeDelta::hours(1);
    let link = |ordinal: u32, attempt: u16| {
        let url = api.app.links.link(&tenant, &id.parse().unwrap(), Some((&device, ordinal, attempt)), end);
        url.strip_prefix("http://localhost:8240").unwrap().to_owned()
    };
    let range = [("Range", "bytes=100-199")];
    for (ordinal, end_of_it) in [(1, "/updates/d-1~1/cancel"), (2, "/devices/d-1")] {
        assert_eq!(api.post("/devices/d-1/update", json!({"firmware_id": id})).await.status, 201);
        for attempt in [1, 2] {
            assert_eq!(api.fetch(Method::GET, &link(ordinal, attempt), &[]).await.status, 200, "{ordinal} {attempt}");
            assert_eq!(api.fetch(Method::GET, &link(ordinal, attempt), &range).await.status, 206);
        }
        let method = if ordinal == 1 { Method::POST } else { Method::DELETE };
        assert_eq!(api.call(method, end_of_it, &[], Value::Null).await.status, 200);
        for headers in [&[][..], &range] {
            let gone = api.fetch(Method::GET, &link(ordinal, 1), headers).await;
            assert_eq!((gone.status.as_u16(), gone.problem()), (410, "update_ended"), "{ordinal}");
        }
        assert_eq!(api.fetch(Method::HEAD, &link(ordinal, 1), &[]).await.status, 410);
    }
    assert_eq!(api.fetch(Method::GET, &link(3, 1), &[]).await.status, 410, "there is no such update");
}

#[tokio::test]
async fn deleted_bytes_may_return_and_others_never() {
    let (api, id, link) = uploaded().await;
    let forced = json!({"force": true, "reason": "nobody goes back"});
    assert_eq!(api.call(Method::DELETE, &format!("/firmware/{id}"), &[], forced).await.status, 200);
    assert_eq!(api.fetch(Method::GET, &link, &[]).await.status, 410);
    assert_eq!(api.upload(b"others", json!({})).await.status, 409);
    let bytes: Vec<u8> = (0..=255).collect();
    let back = api.upload(&bytes, json!({})).await;
    assert_eq!((back.status.as_u16(), &back.body["status"]), (201, &json!("active")));
    assert_eq!(api.fetch(Method::GET, &link, &[]).await.status, 200);
}

#[tokio::test]
async fn downloads_are_counted_by_what_was_sent() {
    let (api, id, link) = uploaded().await;
    api.fetch(Method::HEAD, &link, &[]).await;
    let etag = api.fetch(Method::HEAD, &link, &[("Range", "bytes=0-1")]).await.header("etag").to_owned();
    api.fetch(Method::GET, &link, &[("If-None-Match", &etag)]).await;
    api.fetch(Method::GET, &link, &[("Range", "bytes=256-")]).await;
    api.fetch(Method::GET, &format!("{link}x"), &[]).await;
    assert_eq!(api.counted(), (0, 0, 0), "none of these sends bytes");

    api.fetch(Method::GET, &link, &[]).await;
    assert_eq!(api.counted(), (1, 1, 256), "a whole file");
    api.fetch(Method::GET, &link, &[("Range", "bytes=0-127")]).await;
    assert_eq!(api.counted(), (1, 0, 128), "the first half");
    api.fetch(Method::GET, &link, &[("Range", "bytes=100-199")]).await;
    assert_eq!(api.counted(), (0, 0, 100), "a part in the middle");
    api.fetch(Method::GET, &link, &[("Range", "bytes=128-")]).await;
    assert_eq!(api.counted(), (0, 1, 128), "the second half");
    let several = api.fetch(Method::GET, &link, &[("Range", "bytes=0-1,-2")]).await;
    assert_eq!(api.counted(), (1, 1, several.bytes.len() as u64), "several parts");

    api.fetch(Method::GET, &link, &[]).await;
    let counted = api.app.downloads.take();
    assert_eq!((counted[0].tenant.as_str(), counted[0].firmware.to_string()), ("acme", id));
    assert_eq!(counted[0].campaign, None);
}

#[tokio::test]
async fn a_download_that_breaks_off_is_not_completed() {
    let (api, _, link) = uploaded().await;
    let request = Request::get(&link).body(Body::empty()).unwrap();
    let response = api.router.clone().oneshot(request).await.unwrap();
    drop(response);
    assert_eq!(api.counted(), (1, 0, 0));
}
