//! Finds the devices that ran a firmware at a time. A device ran it if its latest change of that component before the time was to a version
//! of the firmware.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use documents::Exposure;

use super::firmware::Judged;
use super::{DAYS_MAX, ExposureCounts, ExposureQuery};
use crate::db::{DbError, ReadTx};
use crate::table::Page;

/// A device with its worst firmware.
#[derive(Debug, Clone, PartialEq)]
pub struct ExposedDevice {
    pub device_id: String,
    pub device_model: String,
    pub component: String,
    pub version: String,
    pub firmware_id: String,
    /// Since when it ran that version.
    pub since: DateTime<Utc>,
    /// The firmware to install.
    pub fix: Option<String>,
}

/// `$1` to `$6`: models, components, versions, severities, ids and fixes of the firmware with a known exposure. `$7`: the time. `$8`: whether
/// devices must be in service.
const EXPOSED: &str = "verdict AS (
      SELECT * FROM UNNEST($1::text[], $2::text[], $3::text[], $4::int[], $5::text[], $6::text[])
        AS v (device_model, component, version, severity, firmware_id, fix)
    ), ran AS (
      SELECT h.device_id, h.component, h.to_version AS version, h.at
      FROM (SELECT DISTINCT component, version FROM verdict) v
      JOIN device_firmware_history h ON h.component = v.component AND h.to_version = v.version AND h.at <= $7
      WHERE NOT EXISTS (
        SELECT FROM device_firmware_history l WHERE l.device_id = h.device_id AND l.component = h.component AND l.at <= $7
          AND (l.position, l.index) > (h.position, h.index))
    ), exposed AS (
      SELECT r.device_id, d.device_model, r.component, r.version, r.at, v.severity, v.firmware_id, v.fix
      FROM ran r JOIN devices d ON d.device_id = r.device_id
      JOIN verdict v ON v.device_model = d.device_model AND v.component = r.component AND v.version = r.version
      WHERE NOT $8 OR d.lifecycle <> 'decommissioned'
    )";

/// The firmware with a known exposure: one row for each of its versions, as columns.
#[derive(Default)]
struct Verdicts {
    models: Vec<String>,
    components: Vec<String>,
    versions: Vec<String>,
    severities: Vec<i32>,
    firmware: Vec<String>,
    fixes: Vec<Option<String>>,
}

impl Verdicts {
    fn of(judged: &Judged) -> Self {
        let mut verdicts = Self::default();
        for (one, versions) in judged.all.iter().zip(&judged.versions) {
            for version in versions.iter().filter(|_| one.exposure != Exposure::Unknown) {
                verdicts.models.push(one.device_model.clone());
                verdicts.components.push(one.component.clone());
                verdicts.versions.push(version.clone());
                verdicts.severities.push(one.exposure as i32);
                verdicts.firmware.push(one.firmware_id.to_string());
                verdicts.fixes.push(one.fixes.first().map(ToString::to_string));
            }
        }
        verdicts
    }
}

macro_rules! exposed {
    ($query:expr, $verdicts:expr, $asked:expr) => {
        $query
            .bind(&$verdicts.models)
            .bind(&$verdicts.components)
            .bind(&$verdicts.versions)
            .bind(&$verdicts.severities)
            .bind(&$verdicts.firmware)
            .bind(&$verdicts.fixes)
            .bind($asked.at)
            .bind($asked.in_service)
    };
}

pub(super) async fn count(tx: &mut ReadTx, query: &ExposureQuery, judged: &Judged) -> Result<ExposureCounts, DbError> {
    let verdicts = Verdicts::of(judged);
    let sql = format!(
        "WITH {EXPOSED}, worst AS (
           SELECT device_id, max(severity) AS severity, bool_and(fix IS NOT NULL) FILTER (WHERE severity = $9) AS has_fix
           FROM exposed GROUP BY device_id
         ), everybody AS (
           SELECT DISTINCT h.device_id FROM device_firmware_history h JOIN devices d ON d.device_id = h.device_id
           WHERE h.at <= $7 AND (NOT $8 OR d.lifecycle <> 'decommissioned')
         )
         SELECT severity, count(*) FROM worst GROUP BY severity
         UNION ALL SELECT -1, count(*) FROM worst WHERE severity = $9 AND has_fix
         UNION ALL SELECT -2, count(*) FROM everybody"
    );
    let rows: Vec<(i32, i64)> =
        exposed!(sqlx::query_as(&sql), verdicts, query).bind(Exposure::Affected as i32).fetch_all(&mut *tx.0).await?;
    let of = |severity: i32| rows.iter().find(|(found, _)| *found == severity).map_or(0, |(_, count)| *count as u64);
    let [affected, under_investigation, not_affected] =
        [Exposure::Affected, Exposure::UnderInvestigation, Exposure::NotAffected].map(|exposure| of(exposure as i32));
    let known = affected + under_investigation + not_affected;
    let unknown = of(-2).saturating_sub(known);
    Ok(ExposureCounts { affected, under_investigation, not_affected, unknown, fix_offered: of(-1) })
}

pub(super) async fn count_by_firmware(
    tx: &mut ReadTx,
    query: &ExposureQuery,
    judged: &Judged,
) -> Result<HashMap<String, u64>, DbError> {
    let verdicts = Verdicts::of(judged);
    let sql = format!("WITH {EXPOSED} SELECT firmware_id, count(DISTINCT device_id) FROM exposed GROUP BY firmware_id");
    let rows: Vec<(String, i64)> = exposed!(sqlx::query_as(&sql), verdicts, query).fetch_all(&mut *tx.0).await?;
    Ok(rows.into_iter().map(|(firmware, count)| (firmware, count as u64)).collect())
}

/// Devices with this exposure by id.
pub async fn list_devices(
    tx: &mut ReadTx,
    query: &ExposureQuery,
    exposure: Exposure,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<ExposedDevice>, DbError> {
    let judged = super::firmware::judge(tx, query).await?;
    let verdicts = Verdicts::of(&judged);
    let sql = format!(
        "WITH {EXPOSED}, worst AS (
           SELECT DISTINCT ON (device_id) * FROM exposed ORDER BY device_id, severity DESC, fix IS NOT NULL, firmware_id)
         SELECT device_id, device_model, component, version, firmware_id, at, fix FROM worst
         WHERE severity = $9 AND device_id > $10 ORDER BY device_id LIMIT $11"
    );
    type Found = (String, String, String, String, String, DateTime<Utc>, Option<String>);
    let rows: Vec<Found> = exposed!(sqlx::query_as(&sql), verdicts, query)
        .bind(exposure as i32)
        .bind(after.unwrap_or_default())
        .bind(limit as i64 + 1)
        .fetch_all(&mut *tx.0)
        .await?;
    let more = rows.len() > limit;
    let of = |(device_id, device_model, component, version, firmware_id, since, fix): Found| ExposedDevice {
        device_id,
        device_model,
        component,
        version,
        firmware_id,
        since,
        fix,
    };
    let items: Vec<ExposedDevice> = rows.into_iter().take(limit).map(of).collect();
    let next = items.last().filter(|_| more).map(|device| vec![device.device_id.clone()]);
    Ok(Page { items, next, total: None })
}

/// Devices that ran a fix of an affected firmware, at the end of each day (UTC) on which their number changed.
pub(super) async fn ran_fix(
    tx: &mut ReadTx,
    query: &ExposureQuery,
    judged: &Judged,
) -> Result<Vec<(NaiveDate, u64)>, DbError> {
    let fixes: std::collections::HashSet<_> = judged.all.iter().flat_map(|one| one.fixes.iter().copied()).collect();
    let (mut models, mut components, mut versions) = (vec![], vec![], vec![]);
    for (one, of_one) in judged.all.iter().zip(&judged.versions).filter(|(one, _)| fixes.contains(&one.firmware_id)) {
        for version in of_one {
            models.push(one.device_model.as_str());
            components.push(one.component.as_str());
            versions.push(version.as_str());
        }
    }
    let rows: Vec<(NaiveDate, i64)> = sqlx::query_as(
        "WITH fix AS (SELECT DISTINCT * FROM UNNEST($1::text[], $2::text[], $3::text[]) AS f (device_model, component, version)),
         takers AS (
           SELECT DISTINCT h.device_id, h.component, f.device_model FROM fix f
           JOIN device_firmware_history h ON h.component = f.component AND h.to_version = f.version AND h.at <= $4
           JOIN devices d ON d.device_id = h.device_id AND d.device_model = f.device_model
         ), changes AS (
           SELECT (h.at AT TIME ZONE 'UTC')::date AS day,
             (EXISTS (SELECT FROM fix f WHERE f.device_model = t.device_model AND f.component = h.component AND f.version = h.to_version))::int
             - (EXISTS (SELECT FROM fix f WHERE f.device_model = t.device_model AND f.component = h.component AND f.version = h.from_version))::int
             AS change
           FROM takers t JOIN device_firmware_history h ON h.device_id = t.device_id AND h.component = t.component AND h.at <= $4
         )
         SELECT day, (sum(sum(change)) OVER (ORDER BY day))::bigint FROM changes GROUP BY day HAVING sum(abs(change)) > 0
         ORDER BY day DESC LIMIT $5",
    )
    .bind(&models)
    .bind(&components)
    .bind(&versions)
    .bind(query.at)
    .bind(DAYS_MAX as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    Ok(rows.into_iter().rev().map(|(day, devices)| (day, devices.max(0) as u64)).collect())
}
