//! Which devices the maintenance windows of a campaign release at a time.

use chrono::{DateTime, Utc};
use domain::window::MaintenanceWindows;
use sqlx::Row as _;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use super::rows::CampaignRow;
use crate::db::{DbError, ReadTx};

/// The released members of a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Release {
    All,
    Nobody,
    /// Members whose device is in one of these zones, as in the column `zone`.
    Zones(Vec<String>),
}

impl Release {
    /// `zones`: those of the members, if the windows follow devices.
    pub(super) fn of(windows: &MaintenanceWindows, zones: &[Option<String>], now: DateTime<Utc>) -> Self {
        if !windows.follow_devices() {
            return if windows.at(None, now).is_open() { Self::All } else { Self::Nobody };
        }
        let open = zones.iter().filter(|zone| windows.at(zone.as_deref(), now).is_open());
        let open: Vec<String> = open.map(|zone| zone.clone().unwrap_or_default()).collect();
        if open.is_empty() { Self::Nobody } else { Self::Zones(open) }
    }

    /// Binds the zones as the next parameter of a query that has them.
    pub(super) fn bind<'q>(
        &'q self,
        query: Query<'q, sqlx::Postgres, PgArguments>,
    ) -> Query<'q, sqlx::Postgres, PgArguments> {
        match self {
            Self::All | Self::Nobody => query,
            Self::Zones(zones) => query.bind(zones),
        }
    }
}

/// The zones of members that haven't ended: none if the campaign's windows don't follow devices. Each zone is one look at the index.
pub(super) async fn zones(tx: &mut ReadTx, row: &CampaignRow) -> Result<Vec<Option<String>>, DbError> {
    if !row.spec.maintenance_window.follow_devices() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "WITH RECURSIVE z AS (
           (SELECT m.zone FROM rollout_members m
            WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3 AND m.zone IS NOT NULL ORDER BY m.zone LIMIT 1)
           UNION ALL
           SELECT (SELECT m.zone FROM rollout_members m
                   WHERE m.tenant = $1 AND m.campaign_id = $2 AND m.plan = $3 AND m.zone > z.zone ORDER BY m.zone LIMIT 1)
           FROM z WHERE z.zone IS NOT NULL)
         SELECT zone FROM z WHERE zone IS NOT NULL",
    )
    .bind(&row.tenant)
    .bind(&row.campaign_id)
    .bind(&row.plan)
    .fetch_all(&mut *tx.0)
    .await?;
    let zone =
        |row: &sqlx::postgres::PgRow| row.try_get::<String, _>(0).map(|zone| Some(zone).filter(|z| !z.is_empty()));
    Ok(rows.iter().map(zone).collect::<Result<_, _>>()?)
}
