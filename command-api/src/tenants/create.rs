//! `POST /tenants`: create a tenant.

use axum::extract::State;
use domain::tenant::{Tenant, TenantCommand, TenantSpec};
use domain::{Key, Sealed, TenantId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::model::{QuotasBody, RulesBody, TenantBody, location};
use super::retention::RetentionBody;
use crate::auth::Caller;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Problem, Reply};
use crate::state::App;

/// A tenant to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "tenant_id": "acme", "name": "Acme", "quotas": {"devices": 5000}, "rules": {"require_approval": true}, "reason": "contract 42",
}))]
pub(crate) struct TenantRequest {
    /// `[a-z0-9][a-z0-9-]{0,31}`. It is in topics, subjects and links, and never changes.
    tenant_id: String,
    name: Option<String>,
    #[serde(default)]
    quotas: QuotasBody,
    #[serde(default)]
    rules: RulesBody,
    #[serde(default)]
    retention: RetentionBody,
    reason: Option<String>,
}

impl TenantRequest {
    fn checked(self) -> Result<(TenantId, TenantSpec), Problem> {
        let mut checks = Checks::default();
        let id = TenantId::new(self.tenant_id);
        if let Err(error) = &id {
            checks.fail("tenant_id", error.rule);
        }
        let spec = TenantSpec {
            name: self.name.map(Sealed::Plain),
            quotas: self.quotas.into(),
            rules: self.rules.into(),
            retention: self.retention.into(),
        };
        checks.violations(spec.violations());
        checks.finish()?;
        Ok((id.map_err(|error| Problem::invalid("tenant_id", error.rule))?, spec))
    }
}

/// Create a tenant
///
/// Tokens that name it are accepted from then on. Its id can't be used again, not even after it was closed.
#[utoipa::path(
    post, path = "/tenants", tag = "tenants", request_body = TenantRequest, params(CommandHeaders),
    responses(
        (status = 201, body = WithPosition<TenantBody>),
        (status = 409, description = "There is or was a tenant with this id", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create_tenant(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<TenantRequest>>,
) -> Result<Reply<TenantBody>, Problem> {
    let reason = wanted.reason.clone();
    let (id, spec) = wanted.checked()?;
    let key = Key::<Tenant>::new(&id, &id);
    let done = app.tell_tenant(&caller, &envelope, &key, TenantCommand::Create { spec }, reason).await?;
    Ok(done.reply_created(TenantBody::done(&id, &done), location(&id)))
}
