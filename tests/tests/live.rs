//! Live messages: server-sent events, WebSocket, tickets, and who may have them how long.

mod crowd;
mod listener;
mod socket;

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use waybill::api_client::ApiClient;

use self::listener::{Listener, SlowListener};
use self::socket::Socket;
use crate::world::{MASTER_KEY, MODEL, TENANT, World};

/// From the reply to a command to the message about it.
const TOLD_WITHIN: Duration = Duration::from_millis(500);
/// From the end of a right to the end of its streams.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
/// Shared by both processes.
const SECRETS: [&str; 8] = [
    "--jwt-secret",
    "0123456789abcdef0123456789abcdef",
    "--download-secret",
    "1123456789abcdef0123456789abcdef",
    "--credential-secret",
    "2123456789abcdef0123456789abcdef",
    "--master-key",
    MASTER_KEY,
];
/// Most different filters of the open streams of one campaign.
const FILTERS_MAX: usize = 64;
/// Devices that change together.
const MANY: usize = 60;

fn sequence(position: &Value) -> u64 {
    position.as_str().unwrap().rsplit('-').next().unwrap().parse().unwrap()
}

async fn hold(api: &ApiClient, device: &str) -> Value {
    api.post(&format!("/devices/{device}/hold"), &json!({"reason": "x"})).await.unwrap()["position"].clone()
}

async fn release(api: &ApiClient, device: &str) -> Value {
    api.post(&format!("/devices/{device}/release"), &json!({})).await.unwrap()["position"].clone()
}

/// What a message says of a subject: events, types, position.
fn told(message: &Value, kind: &str, id: &str) -> Option<(u64, Vec<String>, Value)> {
    let changes = message["changes"].as_array()?;
    let one = changes.iter().find(|one| one["subject"] == json!({"kind": kind, "id": id}))?;
    let types = one["types"].as_array()?.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    Some((one["count"].as_u64()?, types, one["position"].clone()))
}

async fn status(base: &str, path: &str, token: &str, header: Option<&str>) -> u16 {
    let mut request = reqwest::Client::new().get(format!("{base}/api/v1{path}")).bearer_auth(token);
    if let Some(last) = header {
        request = request.header("Last-Event-ID", last);
    }
    request.send().await.unwrap().status().as_u16()
}

async fn ticket(api: &ApiClient) -> String {
    let issued = api.post("/auth/stream-ticket", &Value::Null).await.unwrap();
    issued["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_tell_what_changed_and_end_with_the_right_to_them() {
    let mut world = World::start_with(&SECRETS).await;
    let admin = world.operator().await;
    let base = world.base();
    for id in ["d-1", "d-2", "d-3"] {
        admin
            .post("/devices", &json!({"device_id": id, "device_model": MODEL, "firmware_version": "1.0.0"}))
            .await
            .unwrap();
    }
    admin.post("/groups", &json!({"group_id": "hall", "name": "Hall"})).await.unwrap();
    admin.post("/groups/hall/members", &json!({"device_ids": ["d-1"]})).await.unwrap();
    let firmware = world.firmware(&admin, "2.0.0").await;
    let campaign = world.campaign(&admin, &firmware, json!({})).await;
    world.campaign_is(&admin, &campaign, &["running"]).await;
    world.settles().await;

    tells_what_changed(&admin, &campaign).await;
    resumes_without_a_gap(&admin, &campaign).await;
    refuses_what_it_should(&world, &admin, &campaign).await;
    different_filters_are_limited(&admin, &campaign).await;
    a_ticket_counts_once(&world, &admin, &campaign).await;
    rights_that_end_end_streams(&world, &admin, &campaign).await;
    // Clients that left are forgotten.
    world
        .until("no stream is open", async || {
            let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
            metrics.lines().any(|line| line == "waybill_live_streams{transport=\"events\"} 0")
                && metrics.lines().any(|line| line == "waybill_live_streams{transport=\"websocket\"} 0")
        })
        .await;

    let mut events = Listener::open(&admin, "").await;
    let mut socket = Socket::open(&base, &format!("?ticket={}", ticket(&admin).await)).await;
    assert_eq!(
        (events.next().await["type"].clone(), socket.next().await["type"].clone()),
        (json!("hello"), json!("hello"))
    );
    let stopped = world.stop_waybill().await;
    assert!(stopped < Duration::from_secs(9), "{stopped:?}");
    let end = events.until("end").await;
    assert_eq!(end["reason"], "stopping");
    assert!(events.last_retry_ms().is_some_and(|ms| ms <= 2_000), "clients come back soon, and not all at once");
    assert_eq!((socket.until("end").await["reason"].clone(), socket.close_code().await), (json!("stopping"), 1_012));
}

async fn tells_what_changed(admin: &ApiClient, campaign: &str) {
    let mut all = Listener::open(admin, "").await;
    let mut of_device = Listener::open(admin, "?device_id=d-1").await;
    let mut of_campaign = Listener::open(admin, &format!("?campaign_id={campaign}")).await;
    let mut of_releases = Listener::open(admin, "?types=device.released,campaign.resumed").await;
    for stream in [&mut all, &mut of_device, &mut of_campaign, &mut of_releases] {
        let hello = stream.next().await;
        assert_eq!((&hello["type"], &hello["heartbeat_s"]), (&json!("hello"), &json!(15)));
    }
    let held = hold(admin, "d-1").await;
    let at = Instant::now();
    for stream in [&mut all, &mut of_device] {
        let message = stream.until("changes").await;
        assert!(at.elapsed() < TOLD_WITHIN, "{:?}", at.elapsed());
        assert_eq!(
            told(&message, "device", "d-1").unwrap(),
            (1, vec!["device.held".to_owned()], held.clone()),
            "{message}"
        );
        assert!(sequence(&message["position"]) >= sequence(&held));
    }
    // The page reads what it shows again, and gets what it was told of.
    let read = admin.get(&format!("/devices/d-1?min_position={}", held.as_str().unwrap())).await.unwrap();
    assert_eq!(read["held"], true, "{read}");
    hold(admin, "d-2").await;
    release(admin, "d-1").await;
    // A command without an effect is no event: d-2 stays held.
    let message = of_releases.until("changes").await;
    assert_eq!(message["changes"].as_array().unwrap().len(), 1, "{message}");
    assert_eq!(told(&message, "device", "d-1").unwrap().1, ["device.released"]);
    let message = of_device.until("changes").await;
    assert_eq!((message["changes"].as_array().unwrap().len(), told(&message, "device", "d-1").unwrap().0), (1, 1));

    let pause = format!("/campaigns/{campaign}/pause");
    let paused = admin.post(&pause, &json!({"reason": "x"})).await.unwrap()["position"].clone();
    let message = of_campaign.until("changes").await;
    let (_, types, position) = told(&message, "campaign", campaign).unwrap();
    assert!(types.contains(&"campaign.paused".to_owned()) && sequence(&position) >= sequence(&paused), "{message}");
    admin.post(&format!("/campaigns/{campaign}/resume"), &json!({})).await.unwrap();
}

async fn resumes_without_a_gap(admin: &ApiClient, campaign: &str) {
    let mut before = Listener::open(admin, "").await;
    let last = before.next().await["position"].as_str().unwrap().to_owned();
    drop(before);
    for device in ["d-2", "d-3"] {
        hold(admin, device).await;
        release(admin, device).await;
        hold(admin, device).await;
    }
    let end = release(admin, "d-2").await;
    for by_header in [true, false] {
        let mut again = if by_header {
            Listener::open_after(admin, "", &last).await
        } else {
            Listener::open(admin, &format!("?last_event_id={last}")).await
        };
        again.until("hello").await;
        assert_eq!(again.last_id(), None, "a client that leaves now must not lose what comes");
        let missed = again.until("changes").await;
        let counts = ["d-2", "d-3"].map(|device| told(&missed, "device", device).map(|(count, ..)| count));
        assert_eq!(counts, [Some(3), Some(3)], "{missed}");
        let id = again.last_id().unwrap().to_owned();
        assert!(sequence(&json!(id)) >= sequence(&end) && id == missed["position"].as_str().unwrap());
        // Nothing is told twice to who has it.
        let mut up_to_date = Listener::open_after(admin, "?device_id=d-3", &id).await;
        assert_eq!(up_to_date.next().await["type"], "hello");
        assert!(up_to_date.is_silent(Duration::from_millis(300)).await);
    }
    // What can't be resumed: the client reads everything again, and the stream goes on.
    let (created, _) = last.split_once('-').unwrap();
    for (position, reason) in [(format!("{created}-99999999"), "future"), ("1700000000000-1".to_owned(), "other_log")] {
        let mut stream =
            Listener::open_after(admin, &format!("?device_id=d-1&campaign_id={campaign}"), &position).await;
        let resync = stream.until("resync").await;
        assert_eq!(resync["reason"], reason);
        assert_eq!(stream.last_id().unwrap(), resync["position"].as_str().unwrap());
    }
    let mut stream = Listener::open_after(admin, "?device_id=d-3", "1700000000000-1").await;
    stream.until("resync").await;
    release(admin, "d-3").await;
    assert!(told(&stream.until("changes").await, "device", "d-3").is_some());
}

async fn refuses_what_it_should(world: &World, admin: &ApiClient, campaign: &str) {
    let (base, token) = (world.base(), admin.token());
    let rival = world.operator_of("rival", &["admin"]).await;
    let of_campaign = format!("/events/stream?campaign_id={campaign}");
    for (path, token, header, expected) in [
        (of_campaign.as_str(), rival.token(), None, 404),
        ("/events/stream?device_id=d-1", rival.token(), None, 404),
        ("/tenants/default/events/stream", rival.token(), None, 404),
        ("/events/stream?device_id=nobody", token, None, 404),
        ("/events/stream?device_id=a%20b", token, None, 404),
        ("/events/stream?campaign_id=x", token, None, 400),
        ("/events/stream?types=device.nothing", token, None, 400),
        ("/events/stream?last_event_id=x", token, None, 400),
        ("/events/stream", token, Some("abc"), 400),
        ("/events/stream?ticket=wbt_x", token, None, 400),
        ("/events/stream", "none", None, 401),
        ("/events/ws", token, None, 426),
        ("/events/ws", "none", None, 401),
    ] {
        assert_eq!(status(&base, path, token, header).await, expected, "{path} {header:?}");
    }
    // A stream of another tenant hears nothing of this one.
    let mut foreign = Listener::open(&rival, "").await;
    foreign.until("hello").await;
    hold(admin, "d-1").await;
    release(admin, "d-1").await;
    assert!(foreign.is_silent(Duration::from_millis(600)).await);
}

/// Streams with the same filter count once, and one that closes makes room.
async fn different_filters_are_limited(admin: &ApiClient, campaign: &str) {
    const TYPES: [&str; 7] = [
        "campaign.paused",
        "campaign.resumed",
        "update.accepted",
        "update.confirmed",
        "update.dispatched",
        "update.failed",
        "update.queued",
    ];
    let filter = |n: usize| {
        let types: Vec<&str> =
            TYPES.iter().enumerate().filter(|(bit, _)| n >> bit & 1 == 1).map(|(_, name)| *name).collect();
        format!("?campaign_id={campaign}&types={}", types.join(","))
    };
    let mut open = Vec::new();
    for n in 1..=FILTERS_MAX {
        open.push(Listener::open(admin, &filter(n)).await);
    }
    Listener::open(admin, &filter(1)).await.until("hello").await;
    let surplus = format!("/events/stream{}", filter(FILTERS_MAX + 1));
    let url = format!("{}/api/v1{surplus}", admin.base());
    let refused = admin.http().get(url).bearer_auth(admin.token()).send().await.unwrap();
    assert_eq!(refused.status().as_u16(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    assert!(refused.text().await.unwrap().contains("too_many_streams"));
    open.clear();
    let deadline = Instant::now() + ENDED_WITHIN;
    while status(admin.base(), &surplus, admin.token(), None).await != 200 {
        assert!(Instant::now() < deadline, "closed streams still count");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_ticket_counts_once(world: &World, admin: &ApiClient, campaign: &str) {
    let (_other, other) = world.another_api(&SECRETS).await;
    let open = async |base: &str, ticket: &str| {
        let url = format!("{base}/api/v1/events/stream?device_id=d-1&ticket={ticket}");
        let reply = reqwest::get(url).await.unwrap();
        reply.status().as_u16()
    };
    let shown = ticket(admin).await;
    assert_eq!(open(&other, &shown).await, 200, "any process takes it");
    assert_eq!((open(&world.base(), &shown).await, open(&other, &shown).await), (401, 401), "and it is used up");
    // Two processes at the same time.
    for _ in 0..5 {
        let (shown, base) = (ticket(admin).await, world.base());
        let mut both = tokio::join!(open(&base, &shown), open(&other, &shown));
        if both.0 > both.1 {
            std::mem::swap(&mut both.0, &mut both.1);
        }
        assert_eq!(both, (200, 401));
    }
    assert_eq!(open(&other, &format!("wbt_{}", "A".repeat(43))).await, 401);

    // The WebSocket says the same.
    let mut socket =
        Socket::open(&world.base(), &format!("?campaign_id={campaign}&ticket={}", ticket(admin).await)).await;
    let hello = socket.next().await;
    assert_eq!(hello["type"], "hello");
    admin.post(&format!("/campaigns/{campaign}/pause"), &json!({"reason": "x"})).await.unwrap();
    let message = socket.until("changes").await;
    assert!(told(&message, "campaign", campaign).is_some(), "{message}");
    admin.post(&format!("/campaigns/{campaign}/resume"), &json!({})).await.unwrap();
    let since = hello["position"].as_str().unwrap();
    let query = format!("?campaign_id={campaign}&last_event_id={since}&ticket={}", ticket(admin).await);
    let mut again = Socket::open(&world.base(), &query).await;
    let missed = again.until("changes").await;
    assert!(told(&missed, "campaign", campaign).unwrap().1.contains(&"campaign.paused".to_owned()), "{missed}");
}

async fn rights_that_end_end_streams(world: &World, admin: &ApiClient, campaign: &str) {
    let base = world.base();
    let issued = admin.post("/api-keys", &json!({"roles": ["viewer"], "label": "live"})).await.unwrap();
    let (key, id) = (issued["token"].as_str().unwrap(), issued["key_id"].as_str().unwrap());
    let mut by_key = Listener::open_with(&base, key, "?device_id=d-1", None).await;
    by_key.until("hello").await;
    let shown = reqwest::Client::new().post(format!("{base}/api/v1/auth/stream-ticket")).bearer_auth(key).send().await;
    let shown: Value = shown.unwrap().json().await.unwrap();
    let mut by_ticket = Socket::open(&base, &format!("?ticket={}", shown["ticket"].as_str().unwrap())).await;
    by_ticket.until("hello").await;
    admin
        .send(Method::DELETE, &format!("/api-keys/{id}"), Some(&json!({"reason": "x"})))
        .await
        .unwrap()
        .success()
        .unwrap();
    let at = Instant::now();
    assert_eq!(by_key.until("end").await["reason"], "unauthorized");
    assert!(by_key.is_closed().await && at.elapsed() < ENDED_WITHIN, "{:?}", at.elapsed());
    by_ticket.until("end").await;
    assert_eq!(by_ticket.close_code().await, 1_008);
    assert!(at.elapsed() < ENDED_WITHIN, "{:?}", at.elapsed());

    // Lea may see the devices of a group, and nothing else.
    let lea = ApiClient::sign_in_as(&base, TENANT, "lea", "person", &[]).await.unwrap();
    let grants = json!({"grants": [{"role": "viewer", "groups": ["hall"]}], "reason": "x"});
    admin.send(Method::PUT, "/members/user:lea", Some(&grants)).await.unwrap().success().unwrap();
    for (query, expected) in [
        (String::new(), 403),
        ("?device_id=d-2".to_owned(), 404),
        (format!("?campaign_id={campaign}"), 404),
        (format!("?device_id=d-1&campaign_id={campaign}"), 404),
    ] {
        assert_eq!(status(&base, &format!("/events/stream{query}"), lea.token(), None).await, expected, "{query}");
    }
    let mut own = Listener::open(&lea, "?device_id=d-1").await;
    own.until("hello").await;
    hold(admin, "d-2").await;
    release(admin, "d-2").await;
    hold(admin, "d-1").await;
    let message = own.until("changes").await;
    assert_eq!(message["changes"].as_array().unwrap().len(), 1, "{message}");
    release(admin, "d-1").await;
    // The device leaves the group.
    let members = json!({"device_ids": ["d-1"]});
    admin.send(Method::DELETE, "/groups/hall/members", Some(&members)).await.unwrap().success().unwrap();
    let at = Instant::now();
    assert_eq!(own.until("end").await["reason"], "not_found");
    assert!(at.elapsed() < ENDED_WITHIN, "{:?}", at.elapsed());

    // The whole tenant.
    let platform = world.operator_of(TENANT, &["platform_admin"]).await;
    let rival = world.operator_of("rival", &["viewer"]).await;
    let mut of_rival = Listener::open(&rival, "").await;
    of_rival.until("hello").await;
    platform.post("/tenants/rival/suspend", &json!({"reason": "x"})).await.unwrap();
    let at = Instant::now();
    assert_eq!(of_rival.until("end").await["reason"], "tenant_suspended");
    assert!(at.elapsed() < ENDED_WITHIN, "{:?}", at.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_told_to_read_again_and_slows_nobody() {
    let world = World::start().await;
    let admin = world.operator().await;
    let devices: Vec<_> = (0..MANY)
        .map(|n| json!({"device_id": format!("device-with-a-long-name-{n:03}"), "device_model": MODEL, "firmware_version": "1.0.0"}))
        .collect();
    let reply = admin.post("/devices/bulk", &Value::Array(devices.clone())).await.unwrap();
    assert_eq!(reply["failed"], 0, "{reply}");
    world.settles().await;
    let slow = SlowListener::open(&admin, "").await;
    let mut fast = Listener::open(&admin, "").await;
    fast.until("hello").await;
    let ids: Vec<_> = devices.iter().map(|device| device["device_id"].clone()).collect();
    let resyncs = async || {
        let metrics = reqwest::get(format!("{}/metrics", world.base())).await.unwrap().text().await.unwrap();
        metrics.contains("waybill_live_messages_total{kind=\"changes\"}")
            && metrics.contains("waybill_live_clients_left_behind_total 1")
    };
    let (mut took, deadline, mut is_held) = (Vec::new(), Instant::now() + Duration::from_secs(40), false);
    while !resyncs().await {
        assert!(Instant::now() < deadline, "nobody was left behind");
        let path = if is_held { "/devices/bulk/release" } else { "/devices/bulk/hold" };
        is_held = !is_held;
        let reply = admin.post(path, &json!({"device_ids": ids, "reason": "x"})).await.unwrap();
        let stored = Instant::now();
        assert_eq!(reply["failed"], 0, "{reply}");
        // The last command of the request may be told by the next message.
        let message = fast.until("changes").await;
        assert!(!message["changes"].as_array().unwrap().is_empty());
        took.push(stored.elapsed());
    }
    // A machine with other work may stop everything now and then; a client that waits for the slow one waits each time.
    took.sort_unstable();
    let (most, longest) = (took[(took.len() - 1) * 9 / 10], took[took.len() - 1]);
    assert!(most < TOLD_WITHIN, "nine of ten within {most:?}, all within {longest:?}");
    let read = slow.read_to_the_end().await;
    let last = read.rsplit("event: ").next().unwrap();
    assert!(
        last.starts_with("resync\ndata: {\"type\":\"resync\"") && last.contains("\"reason\":\"too_slow\""),
        "{last}"
    );
    assert!(hold(&admin, "device-with-a-long-name-000").await.is_string());
    fast.until("changes").await;
}
