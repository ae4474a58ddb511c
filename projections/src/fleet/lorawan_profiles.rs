//! Read model `lorawan_profiles`: what ChirpStack said last of each device profile.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::events::LorawanProfileEvent;
use domain::lorawan::Region;
use domain::lorawan_profile::ProfileFacts;
use sqlx::{PgConnection, Row as _};

use crate::db::{Db, DbError, ReadTx};
use crate::decode::{Decoded, Events};
use crate::row::{Row as _, parse, row};
use crate::table::Rows;

/// Most profiles of one tenant that are read at once.
const PROFILES_MAX: i64 = 1_000;

/// The device profile that a device has over there: that of its copy, else its own, else the one of its tenant's connection. The query names the
/// device `d`.
pub(crate) const PROFILE_OF_DEVICE: &str = "COALESCE(d.network #>> '{copy,device_profile_id}', d.device_profile_id, (SELECT n.state #>> '{chirpstack,default_device_profile_id}' FROM tenants n WHERE n.tenant = d.tenant))";

/// A device profile.
#[derive(Debug, Clone, PartialEq)]
pub struct LorawanProfileRow {
    pub tenant: String,
    pub profile_id: String,
    pub region: Option<Region>,
    pub uplink_interval_s: u32,
    pub fragmentation: bool,
    pub multicast: bool,
    pub observed_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    LorawanProfileRow = "lorawan_profiles" key { tenant: "text", profile_id: "text" }
    columns { region, uplink_interval_s, fragmentation, multicast, observed_at, position }
    json {}
}

pub(crate) const TABLES: &[&str] = &["lorawan_profiles"];

impl LorawanProfileRow {
    pub fn facts(&self) -> ProfileFacts {
        let Self { region, uplink_interval_s, fragmentation, multicast, .. } = *self;
        ProfileFacts { region, uplink_interval_s, fragmentation, multicast }
    }
}

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let mut rows = Rows::<LorawanProfileRow>::default();
    for record in batch {
        let Events::LorawanProfile(events) = &record.events else { continue };
        for LorawanProfileEvent::Observed { facts } in events {
            let ProfileFacts { region, uplink_interval_s, fragmentation, multicast } = *facts;
            rows.put(LorawanProfileRow {
                tenant: record.tenant(),
                profile_id: record.id(),
                region,
                uplink_interval_s,
                fragmentation,
                multicast,
                observed_at: record.at(),
                position: record.raw.position,
            });
        }
    }
    rows.save(connection).await
}

/// What is known of a tenant's profiles.
pub async fn of_tenant(tx: &mut ReadTx, tenant: &TenantId) -> Result<BTreeMap<String, ProfileFacts>, DbError> {
    let sql = format!(
        "SELECT {} FROM lorawan_profiles p WHERE p.tenant = $1 ORDER BY p.observed_at DESC LIMIT {PROFILES_MAX}",
        LorawanProfileRow::columns_of("p")
    );
    let rows = sqlx::query(&sql).bind(tenant.as_str()).fetch_all(&mut *tx.0).await?;
    rows.iter().map(|row| LorawanProfileRow::read(row).map(|row| (row.profile_id.clone(), row.facts()))).collect()
}

/// The same for a process manager.
pub async fn known(db: &Db, tenant: &TenantId) -> Result<BTreeMap<String, ProfileFacts>, DbError> {
    of_tenant(&mut db.read_all().await?, tenant).await
}

/// The profiles that copies of devices have, by tenant and profile: one look into the index for each.
const COPIED: &str = "WITH RECURSIVE p(tenant, id) AS (
   (SELECT d.tenant, d.network #>> '{copy,device_profile_id}' FROM devices d
    WHERE d.network #>> '{copy,device_profile_id}' IS NOT NULL AND d.tenant >= $1
    ORDER BY d.tenant, d.network #>> '{copy,device_profile_id}' LIMIT 1)
   UNION ALL
   SELECT next.tenant, next.id FROM p, LATERAL (
     SELECT d.tenant, d.network #>> '{copy,device_profile_id}' AS id FROM devices d
     WHERE d.network #>> '{copy,device_profile_id}' IS NOT NULL
       AND (d.tenant, d.network #>> '{copy,device_profile_id}') > (p.tenant, p.id)
     ORDER BY d.tenant, d.network #>> '{copy,device_profile_id}' LIMIT 1) next
   WHERE NOT $2 OR next.tenant = $1
 ) ";

/// Profiles of copies of devices that have not been read yet, at most `limit`.
pub async fn unknown(db: &Db, limit: usize) -> Result<Vec<(TenantId, String)>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = format!(
        "{COPIED} SELECT p.tenant, p.id FROM p WHERE NOT EXISTS (
           SELECT FROM lorawan_profiles known WHERE known.tenant = p.tenant AND known.profile_id = p.id) LIMIT $3"
    );
    let rows = sqlx::query(&sql).bind("").bind(false).bind(limit as i64).fetch_all(&mut *tx.0).await?;
    rows.iter().map(|row| Ok((parse(row.try_get(0)?)?, row.try_get(1)?))).collect()
}

/// Profiles that copies of the tenant's devices have, at most `limit`.
pub async fn in_use(db: &Db, tenant: &TenantId, limit: usize) -> Result<Vec<String>, DbError> {
    let mut tx = db.read_all().await?;
    let sql = format!("{COPIED} SELECT p.id FROM p WHERE p.tenant = $1 LIMIT $3");
    let query = sqlx::query_scalar(&sql).bind(tenant.as_str()).bind(true).bind(limit as i64);
    Ok(query.fetch_all(&mut *tx.0).await?)
}
