//! Members that may begin, in the campaign's order: counted for views and decisions, and listed for grants.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use domain::campaign::CampaignSpec;
use domain::ledger::SlotGrant;
use domain::per_transport::{PerTransport, counted_as};
use domain::rollout::Counts;
use domain::{CampaignId, TenantId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::predicates::PLANNED;
use super::release::{self, Release};
use super::rows::{CampaignRow, ProgressRow, progress, slot_of};
use super::transports;
use crate::db::{Db, DbError, ReadTx};
use crate::fleet::preconditions;

/// Devices that could begin are counted up to here for operators, in all open waves together and in the latest one.
const READY_SHOWN_MAX: i64 = 1_000;
/// Decisions need no more of them than there are free slots, but at least as many as this.
const READY_DECIDED_MIN: i64 = 20;

/// What a view of a campaign is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Gates ask whether any device of the latest wave is ready, and grants whether there is one for each free slot.
    Decide,
    Show,
}

impl Purpose {
    /// How many ready devices of each transport are counted.
    fn counted_max(self, row: &CampaignRow, waves: &[ProgressRow]) -> PerTransport<i64> {
        let total = waves.iter().fold(Counts::default(), |total, wave| total.plus(wave.counts));
        PerTransport::each(|transport| match self {
            Self::Decide => {
                let in_use = *total.slots_in_use().of(transport);
                let free = row.spec.pace(transport).max_concurrent_updates.saturating_sub(in_use);
                i64::from(free).clamp(READY_DECIDED_MIN, READY_SHOWN_MAX)
            }
            Self::Show => READY_SHOWN_MAX,
        })
    }

    /// Whether the counts of all open waves say enough about the latest one.
    fn is_content(self, counts: &ReadyCounts, latest: u16) -> bool {
        counts.contains_key(&latest) && (self == Self::Decide || counts.len() == 1)
    }
}

/// SQL conditions for the members of the committed plan that may get a slot: those of open waves; with blue/green first those of any wave that
/// have yet to stage, then staged ones of open waves. After the campaign's end only members that have begun, and none activates. The campaign's
/// values come from subqueries, so that an index gives the members of each condition in their order.
fn grantable_conditions(spec: &CampaignSpec) -> Vec<String> {
    const NOT_OVER: &str =
        "(SELECT coalesce(ends_at > $3, true) FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2)";
    const OPEN: &str =
        "m.wave BETWEEN 1 AND (SELECT wave FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2)";
    let of_plan = |condition: &str| {
        format!(
            "WHERE m.tenant = $1 AND m.campaign_id = $2
               AND m.plan = (SELECT plan FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2) AND {condition}"
        )
    };
    let begins = |waves: &str| of_plan(&format!("NOT m.staged AND {waves} AND (m.reached OR {NOT_OVER})"));
    match spec.stages() {
        false => vec![begins(OPEN)],
        true => vec![begins("m.wave >= 1"), of_plan(&format!("m.staged AND {OPEN} AND {NOT_OVER}"))],
    }
}

/// Members that wait for nothing, and members whose pause or hold is over ([`super::readiness`]).
const READY: &str = "AND m.ready";
const READY_BY_NOW: &str = "AND m.ready_at <= $3";

/// The latest opening of a wave whose waiting time is over by now.
const LONGEST_AGO: &str = "$3 - make_interval(mins => (spec->>'wait_for_device_minutes')::integer,
             secs => coalesce((spec->>'jitter_seconds')::float8, 0))";

/// Members whose waiting time is over: a slot lets them end. The age of the waves is checked before any member is read.
fn overdue() -> String {
    format!(
        "AND {PLANNED} AND NOT m.reached
     AND EXISTS (SELECT FROM campaign_progress w WHERE w.tenant = $1 AND w.campaign_id = $2 AND w.waits_from <= (
           SELECT {LONGEST_AGO}
           FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2))
     AND m.wave IN (SELECT w.wave FROM campaign_progress w WHERE w.tenant = $1 AND w.campaign_id = $2 AND w.waits_from <= (
           SELECT {LONGEST_AGO}
           FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2))"
    )
}

/// Members whose device meets the campaign's preconditions or is decommissioned.
fn preconditions_met() -> String {
    const OF: &str = "(SELECT spec->'preconditions' FROM rollout_campaigns WHERE tenant = $1 AND campaign_id = $2)";
    format!(
        "AND ({OF} IS NULL
           OR EXISTS (SELECT FROM device_presence p WHERE p.tenant = m.tenant AND p.device_id = m.device_id AND {})
           OR EXISTS (SELECT FROM devices d WHERE d.tenant = m.tenant AND d.device_id = m.device_id AND d.lifecycle = 'decommissioned'))",
        preconditions::hold(OF)
    )
}

/// Leaves out members whose delay by the campaign's jitter is not over. They are the last ones of their wave, so this is a range of ranks.
fn spread(spec: &CampaignSpec, waves: &[ProgressRow], now: DateTime<Utc>) -> String {
    let mut first_rank = 0;
    let mut conditions = String::new();
    for wave in waves {
        let devices = wave.counts.enrolled;
        if let Some(begun) = wave.waits_from.and_then(|opened_at| spec.begun_by_jitter(devices, opened_at, now)) {
            let from = first_rank + u64::from(begun);
            conditions +=
                &format!(" AND NOT (m.wave = {} AND m.rank >= {from} AND (NOT m.reached OR m.staged))", wave.wave);
        }
        first_rank += u64::from(devices);
    }
    conditions
}

/// Members that may begin, the first `limit` in the campaign's order. `transport`: see [`transports`]; `spread`: see [`spread`]. Each way to be ready is a query of its own, so that it can start from
/// the few rows that it concerns.
///
/// Windows say which of them are released; members whose waiting time is over end, and don't begin.
fn ready_sql(spec: &CampaignSpec, limit: i64, transport: &str, spread: &str, release: &Release) -> String {
    let met = format!("{} {spread}", preconditions_met());
    let part = |grantable: &str, conditions: &str| {
        format!(
            "(SELECT m.device_id, m.wave, m.rank, m.lorawan FROM rollout_members m {grantable} {transport} {conditions}
              ORDER BY m.wave, m.rank LIMIT {limit})"
        )
    };
    let grantable = grantable_conditions(spec);
    let mut parts: Vec<String> = grantable.first().map(|grantable| part(grantable, &overdue())).into_iter().collect();
    for grantable in &grantable {
        match release {
            Release::All => parts.extend([READY, READY_BY_NOW].map(|ready| part(grantable, &format!("{ready} {met}")))),
            Release::Nobody => {}
            Release::Zones(_) => {
                let of_zone = part(grantable, &format!("AND m.zone = z.zone {READY} {met}"));
                parts.push(format!(
                    "(SELECT r.* FROM unnest($4::text[]) z (zone) CROSS JOIN LATERAL {of_zone} r ORDER BY wave, rank LIMIT {limit})"
                ));
                parts.push(part(grantable, &format!("AND m.zone = ANY ($4) {READY_BY_NOW} {met}")));
            }
        }
    }
    let parts = parts.join(" UNION ");
    format!("SELECT * FROM ({parts}) r ORDER BY wave, rank LIMIT {limit}")
}

/// How many members of each wave could begin.
pub(super) async fn ready_per_wave(
    purpose: Purpose,
    tx: &mut ReadTx,
    row: &CampaignRow,
    waves: &[ProgressRow],
    now: DateTime<Utc>,
    release: &Release,
) -> Result<HashMap<u16, PerTransport<u32>>, DbError> {
    let spread = spread(&row.spec, waves, now);
    let mut all: HashMap<u16, PerTransport<u32>> = HashMap::new();
    for (transport, max) in transports::each(tx, row, purpose.counted_max(row, waves)).await? {
        let counts = ready_of_transport(purpose, tx, row, now, release, (transport, max), &spread).await?;
        for (wave, (devices, lorawan)) in counts {
            let counted = all.entry(wave).or_default();
            *counted.of_mut(counted_as(lorawan)) += devices;
        }
    }
    Ok(all)
}

/// Of the members of one transport.
async fn ready_of_transport(
    purpose: Purpose,
    tx: &mut ReadTx,
    row: &CampaignRow,
    now: DateTime<Utc>,
    release: &Release,
    (transport, max): (&str, i64),
    spread: &str,
) -> Result<ReadyCounts, DbError> {
    let mut counts = count_ready(tx, row, now, release, (transport, max), spread).await?;
    // Devices of earlier waves come first. The gate of the latest wave needs its own ones, too.
    let counted: u32 = counts.values().map(|(devices, _)| devices).sum();
    if i64::from(counted) >= max && !purpose.is_content(&counts, row.wave) {
        let of_latest = format!("AND m.wave = {} {spread}", row.wave);
        let of_latest = count_ready(tx, row, now, release, (transport, max), &of_latest).await?;
        counts.extend(of_latest.get_key_value(&row.wave).map(|(wave, count)| (*wave, *count)));
    }
    Ok(counts)
}

/// Ready members of each wave, and whether they are LoRaWAN devices: they are of one transport.
type ReadyCounts = HashMap<u16, (u32, bool)>;

/// Of members of one transport for which further conditions hold, at most `max`.
async fn count_ready(
    tx: &mut ReadTx,
    row: &CampaignRow,
    now: DateTime<Utc>,
    release: &Release,
    (transport, max): (&str, i64),
    conditions: &str,
) -> Result<ReadyCounts, DbError> {
    let ready = ready_sql(&row.spec, max, transport, conditions, release);
    let sql = format!("SELECT wave, count(*), bool_or(lorawan) FROM ({ready}) r GROUP BY wave");
    let query = sqlx::query(&sql).bind(&row.tenant).bind(&row.campaign_id).bind(now);
    let rows = release.bind(query).fetch_all(&mut *tx.0).await?;
    let read = |row: &PgRow| {
        let (wave, devices): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        Ok((wave as u16, (devices as u32, row.try_get(2)?)))
    };
    rows.iter().map(read).collect()
}

/// The next devices of each transport that may be granted a slot, in the campaign's order.
pub async fn ready(
    db: &Db,
    tenant: &TenantId,
    campaign: &CampaignId,
    now: DateTime<Utc>,
    limits: impl Into<PerTransport<usize>>,
) -> Result<Vec<SlotGrant>, DbError> {
    let mut tx = db.read_all().await?;
    let Some(row) = CampaignRow::find(&mut tx, tenant, campaign).await? else { return Ok(vec![]) };
    let waves = progress(&mut tx, tenant, campaign).await?;
    let zones = release::zones(&mut tx, &row).await?;
    let release = Release::of(&row.spec.maintenance_window, &zones, now);
    let mut ready = Vec::new();
    for (transport, limit) in transports::each(&mut tx, &row, limits.into()).await? {
        let sql = ready_sql(&row.spec, limit as i64, transport, &spread(&row.spec, &waves, now), &release);
        let query = sqlx::query(&sql).bind(tenant.as_str()).bind(campaign.to_string()).bind(now);
        for found in release.bind(query).fetch_all(&mut *tx.0).await? {
            ready.push(slot_of(&found)?);
        }
    }
    ready.sort_by_key(|slot| (slot.wave, slot.rank));
    Ok(ready)
}
