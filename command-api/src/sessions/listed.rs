//! Sessions as people see them: with an id that opens nothing, and ended by it.

use std::time::Duration;

use domain::{Actor, TenantId};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use trust::SessionToken;
use uuid::Uuid;

use super::{Session, Sessions, Standing, key_of, unavailable};
use crate::http::Problem;
use event_store::StoreError;
use runtime::clock;

/// How long a request waits until this process knows all sessions that others have begun.
const COMPLETE_WITHIN: Duration = Duration::from_secs(2);
const COMPLETE_POLL: Duration = Duration::from_millis(10);
/// Keeps ids of sessions apart from other digests of keys.
const ID_CONTEXT: &[u8] = b"waybill session id\0";

/// A session that lasts.
pub(crate) struct ListedSession {
    pub(crate) id: Uuid,
    pub(crate) session: Session,
}

/// The id of a session, which tells neither its token nor its key in the bucket.
pub(super) fn id_of(key: &str) -> Uuid {
    let digest = Sha256::new().chain_update(ID_CONTEXT).chain_update(key).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

impl Sessions {
    /// The id of the session that a token opens.
    pub(crate) fn id(&self, token: &SessionToken) -> Uuid {
        id_of(&key_of(&self.0.hasher, token))
    }

    /// The sessions of a person that last, the oldest first.
    pub(crate) async fn list(
        &self,
        tenant: &TenantId,
        actor: &Actor,
        standing: Standing,
    ) -> Result<Vec<ListedSession>, Problem> {
        self.wait_until_complete().await?;
        let (now, idle) = (clock::now(), self.0.idle());
        let mut listed: Vec<_> = (self.0.known.listed(tenant, actor).into_iter())
            .map(|(_, held)| ListedSession {
                id: held.id,
                session: Session { used_at: held.used_at.max(held.session.used_at), ..held.session },
            })
            .filter(|one| one.session.standing == standing && one.session.lasts(now, idle))
            .collect();
        listed.sort_by_key(|one| (one.session.created_at, one.id));
        Ok(listed)
    }

    /// Ends all sessions of a person; how many there were.
    pub(crate) async fn end_all(&self, tenant: &TenantId, actor: &Actor) -> Result<usize, Problem> {
        self.wait_until_complete().await?;
        let keys = self.0.known.listed(tenant, actor);
        for (key, _) in &keys {
            self.end_key(key).await?;
        }
        Ok(keys.len())
    }

    /// Ends a session of a tenant, if `may` lets its person's sessions be ended; false if there is none.
    pub(crate) async fn end_by_id(
        &self,
        tenant: &TenantId,
        id: Uuid,
        may: impl FnOnce(&Actor) -> bool,
    ) -> Result<bool, Problem> {
        self.wait_until_complete().await?;
        match self.0.known.by_id(tenant, id) {
            Some((key, actor)) if may(&actor) => self.end_key(&key).await.map(|()| true),
            Some(_) | None => Ok(false),
        }
    }

    /// Waits until this process knows every session that began before this call, in any process.
    async fn wait_until_complete(&self) -> Result<(), Problem> {
        let asked = Instant::now();
        while !self.0.known.is_complete_since(asked) {
            if asked.elapsed() >= COMPLETE_WITHIN {
                return Err(unavailable(&StoreError::Unavailable("not compared".to_owned())));
            }
            sleep(COMPLETE_POLL).await;
        }
        Ok(())
    }
}
