//! Finds devices, campaigns, firmware and groups by the beginning of a text: an id, a name, a version, a digest, or a whole DevEUI.
//!
//! Each query reads a few rows of one index in its order, however many rows begin so. Devices for a caller with limited grants are the
//! exception: of them at most [`LOOKED_THROUGH_MAX`] rows of the index are looked at.

use std::collections::HashSet;

use domain::GroupId;
use serde_json::{Value, json};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::campaigns::STAYS_WITHIN;
use super::reach::{self, Reach};
use crate::db::{DbError, ReadTx};
use crate::table::Select;

/// Most devices that are looked at for a caller with limited grants.
const LOOKED_THROUGH_MAX: usize = 10_000;
/// No text continues with a character that sorts after this one.
const LAST_CHARACTER: u32 = 0x10_ffff;

/// What of a row begins with the text, or is it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matched {
    Id,
    Name,
    Version,
    Digest,
    Eui,
}

/// A row that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit<T> {
    pub id: String,
    pub name: Option<String>,
    pub matched: Matched,
    pub about: T,
}

/// The rows of one kind, those with the shortest texts of the same beginning first.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<T> {
    pub hits: Vec<Hit<T>>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// Of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutDevice {
    pub device_model: Option<String>,
    pub firmware_version: Option<String>,
    pub status: String,
    pub lifecycle: String,
}

/// Of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutCampaign {
    pub status: String,
    pub strategy: String,
}

/// Of a firmware.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutFirmware {
    pub version: String,
    pub device_model: String,
    pub status: String,
}

/// Of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutGroup {
    pub kind: String,
    pub members: i64,
    pub deleted: bool,
}

/// A column that has an index for beginnings.
struct By {
    column: &'static str,
    /// The order of that index.
    order: &'static str,
    matched: Matched,
}

const fn by(column: &'static str, order: &'static str, matched: Matched) -> By {
    By { column, order, matched }
}

const DEVICE_BY: [By; 2] = [
    by("device_id_lower", "t.device_id_lower USING ~<~", Matched::Id),
    by("name_lower", "t.name_lower USING ~<~", Matched::Name),
];
const CAMPAIGN_BY: [By; 2] = [
    by("campaign_id", "t.campaign_id USING ~<~", Matched::Id),
    by("name_lower", "t.name_lower USING ~<~", Matched::Name),
];
const FIRMWARE_BY: [By; 3] = [
    by("firmware_id", "t.firmware_id USING ~<~", Matched::Id),
    by("name_lower", "t.name_lower USING ~<~", Matched::Name),
    by("version_lower", "t.version_lower USING ~<~", Matched::Version),
];
const FIRMWARE_BY_DIGEST: By = by("sha256", "t.sha256 USING ~<~", Matched::Digest);
const GROUP_BY: [By; 2] = [
    by("group_id_lower", "t.group_id_lower USING ~<~", Matched::Id),
    by("name_lower", "t.name_lower USING ~<~", Matched::Name),
];

/// That a column of the table begins with the text of the first parameter, in lower case.
fn begins(column: &str) -> String {
    let text = "lower($1 #>> '{}')";
    format!("{column} ~>=~ {text} AND {column} ~<~ ({text} || chr({LAST_CHARACTER}))")
}

/// Rows of a table whose column begins with a text, in the order of the column's index. The first columns are id and name.
fn beginning(table: &str, columns: &str, by: &By, text: &str) -> Select {
    let mut select = Select::new(columns.to_owned(), format!("{table} t"), by.order);
    select.filter("$ IS NOT NULL", text);
    select.require(begins(&format!("t.{}", by.column)));
    select
}

/// Rows of some queries, one query after the other and each row once, at most `limit`.
struct Gathered<T> {
    found: Found<T>,
    known: HashSet<String>,
    limit: usize,
}

impl<T> Gathered<T> {
    fn up_to(limit: usize) -> Self {
        Self { found: Found { hits: Vec::new(), more: false }, known: HashSet::new(), limit }
    }

    async fn add(
        &mut self,
        tx: &mut ReadTx,
        select: Select,
        matched: Matched,
        read: impl Fn(&PgRow) -> Result<T, DbError>,
    ) -> Result<(), DbError> {
        let hit = |row: &PgRow| Ok(Hit { id: row.try_get(0)?, name: row.try_get(1)?, matched, about: read(row)? });
        let (hits, more, _) = select.page(tx, None, self.limit, false, hit).await?;
        self.found.more |= more;
        for hit in hits.into_iter().filter(|hit| self.known.insert(hit.id.clone())) {
            match self.found.hits.len() < self.limit {
                true => self.found.hits.push(hit),
                false => self.found.more = true,
            }
        }
        Ok(())
    }
}

const DEVICE_COLUMNS: &str = "t.device_id, t.name, t.device_model, t.firmware_version, t.status, t.lifecycle";

fn device(row: &PgRow) -> Result<AboutDevice, DbError> {
    Ok(AboutDevice {
        device_model: row.try_get(2)?,
        firmware_version: row.try_get(3)?,
        status: row.try_get(4)?,
        lifecycle: row.try_get(5)?,
    })
}

/// Devices by id or name, and the one with the DevEUI `eui`, decommissioned ones included.
pub async fn devices(
    tx: &mut ReadTx,
    text: &str,
    eui: Option<&str>,
    reach: Option<&Reach>,
    limit: usize,
) -> Result<Found<AboutDevice>, DbError> {
    let mut all = Gathered::up_to(limit);
    if let Some(eui) = eui {
        let mut select = Select::new(DEVICE_COLUMNS.to_owned(), "devices t", "t.device_id");
        select.equals("t.lorawan_dev_eui", Some(&eui.to_owned()));
        if let Some(reach) = reach {
            reach::limit(tx, &mut select, reach).await?;
        }
        all.add(tx, select, Matched::Eui, device).await?;
    }
    for by in &DEVICE_BY {
        let select = match reach {
            None => beginning("devices", DEVICE_COLUMNS, by, text),
            Some(reach) => {
                let begins = begins(by.column);
                let order = by.order.trim_start_matches("t.");
                let first =
                    format!("(SELECT * FROM devices WHERE {begins} ORDER BY {order} LIMIT {LOOKED_THROUGH_MAX}) t");
                let mut select = Select::new(DEVICE_COLUMNS.to_owned(), first, by.order);
                select.filter("$ IS NOT NULL", text);
                reach::limit(tx, &mut select, reach).await?;
                select
            }
        };
        all.add(tx, select, by.matched, device).await?;
    }
    Ok(all.found)
}

/// Campaigns by id or name; of these, only those whose targets are members of the groups `within`. Deleted drafts are among them.
pub async fn campaigns(
    tx: &mut ReadTx,
    text: &str,
    within: Option<&[GroupId]>,
    limit: usize,
) -> Result<Found<AboutCampaign>, DbError> {
    let mut all = Gathered::up_to(limit);
    for by in &CAMPAIGN_BY {
        let mut select = beginning("campaigns", "t.campaign_id, t.name, t.status, t.strategy", by, text);
        if let Some(groups) = within {
            select.filter(STAYS_WITHIN, json!(groups));
        }
        let about = |row: &PgRow| Ok(AboutCampaign { status: row.try_get(2)?, strategy: row.try_get(3)? });
        all.add(tx, select, by.matched, about).await?;
    }
    Ok(all.found)
}

/// Firmware by id, name or version, and by the beginning of its SHA-256. Deleted ones are among them.
pub async fn firmware(
    tx: &mut ReadTx,
    text: &str,
    digest: Option<&str>,
    limit: usize,
) -> Result<Found<AboutFirmware>, DbError> {
    const COLUMNS: &str = "t.firmware_id, t.metadata ->> 'name', t.version, t.device_model, t.status";
    let about = |row: &PgRow| {
        Ok(AboutFirmware { version: row.try_get(2)?, device_model: row.try_get(3)?, status: row.try_get(4)? })
    };
    let mut all = Gathered::up_to(limit);
    if let Some(digest) = digest {
        let by = &FIRMWARE_BY_DIGEST;
        all.add(tx, beginning("firmware", COLUMNS, by, digest), by.matched, about).await?;
    }
    for by in &FIRMWARE_BY {
        all.add(tx, beginning("firmware", COLUMNS, by, text), by.matched, about).await?;
    }
    Ok(all.found)
}

/// Groups by id or name. Deleted ones are among them.
pub async fn groups(tx: &mut ReadTx, text: &str, limit: usize) -> Result<Found<AboutGroup>, DbError> {
    let mut all = Gathered::up_to(limit);
    for by in &GROUP_BY {
        let select = beginning("groups", "t.group_id, t.name, t.kind, t.members, t.deleted", by, text);
        let about =
            |row: &PgRow| Ok(AboutGroup { kind: row.try_get(2)?, members: row.try_get(3)?, deleted: row.try_get(4)? });
        all.add(tx, select, by.matched, about).await?;
    }
    Ok(all.found)
}

/// The condition that a firmware's SHA-256 begins so, over rows `t`.
pub(super) fn has_digest(select: &mut Select, digest: &str) {
    let condition = format!("t.sha256 ~>=~ ($ #>> '{{}}') AND t.sha256 ~<~ (($ #>> '{{}}') || chr({LAST_CHARACTER}))");
    select.filter(&format!("({condition})"), Value::from(digest));
}
