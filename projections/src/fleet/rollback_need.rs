//! Which devices could go back to a firmware: while there are any, it is kept.
//!
//! By the rule of rollbacks, [`FirmwareCatalog::rollback_target`]: an update brought the device from this firmware to what it runs, or is about to.
//! A device that runs another version by now would go back to another firmware, and counts for that one.

use std::collections::BTreeSet;

use domain::CampaignId;
use domain::firmware::RollbackNeed;
use domain::values::FIRMWARE_COMPONENT;
use domain::version::TargetVersion;
use sqlx::postgres::PgRow;
use sqlx::{Executor as _, Row as _};

use super::firmware::FirmwareRow;
use super::firmware_catalog::{FirmwareCatalog, FormerFirmware};
use super::versions;
use crate::db::{DbError, ReadTx};

/// Devices are counted up to here.
pub const DEVICES_COUNTED_MAX: usize = 10_000;
/// Most paths that updates took, and most versions that devices run, which are looked at. Devices may report any number of versions.
pub const UPDATE_PATHS_MAX: usize = 2_000;
/// Most campaigns that are named.
pub const CAMPAIGNS_NAMED_MAX: usize = 20;

/// Uses indexes even if PostgreSQL estimates another plan to be cheaper: usually there are many such devices, and the first ones are enough.
pub const BY_INDEX: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off";

/// The update paths: from which version and firmware to which firmware. Each step reads the next path from the index `updates_came_from`, so one
/// entry is read for each path, not for each update. Four branches, because under row-level
/// security a comparison of whole rows is no condition for an index.
pub const UPDATE_PATHS: &str = "
WITH RECURSIVE taken AS NOT MATERIALIZED (
    SELECT from_version, firmware_id, from_firmware_id FROM updates
    WHERE tenant = $1 AND component = $2 AND kind = 'update' AND from_version IS NOT NULL
), paths AS (
    (SELECT * FROM taken ORDER BY from_version, firmware_id, from_firmware_id LIMIT 1)
    UNION ALL
    SELECT next.from_version, next.firmware_id, next.from_firmware_id FROM paths p CROSS JOIN LATERAL (
        (SELECT 1 AS branch, t.* FROM taken t
         WHERE t.from_version = p.from_version AND t.firmware_id = p.firmware_id AND t.from_firmware_id > p.from_firmware_id
         ORDER BY t.from_firmware_id LIMIT 1)
        UNION ALL
        (SELECT 2, t.* FROM taken t
         WHERE t.from_version = p.from_version AND t.firmware_id = p.firmware_id AND t.from_firmware_id IS NULL
           AND p.from_firmware_id IS NOT NULL LIMIT 1)
        UNION ALL
        (SELECT 3, t.* FROM taken t WHERE t.from_version = p.from_version AND t.firmware_id > p.firmware_id
         ORDER BY t.firmware_id, t.from_firmware_id LIMIT 1)
        UNION ALL
        (SELECT 4, t.* FROM taken t WHERE t.from_version > p.from_version
         ORDER BY t.from_version, t.firmware_id, t.from_firmware_id LIMIT 1)
        ORDER BY branch LIMIT 1) next
)
SELECT from_version, firmware_id, from_firmware_id FROM paths LIMIT {limit}";

/// Updates of active devices of the model `$7` on one of the paths `$3` (version), `$4` (its firmware) to `$5`; devices then report `$6`.
const UPDATES_ON_PATHS: &str = "
SELECT u.device_id, u.campaign_id
FROM UNNEST($3::text[], $4::text[], $5::text[], $6::text[]) AS p (from_version, from_firmware_id, firmware_id, running)
JOIN updates u ON u.from_version = p.from_version AND u.firmware_id = p.firmware_id
    AND u.from_firmware_id IS NOT DISTINCT FROM p.from_firmware_id
JOIN devices d ON d.tenant = u.tenant AND d.device_id = u.device_id
WHERE u.tenant = $1 AND u.component = $2 AND u.kind = 'update' AND u.from_version IS NOT NULL
  AND d.device_model = $7 AND d.lifecycle <> 'decommissioned'";

/// Campaigns that have devices to update, with their plan and firmware.
const RUNNING_CAMPAIGNS: &str = "
SELECT campaign_id, plan, firmware ->> 'firmware_id' FROM rollout_campaigns
WHERE tenant = $1 AND at_work AND CASE WHEN status = 'paused' THEN before_pause ELSE status END = 'running'
  AND firmware ->> 'component' = $2 AND plan IS NOT NULL";

/// Active devices of the model `$6` that one of these campaigns, `$3` with its plan `$4`, has yet to update. They run the version `$5`.
const PLANNED: &str = "
SELECT m.device_id, m.campaign_id
FROM UNNEST($3::text[], $4::text[], $5::text[]) AS c (campaign_id, plan, running)
JOIN devices d ON d.tenant = $1 AND {runs} = c.running AND {runs} = ANY ($5)
JOIN rollout_members m ON m.tenant = d.tenant AND m.device_id = d.device_id AND m.campaign_id = c.campaign_id AND m.plan = c.plan
WHERE m.outcome IS NULL AND m.excluded IS NULL AND d.device_model = $6 AND d.lifecycle <> 'decommissioned'";

/// An update path: from a version to a firmware.
struct UpdatePath {
    from_version: String,
    /// None if no firmware was confirmed for the version.
    from_firmware_id: Option<String>,
    firmware_id: String,
}

/// The devices found so far, and their campaigns.
#[derive(Default)]
struct Found {
    devices: BTreeSet<String>,
    campaigns: BTreeSet<CampaignId>,
    more: bool,
}

impl Found {
    fn add(&mut self, rows: &[PgRow]) -> Result<(), DbError> {
        self.more |= rows.len() > DEVICES_COUNTED_MAX;
        for row in rows {
            self.devices.insert(row.try_get(0)?);
            if let Some(campaign) = row.try_get::<Option<&str>, _>(1)? {
                self.campaigns.insert(campaign.parse().map_err(|error| DbError::Invalid(format!("{error}")))?);
            }
        }
        Ok(())
    }

    fn counted(self) -> RollbackNeed {
        let devices = self.devices.len().min(DEVICES_COUNTED_MAX);
        RollbackNeed {
            devices: devices as u32,
            more: self.more || self.devices.len() > devices,
            campaigns: self.campaigns.into_iter().take(CAMPAIGNS_NAMED_MAX).collect(),
        }
    }
}

/// The devices of a firmware's tenant that could go back to it.
pub async fn to(tx: &mut ReadTx, firmware: &FirmwareRow) -> Result<RollbackNeed, DbError> {
    tx.0.execute(BY_INDEX).await?;
    let mut running = versions::of_active(tx, &firmware.tenant, &firmware.component, UPDATE_PATHS_MAX + 1).await?;
    let is_cut = running.len() > UPDATE_PATHS_MAX;
    running.truncate(UPDATE_PATHS_MAX);
    let mut search = Search {
        firmware,
        catalog: FirmwareCatalog::read(tx, &firmware.tenant, &firmware.device_model, &firmware.component).await?,
        running,
        is_cut,
    };
    let paths = search.paths(tx).await?;
    let mut found = Found::default();
    found.more |= search.is_cut;
    found.add(&search.arrived(tx, &paths).await?)?;
    found.add(&search.rolling_back(tx).await?)?;
    found.add(&search.under_way(tx, &paths).await?)?;
    found.add(&search.planned(tx).await?)?;
    Ok(found.counted())
}

struct Search<'f> {
    firmware: &'f FirmwareRow,
    catalog: FirmwareCatalog,
    /// Versions that active devices run.
    running: Vec<String>,
    /// There are more paths or versions than were looked at.
    is_cut: bool,
}

impl Search<'_> {
    fn leads_back(&self, left: TargetVersion<'_>, former: FormerFirmware<'_>) -> bool {
        self.catalog.rollback_target(left, former).is_ok_and(|id| id.to_string() == self.firmware.firmware_id)
    }

    /// What the device in `d` runs.
    fn runs(&self) -> &'static str {
        // The column has statistics and an index of its own.
        if self.firmware.component == FIRMWARE_COMPONENT { "d.firmware_version" } else { "(d.versions ->> $2)" }
    }

    /// The paths from the firmware to one that devices may be rolled back from.
    async fn paths(&mut self, tx: &mut ReadTx) -> Result<Vec<UpdatePath>, DbError> {
        let (tenant, component) = (&self.firmware.tenant, &self.firmware.component);
        let mut paths = Vec::new();
        let sql = UPDATE_PATHS.replace("{limit}", &(UPDATE_PATHS_MAX + 1).to_string());
        let rows = sqlx::query(&sql).bind(tenant).bind(component).fetch_all(&mut *tx.0).await?;
        self.is_cut |= rows.len() > UPDATE_PATHS_MAX;
        for row in rows.iter().take(UPDATE_PATHS_MAX) {
            let path = UpdatePath {
                from_version: row.try_get(0)?,
                firmware_id: row.try_get(1)?,
                from_firmware_id: row.try_get(2)?,
            };
            let Some(left) = self.catalog.that_may_be_left(&path.firmware_id) else { continue };
            let former = FormerFirmware { version: &path.from_version, firmware_id: path.from_firmware_id.as_deref() };
            if self.leads_back(left.expected(), former) {
                paths.push(path);
            }
        }
        Ok(paths)
    }

    /// Devices that run what an update brought, also if that was proven late.
    async fn arrived(&self, tx: &mut ReadTx, paths: &[UpdatePath]) -> Result<Vec<PgRow>, DbError> {
        let mut ends = Vec::new();
        for path in paths {
            let left = self.catalog.that_may_be_left(&path.firmware_id);
            let is_run = |version: &&String| left.is_some_and(|left| left.expected().is_met_by(version));
            ends.extend(self.running.iter().filter(is_run).map(|version| (path, version.as_str())));
        }
        let runs = self.runs();
        self.updates_on(
            tx,
            &ends,
            &format!("NOT u.open AND u.attempt > 0 AND {runs} = p.running AND {runs} = ANY ($6)"),
        )
        .await
    }

    /// Devices with an update under way.
    async fn under_way(&self, tx: &mut ReadTx, paths: &[UpdatePath]) -> Result<Vec<PgRow>, DbError> {
        let ends: Vec<(&UpdatePath, &str)> = paths.iter().map(|path| (path, "")).collect();
        self.updates_on(tx, &ends, "u.open").await
    }

    async fn updates_on(
        &self,
        tx: &mut ReadTx,
        ends: &[(&UpdatePath, &str)],
        which: &str,
    ) -> Result<Vec<PgRow>, DbError> {
        if ends.is_empty() {
            return Ok(vec![]);
        }
        let sql = format!("{UPDATES_ON_PATHS} AND {which} LIMIT {}", DEVICES_COUNTED_MAX + 1);
        // Not kept as a prepared statement, so that it is planned for these versions.
        let query = sqlx::query(&sql)
            .persistent(false)
            .bind(&self.firmware.tenant)
            .bind(&self.firmware.component)
            .bind(ends.iter().map(|(path, _)| path.from_version.as_str()).collect::<Vec<_>>())
            .bind(ends.iter().map(|(path, _)| path.from_firmware_id.as_deref()).collect::<Vec<_>>())
            .bind(ends.iter().map(|(path, _)| path.firmware_id.as_str()).collect::<Vec<_>>())
            .bind(ends.iter().map(|(_, running)| *running).collect::<Vec<_>>())
            .bind(&self.firmware.device_model);
        Ok(query.fetch_all(&mut *tx.0).await?)
    }

    /// Devices that are on their way back to it.
    async fn rolling_back(&self, tx: &mut ReadTx) -> Result<Vec<PgRow>, DbError> {
        let sql = format!(
            "SELECT device_id, campaign_id FROM updates
             WHERE tenant = $1 AND firmware_id = $2 AND open AND kind = 'rollback' LIMIT {}",
            DEVICES_COUNTED_MAX + 1
        );
        let query = sqlx::query(&sql).bind(&self.firmware.tenant).bind(&self.firmware.firmware_id);
        Ok(query.fetch_all(&mut *tx.0).await?)
    }

    /// Devices that run it and wait for their turn in a campaign.
    async fn planned(&self, tx: &mut ReadTx) -> Result<Vec<PgRow>, DbError> {
        let (tenant, component) = (&self.firmware.tenant, &self.firmware.component);
        let (mut campaigns, mut plans, mut versions) = (Vec::new(), Vec::new(), Vec::new());
        let leads_here = |version: &&String| {
            let former = FormerFirmware { version, firmware_id: None };
            self.catalog.target(former).is_ok_and(|id| id.to_string() == self.firmware.firmware_id)
        };
        let running: Vec<&String> = self.running.iter().filter(leads_here).collect();
        for row in sqlx::query(RUNNING_CAMPAIGNS).bind(tenant).bind(component).fetch_all(&mut *tx.0).await? {
            let Some(left) = self.catalog.that_may_be_left(row.try_get(2)?) else { continue };
            for version in &running {
                if !left.expected().is_met_by(version) {
                    campaigns.push(row.try_get::<String, _>(0)?);
                    plans.push(row.try_get::<String, _>(1)?);
                    versions.push(version.as_str());
                }
            }
        }
        if campaigns.is_empty() {
            return Ok(vec![]);
        }
        let sql = format!("{} LIMIT {}", PLANNED.replace("{runs}", self.runs()), DEVICES_COUNTED_MAX + 1);
        let query = sqlx::query(&sql).persistent(false).bind(tenant).bind(component);
        let query = query.bind(campaigns).bind(plans).bind(versions).bind(&self.firmware.device_model);
        Ok(query.fetch_all(&mut *tx.0).await?)
    }
}
