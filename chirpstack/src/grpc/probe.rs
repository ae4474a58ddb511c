//! Whether a key still works: what tells a revoked key from an object that does not exist.

use super::application::ListApplicationsRequest;
use super::{Client, Error};

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// The key reads the application: an object that it can't read does not exist or belongs to another tenant.
    Accepted,
    /// The key works for its tenant, but the application does not exist or belongs to another tenant.
    ApplicationUnknown,
    /// The key is revoked, wrong, or of another tenant.
    Refused,
}

impl Client {
    /// Whether the key works, and for this application of this ChirpStack tenant: to be asked after [`Error::Unauthenticated`].
    ///
    /// Errors that say nothing of the key (unavailable, no answer) are returned as they are.
    pub async fn probe(&self, application_id: &str, chirpstack_tenant_id: &str) -> Result<KeyState, Error> {
        match self.get_application(application_id).await {
            Ok(_) => return Ok(KeyState::Accepted),
            // An administrator's key is told when an application does not exist.
            Err(Error::NotFound { .. }) => return Ok(KeyState::ApplicationUnknown),
            // An application id that is no UUID is refused before the key is looked at for it.
            Err(Error::Unauthenticated { .. } | Error::Refused { .. }) => {}
            Err(other) => return Err(other),
        }
        let of_tenant = ListApplicationsRequest {
            tenant_id: chirpstack_tenant_id.to_owned(),
            ..ListApplicationsRequest::default()
        };
        match self.list_applications(of_tenant).await {
            Ok(_) => Ok(KeyState::ApplicationUnknown),
            Err(Error::Unauthenticated { .. }) => Ok(KeyState::Refused),
            Err(other) => Err(other),
        }
    }
}
