//! Decides for each firmware of a tenant whether it is affected, by its documents.

use std::collections::{BTreeMap, HashMap, HashSet};

use documents::{Evidence, Exposure, VexStatus, exposure_of};
use domain::firmware::{DocumentKind, FirmwareDocument, FirmwareMetadata};
use domain::ids::InvalidId;
use domain::version::compare;

use super::{ExposedFirmware, ExposureQuery, FIRMWARE_MAX, FIXES_MAX};
use crate::db::{DbError, ReadTx};
use crate::firmware::FirmwareRow;
use crate::row::Row as _;

/// Most different versions of one component that devices have reported and that are compared with firmware.
const VERSIONS_MAX: i64 = 2_000;

/// The firmware of a tenant, each with its exposure.
pub(super) struct Judged {
    /// The newest first.
    pub(super) all: Vec<ExposedFirmware>,
    pub(super) more: bool,
    pub(super) unread_documents: u64,
    /// The versions by which devices report each firmware, in the order of `all`.
    pub(super) versions: Vec<Vec<String>>,
}

/// A statement of a VEX.
struct VexStatement {
    status: VexStatus,
    justification: Option<String>,
}

/// What the documents of the tenant say about the question.
struct Contents {
    /// The worst statement of each VEX.
    statements: HashMap<String, VexStatement>,
    /// SBOMs with the package.
    with_package: HashSet<String>,
    read: HashSet<String>,
}

pub(super) async fn judge(tx: &mut ReadTx, query: &ExposureQuery) -> Result<Judged, DbError> {
    let sql = format!(
        "SELECT {} FROM firmware t ORDER BY t.created_at DESC, t.firmware_id LIMIT {}",
        FirmwareRow::columns_of("t"),
        FIRMWARE_MAX + 1
    );
    let found = sqlx::query(&sql).fetch_all(&mut *tx.0).await?;
    let more = found.len() > FIRMWARE_MAX;
    let rows = found.iter().take(FIRMWARE_MAX).map(FirmwareRow::read).collect::<Result<Vec<_>, _>>()?;
    let contents = Contents::read(tx, query, &rows).await?;
    let is_asked = |document: &&FirmwareDocument| document.kind() != DocumentKind::Provenance;
    let documents = rows.iter().flat_map(|row| row.documents.iter().filter(is_asked));
    let unread = documents.filter(|document| !contents.read.contains(&document.id.to_string())).count() as u64;
    let mut all = rows.iter().map(|row| contents.judge(row, query)).collect::<Result<Vec<_>, _>>()?;
    let fixes: Vec<_> = (0..all.len()).map(|place| fixes_of(place, &rows, &all)).collect();
    for (one, fixes) in all.iter_mut().zip(fixes) {
        one.fixes = fixes;
    }
    let versions = versions_of(tx, &rows).await?;
    Ok(Judged { all, more, unread_documents: unread, versions })
}

impl Contents {
    async fn read(tx: &mut ReadTx, query: &ExposureQuery, rows: &[FirmwareRow]) -> Result<Self, DbError> {
        let ids: Vec<String> =
            rows.iter().flat_map(|row| &row.documents).map(|document| document.id.to_string()).collect();
        let read: Vec<String> =
            sqlx::query_scalar("SELECT document_id FROM document_contents WHERE document_id = ANY ($1)")
                .bind(&ids)
                .fetch_all(&mut *tx.0)
                .await?;
        let found: Vec<(String, String, Option<String>)> = sqlx::query_as(
            "SELECT document_id, status, justification FROM document_statements
             WHERE vulnerability = $1 AND (package IS NULL OR $2::text IS NULL OR package = $2) ORDER BY document_id, number",
        )
        .bind(&query.vulnerability)
        .bind(&query.package)
        .fetch_all(&mut *tx.0)
        .await?;
        let mut statements: HashMap<String, VexStatement> = HashMap::new();
        for (document, status, justification) in found {
            let Some(status) = VexStatus::from_word(&status) else { continue };
            let is_worse = statements.get(&document).is_none_or(|known| status > known.status);
            if is_worse {
                statements.insert(document, VexStatement { status, justification });
            }
        }
        let with_package: Vec<String> = sqlx::query_scalar(
            "SELECT DISTINCT document_id FROM document_components WHERE package = $1 AND ($2::text IS NULL OR version = $2)",
        )
        .bind(&query.package)
        .bind(&query.version)
        .fetch_all(&mut *tx.0)
        .await?;
        Ok(Self { statements, with_package: with_package.into_iter().collect(), read: read.into_iter().collect() })
    }

    /// The latest VEX about the vulnerability counts, and all SBOMs together.
    fn judge(&self, row: &FirmwareRow, query: &ExposureQuery) -> Result<ExposedFirmware, DbError> {
        let of_kind = |kind| row.documents.iter().filter(move |document| document.kind() == kind);
        let vex = of_kind(DocumentKind::Vex).rev().find_map(|document| {
            let id = document.id.to_string();
            self.statements.get(&id).map(|statement| (id, statement))
        });
        let sboms: Vec<String> = of_kind(DocumentKind::Sbom).map(|document| document.id.to_string()).collect();
        let containing = sboms.iter().find(|id| self.with_package.contains(*id));
        let all_are_read = !sboms.is_empty() && sboms.iter().all(|id| self.read.contains(id));
        let contains = match &query.package {
            None => None,
            Some(_) if containing.is_some() => Some(true),
            Some(_) => all_are_read.then_some(false),
        };
        let status = vex.as_ref().map(|(_, statement)| statement.status);
        let exposure = exposure_of(Evidence { vex: status, contains });
        let deciding = vex.as_ref().map(|(id, _)| id.clone());
        let document_id = deciding.or_else(|| contains.and_then(|_| containing.or(sboms.last()).cloned()));
        Ok(ExposedFirmware {
            firmware_id: row.firmware_id.parse().map_err(|error: InvalidId| DbError::Invalid(error.to_string()))?,
            status: row.status.clone(),
            device_model: row.device_model.clone(),
            component: row.component.clone(),
            version: row.version.clone(),
            exposure,
            vex_status: status.map(|status| status.word().to_owned()),
            justification: vex.and_then(|(_, statement)| statement.justification.clone()),
            document_id,
            fixes: vec![],
            devices: 0,
        })
    }
}

/// Newer firmware for the same hardware that may be installed and isn't affected.
fn fixes_of(place: usize, rows: &[FirmwareRow], all: &[ExposedFirmware]) -> Vec<domain::FirmwareId> {
    if all[place].exposure != Exposure::Affected {
        return vec![];
    }
    let row = &rows[place];
    let is_newer = |other: &FirmwareRow| compare(&other.version, &row.version).is_some_and(std::cmp::Ordering::is_gt);
    let fits = |other: &FirmwareRow| {
        (&other.device_model, &other.component) == (&row.device_model, &row.component)
            && ["active", "deprecated"].contains(&other.status.as_str())
            && is_for_its_hardware(&other.metadata, &row.metadata)
            && is_newer(other)
    };
    let mut found: Vec<(usize, &FirmwareRow)> = rows
        .iter()
        .enumerate()
        .filter(|(other, row)| all[*other].exposure == Exposure::NotAffected && fits(row))
        .collect();
    found.sort_by(|(_, one), (_, other)| compare(&other.version, &one.version).unwrap_or(std::cmp::Ordering::Equal));
    found.into_iter().take(FIXES_MAX).map(|(place, _)| all[place].firmware_id).collect()
}

/// Whether a firmware runs on all hardware of another one. Ranges are only compared whole.
fn is_for_its_hardware(fix: &FirmwareMetadata, other: &FirmwareMetadata) -> bool {
    let hardware = hardware_of(fix);
    hardware == hardware_of(other) || hardware == (&[] as &[String], None, None)
}

/// The hardware versions of a firmware, and the lowest and the highest.
fn hardware_of(metadata: &FirmwareMetadata) -> (&[String], Option<&str>, Option<&str>) {
    let FirmwareMetadata { hardware_versions, min_hardware_version, max_hardware_version, .. } = metadata;
    (hardware_versions.as_slice(), min_hardware_version.as_deref(), max_hardware_version.as_deref())
}

/// The versions by which devices report each firmware.
async fn versions_of(tx: &mut ReadTx, rows: &[FirmwareRow]) -> Result<Vec<Vec<String>>, DbError> {
    let mut reported: BTreeMap<&str, Vec<String>> = rows.iter().map(|row| (row.component.as_str(), vec![])).collect();
    for (component, versions) in &mut reported {
        // Each step finds the next version in the index, so the number of devices doesn't matter.
        *versions = sqlx::query_scalar(
            "WITH RECURSIVE t(version) AS (
               (SELECT to_version FROM device_firmware_history WHERE component = $1 AND to_version IS NOT NULL
                ORDER BY to_version LIMIT 1)
               UNION ALL
               SELECT (SELECT h.to_version FROM device_firmware_history h WHERE h.component = $1 AND h.to_version > t.version
                       ORDER BY h.to_version LIMIT 1)
               FROM t WHERE t.version IS NOT NULL
             ) SELECT version FROM t WHERE version IS NOT NULL LIMIT $2",
        )
        .bind(*component)
        .bind(VERSIONS_MAX)
        .fetch_all(&mut *tx.0)
        .await?;
    }
    let of = |row: &FirmwareRow| {
        let reported = reported.get(row.component.as_str()).map(Vec::as_slice).unwrap_or_default();
        names_of(&row.metadata, reported)
    };
    Ok(rows.iter().map(of).collect())
}

/// The version that devices should report for a firmware, and the reported versions that mean the same. A device that has reported more than
/// [`VERSIONS_MAX`] versions can hide only the latter.
fn names_of(metadata: &FirmwareMetadata, reported: &[String]) -> Vec<String> {
    let own = metadata.reported_version.as_ref().unwrap_or(&metadata.version);
    let same = reported.iter().filter(|version| *version != own && metadata.expected().is_met_by(version));
    std::iter::once(own).chain(same).cloned().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(reported_version: Option<&str>) -> FirmwareMetadata {
        let metadata = json!({"name": "F", "version": "2.0.0", "reported_version": reported_version, "device_model": "M",
            "component": "firmware", "update_type": "firmware", "rollback_allowed": true, "requires_reboot": true});
        serde_json::from_value(metadata).unwrap()
    }

    #[test]
    fn the_own_version_of_a_firmware_is_found_when_the_reported_ones_are_cut_off() {
        let reported = ["v2.0", "1.0.0", "2.0.0"].map(str::to_owned);
        assert_eq!(names_of(&metadata(None), &reported), ["2.0.0", "v2.0"]);
        assert_eq!(names_of(&metadata(None), &[]), ["2.0.0"]);
        assert_eq!(names_of(&metadata(Some("7")), &reported), ["7"]);
    }
}
