//! Read model `firmware`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::events::FirmwareEvent as E;
use domain::firmware::{FirmwareBytes, FirmwareDocument, FirmwareMetadata, FirmwareSignature};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::PgConnection;

use super::search;
use crate::db::{DbError, ReadTx};
use crate::decode::{Decoded, Events};
use crate::row::{Row as _, row};
use crate::table::{Page, Rows, Select};

/// A firmware. `status` is `active`, `deprecated`, `withdrawn` or `deleted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FirmwareRow {
    pub tenant: String,
    pub firmware_id: String,
    pub status: String,
    pub device_model: String,
    pub manufacturer: Option<String>,
    pub component: String,
    pub version: String,
    pub update_type: String,
    pub is_beta: bool,
    pub is_security_update: bool,
    pub metadata: FirmwareMetadata,
    pub bytes: FirmwareBytes,
    /// Live campaigns that need it.
    pub pinned_by: BTreeSet<String>,
    pub signatures: Vec<FirmwareSignature>,
    /// Those that it has now, in the order in which they came.
    pub documents: Vec<FirmwareDocument>,
    /// Version of the aggregate.
    pub events: u64,
    /// Who uploaded it first; none in rows that are older than this column.
    pub created_by: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    FirmwareRow = "firmware" key { tenant: "text", firmware_id: "text" }
    columns {
        status, device_model, manufacturer, component, version, update_type, is_beta, is_security_update, events,
        created_by, created_at, updated_at, position
    }
    json { metadata, bytes, pinned_by, signatures, documents }
}

pub(crate) const TABLES: &[&str] = &["firmware"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_firmware = || batch.iter().filter(|record| matches!(record.events, Events::Firmware(_)));
    let keys = of_firmware().map(|record| vec![record.tenant(), record.id()]);
    let mut rows = Rows::<FirmwareRow>::load(connection, keys.collect()).await?;
    for record in of_firmware() {
        let Events::Firmware(events) = &record.events else { continue };
        let key = vec![record.tenant(), record.id()];
        for event in events {
            if let E::Registered { metadata, bytes } | E::Restored { metadata, bytes } = event {
                let known = rows.get(&key).cloned();
                rows.put(new_row(record, metadata, bytes, known));
            }
            let row = rows
                .get_mut(&key)
                .ok_or_else(|| DbError::Invalid(format!("{} has no registration", record.raw.key)))?;
            match event {
                E::Registered { .. } | E::Restored { .. } => {}
                E::Signed { signature } => row.signatures.push(signature.clone()),
                E::DocumentAdded { document, replaces } => {
                    row.documents.retain(|known| Some(known.id) != *replaces);
                    row.documents.push((**document).clone());
                }
                E::DocumentRemoved { document } => row.documents.retain(|known| known.id != *document),
                E::Deprecated {} => row.status = "deprecated".to_owned(),
                E::Withdrawn {} => row.status = "withdrawn".to_owned(),
                E::Deleted { .. } => row.status = "deleted".to_owned(),
                E::Pinned { campaign } => drop(row.pinned_by.insert(campaign.to_string())),
                E::Unpinned { campaign } => drop(row.pinned_by.remove(&campaign.to_string())),
            }
            row.events = record.record.last_version();
            row.updated_at = record.at();
            row.position = record.raw.position;
        }
    }
    rows.save(connection).await
}

fn new_row(
    record: &Decoded,
    metadata: &FirmwareMetadata,
    bytes: &FirmwareBytes,
    known: Option<FirmwareRow>,
) -> FirmwareRow {
    let first = known.as_ref().map(|row| (row.created_by.clone(), row.created_at));
    let (created_by, created_at) = first.unwrap_or_else(|| (Some(record.record.meta.actor.to_string()), record.at()));
    let (pinned_by, signatures, documents) =
        known.map(|row| (row.pinned_by, row.signatures, row.documents)).unwrap_or_default();
    FirmwareRow {
        tenant: record.tenant(),
        firmware_id: record.id(),
        status: "active".to_owned(),
        device_model: metadata.device_model.clone(),
        manufacturer: metadata.manufacturer.clone(),
        component: metadata.component.clone(),
        version: metadata.version.clone(),
        update_type: metadata.update_type.word().to_owned(),
        is_beta: metadata.is_beta,
        is_security_update: metadata.is_security_update,
        metadata: metadata.clone(),
        bytes: bytes.clone(),
        pinned_by,
        signatures,
        documents,
        events: 0,
        created_by,
        created_at,
        updated_at: record.at(),
        position: record.raw.position,
    }
}

/// Which firmware to list; deleted ones only when asked for, or by id.
#[derive(Debug, Clone, Default)]
pub struct FirmwareFilter {
    pub id: Option<String>,
    /// Also deleted firmware.
    pub deleted: bool,
    pub device_model: Option<String>,
    pub manufacturer: Option<String>,
    pub update_type: Option<String>,
    pub component: Option<String>,
    pub version: Option<String>,
    pub is_beta: Option<bool>,
    pub is_security_update: Option<bool>,
    pub status: Option<String>,
    /// Beginning of the SHA-256, in lower case.
    pub digest: Option<String>,
    /// What name, version, model, file name or id has, in upper or lower case.
    pub text: Option<String>,
}

const HAS_TEXT: &str = "position(lower($ #>> '{}') in lower(concat_ws(
    ' ', t.metadata ->> 'name', t.version, t.device_model, t.bytes ->> 'filename', t.firmware_id))) > 0";

/// Firmware, newest first.
pub async fn list(
    tx: &mut ReadTx,
    filter: &FirmwareFilter,
    after: Option<(&str, &str)>,
    limit: usize,
    count: bool,
) -> Result<Page<FirmwareRow>, DbError> {
    let order = "t.created_at DESC, t.firmware_id DESC";
    let mut select = Select::new(FirmwareRow::columns_of("t"), "firmware t", order);
    select.equals("t.firmware_id", filter.id.as_ref());
    select.equals("t.device_model", filter.device_model.as_ref());
    select.equals("t.manufacturer", filter.manufacturer.as_ref());
    select.equals("t.update_type", filter.update_type.as_ref());
    select.equals("t.component", filter.component.as_ref());
    select.equals("t.version", filter.version.as_ref());
    select.equals("t.status", filter.status.as_ref());
    if let Some(digest) = &filter.digest {
        search::has_digest(&mut select, digest);
    }
    if let Some(text) = &filter.text {
        select.filter(HAS_TEXT, text.as_str());
    }
    if let Some(is_beta) = filter.is_beta {
        select.filter("t.is_beta = ($)::boolean", is_beta);
    }
    if let Some(is_security_update) = filter.is_security_update {
        select.filter("t.is_security_update = ($)::boolean", is_security_update);
    }
    if filter.id.is_none() && !filter.deleted {
        select.filter("t.status <> $ #>> '{}'", "deleted");
    }
    let after = after.map(|(created_at, id)| {
        let condition = "(t.created_at, t.firmware_id) < (($ #>> '{}')::timestamptz, $ #>> '{}')".to_owned();
        (condition, vec![Value::from(created_at), Value::from(id)])
    });
    let (items, more, total) = select.page(tx, after, limit, count, FirmwareRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.created_at.to_rfc3339(), row.firmware_id.clone()]);
    Ok(Page { items, next, total })
}
