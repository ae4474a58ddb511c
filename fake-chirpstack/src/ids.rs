//! Ids and keys of what the double begins with.

/// The tenant to whom [`TENANT_KEY`] belongs.
pub const TENANT_ID: &str = "52f14cd4-c6f1-4fbd-8f87-4025e1d49242";
/// An application of the tenant.
pub const APPLICATION_ID: &str = "fe0631ba-f18b-42ef-99f5-c9a37521a4b8";
/// An application of another tenant.
pub const OTHER_APPLICATION_ID: &str = "0a1b2c3d-0000-4000-8000-000000000001";
/// A profile of the tenant for class A devices without FUOTA.
pub const CLASS_A_PROFILE_ID: &str = "79d31395-dcce-4761-b489-b776998b5a38";
/// A profile of the tenant for class C devices with FUOTA.
pub const CLASS_C_PROFILE_ID: &str = "5e440683-a2fe-486f-b62a-0ed2210681b6";
/// The only gateway.
pub const GATEWAY_ID: &str = "0016c001f153a14c";
/// The key that a tenant would use.
pub const TENANT_KEY: &str = "fake-tenant-key";
/// A key without a tenant.
pub const ADMIN_KEY: &str = "fake-admin-key";
