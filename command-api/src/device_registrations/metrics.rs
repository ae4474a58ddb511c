//! Outcomes of registrations. A refused device isn't told the reason; it is here and in the log.

use domain::{DeviceId, RegistrationTokenId, TenantId};
use event_store::metering::{self, Labels, Metric};

const REGISTRATIONS: &str = "waybill_device_registrations_total";
/// A device that was unknown.
pub(super) const REGISTERED: &str = "registered";
/// A device that was known and has got a further credential.
pub(super) const RETURNED: &str = "returned";
/// No valid token.
pub(super) const BAD_TOKEN: &str = "bad_token";
/// The device named another tenant than its token.
pub(super) const OTHER_TENANT: &str = "other_tenant";
/// The tenant is suspended or closed.
pub(super) const TENANT_SHUT: &str = "tenant_shut";
/// The tenant has as many devices as it may have.
pub(super) const QUOTA_EXCEEDED: &str = "quota_exceeded";
/// Too many at once.
pub(super) const BUSY: &str = "busy";

const OUTCOMES: &[Labels] = &[
    &[("outcome", REGISTERED)],
    &[("outcome", RETURNED)],
    &[("outcome", BAD_TOKEN)],
    &[("outcome", OTHER_TENANT)],
    &[("outcome", TENANT_SHUT)],
    &[("outcome", QUOTA_EXCEEDED)],
    &[("outcome", BUSY)],
    &[("outcome", "registration_token_expired")],
    &[("outcome", "registration_token_revoked")],
    &[("outcome", "registration_token_used_up")],
    &[("outcome", "registration_out_of_scope")],
    &[("outcome", "device_decommissioned")],
    &[("outcome", "device_has_credentials")],
];

const METRICS: [Metric; 1] = [Metric::Counter(
    REGISTRATIONS,
    "Requests of devices to register themselves, by outcome: registered, returned, or why they were refused.",
    OUTCOMES,
)];

pub(crate) fn describe() {
    metering::describe(&METRICS);
}

/// Counts an outcome. Refusals by the rules are named by their code.
pub(super) fn count(outcome: &'static str) {
    metrics::counter!(REGISTRATIONS, "outcome" => outcome).increment(1);
}

/// Counts and logs a refusal.
pub(super) fn refused(tenant: &TenantId, token: RegistrationTokenId, device: &DeviceId, reason: &'static str) {
    count(reason);
    tracing::info!(%tenant, registration_token.id = %token, device.id = %device, reason, "the registration of a device is refused");
}
