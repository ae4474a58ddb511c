//! Names a device among those of all tenants.

use domain::{DeviceId, TenantId};

/// A device of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRef {
    pub tenant: TenantId,
    pub device: DeviceId,
}
