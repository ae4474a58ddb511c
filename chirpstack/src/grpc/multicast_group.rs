//! Multicast groups: `api.MulticastGroupService`. A FUOTA deployment makes one; one that was aborted may leave it behind.

use super::device_profile::Region;
use super::{Client, Error, Timestamp};

pub mod path {
    pub const LIST: &str = "/api.MulticastGroupService/List";
    pub const DELETE: &str = "/api.MulticastGroupService/Delete";
}

/// `api.MulticastGroupType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum MulticastGroupType {
    ClassC = 0,
    ClassB = 1,
}

/// `api.MulticastGroupSchedulingType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum SchedulingType {
    Delay = 0,
    GpsTime = 1,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListMulticastGroupsRequest {
    /// Groups of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    /// Part of the name.
    #[prost(string, tag = "3")]
    pub search: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub application_id: String,
    /// Only groups of this device, or empty for all.
    #[prost(string, tag = "5")]
    pub dev_eui: String,
    /// UUID; newer servers alone know it.
    #[prost(string, tag = "6")]
    pub tenant_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListMulticastGroupsResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<MulticastGroupListItem>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct MulticastGroupListItem {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(enumeration = "Region", tag = "5")]
    pub region: i32,
    #[prost(enumeration = "MulticastGroupType", tag = "6")]
    pub group_type: i32,
    #[prost(string, tag = "7")]
    pub application_id: String,
    #[prost(string, tag = "8")]
    pub application_name: String,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct DeleteMulticastGroupRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

impl Client {
    /// A page of an application's multicast groups.
    pub async fn list_multicast_groups(
        &self,
        request: ListMulticastGroupsRequest,
    ) -> Result<ListMulticastGroupsResponse, Error> {
        self.call(path::LIST, request).await
    }

    pub async fn delete_multicast_group(&self, id: &str) -> Result<(), Error> {
        self.send(path::DELETE, DeleteMulticastGroupRequest { id: id.to_owned() }).await
    }
}
