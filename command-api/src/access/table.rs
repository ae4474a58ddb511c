//! The operations of the API, by path.

use super::{Access, Operation};
use crate::caller::Role;

const ANYONE: Access = Access::Anyone;
const DEVICE: Access = Access::Device;
const VIEWER: Access = Access::Role(Role::Viewer);
const OPERATOR: Access = Access::Role(Role::Operator);
const APPROVER: Access = Access::Role(Role::Approver);
const ADMIN: Access = Access::Role(Role::Admin);

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
    post("/auth/dev-token", ANYONE),
    post("/auth/verify-api-key", VIEWER),
    post("/auth/verify-token", VIEWER),
    get("/campaigns", VIEWER),
    post("/campaigns", OPERATOR),
    post("/campaigns/preview", VIEWER),
    get("/campaigns/{campaign_id}", VIEWER),
    put("/campaigns/{campaign_id}", OPERATOR),
    patch("/campaigns/{campaign_id}", OPERATOR),
    delete("/campaigns/{campaign_id}", OPERATOR),
    post("/campaigns/{campaign_id}/approve", APPROVER),
    post("/campaigns/{campaign_id}/cancel", OPERATOR),
    post("/campaigns/{campaign_id}/clone", OPERATOR),
    get("/campaigns/{campaign_id}/devices", VIEWER),
    get("/campaigns/{campaign_id}/devices/{device_id}", VIEWER),
    get("/campaigns/{campaign_id}/gates", VIEWER),
    get("/campaigns/{campaign_id}/history", VIEWER),
    post("/campaigns/{campaign_id}/pause", OPERATOR),
    post("/campaigns/{campaign_id}/preview", VIEWER),
    post("/campaigns/{campaign_id}/reject", APPROVER),
    post("/campaigns/{campaign_id}/resume", OPERATOR),
    post("/campaigns/{campaign_id}/retry", OPERATOR),
    post("/campaigns/{campaign_id}/rollback", OPERATOR),
    post("/campaigns/{campaign_id}/start", OPERATOR),
    get("/campaigns/{campaign_id}/status", VIEWER),
    post("/campaigns/{campaign_id}/waves/{wave}/open", OPERATOR),
    post("/campaigns/{campaign_id}/what-if", VIEWER),
    get("/d/{token}", ANYONE),
    get("/dead-letters", VIEWER),
    post("/device-registrations", DEVICE),
    get("/devices", VIEWER),
    post("/devices", OPERATOR),
    post("/devices/bulk", OPERATOR),
    post("/devices/bulk/hold", OPERATOR),
    post("/devices/bulk/release", OPERATOR),
    post("/devices/bulk/update", OPERATOR),
    post("/devices/import", OPERATOR),
    get("/devices/{device_id}", VIEWER),
    put("/devices/{device_id}", OPERATOR),
    patch("/devices/{device_id}", OPERATOR),
    delete("/devices/{device_id}", OPERATOR),
    get("/devices/{device_id}/credentials", VIEWER),
    post("/devices/{device_id}/credentials", OPERATOR),
    delete("/devices/{device_id}/credentials/{credential_id}", OPERATOR),
    get("/devices/{device_id}/dead-letters", VIEWER),
    get("/devices/{device_id}/firmware-history", VIEWER),
    get("/devices/{device_id}/history", VIEWER),
    post("/devices/{device_id}/hold", OPERATOR),
    get("/devices/{device_id}/ota/status", VIEWER),
    put("/devices/{device_id}/ota/update", OPERATOR),
    post("/devices/{device_id}/release", OPERATOR),
    post("/devices/{device_id}/rollback", OPERATOR),
    get("/devices/{device_id}/rollbacks", VIEWER),
    post("/devices/{device_id}/update", OPERATOR),
    get("/devices/{device_id}/updates", VIEWER),
    get("/devices/{device_id}/updates/{ordinal}", VIEWER),
    get("/feed/consumers", VIEWER),
    post("/feed/consumers", OPERATOR),
    get("/feed/consumers/{name}", VIEWER),
    delete("/feed/consumers/{name}", OPERATOR),
    get("/firmware", VIEWER),
    post("/firmware", OPERATOR),
    get("/firmware/{firmware_id}", VIEWER),
    delete("/firmware/{firmware_id}", ADMIN),
    post("/firmware/{firmware_id}/deprecate", OPERATOR),
    get("/firmware/{firmware_id}/download", VIEWER),
    get("/firmware/{firmware_id}/history", VIEWER),
    post("/firmware/{firmware_id}/withdraw", OPERATOR),
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
    get("/metrics", ANYONE),
    post("/ota/campaigns/{campaign_id}/execute", OPERATOR),
    get("/ota/campaigns/{campaign_id}/status", VIEWER),
    post("/registration-tokens", ADMIN),
    get("/registration-tokens/{token_id}", ADMIN),
    delete("/registration-tokens/{token_id}", ADMIN),
    get("/rollbacks", VIEWER),
    get("/service/stats", ANYONE),
    get("/stats/campaigns/{campaign_id}", VIEWER),
    get("/updates", VIEWER),
    get("/updates/{update_id}", VIEWER),
    post("/updates/{update_id}/cancel", OPERATOR),
    post("/updates/{update_id}/retry", OPERATOR),
];
