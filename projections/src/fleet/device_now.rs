//! The present state of an update's device, read in the same query. It explains why the update waits.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::device::{Availability, Hold, Lifecycle, Reachability};
use domain::preconditions::LatestTelemetry;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::device_row::Occupancy;
use crate::db::DbError;
use crate::row::{ColumnValue as _, from_json};

/// What occupies a device, and its latest presence.
pub(crate) struct DeviceNow {
    lifecycle: Lifecycle,
    status: Reachability,
    hold: Option<Hold>,
    live: Option<u32>,
    between_attempts: BTreeSet<u32>,
    pub(crate) telemetry: Option<LatestTelemetry>,
    pub(crate) timezone: Option<String>,
}

impl DeviceNow {
    pub(crate) const COLUMNS: [&str; 10] = [
        "d.lifecycle",
        "d.status",
        "d.held",
        "d.hold_until",
        "d.live_ordinal",
        "d.between_attempts",
        "p.last_seen",
        "p.battery_level",
        "p.external_power",
        "d.timezone",
    ];

    /// [`Self::COLUMNS`] for a SELECT.
    pub(crate) fn columns() -> String {
        Self::COLUMNS.join(", ")
    }

    /// The same, without the presence.
    pub(crate) fn columns_without_presence() -> String {
        const NULLS: [(&str, &str); 3] = [
            ("p.last_seen", "NULL::timestamptz"),
            ("p.battery_level", "NULL::bigint"),
            ("p.external_power", "NULL::boolean"),
        ];
        NULLS.into_iter().fold(Self::columns(), |columns, (column, null)| columns.replace(column, null))
    }

    /// Joins the device of the row that a query calls `name`.
    pub(crate) fn join(name: &str) -> String {
        format!(
            "LEFT JOIN devices d ON d.tenant = {name}.tenant AND d.device_id = {name}.device_id
             LEFT JOIN device_presence p ON p.tenant = {name}.tenant AND p.device_id = {name}.device_id"
        )
    }

    /// Reads [`Self::COLUMNS`] from `first` on; none when the device is not known.
    pub(crate) fn read(row: &PgRow, first: usize) -> Result<Option<Self>, DbError> {
        let Some(lifecycle) = row.try_get::<Option<String>, _>(first)? else { return Ok(None) };
        let (held, until): (bool, Option<DateTime<Utc>>) = (row.try_get(first + 2)?, row.try_get(first + 3)?);
        let last_seen: Option<DateTime<Utc>> = row.try_get(first + 6)?;
        let (battery_percent, external_power) = (row.try_get(first + 7)?, row.try_get(first + 8)?);
        Ok(Some(Self {
            lifecycle: Lifecycle::from_wire(lifecycle)?,
            status: Reachability::from_wire(row.try_get(first + 1)?)?,
            hold: held.then_some(Hold { until }),
            live: Option::from_wire(row.try_get(first + 4)?)?,
            between_attempts: from_json(row.try_get(first + 5)?)?,
            telemetry: last_seen.map(|last_seen| LatestTelemetry { last_seen, battery_percent, external_power }),
            timezone: row.try_get(first + 9)?,
        }))
    }

    pub(crate) fn occupancy(&self) -> Occupancy<'_> {
        Occupancy { availability: self.availability(), timezone: self.timezone.as_deref() }
    }

    pub(crate) fn availability(&self) -> Availability<'_> {
        Availability::new(self.lifecycle, self.status, self.hold, self.live, &self.between_attempts)
    }
}
