//! Who registers: the holder of a registration token. The token opens nothing else, and no other token opens this.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::registration_token::RegistrationToken;
use domain::{Actor, Key, RegistrationTokenId, TenantId};
use event_store::Loaded;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::metrics::{BAD_TOKEN, BUSY, count};
use crate::auth::registration_token;
use crate::http::Problem;
use crate::state::App;

/// Most registrations under way at once in a process, with valid tokens or not.
const IN_FLIGHT_MAX: usize = 64;

/// Bounds of registrations in this process.
pub(crate) struct Limits {
    in_flight: Arc<Semaphore>,
    /// Held while a use is counted: so devices of one token don't conflict with one another.
    pub(super) counting: Mutex<()>,
}

impl Limits {
    /// A place for one registration, as long as it is kept.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| {
            count(BUSY);
            Problem::unavailable("busy", "too many devices register at once")
        })
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), counting: Mutex::default() }
    }
}

/// The holder of a token that was issued. It may have expired or been revoked since.
pub(crate) struct Registrant {
    pub(super) tenant: TenantId,
    pub(super) token_id: RegistrationTokenId,
    pub(super) token: Arc<Loaded<RegistrationToken>>,
    /// As the sender of commands: `registration-token:{id}`.
    pub(super) actor: Actor,
}

impl Registrant {
    /// The aggregate of the token.
    pub(super) fn key(&self) -> Key<RegistrationToken> {
        Key::new(&self.tenant, &self.token_id)
    }
}

impl FromRequestParts<App> for Registrant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        // Only while the token is read: a device that sends its body slowly keeps nobody out.
        let _place = app.registrations.enter()?;
        let bad_token = || {
            count(BAD_TOKEN);
            Problem::unauthorized("a valid registration token is needed: Bearer wbr_… or GatewayToken wbr_…")
        };
        let shown = registration_token(parts).and_then(trust::RegistrationToken::parse).ok_or_else(bad_token)?;
        let key = Key::new(&shown.tenant, &shown.id);
        let token: Arc<Loaded<RegistrationToken>> = app.store.load_fresh(&key).await?;
        if !token.aggregate.is_of(&app.config.token_hasher.hash(&shown)) {
            return Err(bad_token());
        }
        let actor = Actor::new(format!("registration-token:{}", shown.id)).map_err(Problem::internal)?;
        app.throttle.admit(&parts.extensions, &shown.tenant, &actor)?;
        Ok(Self { tenant: shown.tenant, token_id: shown.id, token, actor })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tests::Api;

    #[tokio::test]
    async fn no_more_devices_are_heard_at_once_than_the_bound() {
        let api = Api::new();
        let token = api.post("/registration-tokens", json!({"devices_max": 1})).await.body["token"].clone();
        let devices = api.bearing(token.as_str().unwrap());
        let register = async || devices.post("/device-registrations", json!({"device_id": "d-1"})).await;
        let others = api.app.registrations.in_flight.try_acquire_many(IN_FLIGHT_MAX as u32).unwrap();
        let busy = register().await;
        assert_eq!((busy.status.as_u16(), busy.header("retry-after")), (503, "2"), "{}", busy.body);
        drop(others);
        assert_eq!(register().await.status, 201);
    }
}
