//! The projector over TELEMETRY: the same design over another source. Rows stay when TELEMETRY has deleted their messages. Watermarks are
//! stored with the checkpoint, in one transaction with the messages before them.

use std::sync::Arc;
use std::time::Duration;

use event_store::telemetry::{TelemetryEntry, TelemetryLog, TelemetryMessage, WatermarkRecord};
use event_store::{Delivery, LogInfo, StoreError, Subscription};
use futures::StreamExt;
use futures::future::BoxFuture;
use sqlx::{Acquire as _, PgConnection};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::ownership::Ownership;
use super::{Checkpoint, RETRY_PAUSE, RETRY_PAUSE_MAX, RunEnd};
use crate::db::{Db, DbError, settle};
use crate::status_board::ProjectionState;
use crate::status_board::StatusBoard;
use crate::{presence, update_logs, watermark};

/// Version of the form of the rows from TELEMETRY.
pub(crate) const PRESENCE_VERSION: i32 = 1;
const ENTRIES_MAX: usize = 2_000;
/// A batch also ends when its messages have this many bytes.
const BATCH_MAX_BYTES: usize = 2 * 1_024 * 1_024;
/// How long a batch waits for more messages after its first. Those that are there already are taken in any case.
const LINGER: Duration = Duration::from_millis(20);
/// Without messages the checkpoint's row is written this often, which also checks that this owner still has it.
const TOUCH_INTERVAL: Duration = Duration::from_secs(2);

/// Runs the projector until the token is cancelled.
pub(crate) async fn run(db: Db, telemetry: Arc<dyn TelemetryLog>, board: StatusBoard, stop: CancellationToken) {
    let mut ownership = Ownership::none(crate::PRESENCE);
    run_until(&stop, &db, &*telemetry, &board, &mut ownership).await;
    ownership.release().await;
}

async fn run_until(
    stop: &CancellationToken,
    db: &Db,
    telemetry: &dyn TelemetryLog,
    board: &StatusBoard,
    ownership: &mut Ownership,
) {
    let mut pause = RETRY_PAUSE;
    while !stop.is_cancelled() {
        let run = follow(db, telemetry, board, ownership, stop);
        let end = db.line().carry(run).await;
        if stop.is_cancelled() {
            return;
        }
        if let Err(RunEnd::Again(error)) = &end {
            board.set_state(crate::PRESENCE, ProjectionState::Unavailable, Some(error.to_string()));
        }
        if let Err(RunEnd::Outdated { found }) = &end {
            let error = format!("the rows have version {found}, this program writes version {PRESENCE_VERSION}");
            board.set_state(crate::PRESENCE, ProjectionState::Unavailable, Some(error));
        }
        if let Err(RunEnd::Halted(reason)) = &end {
            tracing::error!(projection = crate::PRESENCE, reason, "A projection is halted.");
            Checkpoint::note_trouble(db, crate::PRESENCE, "halted", reason).await;
            board.set_state(crate::PRESENCE, ProjectionState::Halted, Some(reason.clone()));
            ownership.give_up(board);
        }
        if board.made_progress(crate::PRESENCE) {
            pause = RETRY_PAUSE;
        }
        stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        pause = (pause * 2).min(RETRY_PAUSE_MAX);
    }
}

/// Boxed: the compiler can't check the borrows of a spawned task otherwise.
fn follow<'a>(
    db: &'a Db,
    telemetry: &'a dyn TelemetryLog,
    board: &'a StatusBoard,
    ownership: &'a mut Ownership,
    stop: &'a CancellationToken,
) -> BoxFuture<'a, Result<(), RunEnd>> {
    Box::pin(follow_telemetry(db, telemetry, board, ownership, stop))
}

async fn follow_telemetry(
    db: &Db,
    telemetry: &dyn TelemetryLog,
    board: &StatusBoard,
    ownership: &mut Ownership,
    stop: &CancellationToken,
) -> Result<(), RunEnd> {
    ownership.take(db, board, stop).await?;
    let info = telemetry.info().await.map_err(|error| DbError::Unavailable(error.to_string()))?;
    begin_anew(db, info).await?;
    let mut checkpoint = Checkpoint::claim(db, crate::PRESENCE, PRESENCE_VERSION, info.incarnation_ms).await?;
    board.set_running(crate::PRESENCE, checkpoint.position, 0);
    let mut source = telemetry.subscribe(checkpoint.position + 1);
    let mut at_end = false;
    while let Some(gathered) = stop.run_until_cancelled(gather(&mut source)).await {
        let (entries, caught_up) = gathered?;
        at_end = caught_up.is_some() || (at_end && entries.is_empty());
        if let Some(last) = entries.last().map(TelemetryEntry::position) {
            let mut tx = db.write("public").await?;
            let next = checkpoint.write(&mut tx, last).await?;
            let (messages, marks) = sort(entries);
            apply(&mut tx, &messages).await?;
            watermark::note(&mut tx, &marks).await?;
            tx.commit().await.map_err(DbError::from)?;
            checkpoint = next;
            board.advance(crate::PRESENCE, checkpoint.position, 0);
        } else if at_end {
            let position = caught_up.unwrap_or(checkpoint.position).max(checkpoint.position);
            checkpoint.advance(db, position).await?;
            board.caught_up(crate::PRESENCE, checkpoint.position);
        }
    }
    Ok(())
}

fn sort(entries: Vec<TelemetryEntry>) -> (Vec<TelemetryMessage>, Vec<WatermarkRecord>) {
    let (mut messages, mut marks) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            TelemetryEntry::Message(message) => messages.push(message),
            TelemetryEntry::Mark { mark, .. } => marks.extend(mark),
        }
    }
    (messages, marks)
}

/// TELEMETRY deletes old messages and may be created again or restored without loss. Its messages, and the broker's, are then counted from the
/// beginning again. Rows from before stay.
async fn begin_anew(db: &Db, info: LogInfo) -> Result<(), DbError> {
    let mut tx = db.write("public").await?;
    let recreated = sqlx::query(
        "UPDATE projection_checkpoints SET position = 0, incarnation_ms = $2, epoch = epoch + 1
         WHERE name = $1 AND (incarnation_ms <> $2 OR position > $3)",
    )
    .bind(crate::PRESENCE)
    .bind(info.incarnation_ms as i64)
    .bind(info.last_sequence as i64)
    .execute(&mut *tx)
    .await?;
    if recreated.rows_affected() > 0 {
        tracing::info!(
            incarnation_ms = info.incarnation_ms,
            "TELEMETRY was created again. It is read from its beginning."
        );
        sqlx::query(
            "UPDATE device_presence SET broker_ms = 0, delivery = 0, status_delivery = 0, readings_delivery = 0",
        )
        .execute(&mut *tx)
        .await?;
        watermark::forget(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Applies messages together. If their values make that fail, applies them one by one without those at fault: devices can send anything.
async fn apply(connection: &mut PgConnection, messages: &[TelemetryMessage]) -> Result<(), DbError> {
    if try_apply(connection, messages).await?.is_ok() {
        return Ok(());
    }
    for message in messages {
        if let Err(error) = try_apply(connection, std::slice::from_ref(message)).await? {
            metrics::counter!("waybill_telemetry_skipped_total").increment(1);
            tracing::warn!(
                position = message.position,
                device.id = %message.device,
                error,
                "A telemetry message can't be applied and is left out."
            );
        }
    }
    Ok(())
}

/// All of the messages or none. The inner error is the fault of the messages.
async fn try_apply(
    connection: &mut PgConnection,
    messages: &[TelemetryMessage],
) -> Result<Result<(), String>, DbError> {
    let mut savepoint = connection.begin().await?;
    let done = match presence::apply(&mut savepoint, messages).await {
        Ok(()) => update_logs::apply(&mut savepoint, messages).await,
        error => error,
    };
    settle(savepoint, done).await
}

/// Entries that are there or arrive soon; the position of the end when it was reached.
async fn gather(source: &mut Subscription<TelemetryEntry>) -> Result<(Vec<TelemetryEntry>, Option<u64>), RunEnd> {
    let mut entries = Vec::new();
    let mut deadline = Instant::now() + TOUCH_INTERVAL;
    let mut bytes = 0;
    while entries.len() < ENTRIES_MAX && bytes < BATCH_MAX_BYTES {
        match timeout_at(deadline, source.next()).await {
            Err(_) => break,
            Ok(None) => return Err(RunEnd::Again(DbError::Unavailable("the subscription ended".to_owned()))),
            Ok(Some(Err(error @ (StoreError::OtherIncarnation { .. } | StoreError::Refused(_))))) => {
                return Err(RunEnd::Again(DbError::Unavailable(error.to_string())));
            }
            Ok(Some(Err(error))) => return Err(super::halt(error)),
            Ok(Some(Ok(Delivery::CaughtUp { position }))) => return Ok((entries, Some(position))),
            Ok(Some(Ok(Delivery::Record(entry)))) => {
                if let TelemetryEntry::Message(message) = &entry {
                    bytes += message.body.len();
                }
                if entries.is_empty() {
                    deadline = Instant::now() + LINGER;
                }
                entries.push(entry);
            }
        }
    }
    Ok((entries, None))
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    /// Pause between two messages of a steady load.
    const BETWEEN: Duration = Duration::from_millis(5);

    fn mark(position: u64) -> Result<Delivery<TelemetryEntry>, StoreError> {
        Ok(Delivery::Record(TelemetryEntry::Mark { position, mark: None }))
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_load_does_not_hold_up_a_batch() {
        let steady = stream::unfold(1, |position| async move {
            tokio::time::sleep(BETWEEN).await;
            Some((mark(position), position + 1))
        });
        let (mut source, began) = (steady.boxed(), Instant::now());
        let Ok((entries, None)) = gather(&mut source).await else { panic!("no batch") };
        assert_eq!(entries.first().map(TelemetryEntry::position), Some(1));
        assert!(began.elapsed() <= BETWEEN * 2 + LINGER, "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_already_makes_a_full_batch() {
        let mut source = stream::iter((1..).map(mark)).boxed();
        let Ok((entries, None)) = gather(&mut source).await else { panic!("no batch") };
        assert_eq!(entries.len(), ENTRIES_MAX);
    }
}
