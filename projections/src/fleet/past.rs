//! Which devices and campaigns a list of an earlier time may have. What each of them was then is in EVENTS.
//!
//! Versions of that time come from the intervals of the history: an entry holds until the next one of its device and component.

use chrono::{DateTime, Utc};
use domain::values::FIRMWARE_COMPONENT;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::device_queries::with_prefix;
use super::statistics::populations::{minute_of, populations};
use crate::db::{DbError, ReadTx};
use crate::table::Select;

/// Most versions of a filter.
pub const VERSIONS_MAX: usize = 100;

/// Ids to look at, in the order of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    pub ids: Vec<String>,
    /// There may be more after the item with these keys; none at the end.
    pub next: Option<Vec<String>>,
}

/// The versions that devices in service ran at some time of the minute of `at`, if they are wanted.
pub async fn versions_at(
    tx: &mut ReadTx,
    at: DateTime<Utc>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<String>, DbError> {
    let before = populations(tx, FIRMWARE_COMPONENT, Some(at), &[]).await?.groups;
    let mut versions: Vec<String> = before.into_iter().map(|group| group.version).collect();
    let changed =
        "SELECT DISTINCT version FROM device_populations WHERE component = $1 AND span = 'minute' AND since_s = $2";
    let changed = sqlx::query_scalar::<_, String>(changed).bind(FIRMWARE_COMPONENT).bind(minute_of(at).timestamp());
    versions.extend(changed.fetch_all(&mut *tx.0).await?);
    versions.retain(|version| !version.is_empty() && is_wanted(version));
    versions.sort_unstable();
    versions.dedup();
    Ok(versions)
}

/// Devices that were registered by then, by id. `prefix` is of their id, or of the name that they have now.
pub async fn devices_known_at(
    tx: &mut ReadTx,
    at: DateTime<Utc>,
    ids: &[String],
    prefix: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Candidates, DbError> {
    let mut select = Select::new("t.device_id".to_owned(), "devices t", "t.device_id");
    select.filter("t.registered_at <= ($ #>> '{}')::timestamptz", json!(at));
    if !ids.is_empty() {
        select.filter("t.device_id = ANY (SELECT jsonb_array_elements_text($))", json!(ids));
    }
    if let Some(prefix) = prefix {
        with_prefix(&mut select, prefix);
    }
    let after = after.map(|id| ("t.device_id > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let read = |row: &PgRow| Ok(row.try_get::<String, _>(0)?);
    let (ids, more, _) = select.page(tx, after, limit, false, read).await?;
    let next = ids.last().filter(|_| more).map(|id| vec![id.clone()]);
    Ok(Candidates { ids, next })
}

/// For each version the entries with it of the devices after an id: of at least so many entries, all of each device, in the order of the index.
/// They count up to the smallest of the last ids, so that nothing is left out. `is_it`: whether the entry was the latest of its device by then.
const WITH_VERSIONS: &str = "
WITH entries AS MATERIALIZED (
  SELECT v.version, e.tenant, e.device_id, e.position, e.index
  FROM UNNEST($2::text[]) v (version) CROSS JOIN LATERAL (
    SELECT h.tenant, h.device_id, h.position, h.index FROM device_firmware_history h
    WHERE h.component = $1 AND h.to_version = v.version AND h.at <= $3 AND h.device_id > $4
    ORDER BY h.to_version, h.device_id FETCH FIRST ($5) ROWS WITH TIES
  ) e
), reached AS (
  SELECT min(last) AS id FROM (SELECT max(device_id) AS last FROM entries GROUP BY version HAVING count(*) >= $5) f
)
SELECT e.device_id, (SELECT id FROM reached), NOT EXISTS (
  SELECT FROM device_firmware_history n
  WHERE n.tenant = e.tenant AND n.device_id = e.device_id AND n.component = $1 AND n.at <= $3
    AND (n.position, n.index) > (e.position, e.index)
) AS is_it
FROM entries e WHERE e.device_id <= (SELECT id FROM reached) OR (SELECT id FROM reached) IS NULL
ORDER BY e.device_id";

/// Devices whose firmware had one of the versions at that time, by id.
pub async fn devices_with(
    tx: &mut ReadTx,
    versions: &[String],
    at: DateTime<Utc>,
    after: Option<&str>,
    limit: usize,
) -> Result<Candidates, DbError> {
    let query = sqlx::query(WITH_VERSIONS).bind(FIRMWARE_COMPONENT).bind(versions).bind(at);
    let rows = query.bind(after.unwrap_or_default()).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    let mut found = Candidates::default();
    for row in rows {
        let reached: Option<String> = row.try_get(1)?;
        found.next = reached.map(|id| vec![id]);
        if row.try_get(2)? {
            found.ids.push(row.try_get(0)?);
        }
    }
    if found.ids.len() > limit {
        found.ids.truncate(limit);
        found.next = found.ids.last().map(|id| vec![id.clone()]);
    }
    Ok(found)
}

/// A campaign, with when it was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownCampaign {
    pub id: String,
    pub created_at: DateTime<Utc>,
}

/// Campaigns that were created by then, newest first, and whether there are more.
pub async fn campaigns_known_at(
    tx: &mut ReadTx,
    at: DateTime<Utc>,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Result<(Vec<KnownCampaign>, bool), DbError> {
    let order = "t.created_at DESC, t.campaign_id DESC";
    let mut select = Select::new("t.campaign_id, t.created_at".to_owned(), "campaigns t", order);
    select.filter("t.created_at <= ($ #>> '{}')::timestamptz", json!(at));
    let after = after.map(|(created_at, id)| {
        let condition = "(t.created_at, t.campaign_id) < (($ #>> '{}')::timestamptz, $ #>> '{}')".to_owned();
        (condition, vec![json!(created_at), json!(id)])
    });
    let read = |row: &PgRow| Ok(KnownCampaign { id: row.try_get(0)?, created_at: row.try_get(1)? });
    let (found, more, _) = select.page(tx, after, limit, false, read).await?;
    Ok((found, more))
}
