//! Streams of live messages with a session's cookie.

use futures::StreamExt;
use tokio::time::timeout;
use tower::ServiceExt;

use super::*;
use crate::tests::PATIENCE;

#[tokio::test]
async fn a_stream_with_a_cookie_ends_with_the_session() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    let mut browser = Browser::default();
    service.signs_in(&mut browser).await;
    let request = Request::get("/api/v1/events/stream").header(header::COOKIE, browser.header());
    let response = service.api.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    assert_eq!(
        (&response.headers()["cache-control"], &response.headers()["x-accel-buffering"]),
        (&"no-store".parse().unwrap(), &"no".parse().unwrap())
    );
    let mut events = response.into_body().into_data_stream();
    let mut next = async || String::from_utf8(timeout(PATIENCE, events.next()).await.unwrap()?.unwrap().to_vec()).ok();
    assert!(next().await.unwrap().contains("event: hello"));
    let made = service.send("POST", "/api/v1/devices", &browser, &[OWN], device("d-1")).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let told = next().await.unwrap();
    assert!(told.contains(r#""subject":{"kind":"device","id":"d-1"},"types":["device.registered"]"#), "{told}");
    service.send("POST", "/api/v1/auth/sign-out", &browser, &[OWN], Value::Null).await;
    let end = next().await.unwrap();
    assert!(end.contains("event: end") && end.contains(r#""reason":"unauthorized""#), "{end}");
    assert_eq!(next().await, None);
}

#[tokio::test]
async fn a_websocket_with_a_cookie_is_opened_by_a_page_of_this_origin_alone() {
    let service = Service::start(Provider::default().with_groups(&["/ops"])).await;
    let mut browser = Browser::default();
    service.signs_in(&mut browser).await;
    let handshake = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (origin, expected) in [
        (None, (403, "cross_origin")),
        (Some(("origin", "https://evil.example")), (403, "cross_origin")),
        // The handshake is complete, and there is no connection that could change its protocol.
        (Some(("origin", ORIGIN)), (426, "upgrade_required")),
        (Some(OWN), (426, "upgrade_required")),
    ] {
        let headers: Vec<_> = handshake.into_iter().chain(origin).collect();
        let answer = service.send("GET", "/api/v1/events/ws", &browser, &headers, Value::Null).await;
        assert_eq!(told(&answer), expected, "{origin:?}");
    }
}
