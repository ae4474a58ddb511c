//! nats-server has no space left.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, Context, stream};
use reqwest::Method;
use serde_json::{Value, json};
use waybill::stack::NatsOptions;

use crate::world::{MODEL, World};

/// More than the streams of dead letters, of events of network servers, of sessions and of tickets reserve.
const MAX_FILE_BYTES: u64 = 428 * 1024 * 1024;
/// Sizes of the messages that fill it, down to less than any event.
const SIZES_BYTES: [usize; 5] = [900_000, 100_000, 10_000, 1_000, 10];
const IN_FLIGHT: usize = 32;
/// Time in which a refusal comes.
const AT_ONCE: Duration = Duration::from_secs(2);
const FILLER: &str = "FILLER";

/// Stores messages in another stream until there is no space.
async fn fill(log: &Context) {
    let config = stream::Config { name: FILLER.into(), subjects: vec!["filler".into()], ..stream::Config::default() };
    log.create_stream(config).await.unwrap();
    for bytes in SIZES_BYTES {
        let body = bytes::Bytes::from(vec![0; bytes]);
        loop {
            let sent = (0..IN_FLIGHT).map(|_| log.publish("filler", body.clone()));
            let acknowledgements = futures::future::try_join_all(sent).await.unwrap();
            let stored = futures::future::join_all(acknowledgements.into_iter().map(IntoFuture::into_future)).await;
            if stored.iter().any(Result::is_err) {
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_event_log_is_reported_at_once_and_used_again_when_space_is_freed() {
    let nats = NatsOptions { waybill_max_file_bytes: Some(MAX_FILE_BYTES), ..NatsOptions::default() };
    let world = World::start_on(nats, &[]).await;
    let api = world.operator().await;
    let client = waybill::nats::connect(&world.stack.nats.admin_url(), "filler").await.unwrap();
    let log = jetstream::new(client);
    fill(&log).await;

    let register = async |id: &str| {
        api.send(Method::POST, "/devices", Some(&json!({"device_id": id, "device_model": MODEL}))).await.unwrap()
    };
    let asked = Instant::now();
    let refused = register("late").await;
    assert!(asked.elapsed() < AT_ONCE, "{:?}", asked.elapsed());
    assert_eq!(refused.status, 503, "{}", refused.body);
    let text = refused.body.to_string();
    assert!(text.contains("event log") && text.contains("no space left"), "{text}");

    let ready = reqwest::get(format!("{}/health/ready", world.base())).await.unwrap();
    assert_eq!(ready.status(), 503);
    let text = ready.text().await.unwrap();
    assert!(text.contains("event log (no space left)"), "{text}");
    let detailed = api.http().get(format!("{}/health/detailed", world.base())).bearer_auth(api.token());
    let detailed: Value = detailed.send().await.unwrap().json().await.unwrap();
    let log_component = detailed["components"].as_array().unwrap().iter().find(|part| part["name"] == "event log");
    let component = log_component.unwrap();
    assert_eq!((&detailed["status"], &component["up"]), (&json!("degraded"), &json!(false)), "{detailed}");
    assert!(component["error"].to_string().contains("no space left"), "{detailed}");

    let holds = |name: &str| {
        let streams = detailed["streams"].as_array().unwrap();
        streams.iter().any(|stream| stream["name"] == name && stream["messages"].as_u64() > Some(0))
    };
    assert!(holds("EVENTS") && !holds(FILLER) && detailed["parked"] == json!([]), "{detailed}");

    log.delete_stream(FILLER).await.unwrap();
    world.until("commands are accepted again", async || register("late").await.status == 201).await;
    world.until("and it is ready", async || world.http_get("/health/ready").await == Some(200)).await;
}
