//! The operations of the API, by path.

use super::{Access, Operation};
use crate::caller::Role;

const ANYONE: Access = Access::Anyone;
const SESSION: Access = Access::Session;
const DEVICE: Access = Access::Device;
const WEBHOOK: Access = Access::Webhook;
const VIEWER_OF_DEVICE: Access = Access::OfDevice(Role::Viewer);
const OPERATOR_OF_DEVICE: Access = Access::OfDevice(Role::Operator);
const LISTED: Access = Access::Listing(Role::Viewer);
const STREAM: Access = Access::Stream(Role::Viewer);
const OPERATOR_OF_TARGETS: Access = Access::Listing(Role::Operator);
const VIEWER_OF_CAMPAIGN: Access = Access::OfCampaign(Role::Viewer);
const OPERATOR_OF_CAMPAIGN: Access = Access::OfCampaign(Role::Operator);
const APPROVER_OF_CAMPAIGN: Access = Access::OfCampaign(Role::Approver);
const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const APPROVER: Access = Access::Role(Role::Approver);
const AUDITOR: Access = Access::Role(Role::Auditor);
const ADMIN: Access = Access::Role(Role::Admin);
const PLATFORM: Access = Access::Platform;
const VIEWER_OR_PLATFORM: Access = Access::RoleOrPlatform(Role::Viewer);
const ADMIN_OR_PLATFORM: Access = Access::RoleOrPlatform(Role::Admin);

const fn get(path: &'static str, access: Access) -> Operation {
    Operation { method: "get", path, access }
}

const fn post(path: &'static str, access: Access) -> Operation {
    Operation { method: "post", path, access }
}

const fn put(path: &'static str, access: Access) -> Operation {
    Operation { method: "put", path, access }
}

const fn patch(path: &'static str, access: Access) -> Operation {
    Operation { method: "patch", path, access }
}

const fn delete(path: &'static str, access: Access) -> Operation {
    Operation { method: "delete", path, access }
}

/// Every operation.
pub(crate) const OPERATIONS: &[Operation] = &[
    get("/api-keys", ADMIN),
    post("/api-keys", ADMIN),
    get("/api-keys/{key_id}", ADMIN),
    delete("/api-keys/{key_id}", ADMIN),
    get("/audit", AUDITOR),
    get("/audit/export", AUDITOR),
    get("/audit/facets", AUDITOR),
    get("/audit/types", AUDITOR),
    get("/auth/callback", ANYONE),
    post("/auth/dev-token", ANYONE),
    get("/auth/session", SESSION),
    post("/auth/session", ANYONE),
    get("/auth/sessions", LISTED),
    delete("/auth/sessions", LISTED),
    delete("/auth/sessions/{session_id}", LISTED),
    get("/auth/sign-in", ANYONE),
    get("/auth/sign-in-ways", ANYONE),
    post("/auth/sign-out", SESSION),
    post("/auth/stream-ticket", STREAM),
    post("/auth/verify-api-key", VIEWER),
    post("/auth/verify-token", VIEWER),
    get("/campaigns", LISTED),
    post("/campaigns", OPERATOR_OF_TARGETS),
    post("/campaigns/preview", LISTED),
    get("/campaigns/{campaign_id}", VIEWER_OF_CAMPAIGN),
    put("/campaigns/{campaign_id}", OPERATOR_OF_CAMPAIGN),
    patch("/campaigns/{campaign_id}", OPERATOR_OF_CAMPAIGN),
    delete("/campaigns/{campaign_id}", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/approve", APPROVER_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/cancel", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/clone", OPERATOR_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/devices", VIEWER_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/devices/{device_id}", VIEWER_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/failures", VIEWER_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/gates", VIEWER_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/history", VIEWER_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/lorawan-deployments", VIEWER_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/lorawan-deployments/{deployment_id}", VIEWER_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/pause", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/preview", VIEWER_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/reject", APPROVER_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/resume", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/retry", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/rollback", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/start", OPERATOR_OF_CAMPAIGN),
    get("/campaigns/{campaign_id}/status", VIEWER_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/waves/{wave}/open", OPERATOR_OF_CAMPAIGN),
    post("/campaigns/{campaign_id}/what-if", VIEWER_OF_CAMPAIGN),
    get("/d/{token}", ANYONE),
    get("/dead-letters", VIEWER),
    post("/device-registrations", DEVICE),
    get("/devices", LISTED),
    post("/devices", OPERATOR),
    post("/devices/bulk", OPERATOR),
    post("/devices/bulk/hold", OPERATOR),
    post("/devices/bulk/release", OPERATOR),
    post("/devices/bulk/update", OPERATOR),
    post("/devices/import", OPERATOR),
    post("/devices/import/chirpstack", OPERATOR),
    post("/devices/sync", OPERATOR),
    get("/devices/{device_id}", VIEWER_OF_DEVICE),
    put("/devices/{device_id}", OPERATOR_OF_DEVICE),
    patch("/devices/{device_id}", OPERATOR_OF_DEVICE),
    delete("/devices/{device_id}", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/commands", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/commands", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/commands/{n}", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/commands/{n}/cancel", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/credentials", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/credentials", OPERATOR_OF_DEVICE),
    delete("/devices/{device_id}/credentials/{credential_id}", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/dead-letters", VIEWER_OF_DEVICE),
    get("/devices/{device_id}/firmware-history", VIEWER_OF_DEVICE),
    get("/devices/{device_id}/history", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/hold", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/lorawan-keys", VIEWER_OF_DEVICE),
    put("/devices/{device_id}/lorawan-keys", OPERATOR_OF_DEVICE),
    delete("/devices/{device_id}/lorawan-keys", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/ota/status", VIEWER_OF_DEVICE),
    put("/devices/{device_id}/ota/update", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/network-notices", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/release", OPERATOR_OF_DEVICE),
    post("/devices/{device_id}/rollback", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/rollbacks", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/sync", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/telemetry", VIEWER_OF_DEVICE),
    post("/devices/{device_id}/update", OPERATOR_OF_DEVICE),
    get("/devices/{device_id}/updates", VIEWER_OF_DEVICE),
    get("/devices/{device_id}/updates/{ordinal}", VIEWER_OF_DEVICE),
    get("/devices/{device_id}/updates/{ordinal}/log", VIEWER_OF_DEVICE),
    get("/devices/{device_id}/why", VIEWER_OF_DEVICE),
    get("/devices/{device_id}/why-not", VIEWER_OF_DEVICE),
    get("/events/stream", STREAM),
    get("/events/ws", STREAM),
    get("/exposure", VIEWER),
    get("/exposure/devices", VIEWER),
    get("/feed/consumers", VIEWER),
    post("/feed/consumers", OPERATOR),
    get("/feed/consumers/{name}", VIEWER),
    delete("/feed/consumers/{name}", OPERATOR),
    get("/firmware", VIEWER),
    post("/firmware", OPERATOR),
    get("/firmware/{firmware_id}", VIEWER),
    delete("/firmware/{firmware_id}", ADMIN),
    post("/firmware/{firmware_id}/deprecate", OPERATOR),
    get("/firmware/{firmware_id}/documents", VIEWER),
    post("/firmware/{firmware_id}/documents", OPERATOR),
    get("/firmware/{firmware_id}/documents/{document_id}", VIEWER),
    delete("/firmware/{firmware_id}/documents/{document_id}", ADMIN),
    get("/firmware/{firmware_id}/download", VIEWER),
    get("/firmware/{firmware_id}/downloads", VIEWER),
    get("/firmware/{firmware_id}/history", VIEWER),
    post("/firmware/{firmware_id}/signatures", OPERATOR),
    post("/firmware/{firmware_id}/withdraw", OPERATOR),
    post("/freeze", OPERATOR),
    get("/groups", VIEWER),
    post("/groups", OPERATOR),
    get("/groups/{group_id}", VIEWER),
    put("/groups/{group_id}", OPERATOR),
    patch("/groups/{group_id}", OPERATOR),
    delete("/groups/{group_id}", OPERATOR),
    get("/groups/{group_id}/history", VIEWER),
    get("/groups/{group_id}/members", VIEWER),
    post("/groups/{group_id}/members", OPERATOR),
    delete("/groups/{group_id}/members", OPERATOR),
    get("/health", ANYONE),
    get("/health/detailed", ANYONE),
    get("/health/ready", ANYONE),
    post("/lorawan/webhooks/{tenant_id}", WEBHOOK),
    post("/lorawan/webhooks/{tenant_id}/error", WEBHOOK),
    post("/lorawan/webhooks/{tenant_id}/status", WEBHOOK),
    post("/lorawan/webhooks/{tenant_id}/uplink", WEBHOOK),
    get("/members", ADMIN),
    get("/members/{member}", ADMIN),
    put("/members/{member}", ADMIN),
    delete("/members/{member}", ADMIN),
    get("/members/{member}/history", ADMIN),
    get("/metrics", ANYONE),
    post("/ota/campaigns/{campaign_id}/execute", OPERATOR_OF_CAMPAIGN),
    get("/ota/campaigns/{campaign_id}/status", VIEWER_OF_CAMPAIGN),
    get("/registration-tokens", ADMIN),
    post("/registration-tokens", ADMIN),
    get("/registration-tokens/{token_id}", ADMIN),
    delete("/registration-tokens/{token_id}", ADMIN),
    get("/rollbacks", VIEWER),
    get("/search", LISTED),
    get("/service/stats", ANYONE),
    get("/stats", LISTED),
    get("/stats/campaigns/{campaign_id}", VIEWER_OF_CAMPAIGN),
    get("/stats/versions", LISTED),
    get("/stats/versions/series", VIEWER),
    get("/tenants", PLATFORM),
    post("/tenants", PLATFORM),
    get("/tenants/{tenant_id}", VIEWER_OR_PLATFORM),
    patch("/tenants/{tenant_id}", ADMIN_OR_PLATFORM),
    delete("/tenants/{tenant_id}", PLATFORM),
    get("/tenants/{tenant_id}/chirpstack", ADMIN_OR_PLATFORM),
    put("/tenants/{tenant_id}/chirpstack", ADMIN_OR_PLATFORM),
    delete("/tenants/{tenant_id}/chirpstack", ADMIN_OR_PLATFORM),
    get("/tenants/{tenant_id}/history", VIEWER_OR_PLATFORM),
    post("/tenants/{tenant_id}/reinstate", PLATFORM),
    post("/tenants/{tenant_id}/suspend", PLATFORM),
    get("/tenants/{tenant_id}/trusted-keys", VIEWER_OR_PLATFORM),
    post("/tenants/{tenant_id}/trusted-keys", ADMIN_OR_PLATFORM),
    delete("/tenants/{tenant_id}/trusted-keys/{fingerprint}", ADMIN_OR_PLATFORM),
    post("/unfreeze", APPROVER),
    get("/updates", VIEWER),
    get("/updates/{update_id}", VIEWER_OF_DEVICE),
    post("/updates/{update_id}/cancel", OPERATOR_OF_DEVICE),
    post("/updates/{update_id}/retry", OPERATOR_OF_DEVICE),
];
