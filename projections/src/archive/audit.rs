//! The audit: events of a tenant from the archive, filtered, in either order, page by page.
//!
//! A page reads only up to a position, so all pages of a list and all parts of an export show the same log. Each query looks at a bounded
//! part of the log.

mod facets;

use chrono::{DateTime, Utc};
use domain::{AggregateKey, TenantId};
use event_store::{Entry, Metadata, Position, Record, Recorded, StoreError, StoredEvent, Unreadable, upcast};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _};
use uuid::Uuid;

use super::read::{aggregate_id, is_before_rebuild};
use crate::db::{Db, DbError, ReadTx};

pub use facets::{Facets, Frequency, facets};

/// Most records that one query returns.
const RECORDS_READ_MAX: i64 = 100;
/// Bytes of records after which a query returns no further one, and a page ends: the plan of a large campaign has records of 130 KB.
const BYTES_READ_MAX: usize = 1024 * 1024;
/// Positions of the log that one query looks at, if it has to look at each record.
const SPAN_RECORDS: u64 = 100_000;
/// Positions of the log that are looked at for one page. A page at this limit may have fewer events than were asked for.
const LOOKED_THROUGH_MAX: u64 = 1_000_000;

/// Which events to show; all parts that are given must hold.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    pub actor: Option<String>,
    /// Type of aggregate.
    pub aggregate: Option<String>,
    /// Id of the aggregate, only with its type.
    pub aggregate_id: Option<String>,
    /// Any of these; empty for all.
    pub types: Vec<String>,
    /// Stored by the log at this time or later.
    pub from: Option<DateTime<Utc>>,
    /// Stored by the log before this time.
    pub to: Option<DateTime<Utc>>,
    pub correlation_id: Option<Uuid>,
    /// Events of a campaign's own aggregates, and events that name it.
    pub campaign_id: Option<String>,
}

/// In which order events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    OldestFirst,
    NewestFirst,
}

/// An event, or a record that can't be read, and its aggregate.
#[derive(Debug, Clone)]
pub struct AuditEntry {
    pub key: AggregateKey,
    pub entry: Entry<Value>,
}

impl AuditEntry {
    /// Its place in the log. A record that can't be read has the place of its first event.
    pub fn position(&self) -> Position {
        match &self.entry {
            Entry::Event(recorded) => recorded.position,
            Entry::Unreadable(record) => Position { sequence: record.sequence, index: 0 },
        }
    }
}

/// Part of the audit.
#[derive(Debug)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins: after this place. None at the end.
    pub next: Option<Position>,
}

/// The position that the archive has reached.
pub async fn reached(db: &Db) -> Result<u64, DbError> {
    let positions = db.positions().await?;
    Ok(positions.into_iter().find(|(name, _)| name == crate::ARCHIVE).map_or(0, |(_, position)| position))
}

/// A page of at most `limit` events up to the position `until`, after a place in the log; from the beginning of the order without one.
pub async fn audit(
    db: &Db,
    tenant: &TenantId,
    filter: &AuditFilter,
    order: Order,
    until: u64,
    after: Option<Position>,
    limit: usize,
) -> Result<AuditPage, DbError> {
    let mut tx = db.read(tenant).await?;
    if is_before_rebuild(&mut tx).await? {
        return Err(DbError::NotMade("the archive has to be rebuilt first: waybill rebuild archive".to_owned()));
    }
    let mut scan =
        Scan { tenant, filter, order, until, at: after.unwrap_or(order.beginning(until)), entries: vec![], bytes: 0 };
    let mut looked = 0;
    while !scan.is_at_end() && looked < LOOKED_THROUGH_MAX && scan.entries.len() <= limit && scan.bytes < BYTES_READ_MAX
    {
        looked += scan.step(&mut tx).await?;
    }
    let Scan { mut entries, at, .. } = scan;
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = match entries.last() {
        Some(last) if more => Some(last.position()),
        _ => Some(at).filter(|at| !order.is_end(*at, until)),
    };
    Ok(AuditPage { entries, next })
}

/// The events of the record at a position; none if the tenant has no record there.
pub async fn entries_at(tx: &mut ReadTx, tenant: &TenantId, position: u64) -> Result<Vec<AuditEntry>, DbError> {
    let sql = "SELECT position, stored_at, subject, body, sha256 FROM records WHERE tenant = $1 AND position = $2";
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    let row = sqlx::query(sql).bind(tenant.as_str()).bind(position).fetch_optional(&mut *tx.0).await?;
    let stored = row.as_ref().map(read).transpose()?;
    Ok(stored.into_iter().flat_map(|stored| AuditFilter::default().entries_of(stored)).collect())
}

/// An event of a correlation, an early one but not always the first; none if nothing has it.
pub async fn one_of_correlation(tx: &mut ReadTx, tenant: &TenantId, id: Uuid) -> Result<Option<AuditEntry>, DbError> {
    if is_before_rebuild(tx).await? {
        return Ok(None);
    }
    // Without an order: the records of a large campaign are too many to be sorted.
    let sql = "SELECT position, stored_at, subject, body, sha256 FROM records WHERE tenant = $1 AND correlation_id = $2 LIMIT 1";
    let row = sqlx::query(sql).bind(tenant.as_str()).bind(id).fetch_optional(&mut *tx.0).await?;
    let filter = AuditFilter { correlation_id: Some(id), ..AuditFilter::default() };
    let stored = row.as_ref().map(read).transpose()?;
    Ok(stored.and_then(|stored| filter.entries_of(stored).into_iter().next()))
}

impl Order {
    /// The place before all events.
    fn beginning(self, until: u64) -> Position {
        match self {
            Self::OldestFirst => all_of(0),
            Self::NewestFirst => Position { sequence: until.saturating_add(1), index: 0 },
        }
    }

    fn is_end(self, at: Position, until: u64) -> bool {
        match self {
            Self::OldestFirst => at >= all_of(until),
            Self::NewestFirst => at <= Position { sequence: 1, index: 0 },
        }
    }

    /// Whether an event comes after a place.
    fn comes_after(self, event: Position, at: Position) -> bool {
        match self {
            Self::OldestFirst => event > at,
            Self::NewestFirst => event < at,
        }
    }

    /// The place after all events of a record.
    fn past(self, sequence: u64) -> Position {
        match self {
            Self::OldestFirst => all_of(sequence),
            Self::NewestFirst => Position { sequence, index: 0 },
        }
    }
}

/// The place after the last event that a record can have.
fn all_of(sequence: u64) -> Position {
    Position { sequence, index: u16::MAX }
}

/// A walk over the archive.
struct Scan<'a> {
    tenant: &'a TenantId,
    filter: &'a AuditFilter,
    order: Order,
    until: u64,
    /// Everything up to this place is done.
    at: Position,
    entries: Vec<AuditEntry>,
    /// Of the records that have these entries.
    bytes: usize,
}

impl Scan<'_> {
    fn is_at_end(&self) -> bool {
        self.order.is_end(self.at, self.until)
    }

    /// Reads the next records; returns how many positions of the log are done.
    async fn step(&mut self, tx: &mut ReadTx) -> Result<u64, DbError> {
        let from = self.at.sequence;
        let (low, high) = self.span();
        let rows = self.select(tx, low, high).await?;
        let found: i64 = rows.first().map_or(Ok(0), |row| row.try_get("found"))?;
        let records: Vec<_> = rows.iter().map(read).collect::<Result<_, DbError>>()?;
        let edge = match self.order {
            Order::OldestFirst => high,
            Order::NewestFirst => low,
        };
        let is_full = found >= RECORDS_READ_MAX || found > records.len() as i64;
        let last = records.last().map(|record| record.position).filter(|_| is_full);
        for record in records {
            let bytes = record.bytes;
            let mut events = self.filter.entries_of(record);
            self.bytes += if events.is_empty() { 0 } else { bytes };
            if self.order == Order::NewestFirst {
                events.reverse();
            }
            let (order, at) = (self.order, self.at);
            self.entries.extend(events.into_iter().filter(|event| order.comes_after(event.position(), at)));
        }
        self.at = self.order.past(last.unwrap_or(edge));
        Ok(if self.filter.is_indexed() { 1 } else { from.abs_diff(self.at.sequence).max(1) })
    }

    /// The positions of the next query, both included.
    fn span(&self) -> (u64, u64) {
        let sequence = self.at.sequence;
        let span = if self.filter.is_indexed() { u64::MAX } else { SPAN_RECORDS };
        match self.order {
            Order::OldestFirst => (sequence, sequence.saturating_add(span).min(self.until)),
            Order::NewestFirst => (sequence.saturating_sub(span).max(1), sequence.min(self.until)),
        }
    }

    async fn select(&self, tx: &mut ReadTx, low: u64, high: u64) -> Result<Vec<PgRow>, DbError> {
        let mut conditions = vec!["tenant = $1", "position >= $2", "position <= $3"];
        conditions.extend(self.filter.conditions());
        let direction = match self.order {
            Order::OldestFirst => "ASC",
            Order::NewestFirst => "DESC",
        };
        // Bodies that aren't returned aren't read: PostgreSQL knows their lengths.
        let sql = format!(
            "WITH r AS MATERIALIZED (SELECT position, octet_length(body) AS bytes FROM records WHERE {}
               ORDER BY position {direction} LIMIT {RECORDS_READ_MAX}),
             s AS (SELECT position, sum(bytes) OVER (ORDER BY position {direction}) - bytes AS before, count(*) OVER () AS found FROM r)
             SELECT position, stored_at, subject, body, sha256, found FROM s JOIN records USING (position)
             WHERE before < {BYTES_READ_MAX} AND tenant = $1 ORDER BY position {direction}",
            conditions.join(" AND ")
        );
        let bound = |position: u64| i64::try_from(position).unwrap_or(i64::MAX);
        let query = sqlx::query(&sql).bind(self.tenant.as_str()).bind(bound(low)).bind(bound(high));
        Ok(self.filter.bind(query, self.tenant).fetch_all(&mut *tx.0).await?)
    }
}

impl AuditFilter {
    /// Whether an index finds the records.
    fn is_indexed(&self) -> bool {
        self.aggregate_id.is_some()
    }

    /// Conditions on records. They may let through records without a matching event.
    fn conditions(&self) -> Vec<&'static str> {
        let all = [
            (self.actor.is_some(), "actor = $4"),
            (self.aggregate.is_some(), "aggregate_type = $5"),
            (self.aggregate_id.is_some(), "aggregate_id = $6"),
            (self.from.is_some(), "stored_at >= $7"),
            (self.to.is_some(), "stored_at < $8"),
            // Also an event may have a correlation of its own.
            (self.correlation_id.is_some(), "position(convert_to($9, 'UTF8') IN body) > 0"),
            (
                self.campaign_id.is_some(),
                "(position(convert_to($10, 'UTF8') IN body) > 0 OR split_part(subject, '.', 5) = $10)",
            ),
            (
                !self.types.is_empty(),
                "EXISTS (SELECT FROM UNNEST($11::text[]) AS t WHERE position(convert_to('\"' || t || '\"', 'UTF8') IN body) > 0)",
            ),
        ];
        // PostgreSQL wants to know the type of each parameter, also of one that isn't used.
        let types = "(true OR ($4::text, $5::text, $6::text, $7::timestamptz, $8::timestamptz, $9::text, $10::text, $11::text[]) IS NULL)";
        all.into_iter().filter(|(given, _)| *given).map(|(_, condition)| condition).chain([types]).collect()
    }

    fn bind<'q>(&self, query: Query<'q, Postgres, PgArguments>, tenant: &TenantId) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(self.actor.clone())
            .bind(self.aggregate.clone())
            .bind(self.aggregate_id.as_deref().map(|id| aggregate_id(tenant, id)))
            .bind(self.from)
            .bind(self.to)
            .bind(self.correlation_id.map(|id| id.to_string()))
            .bind(self.campaign_id.clone())
            .bind(self.types.clone())
    }

    /// The events of a record that match, in order. A record that can't be read matches if the filter asks for nothing that only its body
    /// has.
    fn entries_of(&self, stored: Stored) -> Vec<AuditEntry> {
        let key = stored.key.clone();
        let entries = match stored.events() {
            Ok(events) => events.into_iter().filter(|event| self.includes(&key, event)).map(Entry::Event).collect(),
            Err(_) if self.is_of_body() => vec![],
            Err(unreadable) => vec![Entry::Unreadable(*unreadable)],
        };
        entries.into_iter().map(|entry| AuditEntry { key: key.clone(), entry }).collect()
    }

    fn is_of_body(&self) -> bool {
        !self.types.is_empty() || self.correlation_id.is_some()
    }

    fn includes(&self, key: &AggregateKey, event: &Recorded<Value>) -> bool {
        let kind = event.event["type"].as_str().unwrap_or_default();
        let is_of_campaign = |campaign: &String| key.id == *campaign || names(&event.event, campaign);
        (self.types.is_empty() || self.types.iter().any(|wanted| wanted == kind))
            && self.correlation_id.is_none_or(|id| event.meta.correlation_id == id)
            && self.campaign_id.as_ref().is_none_or(is_of_campaign)
    }
}

/// Whether a text is a value anywhere in an event.
fn names(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(values) => values.iter().any(|value| names(value, text)),
        Value::Object(fields) => fields.values().any(|value| names(value, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A record as the archive has it.
struct Stored {
    position: u64,
    stored_at: DateTime<Utc>,
    key: AggregateKey,
    /// Of the body.
    bytes: usize,
    /// Not of a record that was changed.
    record: Result<Record, StoreError>,
}

fn read(row: &PgRow) -> Result<Stored, DbError> {
    let position = row.try_get::<i64, _>("position")? as u64;
    let (body, digest): (Vec<u8>, Vec<u8>) = (row.try_get("body")?, row.try_get("sha256")?);
    let subject: &str = row.try_get("subject")?;
    let key = event_store::subject::parse(subject)
        .ok_or_else(|| DbError::Invalid(format!("the archived record at {position}: no subject of the log")))?;
    let bytes = body.len();
    let record = if Sha256::digest(&body)[..] == digest[..] {
        Record::decode(position, &body)
    } else {
        Err(StoreError::Corrupt { position, reason: "the archived record was changed".to_owned() })
    };
    Ok(Stored { position, stored_at: row.try_get("stored_at")?, key, bytes, record })
}

impl Stored {
    /// Its events as they are stored, or what is known about a record that can't be read.
    fn events(self) -> Result<Vec<Recorded<Value>>, Box<Unreadable>> {
        let Self { position, stored_at, record, .. } = self;
        let unreadable = |error: StoreError, version: u64, meta: Option<_>| {
            Box::new(Unreadable { sequence: position, version, stored_at, meta, error })
        };
        let record = record.map_err(|error| unreadable(error, 0, None))?;
        let event = |(index, stored): (usize, &StoredEvent)| -> Result<Recorded<Value>, StoreError> {
            Ok(Recorded {
                position: Position { sequence: position, index: index as u16 },
                version: record.version + index as u64,
                recorded_at: record.meta.recorded_at,
                stored_at,
                command_id: record.command_id,
                meta: stored.metadata(&record.meta),
                event: upcast::to_value(stored, position)?,
            })
        };
        let events: Result<Vec<_>, StoreError> = record.events.iter().enumerate().map(event).collect();
        let known: (_, Metadata) = (record.command_id, record.meta.clone());
        events.map_err(|error| unreadable(error, record.version, Some(known)))
    }
}
