//! When keys were last used: remembered in this process, and stored in PostgreSQL from time to time.
//!
//! A use within a minute of the one before isn't remembered, so a busy key costs one row a minute. A process that is killed loses the uses
//! of its last seconds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{ApiKeyId, TenantId};
use projections::DbError;
use projections::api_key_uses::{self, KeyUse};
use tokio::sync::oneshot;

use crate::state::App;

/// How exact the last use is.
const EXACT_TO: TimeDelta = TimeDelta::seconds(60);
/// Pause between two times that uses are stored.
const STORE_INTERVAL: Duration = Duration::from_secs(5);
/// Longest wait for PostgreSQL to store them.
const STORE_TIMEOUT: Duration = Duration::from_secs(3);

/// The last uses in this process. There are no more than keys, whose number is bounded, because only keys that were let in are here.
#[derive(Debug, Default)]
pub(crate) struct LastUses(Mutex<HashMap<ApiKeyId, LastUse>>);

#[derive(Debug)]
struct LastUse {
    tenant: TenantId,
    at: DateTime<Utc>,
    is_stored: bool,
}

impl LastUses {
    pub(super) fn note(&self, tenant: &TenantId, key: ApiKeyId, at: DateTime<Utc>) {
        let mut uses = self.lock();
        match uses.get_mut(&key) {
            Some(last) if at - last.at < EXACT_TO => {}
            Some(last) => (last.at, last.is_stored) = (at, false),
            None => drop(uses.insert(key, LastUse { tenant: tenant.clone(), at, is_stored: false })),
        }
    }

    pub(super) fn of(&self, key: ApiKeyId) -> Option<DateTime<Utc>> {
        self.lock().get(&key).map(|last| last.at)
    }

    fn unstored(&self) -> Vec<KeyUse> {
        let uses = self.lock();
        let unstored = uses.iter().filter(|(_, last)| !last.is_stored);
        unstored.map(|(key, last)| KeyUse { tenant: last.tenant.clone(), key: *key, at: last.at }).collect()
    }

    /// These are stored. A key that was used again meanwhile is not.
    fn stored(&self, stored: &[KeyUse]) {
        let mut uses = self.lock();
        for one in stored {
            if let Some(last) = uses.get_mut(&one.key).filter(|last| last.at == one.at) {
                last.is_stored = true;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ApiKeyId, LastUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores uses until the last request is answered, which is when `served` ends, then once more.
pub(crate) async fn keep_storing(app: App, mut served: oneshot::Receiver<()>) {
    let (mut serving, mut failing) = (true, false);
    while serving {
        tokio::select! {
            _ended = &mut served => serving = false,
            () = tokio::time::sleep(STORE_INTERVAL) => {}
        }
        let outcome = store(&app).await;
        match &outcome {
            Ok(()) if failing => tracing::info!("Last uses of API keys are stored again."),
            Err(error) if !failing => {
                tracing::warn!(%error, "Last uses of API keys can't be stored; they are kept and sent again.");
            }
            Ok(()) | Err(_) => {}
        }
        failing = outcome.is_err();
    }
}

async fn store(app: &App) -> Result<(), DbError> {
    let Some(known) = &app.api_keys else { return Ok(()) };
    let uses = known.last_uses.unstored();
    if uses.is_empty() {
        return Ok(());
    }
    let stored = tokio::time::timeout(STORE_TIMEOUT, api_key_uses::keep(&app.db, &uses)).await;
    stored.unwrap_or_else(|_| Err(DbError::Unavailable(format!("no answer within {STORE_TIMEOUT:?}"))))?;
    known.last_uses.stored(&uses);
    Ok(())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_busy_key_is_stored_once_in_a_minute() {
        let (uses, key, acme) = (LastUses::default(), ApiKeyId(Uuid::nil()), TenantId::new("acme").unwrap());
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        for seconds in [0, 30, 59] {
            uses.note(&acme, key, at(seconds));
        }
        let first = uses.unstored();
        assert_eq!(first, [KeyUse { tenant: acme.clone(), key, at: at(0) }]);
        uses.stored(&first);
        uses.note(&acme, key, at(59));
        assert_eq!(uses.unstored(), [], "within the minute");
        uses.note(&acme, key, at(60));
        assert_eq!((uses.unstored().len(), uses.of(key)), (1, Some(at(60))));
        uses.stored(&first);
        assert_eq!(uses.unstored().len(), 1, "an older use was stored");
    }
}
