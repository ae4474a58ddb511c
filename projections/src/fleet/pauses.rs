//! Clocks of updates that wait in a paused campaign stand still: table `update_pauses`, part of the read model `updates`.

use domain::events::CampaignEvent as E;
use sqlx::PgConnection;

use crate::db::DbError;
use crate::decode::{Decoded, Events};

/// Whether the campaign of an update is paused: for conditions over `updates t`.
pub(crate) const PAUSED: &str =
    "EXISTS (SELECT FROM update_pauses s WHERE s.tenant = t.tenant AND s.campaign_id = t.campaign_id)";

/// Notes the beginning and the end of pauses. The clocks have been moved before, by [`super::update_clocks`].
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
