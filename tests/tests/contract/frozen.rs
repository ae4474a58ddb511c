//! A frozen server of a cluster: its connections stay open, its kernel continues to acknowledge, and no answers come.

use std::time::{Duration, Instant};

use event_store::ExecuteError;
use event_store::connection::{CONNECT_TIMEOUT, PING_INTERVAL, REQUEST_TIMEOUT};

use super::crash::Writing;
use super::servers::ThreeServers;
use super::tally::{add, insist, key, request, store};

/// Time in which a client leaves a frozen server: it has just been heard, three pings, one attempt to reconnect to it, the request that was
/// sent to it last, and a margin for a machine that has other work. The library's own times are minutes.
const LEFT_WITHIN: Duration = PING_INTERVAL
    .saturating_mul(4)
    .saturating_add(CONNECT_TIMEOUT)
    .saturating_add(REQUEST_TIMEOUT)
    .saturating_add(Duration::from_secs(5));
/// How long commands are sent: longer than nats-server may take to elect a leader, 9 s.
const SENT_FOR: Duration = Duration::from_secs(10);

/// Index of the leader, which the client is not connected to.
async fn cluster_where_the_client_is_not_at_the_leader() -> (ThreeServers, async_nats::Client, usize) {
    let servers = ThreeServers::start().await;
    let client = servers.client().await;
    servers.log_over(client.clone()).await;
    let leader = servers.cluster.leader("EVENTS").await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while servers.server_of(&client) == leader {
        assert!(Instant::now() < deadline, "the client doesn't connect to another server");
        client.force_reconnect().await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    (servers, client, leader)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_leaves_a_frozen_server_within_seconds() {
    let (servers, client, _) = cluster_where_the_client_is_not_at_the_leader().await;
    let log = servers.log_over(client.clone()).await;
    let writing = Writing::start(&log);
    writing.progresses().await;

    let frozen = servers.server_of(&client);
    servers.cluster.servers[frozen].freeze();
    let began = Instant::now();
    insist(&store(&log), &key("frozen", "one"), request(add(1))).await;
    let took = began.elapsed();
    eprintln!("a write after {took:.1?}");
    assert!(took < LEFT_WITHIN, "{took:?}");
    assert_ne!(servers.server_of(&client), frozen);
    writing.progresses().await;
    servers.cluster.servers[frozen].thaw();
    writing.progresses().await;
    writing.stop_and_compare(&log).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_wait_for_a_new_leader_when_the_old_one_freezes() {
    let (servers, client, leader) = cluster_where_the_client_is_not_at_the_leader().await;
    let log = servers.log_over(client).await;
    let writing = Writing::start(&log);
    writing.progresses().await;

    servers.cluster.servers[leader].freeze();
    let (began, store) = (Instant::now(), store(&log));
    let (mut refused, mut longest, mut count) = (0, Duration::ZERO, 0_u32);
    while count == 0 || began.elapsed() < SENT_FOR {
        let sent = Instant::now();
        match store.execute(&key("frozen", &format!("t-{count}")), request(add(1))).await {
            Ok(_) => count += 1,
            Err(ExecuteError::Store(error)) if error.is_unavailable() => {
                eprintln!("{:.1?}: {error}", began.elapsed());
                refused += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
        longest = longest.max(sent.elapsed());
    }
    eprintln!("{count} stored, {refused} refused, the longest took {longest:.1?}");
    assert_eq!(refused, 0, "commands were refused");
    servers.cluster.servers[leader].thaw();
    writing.progresses().await;
    writing.stop_and_compare(&log).await;
}
