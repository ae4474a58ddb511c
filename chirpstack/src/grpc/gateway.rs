//! Gateways: `api.GatewayService`. Read to name those of a FUOTA deployment.

use std::collections::BTreeMap;

use super::{Client, Error, Timestamp};

pub mod path {
    pub const LIST: &str = "/api.GatewayService/List";
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListGatewaysRequest {
    /// Gateways of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    /// Part of the name or the id.
    #[prost(string, tag = "3")]
    pub search: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub tenant_id: String,
    /// UUID, or empty for all.
    #[prost(string, tag = "5")]
    pub multicast_group_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListGatewaysResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<GatewayListItem>,
}

/// `api.GatewayState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum GatewayState {
    NeverSeen = 0,
    Online = 1,
    Offline = 2,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GatewayListItem {
    #[prost(string, tag = "1")]
    pub tenant_id: String,
    /// 16 hexadecimal digits.
    #[prost(string, tag = "2")]
    pub gateway_id: String,
    #[prost(string, tag = "3")]
    pub name: String,
    #[prost(string, tag = "4")]
    pub description: String,
    #[prost(btree_map = "string, string", tag = "6")]
    pub properties: BTreeMap<String, String>,
    #[prost(message, optional, tag = "7")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "8")]
    pub updated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "9")]
    pub last_seen_at: Option<Timestamp>,
    #[prost(enumeration = "GatewayState", tag = "10")]
    pub state: i32,
}

impl Client {
    /// A page of a tenant's gateways.
    pub async fn list_gateways(&self, request: ListGatewaysRequest) -> Result<ListGatewaysResponse, Error> {
        self.call(path::LIST, request).await
    }
}
