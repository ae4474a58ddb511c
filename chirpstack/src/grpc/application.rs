//! Applications: `api.ApplicationService`.

use std::collections::BTreeMap;

use super::{Client, Error, Timestamp};

pub mod path {
    pub const GET: &str = "/api.ApplicationService/Get";
    pub const LIST: &str = "/api.ApplicationService/List";
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Application {
    /// UUID.
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, tag = "3")]
    pub description: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub tenant_id: String,
    #[prost(btree_map = "string, string", tag = "5")]
    pub tags: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct GetApplicationRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetApplicationResponse {
    #[prost(message, optional, tag = "1")]
    pub application: Option<Application>,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListApplicationsRequest {
    /// Applications of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    /// Part of the name.
    #[prost(string, tag = "3")]
    pub search: String,
    /// UUID.
    #[prost(string, tag = "4")]
    pub tenant_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListApplicationsResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<ApplicationListItem>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ApplicationListItem {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(string, tag = "5")]
    pub description: String,
}

impl Client {
    /// [`Error::Unauthenticated`] when a tenant's key asks for an application that does not exist.
    pub async fn get_application(&self, id: &str) -> Result<Application, Error> {
        let answer: GetApplicationResponse = self.call(path::GET, GetApplicationRequest { id: id.to_owned() }).await?;
        answer.application.ok_or_else(|| Error::unreadable("an answer without an application"))
    }

    /// A page of a tenant's applications.
    pub async fn list_applications(&self, request: ListApplicationsRequest) -> Result<ListApplicationsResponse, Error> {
        self.call(path::LIST, request).await
    }
}
