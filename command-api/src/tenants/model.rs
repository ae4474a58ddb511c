//! The tenant in replies, from its aggregate or from the read model.

use chrono::{DateTime, Utc};
use domain::TenantId;
use domain::tenant::{Quotas, Tenant, TenantRules};
use event_store::Origin;
use projections::tenants::TenantRow;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::retention::RetentionBody;
use super::same_fields::same_fields;
use crate::http::Done;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TenantBody {
    tenant_id: String,
    name: Option<String>,
    /// `active`, `suspended` (its callers are refused and nothing is dispatched) or `closed` (for ever).
    status: &'static str,
    /// Nothing is dispatched to its devices.
    frozen: bool,
    quotas: QuotasBody,
    rules: RulesBody,
    retention: RetentionBody,
    created_by: Option<String>,
    created_at: Option<DateTime<Utc>>,
    /// Number of the tenant's events: its `ETag`.
    version: u64,
}

/// The most that a tenant may use; null: no limit of its own.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct QuotasBody {
    /// Devices in service.
    pub(super) devices: Option<u64>,
    /// Bytes of all firmware that is not deleted.
    pub(super) firmware_bytes: Option<u64>,
    /// Campaigns that have been started and have not ended.
    pub(super) campaigns: Option<u64>,
    /// Requests in a minute, at least 1.
    pub(super) requests_per_minute: Option<u64>,
}

/// What the tenant asks of everything that its callers do.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RulesBody {
    /// Commands that change the work of others need a reason.
    pub(super) require_reason: bool,
    /// Every campaign needs an approval before it starts.
    pub(super) require_approval: bool,
    /// Devices must report the SHA-256 of what they received, in every update; not in rollbacks.
    pub(super) require_digest_report: bool,
    /// Different trusted keys that must have signed a firmware before it goes out, in updates and rollbacks; 0 asks for none.
    pub(super) require_signatures: u8,
    /// A firmware needs an SBOM before it goes out.
    pub(super) require_sbom: bool,
    /// A firmware needs a provenance by a trusted key before it goes out.
    pub(super) require_provenance: bool,
}

same_fields!(Quotas, QuotasBody { devices, firmware_bytes, campaigns, requests_per_minute });
same_fields!(
    TenantRules,
    RulesBody {
        require_reason,
        require_approval,
        require_digest_report,
        require_signatures,
        require_sbom,
        require_provenance,
    }
);

impl TenantBody {
    /// After a command.
    pub(super) fn done(id: &TenantId, done: &Done<Tenant>) -> Self {
        Self::of(id, &done.aggregate, done.origin.as_deref(), done.version)
    }

    pub(super) fn of(id: &TenantId, tenant: &Tenant, origin: Option<&Origin>, version: u64) -> Self {
        Self {
            tenant_id: id.to_string(),
            name: tenant.spec.name.as_ref().and_then(|name| name.plain().cloned()),
            status: tenant.status().word(),
            frozen: tenant.is_frozen(),
            quotas: tenant.spec.quotas.into(),
            rules: tenant.spec.rules.into(),
            retention: tenant.spec.retention.into(),
            created_by: origin.map(|origin| origin.by.to_string()),
            created_at: origin.map(|origin| origin.at),
            version,
        }
    }
}

impl From<TenantRow> for TenantBody {
    fn from(row: TenantRow) -> Self {
        Self {
            tenant_id: row.tenant,
            name: row.name,
            status: row.state.status().word(),
            frozen: row.frozen,
            quotas: row.state.spec.quotas.into(),
            rules: row.state.spec.rules.into(),
            retention: row.state.spec.retention.into(),
            created_by: Some(row.created_by),
            created_at: Some(row.created_at),
            version: row.version,
        }
    }
}

/// Path of a tenant.
pub(super) fn location(id: &TenantId) -> String {
    format!("/api/v1/tenants/{id}")
}
