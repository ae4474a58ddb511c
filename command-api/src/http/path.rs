//! Ids in paths. An id of the wrong form answers 404.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use domain::firmware::KeyFingerprint;
use domain::{
    Actor, ApiKeyId, CampaignId, CredentialId, DeviceId, DocumentId, FirmwareId, FuotaDeploymentId, GroupId,
    RegistrationTokenId, TenantId, UpdateId,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::problem::Problem;

/// Parameters of the path, by name: the twin routes under `/tenants/{tenant_id}` have one more.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(path) => Ok(Self(path.0)),
            Err(_) => Err(Problem::not_found("no resource has an id of this form")),
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DevicePath {
    #[param(value_type = String, example = "d-1")]
    pub(crate) device_id: DeviceId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeviceUpdatePath {
    #[param(value_type = String, example = "d-1")]
    pub(crate) device_id: DeviceId,
    /// The update's number within its device, from 1.
    pub(crate) ordinal: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct DeviceCommandPath {
    #[param(value_type = String, example = "d-1")]
    pub(crate) device_id: DeviceId,
    /// The command's number within its device, from 1.
    pub(crate) n: u32,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct UpdatePath {
    /// `{device_id}~{ordinal}`
    #[param(value_type = String, example = "d-1~17")]
    pub(crate) update_id: UpdateId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FirmwarePath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) firmware_id: FirmwareId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct FirmwareDocumentPath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) firmware_id: FirmwareId,
    #[param(value_type = uuid::Uuid)]
    pub(crate) document_id: DocumentId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct GroupPath {
    #[param(value_type = String, example = "hall-3")]
    pub(crate) group_id: GroupId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CampaignPath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) campaign_id: CampaignId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CampaignDevicePath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) campaign_id: CampaignId,
    #[param(value_type = String, example = "d-1")]
    pub(crate) device_id: DeviceId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CampaignDeploymentPath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) campaign_id: CampaignId,
    #[param(value_type = uuid::Uuid)]
    pub(crate) deployment_id: FuotaDeploymentId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct WavePath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) campaign_id: CampaignId,
    /// From 1.
    pub(crate) wave: u16,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct CredentialPath {
    #[param(value_type = String, example = "d-1")]
    pub(crate) device_id: DeviceId,
    #[param(value_type = uuid::Uuid)]
    pub(crate) credential_id: CredentialId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct RegistrationTokenPath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) token_id: RegistrationTokenId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TenantPath {
    #[param(value_type = String, example = "acme")]
    pub(crate) tenant_id: TenantId,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct TrustedKeyPath {
    #[param(value_type = String, example = "acme")]
    pub(crate) tenant_id: TenantId,
    /// SHA-256 of the key's bytes, in hex.
    #[param(value_type = String, example = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed")]
    pub(crate) fingerprint: KeyFingerprint,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct MemberPath {
    /// An actor: `user:{id}`, `key:{id}` or `service:{id}`.
    #[param(value_type = String, example = "user:42")]
    pub(crate) member: Actor,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct SessionPath {
    pub(crate) session_id: uuid::Uuid,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct ApiKeyPath {
    #[param(value_type = uuid::Uuid)]
    pub(crate) key_id: ApiKeyId,
}
