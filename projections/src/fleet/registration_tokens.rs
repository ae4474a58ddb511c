//! Read model `registration_tokens`: what each token allows, and how many devices have used it. Never a token or its hash.

use chrono::{DateTime, Utc};
use domain::events::RegistrationTokenEvent as E;
use domain::registration_token::{RegistrationScope, RegistrationTerms, RegistrationTokenStatus};
use serde_json::{Value, json};
use sqlx::PgConnection;

use crate::db::{DbError, ReadTx};
use crate::decode::{Decoded, Events};
use crate::row::{Row as _, row};
use crate::table::{Page, Rows, Select};

/// A registration token.
#[derive(Debug, Clone, PartialEq)]
pub struct RegistrationTokenRow {
    pub tenant: String,
    pub token_id: String,
    pub device_model: Option<String>,
    pub expires_at: DateTime<Utc>,
    pub devices_max: u32,
    /// Devices that have used it, each counted once.
    pub devices_used: u64,
    pub revoked: bool,
    pub scope: RegistrationScope,
    /// Version of the aggregate.
    pub version: u64,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub position: u64,
}

row! {
    RegistrationTokenRow = "registration_tokens" key { tenant: "text", token_id: "text" }
    columns {
        device_model, expires_at, devices_max, devices_used, revoked, version, created_by, created_at, position
    }
    json { scope }
}

pub(crate) const TABLES: &[&str] = &["registration_tokens"];

/// Applies records in order.
pub(crate) async fn apply_all(connection: &mut PgConnection, batch: &[Decoded]) -> Result<(), DbError> {
    let of_tokens = || {
        batch.iter().filter_map(|record| match &record.events {
            Events::RegistrationToken(events) => Some((record, events)),
            _ => None,
        })
    };
    if of_tokens().next().is_none() {
        return Ok(());
    }
    let keys = of_tokens().map(|(record, _)| vec![record.tenant(), record.id()]);
    let mut rows = Rows::<RegistrationTokenRow>::load(connection, keys.collect()).await?;
    for (record, events) in of_tokens() {
        let key = vec![record.tenant(), record.id()];
        for event in events {
            if let E::Issued { scope, expires_at, devices_max, .. } = event {
                let terms =
                    RegistrationTerms { scope: scope.clone(), expires_at: *expires_at, devices_max: *devices_max };
                rows.put(RegistrationTokenRow::issued(record, terms));
            }
            let row =
                rows.get_mut(&key).ok_or_else(|| DbError::Invalid(format!("{} was never issued", record.raw.key)))?;
            match event {
                E::Issued { .. } => {}
                // The aggregate counts each device once.
                E::Used { .. } => row.devices_used += 1,
                E::Revoked {} => row.revoked = true,
            }
            row.version = record.record.last_version();
            row.position = record.raw.position;
        }
    }
    rows.save(connection).await
}

impl RegistrationTokenRow {
    fn issued(record: &Decoded, terms: RegistrationTerms) -> Self {
        let RegistrationTerms { scope, expires_at, devices_max } = terms;
        Self {
            tenant: record.tenant(),
            token_id: record.id(),
            device_model: scope.device_model.clone(),
            expires_at,
            devices_max,
            devices_used: 0,
            revoked: false,
            scope,
            version: 0,
            created_by: record.record.meta.actor.to_string(),
            created_at: record.at(),
            position: record.raw.position,
        }
    }

    /// By the rule of the aggregate.
    pub fn status(&self, now: DateTime<Utc>) -> RegistrationTokenStatus {
        let is_used_up = self.devices_used >= u64::from(self.devices_max);
        RegistrationTokenStatus::of(self.revoked, self.expires_at, is_used_up, now)
    }
}

/// Which registration tokens to list.
#[derive(Debug, Clone, Default)]
pub struct RegistrationTokenFilter {
    /// The state at a moment.
    pub status: Option<(RegistrationTokenStatus, DateTime<Utc>)>,
    /// Those that are limited to this model.
    pub device_model: Option<String>,
}

/// Registration tokens by id.
pub async fn list(
    tx: &mut ReadTx,
    filter: &RegistrationTokenFilter,
    after: Option<&str>,
    limit: usize,
    count: bool,
) -> Result<Page<RegistrationTokenRow>, DbError> {
    use RegistrationTokenStatus as S;
    let mut select = Select::new(RegistrationTokenRow::columns_of("t"), "registration_tokens t", "t.token_id");
    select.equals("t.device_model", filter.device_model.as_ref());
    if let Some((status, now)) = filter.status {
        let condition = match status {
            S::Revoked => "t.revoked",
            S::Expired => "NOT t.revoked AND t.expires_at <= now.at",
            S::UsedUp => "NOT t.revoked AND t.expires_at > now.at AND t.devices_used >= t.devices_max",
            S::Active => "NOT t.revoked AND t.expires_at > now.at AND t.devices_used < t.devices_max",
        };
        let at_now = format!("EXISTS (SELECT FROM (SELECT ($ #>> '{{}}')::timestamptz AS at) now WHERE {condition})");
        select.filter(&at_now, json!(now));
    }
    let after = after.map(|id| ("t.token_id > $ #>> '{}'".to_owned(), vec![Value::from(id)]));
    let (items, more, total) = select.page(tx, after, limit, count, RegistrationTokenRow::read).await?;
    let next = items.last().filter(|_| more).map(|row| vec![row.token_id.clone()]);
    Ok(Page { items, next, total })
}
