//! Logs of updates: each piece once, the latest ones.

use chrono::TimeDelta;
use event_store::telemetry::TelemetryKind;
use projections::update_logs::{self, LogPieceRow, PIECES_MAX};
use runtime::clock;
use serde_json::json;

use crate::telemetry::Hearing;
use crate::until::PATIENCE;

fn piece(ordinal: u32, text: &str) -> String {
    json!({"ordinal": ordinal, "text": text}).to_string()
}

async fn log(hearing: &Hearing, ordinal: u32) -> Vec<LogPieceRow> {
    let mut tx = hearing.world.db.read(&hearing.world.tenant).await.unwrap();
    let since = clock::now() - TimeDelta::days(30);
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = update_logs::list(&mut tx, "d-1", ordinal, since, after, 50, false).await.unwrap();
        found.extend(page.items);
        let Some(next) = page.next else { return found };
        after = Some(next[0].parse().unwrap());
    }
}

async fn texts(hearing: &Hearing, ordinal: u32) -> Vec<String> {
    log(hearing, ordinal).await.into_iter().map(|row| row.text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_has_each_piece_once_and_the_latest_ones() {
    let hearing = Hearing::start().await;
    let stored = async |text: &str, number: u64| {
        hearing.hears_as("d-1", TelemetryKind::Log, &piece(1, text), (7, number)).await;
    };
    stored("a\n", 10).await;
    stored("b\0\n", 11).await;
    stored("a\n", 10).await;
    // QoS 0: the broker has no number.
    for _ in 0..2 {
        hearing.hears("d-1", TelemetryKind::Log, &piece(1, "c\n")).await;
    }
    hearing.hears("d-1", TelemetryKind::Log, &piece(2, "of another update")).await;
    hearing.hears("d-1", TelemetryKind::Log, r#"{"ordinal":-1}"#).await;
    assert_eq!(texts(&hearing, 1).await, ["a\n", "b\u{fffd}\n", "c\n", "c\n"]);
    assert_eq!(texts(&hearing, 2).await, ["of another update"]);
    for number in 0..PIECES_MAX as u64 {
        stored(&number.to_string(), 20 + number).await;
    }
    let kept = texts(&hearing, 1).await;
    assert_eq!((kept.len() as i64, kept.first().map(String::as_str)), (PIECES_MAX, Some("0")));
    assert_eq!(texts(&hearing, 2).await.len(), 1);
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn pieces_that_are_too_old_are_not_shown() {
    let hearing = Hearing::start().await;
    let admin = hearing.world.admin().await;
    for number in 0..5 {
        hearing.hears("d-1", TelemetryKind::Log, &piece(1, &number.to_string())).await;
    }
    let age = "UPDATE update_logs SET received_at = now() - interval '30 days' WHERE text IN ('0', '1')";
    sqlx::query(age).execute(&admin).await.unwrap();
    assert_eq!(texts(&hearing, 1).await, ["2", "3", "4"]);
    assert!(hearing.tasks.shutdown(PATIENCE).await);
}
