//! Webhooks of network servers, in development.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use event_store::network::RawEvent;

use super::*;

const UPLINK: &str =
    r#"{"devEUI":"0102030405060708","objectJSON":"{\"temp\": 22.5, \"battery\": 85}","rxInfo":[{"rssi":-95}]}"#;
const WITH_ID: &str =
    r#"{"deduplicationId":"a","deviceInfo":{"devEui":"0102030405060708"},"fCnt":1,"fPort":2,"data":""}"#;

async fn post(api: &Api, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(format!("/api/v1/lorawan/webhooks/{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_body_is_kept_as_it_came_and_answered_with_200() {
    let api = Api::new();
    let json = [("content-type", "application/json")];
    let binary = [("content-type", "application/octet-stream")];
    assert_eq!(post(&api, "acme/uplink", &json, UPLINK).await.status, 200);
    assert_eq!(post(&api, "acme?source=lns&event=up", &json, WITH_ID).await.status, 200);
    assert_eq!(post(&api, "acme?event=teleported", &binary, vec![8, 1]).await.status, 200, "ChirpStack sends it once");
    assert_eq!(post(&api, "acme", &[], "").await.status, 200);
    let kept = api.network.kept();
    let hints = |event: &RawEvent| (event.route.clone(), event.event.clone(), event.id.is_some());
    assert_eq!(hints(&kept[0]), (Some("uplink".to_owned()), None, false));
    assert_eq!((kept[0].body.as_ref(), kept[0].tenant.as_str()), (UPLINK.as_bytes(), "acme"));
    assert_eq!(hints(&kept[1]), (None, Some("up".to_owned()), true));
    assert_eq!((hints(&kept[2]).1.as_deref(), kept.len()), (Some("teleported"), 4));
}

#[tokio::test]
async fn a_copy_of_an_event_is_kept_once() {
    let api = Api::new();
    for path in ["acme?event=up", "acme/uplink", "rival?event=up", "acme?event=up"] {
        assert_eq!(post(&api, path, &[], WITH_ID).await.status, 200);
    }
    assert_eq!(api.network.kept().iter().map(|event| event.tenant.to_string()).collect::<Vec<_>>(), ["acme", "rival"]);
}

#[tokio::test]
async fn an_unknown_tenant_is_404_and_a_full_queue_503() {
    let api = Api::new();
    for tenant in ["nowhere", "Acme", "a.b"] {
        assert_eq!(post(&api, &format!("{tenant}/uplink"), &[], UPLINK).await.status, 404, "{tenant}");
    }
    assert!(api.network.kept().is_empty());
    for _ in 0..NETWORK_EVENTS_MAX {
        assert_eq!(post(&api, "acme/uplink", &[], UPLINK).await.status, 200);
    }
    let full = post(&api, "acme/uplink", &[], UPLINK).await;
    assert_eq!((full.status, full.problem()), (StatusCode::SERVICE_UNAVAILABLE, "network_queue_full"));
    assert!(full.headers.contains_key("retry-after"));
    let large = vec![b' '; chirpstack::events::EVENT_MAX_BYTES + 1];
    assert_eq!(post(&api, "acme/uplink", &[], large).await.status, 413);
}

#[tokio::test]
async fn outside_development_a_webhook_without_a_secret_is_refused() {
    let api = Api::with_config(|config| config.development = false);
    for headers in [&[][..], &[("x-waybill-webhook-secret", "x")], &[("x-waybill-signature", "t=1,v1=00")]] {
        assert_eq!(post(&api, "acme/uplink", headers, UPLINK).await.status, 401, "{headers:?}");
    }
    assert!(api.network.kept().is_empty());
}

#[tokio::test]
async fn two_kinds_of_an_event_are_refused() {
    let api = Api::new();
    assert_eq!(post(&api, "acme?event=up&source=lns&event=join", &[], WITH_ID).await.status, 400);
    assert_eq!(post(&api, "acme?event=up&source=lns&event=up", &[], WITH_ID).await.status, 200);
    assert_eq!(api.network.kept()[0].event.as_deref(), Some("up"));
}

/// Secrets can't be read here.
#[tokio::test]
async fn the_secret_is_read_only_for_a_webhook_that_shows_something() {
    let api = Api::with_config(|config| config.development = false);
    let tenant = TenantId::new("acme").unwrap();
    let connection = json!({
        "url": "http://lns:8080", "chirpstack_tenant_id": "t-1", "api_key": "secret:chirpstack-api-key-1",
        "webhook_secret": "secret:chirpstack-webhook-1",
    });
    let command = TenantCommand::ConnectChirpStack { connection: serde_json::from_value(connection).unwrap() };
    let request = event_store::Request::new(CommandId(clock::new_id()), Actor::new("user:1").unwrap(), command);
    api.store.execute(&Key::<Tenant>::new(&tenant, &tenant), request).await.unwrap();
    for header in ["x-waybill-webhook-secret", "x-waybill-signature"] {
        let answered = async || post(&api, "acme/uplink", &[(header, "x")], UPLINK).await.problem().to_owned();
        until("the secret is asked for", answered, |problem| problem == "webhook_secret_unavailable").await;
    }
    assert_eq!(post(&api, "acme/uplink", &[], UPLINK).await.status, 401);
}
