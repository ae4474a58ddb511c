//! Tenants: who may use the API at all, and endpoints about them.
//!
//! Every process follows all tenants in memory ([`Tenants`]), so that a request costs no look into the log. Tenants belong to those who run
//! the installation; a freeze belongs to the tenant.

mod amend;
mod chirpstack;
mod closing;
mod create;
mod freeze;
mod get;
mod known;
mod model;
pub(crate) mod quotas;
mod requests;
mod retention;
mod same_fields;
mod standing;
mod trusted_keys;

pub(crate) use amend::{__path_amend_tenant, amend_tenant};
pub(crate) use chirpstack::{
    __path_connect_chirpstack, __path_disconnect_chirpstack, __path_get_chirpstack, connect_chirpstack,
    disconnect_chirpstack, get_chirpstack,
};
pub use chirpstack::{BrokerSettings, ChirpStackSettings, ClientIdentitySettings, fill_default_tenant};
pub use closing::FIRMWARE_KEYS;
pub(crate) use closing::{__path_close_tenant, close_tenant};
pub(crate) use create::{__path_create_tenant, create_tenant};
pub(crate) use freeze::{__path_freeze, __path_unfreeze, freeze, unfreeze};
pub(crate) use get::{
    __path_get_tenant, __path_list_tenants, __path_tenant_history, get_tenant, list_tenants, tenant_history,
};
pub(crate) use known::Tenants;
pub(crate) use standing::{__path_reinstate_tenant, __path_suspend_tenant, reinstate_tenant, suspend_tenant};
pub(crate) use trusted_keys::{
    __path_distrust_key, __path_list_trusted_keys, __path_trust_key, distrust_key, list_trusted_keys, trust_key,
};
