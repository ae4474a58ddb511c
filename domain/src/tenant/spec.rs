//! What is said of a tenant: its name, its quotas, its rules and its retention, each with its changes and bounds.

use serde::{Deserialize, Serialize};

use super::retention::{Retention, RetentionPatch};
use super::trusted_keys::REQUIRED_SIGNATURES_MAX;
use crate::campaign::Violation;
use crate::change::Change;
use crate::sealed::Sealed;
use crate::values::{SHORT_TEXT_MAX_CHARS, is_short_text};

/// Largest quota of devices and of campaigns.
pub const COUNT_QUOTA_MAX: u64 = 100_000_000;
/// Largest quota of bytes: 1 PiB.
pub const BYTES_QUOTA_MAX: u64 = 1 << 50;

/// The most that a tenant may use; absent: no limit of its own. A lowered quota takes nothing away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Quotas {
    /// Devices in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u64>,
    /// Bytes of all firmware that is not deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firmware_bytes: Option<u64>,
    /// Campaigns that have been started and have not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaigns: Option<u64>,
    /// Requests in a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
}

/// A change of [`Quotas`]; `null` removes a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct QuotasPatch {
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub devices: Change<u64>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub firmware_bytes: Change<u64>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub campaigns: Change<u64>,
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub requests_per_minute: Change<u64>,
}

/// What a tenant asks of everything that its callers do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantRules {
    /// Commands that change the work of others need a reason.
    #[serde(skip_serializing_if = "is_default")]
    pub require_reason: bool,
    /// Every campaign needs an approval before it starts.
    #[serde(skip_serializing_if = "is_default")]
    pub require_approval: bool,
    /// Every update needs the device's own report of the SHA-256 of what it received.
    #[serde(skip_serializing_if = "is_default")]
    pub require_digest_report: bool,
    /// Different trusted keys that must have signed a firmware before it goes out.
    #[serde(skip_serializing_if = "is_default")]
    pub require_signatures: u8,
    /// A firmware needs an SBOM before it goes out.
    #[serde(skip_serializing_if = "is_default")]
    pub require_sbom: bool,
    /// A firmware needs a provenance by a trusted key before it goes out.
    #[serde(skip_serializing_if = "is_default")]
    pub require_provenance: bool,
}

/// A change of [`TenantRules`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantRulesPatch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_reason: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_approval: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_digest_report: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_signatures: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_sbom: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_provenance: Option<bool>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What is said of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Sealed<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub quotas: Quotas,
    #[serde(skip_serializing_if = "is_default")]
    pub rules: TenantRules,
    #[serde(skip_serializing_if = "is_default")]
    pub retention: Retention,
}

/// A change of [`TenantSpec`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TenantPatch {
    #[serde(skip_serializing_if = "Change::is_keep")]
    pub name: Change<Sealed<String>>,
    #[serde(skip_serializing_if = "is_default")]
    pub quotas: QuotasPatch,
    #[serde(skip_serializing_if = "is_default")]
    pub rules: TenantRulesPatch,
    #[serde(skip_serializing_if = "is_default")]
    pub retention: RetentionPatch,
}

impl Quotas {
    fn patched(mut self, patch: &QuotasPatch) -> Self {
        let QuotasPatch { devices, firmware_bytes, campaigns, requests_per_minute } = patch;
        devices.apply_to(&mut self.devices);
        firmware_bytes.apply_to(&mut self.firmware_bytes);
        campaigns.apply_to(&mut self.campaigns);
        requests_per_minute.apply_to(&mut self.requests_per_minute);
        self
    }
}

impl TenantRules {
    fn patched(self, patch: TenantRulesPatch) -> Self {
        Self {
            require_reason: patch.require_reason.unwrap_or(self.require_reason),
            require_approval: patch.require_approval.unwrap_or(self.require_approval),
            require_digest_report: patch.require_digest_report.unwrap_or(self.require_digest_report),
            require_signatures: patch.require_signatures.unwrap_or(self.require_signatures),
            require_sbom: patch.require_sbom.unwrap_or(self.require_sbom),
            require_provenance: patch.require_provenance.unwrap_or(self.require_provenance),
        }
    }
}

impl TenantSpec {
    #[must_use]
    pub fn patched(&self, patch: &TenantPatch) -> Self {
        let TenantPatch { name, quotas, rules, retention } = patch;
        let mut next = self.clone();
        name.apply_to(&mut next.name);
        next.quotas = next.quotas.patched(quotas);
        next.rules = next.rules.patched(*rules);
        next.retention = next.retention.patched(retention);
        next
    }

    /// All violations, in the order of the fields.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut add = |field: &str, reason: String| found.push((field.to_owned(), reason));
        if self.name.as_ref().and_then(Sealed::plain).is_some_and(|name| !is_short_text(name)) {
            add("name", format!("1 to {SHORT_TEXT_MAX_CHARS} characters without control characters"));
        }
        let Quotas { devices, firmware_bytes, campaigns, requests_per_minute } = self.quotas;
        for (field, quota, max) in [
            ("quotas.devices", devices, COUNT_QUOTA_MAX),
            ("quotas.firmware_bytes", firmware_bytes, BYTES_QUOTA_MAX),
            ("quotas.campaigns", campaigns, COUNT_QUOTA_MAX),
            ("quotas.requests_per_minute", requests_per_minute, COUNT_QUOTA_MAX),
        ] {
            if quota.is_some_and(|quota| quota > max) {
                add(field, format!("at most {max}"));
            }
        }
        if self.rules.require_signatures > REQUIRED_SIGNATURES_MAX {
            add("rules.require_signatures", format!("at most {REQUIRED_SIGNATURES_MAX}"));
        }
        // With none, nobody could raise it again.
        if requests_per_minute == Some(0) {
            add("quotas.requests_per_minute", "at least 1".to_owned());
        }
        found.extend(self.retention.violations());
        found
    }
}
