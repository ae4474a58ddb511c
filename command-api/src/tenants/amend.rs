//! `PATCH /tenants/{id}`: name, rules and retention by the tenant's admins, quotas by those who run the installation.

use axum::extract::State;
use domain::change::Change;
use domain::tenant::{QuotasPatch, Tenant, TenantCommand, TenantPatch, TenantRulesPatch};
use domain::{Key, Sealed};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::TenantBody;
use super::retention::RetentionAmendment;
use super::same_fields::same_fields;
use crate::auth::{Caller, Role};
use crate::http::commands::CommandHeaders;
use crate::http::path::TenantPath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{CommandRequest, Patch, Path, Problem, Reply};
use crate::state::App;

/// What to change: absent fields stay, `null` clears a name or removes a limit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"name": "Acme Ltd", "rules": {"require_reason": true}, "reason": "audit 2024"}))]
pub(crate) struct TenantAmendment {
    #[schema(value_type = Option<String>)]
    name: Change<String>,
    /// Needs role platform_admin.
    quotas: Option<QuotasAmendment>,
    rules: Option<RulesAmendment>,
    retention: Option<RetentionAmendment>,
    reason: Option<String>,
}

/// Limits to change.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QuotasAmendment {
    #[schema(value_type = Option<u64>)]
    devices: Change<u64>,
    #[schema(value_type = Option<u64>)]
    firmware_bytes: Change<u64>,
    #[schema(value_type = Option<u64>)]
    campaigns: Change<u64>,
    #[schema(value_type = Option<u64>)]
    requests_per_minute: Change<u64>,
}

/// Rules to change.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RulesAmendment {
    require_reason: Option<bool>,
    require_approval: Option<bool>,
    require_digest_report: Option<bool>,
    /// 0 to 8, and not more than keys are trusted.
    require_signatures: Option<u8>,
    /// A firmware needs an SBOM before it goes out.
    require_sbom: Option<bool>,
    /// A firmware needs a provenance by a trusted key before it goes out.
    require_provenance: Option<bool>,
}

same_fields!(QuotasAmendment => QuotasPatch { devices, firmware_bytes, campaigns, requests_per_minute });
same_fields!(RulesAmendment => TenantRulesPatch {
    require_reason,
    require_approval,
    require_digest_report,
    require_signatures,
    require_sbom,
    require_provenance,
});

impl TenantAmendment {
    fn into_patch(self) -> TenantPatch {
        let name = match self.name {
            Change::Set(name) => Change::Set(Sealed::Plain(name)),
            Change::Clear => Change::Clear,
            Change::Keep => Change::Keep,
        };
        TenantPatch {
            name,
            quotas: self.quotas.unwrap_or_default().into(),
            rules: self.rules.unwrap_or_default().into(),
            retention: self.retention.unwrap_or_default().into(),
        }
    }
}

/// Change a tenant
///
/// A merge-patch: absent fields stay. Admins of the tenant may change its name, its rules and its retention; quotas need role platform_admin. A
/// lowered quota takes nothing away. What a shorter retention makes too old is shown no longer, and its rows are removed within minutes.
#[utoipa::path(
    patch, path = "/tenants/{tenant_id}", tag = "tenants", request_body = TenantAmendment,
    params(TenantPath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<TenantBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The tenant is closed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn amend_tenant(
    State(app): State<App>,
    caller: Caller,
    Path(TenantPath { tenant_id }): Path<TenantPath>,
    CommandRequest(envelope, Patch(wanted)): CommandRequest<Patch<TenantAmendment>>,
) -> Result<Reply<TenantBody>, Problem> {
    if wanted.quotas.is_some() && !caller.has(Role::PlatformAdmin) {
        return Err(Problem::forbidden("quotas need the role platform_admin"));
    }
    let reason = wanted.reason.clone();
    let key = Key::<Tenant>::new(&tenant_id, &tenant_id);
    let command = TenantCommand::Amend { patch: wanted.into_patch() };
    let done = app.tell_tenant(&caller, &envelope, &key, command, reason).await?;
    Ok(done.reply(TenantBody::done(&tenant_id, &done)))
}
