//! Which secrets there are, and whether they can be read.

use std::collections::BTreeMap;

use async_nats::jetstream::kv::Entry;
use chrono::{DateTime, Utc};
use domain::TenantId;
use serde::Deserialize;
use serde_json::json;
use trust::{KeyId, sealing_key};

use super::error::SecretError;
use super::{SecretPlace, SecretStore};
use crate::jetstream_api::{ApiError, ask};
use crate::streams::SECRETS;

/// Most unreadable secrets that a result names; the others are counted.
const UNREADABLE_NAMED_MAX: usize = 20;

/// A secret without its value.
#[derive(Debug, Clone)]
pub struct SecretInfo {
    pub place: SecretPlace,
    /// The master key under which it is sealed.
    pub key: Option<KeyId>,
    /// Since when it has this value, or this seal.
    pub changed_at: DateTime<Utc>,
}

/// Secrets that can't be read, with the reasons of some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unreadable {
    pub count: u64,
    pub reasons: Vec<String>,
}

/// How many secrets are readable, by master key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsCheck {
    pub readable: BTreeMap<KeyId, u64>,
    pub unreadable: Unreadable,
    /// Whether there are more secrets than were looked at.
    pub is_partial: bool,
}

/// One answer of the server about the names in the bucket.
pub(super) struct Places {
    pub(super) places: Vec<SecretPlace>,
    /// Offset of the next ones; none at the end.
    pub(super) next: Option<usize>,
    pub(super) total: u64,
}

impl Unreadable {
    pub(super) fn add(&mut self, error: &SecretError) {
        self.count += 1;
        if self.reasons.len() < UNREADABLE_NAMED_MAX {
            self.reasons.push(error.to_string());
        }
    }
}

impl SecretStore {
    /// All secrets of a tenant without those of its devices, or all of all tenants, sorted.
    pub async fn list(&self, tenant: Option<&TenantId>) -> Result<Vec<SecretInfo>, SecretError> {
        let mut found = Vec::new();
        let mut from = Some(0);
        while let Some(offset) = from {
            let page = self.places(tenant, offset).await?;
            for place in page.places {
                if let Some(Entry { value, created, .. }) = self.entry(&place).await? {
                    found.push(SecretInfo { place, key: sealing_key(&value), changed_at: created });
                }
            }
            from = page.next;
        }
        Ok(found)
    }

    /// Opens all secrets, or as many as `most`, and says which can't be.
    pub async fn check(&self, most: usize) -> Result<SecretsCheck, SecretError> {
        let mut check = SecretsCheck::default();
        let (mut from, mut looked_at) = (Some(0), 0);
        while let Some(offset) = from {
            let page = self.places(None, offset).await?;
            for place in page.places {
                if looked_at == most {
                    check.is_partial = true;
                    return Ok(check);
                }
                looked_at += 1;
                let Some(entry) = self.entry(&place).await? else { continue };
                match (self.open(place, &entry.value).await, sealing_key(&entry.value)) {
                    (Ok(_), Some(key)) => *check.readable.entry(key).or_default() += 1,
                    (Err(error), _) => check.unreadable.add(&error),
                    (Ok(_), None) => {}
                }
            }
            from = page.next;
        }
        Ok(check)
    }

    /// Names in the bucket from an offset on, sorted, those of just deleted secrets too.
    pub(super) async fn places(&self, tenant: Option<&TenantId>, offset: usize) -> Result<Places, SecretError> {
        #[derive(Deserialize)]
        struct Info {
            #[serde(default)]
            total: u64,
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: Option<BTreeMap<String, u64>>,
        }
        let prefix = format!("$KV.{SECRETS}.");
        let filter = tenant.map_or_else(|| format!("{prefix}>"), |tenant| format!("{prefix}{tenant}.*"));
        let body = json!({"subjects_filter": filter, "offset": offset}).to_string();
        let asked = ask::<Info>(&self.client, format!("$JS.API.STREAM.INFO.KV_{SECRETS}"), body.into()).await?;
        let info = asked.map_err(ApiError::into_store_error)?;
        let subjects = info.state.subjects.unwrap_or_default();
        let next = Some(offset + subjects.len()).filter(|next| !subjects.is_empty() && (*next as u64) < info.total);
        let keys = subjects.keys().filter_map(|subject| subject.strip_prefix(&prefix));
        Ok(Places { places: keys.filter_map(SecretPlace::parse).collect(), next, total: info.total })
    }
}
