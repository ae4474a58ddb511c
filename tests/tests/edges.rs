//! Limits and trusted proxies of a real process, by its settings.

use reqwest::Client;

use crate::world::World;

/// More requests than one per second allows at once, also with those that come free meanwhile.
const MANY: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_behind_a_trusted_proxy_is_limited_by_its_own_address() {
    let flags = ["--address-requests-per-second", "1", "--trusted-proxies", "127.0.0.0/8,::1"];
    let world = World::start_with(&flags).await;
    let (http, url) = (Client::new(), format!("{}/api/v1/devices", world.base()));
    let ask = async |client: &str| {
        let reply = http.get(&url).header("x-forwarded-for", format!("9.9.9.9, {client}")).send().await.unwrap();
        (reply.status().as_u16(), reply.headers().get("retry-after").is_some())
    };
    let mut refused = 0;
    for _ in 0..MANY {
        match ask("203.0.113.9").await {
            (429, has_retry_after) => {
                assert!(has_retry_after);
                refused += 1;
            }
            (status, _) => assert_eq!(status, 401),
        }
    }
    assert!(refused > MANY / 2, "{refused}");
    assert_eq!(ask("203.0.113.10").await.0, 401, "another client has its own limit");
    let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
    let counted = format!("waybill_http_requests_throttled_total{{by=\"address\"}} {refused}");
    assert!(metrics.contains(&counted), "{counted}");
    let log = world.log_text();
    assert!(log.contains("client.address=203.0.113.9") && !log.contains("9.9.9.9,"), "the log shows the client");
}
