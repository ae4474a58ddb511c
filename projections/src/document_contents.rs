//! Tables `document_contents`, `document_components` and `document_statements`: the contents of the stored documents of firmware.
//!
//! Their rows follow from the bytes of the documents, not from events, so they are no read model. [`unread`] finds documents without rows, so
//! that they are read again. [`remove_stray`] removes rows of documents that no firmware has.

use documents::{Component, Content, Statement};
use domain::firmware::FirmwareDocument;
use domain::values::Sha256Digest;
use domain::{DocumentId, FirmwareId, TenantId};
use sqlx::PgConnection;

use crate::db::{Db, DbError};
use crate::row::parse;

/// Most rows in one statement.
const STATEMENT_ROWS_MAX: usize = 10_000;
/// How long rows without a firmware are kept, in minutes: the event that names the document may not be projected yet.
const STRAY_MINUTES: i32 = 10;
/// Most documents whose rows one call removes.
const STRAY_MAX: i64 = 100;

/// A document whose content is not in the tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Unread {
    pub tenant: TenantId,
    pub firmware: FirmwareId,
    /// Of the firmware's bytes.
    pub sha256: Sha256Digest,
    pub document: FirmwareDocument,
}

/// Stores the contents of a document, and replaces those that are there.
pub async fn store(db: &Db, tenant: &TenantId, document: DocumentId, content: &Content) -> Result<(), DbError> {
    let mut tx = db.write("public").await?;
    let (tenant, document) = (tenant.as_str(), document.to_string());
    remove(&mut tx, tenant, &document).await?;
    let entries = match content {
        Content::Sbom(components) => insert_components(&mut tx, tenant, &document, components).await?,
        Content::Vex(statements) => insert_statements(&mut tx, tenant, &document, statements).await?,
        Content::Provenance(_) => 0,
    };
    sqlx::query(
        "INSERT INTO document_contents (tenant, document_id, entries, read_at) VALUES ($1, $2, $3, now())
         ON CONFLICT (tenant, document_id) DO UPDATE SET entries = EXCLUDED.entries, read_at = EXCLUDED.read_at",
    )
    .bind(tenant)
    .bind(&document)
    .bind(entries as i64)
    .execute(&mut *tx)
    .await?;
    Ok(tx.commit().await?)
}

/// Removes the contents of a document.
pub async fn forget(db: &Db, tenant: &TenantId, document: DocumentId) -> Result<(), DbError> {
    let mut tx = db.write("public").await?;
    remove(&mut tx, tenant.as_str(), &document.to_string()).await?;
    Ok(tx.commit().await?)
}

async fn remove(connection: &mut PgConnection, tenant: &str, document: &str) -> Result<(), DbError> {
    for table in ["document_components", "document_statements", "document_contents"] {
        sqlx::query(&format!("DELETE FROM {table} WHERE tenant = $1 AND document_id = $2"))
            .bind(tenant)
            .bind(document)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

async fn insert_components(
    connection: &mut PgConnection,
    tenant: &str,
    document: &str,
    components: &[Component],
) -> Result<usize, DbError> {
    for (page, first) in components.chunks(STATEMENT_ROWS_MAX).zip((0_i64..).step_by(STATEMENT_ROWS_MAX)) {
        sqlx::query(
            "INSERT INTO document_components (tenant, document_id, number, package, name, version)
             SELECT $1, $2, $3 + t.n, t.package, t.name, t.version
             FROM UNNEST($4::text[], $5::text[], $6::text[]) WITH ORDINALITY AS t (package, name, version, n)
             ON CONFLICT DO NOTHING",
        )
        .bind(tenant)
        .bind(document)
        .bind(first)
        .bind(page.iter().map(|one| one.package.as_deref()).collect::<Vec<_>>())
        .bind(page.iter().map(|one| one.name.as_str()).collect::<Vec<_>>())
        .bind(page.iter().map(|one| one.version.as_deref()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(components.len())
}

async fn insert_statements(
    connection: &mut PgConnection,
    tenant: &str,
    document: &str,
    statements: &[Statement],
) -> Result<usize, DbError> {
    for (page, first) in statements.chunks(STATEMENT_ROWS_MAX).zip((0_i64..).step_by(STATEMENT_ROWS_MAX)) {
        sqlx::query(
            "INSERT INTO document_statements (tenant, document_id, number, vulnerability, status, justification, package)
             SELECT $1, $2, $3 + t.n, t.vulnerability, t.status, t.justification, t.package
             FROM UNNEST($4::text[], $5::text[], $6::text[], $7::text[]) WITH ORDINALITY
               AS t (vulnerability, status, justification, package, n)
             ON CONFLICT DO NOTHING",
        )
        .bind(tenant)
        .bind(document)
        .bind(first)
        .bind(page.iter().map(|one| one.vulnerability.as_str()).collect::<Vec<_>>())
        .bind(page.iter().map(|one| one.status.word()).collect::<Vec<_>>())
        .bind(page.iter().map(|one| one.justification.as_deref()).collect::<Vec<_>>())
        .bind(page.iter().map(|one| one.package.as_deref()).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
    }
    Ok(statements.len())
}

/// Documents of all tenants that have not been read, in random order: those that can't be read must not keep back the others.
pub async fn unread(db: &Db, limit: usize) -> Result<Vec<Unread>, DbError> {
    let mut tx = db.read_all().await?;
    let rows: Vec<(String, String, String, serde_json::Value)> = sqlx::query_as(
        "SELECT f.tenant, f.firmware_id, f.bytes->>'sha256', d.value
         FROM firmware f CROSS JOIN LATERAL jsonb_array_elements(f.documents) d
         WHERE f.documents <> '[]' AND NOT EXISTS (
           SELECT FROM document_contents c WHERE c.tenant = f.tenant AND c.document_id = d.value->>'id')
         ORDER BY random() LIMIT $1",
    )
    .bind(limit as i64)
    .fetch_all(&mut *tx.0)
    .await?;
    let read =
        |(tenant, firmware, sha256, document): (String, String, String, serde_json::Value)| -> Result<Unread, DbError> {
            let sha256 =
                Sha256Digest::from_hex(&sha256).ok_or_else(|| DbError::Invalid("a digest of a firmware".to_owned()))?;
            Ok(Unread {
                tenant: parse(tenant)?,
                firmware: firmware
                    .parse()
                    .map_err(|error: domain::ids::InvalidId| DbError::Invalid(error.to_string()))?,
                sha256,
                document: serde_json::from_value(document)?,
            })
        };
    rows.into_iter().map(read).collect()
}

/// Removes the contents of documents that no firmware has.
pub async fn remove_stray(db: &Db) -> Result<(), DbError> {
    let mut tx = db.read_all().await?;
    let stray: Vec<(String, String)> = sqlx::query_as(
        "SELECT tenant, document_id FROM document_contents WHERE read_at < now() - make_interval(mins => $1)
         EXCEPT SELECT f.tenant, d.value->>'id' FROM firmware f CROSS JOIN LATERAL jsonb_array_elements(f.documents) d
         LIMIT $2",
    )
    .bind(STRAY_MINUTES)
    .bind(STRAY_MAX)
    .fetch_all(&mut *tx.0)
    .await?;
    drop(tx);
    if stray.is_empty() {
        return Ok(());
    }
    let mut tx = db.write("public").await?;
    for (tenant, document) in stray {
        remove(&mut tx, &tenant, &document).await?;
    }
    Ok(tx.commit().await?)
}
