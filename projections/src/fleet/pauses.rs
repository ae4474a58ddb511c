//! Clocks of updates that wait in a paused campaign stand still: table `update_pauses`, part of the read model `updates`.

use chrono::{DateTime, Utc};
use domain::events::CampaignEvent as E;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::{Decoded, Events};

/// Whether the campaign of an update is paused: for conditions over `updates t`.
pub(crate) const PAUSED: &str =
    "EXISTS (SELECT FROM update_pauses s WHERE s.tenant = t.tenant AND s.campaign_id = t.campaign_id)";

fn is_of_pause(event: &E) -> bool {
    matches!(event, E::Paused { .. } | E::Resumed { .. } | E::Cancelling {} | E::Finished { .. })
}

/// Whether the records after this one need the updates as it leaves them.
pub(crate) fn ends_a_part(record: &Decoded) -> bool {
    matches!(&record.events, Events::Campaign(events) if events.iter().any(is_of_pause))
}

/// Applies the last record of a part to all waiting updates of its campaign.
pub(crate) async fn run(connection: &mut PgConnection, part: &[Decoded]) -> Result<(), DbError> {
    let Some(record) = part.last() else { return Ok(()) };
    let Events::Campaign(events) = &record.events else { return Ok(()) };
    let (tenant, campaign, at) = (record.tenant(), record.id(), record.at());
    for event in events {
        match event {
            E::Paused { .. } => begin(connection, &tenant, &campaign, at).await?,
            E::Resumed { .. } | E::Cancelling {} => end(connection, &tenant, &campaign, at).await?,
            E::Finished { .. } => forget(connection, &tenant, &campaign).await?,
            _ => {}
        }
    }
    Ok(())
}

async fn begin(connection: &mut PgConnection, tenant: &str, campaign: &str, at: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO update_pauses (tenant, campaign_id, paused_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(tenant)
    .bind(campaign)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}

/// The campaign ended in its pause: the clocks of its waiting updates aren't moved.
async fn forget(connection: &mut PgConnection, tenant: &str, campaign: &str) -> Result<(), DbError> {
    sqlx::query("DELETE FROM update_pauses WHERE tenant = $1 AND campaign_id = $2")
        .bind(tenant)
        .bind(campaign)
        .execute(connection)
        .await?;
    Ok(())
}

/// Moves the clocks forward by the time that they stood still.
async fn end(connection: &mut PgConnection, tenant: &str, campaign: &str, at: DateTime<Utc>) -> Result<(), DbError> {
    sqlx::query(
        "WITH pause AS (DELETE FROM update_pauses WHERE tenant = $1 AND campaign_id = $2 RETURNING paused_at)
         UPDATE updates t
         SET wait_until = t.wait_until + ($3 - greatest(p.paused_at, t.phase_since)),
             due_at = t.due_at + ($3 - greatest(p.paused_at, t.phase_since)),
             idle_s = t.idle_s + CASE WHEN t.reached_at IS NULL THEN 0
                                 ELSE extract(epoch FROM $3 - greatest(p.paused_at, t.phase_since))::float8 END
         FROM pause p
         WHERE t.tenant = $1 AND t.campaign_id = $2 AND t.open AND t.phase IN ('queued', 'waiting')",
    )
    .bind(tenant)
    .bind(campaign)
    .bind(at)
    .execute(connection)
    .await?;
    Ok(())
}
