//! Clocks of updates that wait in a paused campaign stand still: table `update_pauses`, part of the read model `updates`.

use chrono::{DateTime, Utc};
use domain::events::CampaignEvent as E;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::{Decoded, Events};
use crate::read_model::SWEEP_PAGE_ROWS;

/// Whether the campaign of an update is paused: for conditions over `updates t`.
pub(crate) const PAUSED: &str =
    "EXISTS (SELECT FROM update_pauses s WHERE s.tenant = t.tenant AND s.campaign_id = t.campaign_id)";

/// Notes the beginning and the end of pauses. The clocks have been moved before, by [`move_clocks`].
pub(crate) async fn apply(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    for record in batch {
        let Events::Campaign(events) = &record.events else { continue };
        for event in events {
            match event {
                E::Paused { .. } => begin(connection, record).await?,
                E::Resumed { .. } | E::Cancelling {} | E::Cancelled {} | E::RollingBack { .. } | E::Finished { .. } => {
                    end(connection, record).await?
                }
                _ => {}
            }
        }
    }
    Ok(())
}

async fn begin(connection: &mut PgConnection, record: &Decoded) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO update_pauses (tenant, campaign_id, paused_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(record.tenant())
    .bind(record.id())
    .bind(record.at())
    .execute(connection)
    .await?;
    Ok(())
}

async fn end(connection: &mut PgConnection, record: &Decoded) -> Result<(), DbError> {
    sqlx::query("DELETE FROM update_pauses WHERE tenant = $1 AND campaign_id = $2")
        .bind(record.tenant())
        .bind(record.id())
        .execute(connection)
        .await?;
    Ok(())
}

/// Moves the clocks of a page of waiting updates forward by the time that they stood still until `at`. Returns the last device, none if there
/// are no more.
pub(crate) async fn move_clocks(
    connection: &mut PgConnection,
    campaign: &[String; 2],
    at: DateTime<Utc>,
    after: &str,
) -> Result<Option<String>, DbError> {
    let sql = format!(
        "WITH page AS (
           SELECT u.device_id, u.ordinal, p.paused_at
           FROM updates u JOIN update_pauses p ON p.tenant = u.tenant AND p.campaign_id = u.campaign_id
           WHERE u.tenant = $1 AND u.campaign_id = $2 AND u.open AND u.phase IN ('queued', 'waiting') AND u.device_id > $4
           ORDER BY u.device_id FETCH FIRST {SWEEP_PAGE_ROWS} ROWS WITH TIES),
         moved AS (
           UPDATE updates t
           SET wait_until = t.wait_until + ($3 - greatest(p.paused_at, t.phase_since)),
               due_at = t.due_at + ($3 - greatest(p.paused_at, t.phase_since)),
               idle_s = t.idle_s + CASE WHEN t.reached_at IS NULL OR t.wait_reason = 'slot' THEN 0
                                   ELSE extract(epoch FROM $3 - greatest(p.paused_at, t.phase_since))::float8 END
           FROM page p WHERE t.tenant = $1 AND t.device_id = p.device_id AND t.ordinal = p.ordinal)
         SELECT max(device_id) FROM page"
    );
    let query = sqlx::query_scalar(&sql).bind(&campaign[0]).bind(&campaign[1]).bind(at).bind(after);
    Ok(query.fetch_one(connection).await?)
}
