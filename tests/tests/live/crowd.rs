//! A thousand clients of one campaign.

use std::time::{Duration, Instant};

use futures::future::join_all;
use runtime::lifecycle::Tasks;
use serde_json::json;
use tokio::sync::mpsc;

use super::listener::Listener;
use super::{TOLD_WITHIN, sequence};
use crate::world::{MODEL, World};

const CLIENTS: usize = 1_000;
/// Clients that connect at the same time.
const AT_ONCE: usize = 50;
/// Changes that each of them hears of.
const ROUNDS: usize = 10;
/// Pause between two of them: each is the first one after a quiet time, or has to wait for its turn.
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_of_a_campaign_hear_of_each_change_in_time() {
    let world = World::start().await;
    let admin = world.operator().await;
    admin
        .post("/devices", &json!({"device_id": "d-1", "device_model": MODEL, "firmware_version": "1.0.0"}))
        .await
        .unwrap();
    let firmware = world.firmware(&admin, "2.0.0").await;
    let campaign = world.campaign(&admin, &firmware, json!({})).await;
    world.campaign_is(&admin, &campaign, &["running"]).await;
    let (heard, mut times) = mpsc::unbounded_channel();
    let (query, tasks) = (format!("?campaign_id={campaign}"), Tasks::new());
    for _ in 0..CLIENTS / AT_ONCE {
        let opened = join_all((0..AT_ONCE).map(|_| Listener::open(&admin, &query))).await;
        for mut client in opened {
            client.until("hello").await;
            let heard = heard.clone();
            tasks.spawn("client", async move {
                while let Some(message) = client.read().await {
                    if message["type"] != "changes" {
                        continue;
                    }
                    let position = sequence(&message["changes"][0]["position"]);
                    if heard.send((position, Instant::now())).is_err() {
                        return;
                    }
                }
            });
        }
    }
    let mut took = Vec::with_capacity(CLIENTS * ROUNDS);
    for round in 0..ROUNDS {
        let (verb, body) = if round % 2 == 0 { ("pause", json!({"reason": "x"})) } else { ("resume", json!({})) };
        // A time before the event is stored, so the measured times are too long rather than too short.
        let asked = Instant::now();
        let reply = admin.post(&format!("/campaigns/{campaign}/{verb}"), &body).await.unwrap();
        let wanted = sequence(&reply["position"]);
        let mut clients = 0;
        while clients < CLIENTS {
            let (position, at) = times.recv().await.unwrap();
            if position >= wanted {
                took.push(at - asked);
                clients += 1;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    took.sort_unstable();
    let at = |per_cent: usize| took[(took.len() - 1) * per_cent / 100];
    println!("{CLIENTS} clients: p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
    assert!(at(99) < TOLD_WITHIN, "p50 {:?}, p99 {:?}, longest {:?}", at(50), at(99), at(100));
}
