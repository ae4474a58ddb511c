//! The same contract on three servers with three replicas, and with the death of the leader.

use super::cases::{self, until_caught_up};
use super::crash::Writing;
use super::servers::ThreeServers;
use super::tally::{add, insist, key, request, store};

/// One cluster for all cases: starting one takes seconds, and each case has a tenant of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_holds_on_a_cluster() {
    let servers = ThreeServers::start().await;
    let log = servers.log().await;
    macro_rules! each {
        ($($case:ident),+ $(,)?) => {
            $( eprintln!("case {}", stringify!($case)); cases::$case(log.clone()).await; )+
        };
    }
    super::with_cases!(each);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_the_leader_loses_and_repeats_no_record() {
    let mut servers = ThreeServers::start().await;
    let log = servers.log().await;
    let mut stream = log.subscribe(1);
    let writing = Writing::start(&log);
    for _ in 0..2 {
        writing.progresses().await;
        let killed = servers.cluster.kill_leader("EVENTS").await.unwrap();
        // Accepted by another leader, with two servers.
        writing.progresses().await;
        servers.cluster.restart(killed).await.unwrap();
        writing.progresses().await;
    }
    writing.stop_and_compare(&log).await;

    let last = insist(&store(&log), &key("cluster", "last"), request(add(1))).await;
    let (records, _) = until_caught_up(&mut stream, last).await;
    assert!(records.iter().map(|record| record.position).eq(1..=last), "the subscription missed or repeated records");
}
