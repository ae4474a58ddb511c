//! The projector over TELEMETRY: the same shape, another source. What TELEMETRY has forgotten stays as it is.

use std::sync::Arc;
use std::time::Duration;

use event_store::telemetry::{TelemetryLog, TelemetryMessage};
use event_store::{Delivery, Subscription};
use futures::StreamExt;
use futures::future::BoxFuture;
use sqlx::{Acquire as _, PgConnection};
use tokio_util::sync::CancellationToken;

use super::{Checkpoint, RETRY_PAUSE_MAX, RunEnd};
use crate::db::{Db, DbError};
use crate::handle::{Board, ProjectionState};
use crate::presence;

/// Version of the form of the rows from TELEMETRY.
pub(crate) const PRESENCE_VERSION: i32 = 1;
const MESSAGES_MAX: usize = 2_000;
const LINGER: Duration = Duration::from_millis(20);
/// While nothing comes the checkpoint's row is touched this often: silence is judged only when that is recent.
const TOUCH_INTERVAL: Duration = Duration::from_secs(2);

/// Runs the projector until the token is cancelled.
pub(crate) async fn run(
    db: Db,
    telemetry: Arc<dyn TelemetryLog>,
    incarnation_ms: u64,
    board: Board,
    stop: CancellationToken,
) {
    loop {
        let end = tokio::select! {
            () = stop.cancelled() => return,
            end = follow(&db, &*telemetry, incarnation_ms, &board) => end,
        };
        if let Err(RunEnd::Again(error)) = &end {
            board.set_state(crate::PRESENCE, ProjectionState::Unavailable, Some(error.to_string()));
        }
        if let Err(RunEnd::Halted(reason)) = &end {
            tracing::error!(projection = crate::PRESENCE, reason, "A projection is halted.");
            board.set_state(crate::PRESENCE, ProjectionState::Halted, Some(reason.clone()));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY_PAUSE_MAX) => {}
        }
    }
}

/// Boxed: the compiler can't see through the borrows of a spawned task otherwise.
fn follow<'a>(
    db: &'a Db,
    telemetry: &'a dyn TelemetryLog,
    incarnation_ms: u64,
    board: &'a Board,
) -> BoxFuture<'a, Result<(), RunEnd>> {
    Box::pin(follow_telemetry(db, telemetry, incarnation_ms, board))
}

async fn follow_telemetry(
    db: &Db,
    telemetry: &dyn TelemetryLog,
    incarnation_ms: u64,
    board: &Board,
) -> Result<(), RunEnd> {
    let mut checkpoint = Checkpoint::claim(db, crate::PRESENCE, PRESENCE_VERSION, incarnation_ms).await?;
    board.set_running(crate::PRESENCE, checkpoint.position, 0);
    let mut source = telemetry.subscribe(checkpoint.position + 1);
    let mut at_end = false;
    loop {
        let (messages, caught_up) = gather(&mut source).await?;
        at_end = caught_up.is_some() || (at_end && messages.is_empty());
        if let Some(last) = messages.last() {
            let mut tx = db.write("public").await?;
            // Behind the end what was heard lately is still to come.
            let heard_until = last.decode().ok().map(|record| record.received_at).filter(|_| caught_up.is_none());
            let next = checkpoint.write(&mut tx, last.position, heard_until).await?;
            apply(&mut tx, &messages).await?;
            tx.commit().await.map_err(DbError::from)?;
            checkpoint = next;
            board.advance(crate::PRESENCE, checkpoint.position, 0);
        } else if at_end {
            let position = caught_up.unwrap_or(checkpoint.position).max(checkpoint.position);
            checkpoint.advance(db, position).await?;
            board.caught_up(crate::PRESENCE, checkpoint.position);
        }
    }
}

/// Applies messages together; if that fails by their values, one by one, leaving out those at fault: a device can send anything.
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

/// All of the messages or none. The inner error is the messages' own fault.
async fn try_apply(
    connection: &mut PgConnection,
    messages: &[TelemetryMessage],
) -> Result<Result<(), String>, DbError> {
    let mut savepoint = connection.begin().await?;
    match presence::apply(&mut savepoint, messages).await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(Ok(()))
        }
        Err(DbError::Invalid(error)) => {
            savepoint.rollback().await?;
            Ok(Err(error))
        }
        Err(error) => Err(error),
    }
}

/// Messages that are there, or come soon; the position of the end when it was reached.
async fn gather(source: &mut Subscription<TelemetryMessage>) -> Result<(Vec<TelemetryMessage>, Option<u64>), RunEnd> {
    let mut messages = Vec::new();
    let mut patience = TOUCH_INTERVAL;
    while messages.len() < MESSAGES_MAX {
        match tokio::time::timeout(patience, source.next()).await {
            Err(_) => break,
            Ok(None) => return Err(RunEnd::Again(DbError::Unavailable("the subscription ended".to_owned()))),
            Ok(Some(Err(error))) => return Err(super::halt(error)),
            Ok(Some(Ok(Delivery::CaughtUp { position }))) => return Ok((messages, Some(position))),
            Ok(Some(Ok(Delivery::Record(message)))) => {
                messages.push(message);
                patience = LINGER;
            }
        }
    }
    Ok((messages, None))
}
