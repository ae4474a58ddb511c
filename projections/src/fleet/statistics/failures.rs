//! Table `campaign_failures`: the failed members of a campaign by what they have in common.

use std::collections::BTreeMap;

use domain::CampaignId;
use sqlx::{PgConnection, Row as _};

use super::populations::GROUPS_MAX;
use crate::db::{DbError, ReadTx};
use crate::row::{Row as _, row};
use crate::table::Rows;

/// What failed members have in common, beside their wave.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Failure {
    pub(crate) code: String,
    /// Of the device when it failed; empty if not known, like the version.
    pub(crate) hardware_version: String,
    /// What the device ran when its update was queued.
    pub(crate) from_version: String,
}

#[derive(Debug, Clone, PartialEq)]
struct FailureRow {
    tenant: String,
    campaign_id: String,
    wave: u16,
    code: String,
    hardware_version: String,
    from_version: String,
    devices: i64,
}

row! {
    FailureRow = "campaign_failures" key {
        tenant: "text", campaign_id: "text", wave: "bigint", code: "text", hardware_version: "text", from_version: "text",
    }
    columns { devices }
    json { }
}

/// By how much the numbers of failed members change.
#[derive(Default)]
pub(crate) struct FailureChanges {
    by_key: BTreeMap<Vec<String>, (FailureRow, i64)>,
}

impl FailureChanges {
    /// `wave`: key of the member's wave.
    pub(crate) fn add(&mut self, wave: &[String], before: Option<&Failure>, after: Option<&Failure>) {
        if before == after {
            return;
        }
        for (failure, number) in before.map(|was| (was, -1)).into_iter().chain(after.map(|is| (is, 1))) {
            let [tenant, campaign_id, wave] = wave else { return };
            let row = FailureRow {
                tenant: tenant.clone(),
                campaign_id: campaign_id.clone(),
                wave: wave.parse().unwrap_or_default(),
                code: failure.code.clone(),
                hardware_version: failure.hardware_version.clone(),
                from_version: failure.from_version.clone(),
                devices: 0,
            };
            self.by_key.entry(row.key()).or_insert((row, 0)).1 += number;
        }
    }

    pub(crate) async fn save(mut self, connection: &mut PgConnection) -> Result<(), DbError> {
        self.by_key.retain(|_, (_, number)| *number != 0);
        if self.by_key.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::<FailureRow>::load(connection, self.by_key.keys().cloned().collect()).await?;
        let mut any_is_gone = false;
        for (key, (mut row, number)) in self.by_key {
            row.devices = number + rows.get(&key).map_or(0, |row| row.devices);
            any_is_gone |= row.devices == 0;
            rows.put(row);
        }
        rows.save(connection).await?;
        if any_is_gone {
            sqlx::query("DELETE FROM campaign_failures WHERE devices = 0").execute(connection).await?;
        }
        Ok(())
    }
}

/// What failures are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedBy {
    Code,
    HardwareVersion,
    FromVersion,
    Wave,
}

impl FailedBy {
    pub const ALL: [Self; 4] = [Self::Code, Self::HardwareVersion, Self::FromVersion, Self::Wave];

    /// Its name as a parameter, and the column.
    pub fn word(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::HardwareVersion => "hardware_version",
            Self::FromVersion => "from_version",
            Self::Wave => "wave",
        }
    }
}

/// Failed members with the same values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureGroup {
    /// In the order of what they are grouped by. Empty if not known.
    pub grouped: Vec<String>,
    pub devices: u64,
}

/// The largest groups of failed members, and how many there are in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    pub groups: Vec<FailureGroup>,
    pub devices: u64,
}

/// The members of a campaign that are failed now.
pub async fn failures(tx: &mut ReadTx, campaign: &CampaignId, by: &[FailedBy]) -> Result<Failures, DbError> {
    let columns: Vec<&str> = by.iter().map(|by| by.word()).collect();
    let (columns, shown) =
        (columns.join(", "), columns.iter().map(|column| format!("{column}::text")).collect::<Vec<_>>().join(", "));
    let sql = format!(
        "SELECT {shown}, sum(devices)::bigint, (sum(sum(devices)) OVER ())::bigint FROM campaign_failures
         WHERE campaign_id = $1 GROUP BY {columns} ORDER BY sum(devices) DESC, {columns} LIMIT {GROUPS_MAX}"
    );
    let mut found = Failures::default();
    for row in sqlx::query(&sql).bind(campaign.to_string()).fetch_all(&mut *tx.0).await? {
        let grouped = (0..by.len()).map(|column| row.try_get(column)).collect::<Result<Vec<String>, _>>()?;
        let number = |column: usize| row.try_get::<i64, _>(column).map(|number| number.max(0) as u64);
        found.groups.push(FailureGroup { grouped, devices: number(by.len())? });
        found.devices = number(by.len() + 1)?;
    }
    Ok(found)
}
