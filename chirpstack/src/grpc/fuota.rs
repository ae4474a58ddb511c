//! Images by multicast: `api.FuotaService`, which servers from 4.12 have.
//!
//! The calls of a deployment's life: create, add and remove devices, start, poll ([`Client::list_fuota_devices`], [`Client::list_fuota_jobs`]), delete.
//! `UpdateDeployment` is left out: ChirpStack refuses it to a tenant's key.

use std::collections::BTreeMap;

use super::multicast_group::{MulticastGroupType, SchedulingType};
use super::{Client, Error, Timestamp, normalise_eui};

pub mod path {
    pub const CREATE: &str = "/api.FuotaService/CreateDeployment";
    pub const GET: &str = "/api.FuotaService/GetDeployment";
    pub const DELETE: &str = "/api.FuotaService/DeleteDeployment";
    pub const START: &str = "/api.FuotaService/StartDeployment";
    pub const LIST: &str = "/api.FuotaService/ListDeployments";
    pub const ADD_DEVICES: &str = "/api.FuotaService/AddDevices";
    pub const REMOVE_DEVICES: &str = "/api.FuotaService/RemoveDevices";
    pub const LIST_DEVICES: &str = "/api.FuotaService/ListDevices";
    pub const ADD_GATEWAYS: &str = "/api.FuotaService/AddGateways";
    pub const LIST_JOBS: &str = "/api.FuotaService/ListJobs";
}

/// `api.RequestFragmentationSessionStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ::prost::Enumeration)]
#[repr(i32)]
pub enum StatusRequest {
    /// A device counts as completed without any proof of reception.
    NoRequest = 0,
    AfterFragmentEnqueue = 1,
    AfterSessionTimeout = 2,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct Deployment {
    /// UUID; the server sets it.
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(string, tag = "2")]
    pub application_id: String,
    /// All devices of the deployment have this profile.
    #[prost(string, tag = "3")]
    pub device_profile_id: String,
    #[prost(string, tag = "4")]
    pub name: String,
    #[prost(enumeration = "MulticastGroupType", tag = "5")]
    pub multicast_group_type: i32,
    #[prost(enumeration = "SchedulingType", tag = "6")]
    pub multicast_class_c_scheduling_type: i32,
    #[prost(uint32, tag = "7")]
    pub multicast_dr: u32,
    /// Class B only.
    #[prost(uint32, tag = "8")]
    pub multicast_class_b_ping_slot_periodicity: u32,
    /// Hz.
    #[prost(uint32, tag = "9")]
    pub multicast_frequency: u32,
    /// Class C: the session lasts two to the power of it, in seconds.
    #[prost(uint32, tag = "10")]
    pub multicast_timeout: u32,
    #[prost(bool, tag = "11")]
    pub calculate_multicast_timeout: bool,
    #[prost(uint32, tag = "12")]
    pub unicast_max_retry_count: u32,
    /// Bytes.
    #[prost(uint32, tag = "13")]
    pub fragmentation_fragment_size: u32,
    #[prost(bool, tag = "14")]
    pub calculate_fragmentation_fragment_size: bool,
    #[prost(uint32, tag = "15")]
    pub fragmentation_redundancy_percentage: u32,
    #[prost(uint32, tag = "16")]
    pub fragmentation_session_index: u32,
    #[prost(uint32, tag = "17")]
    pub fragmentation_matrix: u32,
    #[prost(uint32, tag = "18")]
    pub fragmentation_block_ack_delay: u32,
    /// Four bytes, or none.
    #[prost(bytes = "vec", tag = "19")]
    pub fragmentation_descriptor: Vec<u8>,
    #[prost(enumeration = "StatusRequest", tag = "20")]
    pub request_fragmentation_session_status: i32,
    /// The image.
    #[prost(bytes = "vec", tag = "21")]
    pub payload: Vec<u8>,
    /// Set on each device that completed.
    #[prost(btree_map = "string, string", tag = "22")]
    pub on_complete_set_device_tags: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct CreateDeploymentRequest {
    #[prost(message, optional, tag = "1")]
    pub deployment: Option<Deployment>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct CreateDeploymentResponse {
    #[prost(string, tag = "1")]
    pub id: String,
}

/// A request that names a deployment: of `GetDeployment`, `DeleteDeployment`, `StartDeployment` and `ListJobs`.
#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct DeploymentRequest {
    #[prost(string, tag = "1")]
    pub id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct GetDeploymentResponse {
    #[prost(message, optional, tag = "1")]
    pub deployment: Option<Deployment>,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub started_at: Option<Timestamp>,
    /// The chain of jobs ended. It does not say that a device has the image.
    #[prost(message, optional, tag = "5")]
    pub completed_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListDeploymentsRequest {
    /// Deployments of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    #[prost(string, tag = "3")]
    pub application_id: String,
    /// Newer servers alone know it.
    #[prost(string, tag = "4")]
    pub tenant_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListDeploymentsResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<DeploymentListItem>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeploymentListItem {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub updated_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub started_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub completed_at: Option<Timestamp>,
    #[prost(string, tag = "6")]
    pub name: String,
    #[prost(string, tag = "7")]
    pub application_id: String,
    #[prost(string, tag = "8")]
    pub application_name: String,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct AddDevicesRequest {
    #[prost(string, tag = "1")]
    pub fuota_deployment_id: String,
    #[prost(string, repeated, tag = "2")]
    pub dev_euis: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct RemoveDevicesRequest {
    #[prost(string, tag = "1")]
    pub fuota_deployment_id: String,
    #[prost(string, repeated, tag = "2")]
    pub dev_euis: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct AddGatewaysRequest {
    #[prost(string, tag = "1")]
    pub fuota_deployment_id: String,
    #[prost(string, repeated, tag = "2")]
    pub gateway_ids: Vec<String>,
}

#[derive(Clone, PartialEq, Eq, ::prost::Message)]
pub struct ListDeploymentDevicesRequest {
    /// Devices of a page; 0 answers the total alone.
    #[prost(uint32, tag = "1")]
    pub limit: u32,
    #[prost(uint32, tag = "2")]
    pub offset: u32,
    #[prost(string, tag = "3")]
    pub fuota_deployment_id: String,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListDeploymentDevicesResponse {
    #[prost(uint32, tag = "1")]
    pub total_count: u32,
    #[prost(message, repeated, tag = "2")]
    pub result: Vec<DeploymentDevice>,
}

/// Where a device of a deployment stands.
#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeploymentDevice {
    #[prost(string, tag = "1")]
    pub fuota_deployment_id: String,
    #[prost(string, tag = "2")]
    pub dev_eui: String,
    #[prost(message, optional, tag = "3")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "4")]
    pub completed_at: Option<Timestamp>,
    #[prost(message, optional, tag = "5")]
    pub mc_group_setup_completed_at: Option<Timestamp>,
    #[prost(message, optional, tag = "6")]
    pub mc_session_completed_at: Option<Timestamp>,
    #[prost(message, optional, tag = "7")]
    pub frag_session_setup_completed_at: Option<Timestamp>,
    #[prost(message, optional, tag = "8")]
    pub frag_status_completed_at: Option<Timestamp>,
    /// Free text; the first failure stays.
    #[prost(string, tag = "9")]
    pub error_msg: String,
}

/// How a deployment ended for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceOutcome {
    Running,
    /// The fragments arrived; that the device runs the image is known from its own uplink alone.
    Delivered,
    Failed,
}

impl DeploymentDevice {
    /// An error counts even when a completion stands beside it.
    #[must_use]
    pub fn outcome(&self) -> DeviceOutcome {
        match (self.error_msg.is_empty(), self.completed_at.is_some()) {
            (false, _) => DeviceOutcome::Failed,
            (true, true) => DeviceOutcome::Delivered,
            (true, false) => DeviceOutcome::Running,
        }
    }
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct ListJobsResponse {
    #[prost(message, repeated, tag = "1")]
    pub jobs: Vec<DeploymentJob>,
}

#[derive(Clone, PartialEq, ::prost::Message)]
pub struct DeploymentJob {
    /// `CREATE_MC_GROUP`, `ADD_DEVS_TO_MC_GROUP`, `ADD_GWS_TO_MC_GROUP`, `MC_GROUP_SETUP`, `FRAG_SESSION_SETUP`, `MC_SESSION`, `ENQUEUE`,
    /// `FRAG_STATUS`, `DELETE_MC_GROUP`, `COMPLETE`.
    #[prost(string, tag = "1")]
    pub job: String,
    #[prost(message, optional, tag = "2")]
    pub created_at: Option<Timestamp>,
    #[prost(message, optional, tag = "3")]
    pub completed_at: Option<Timestamp>,
    #[prost(uint32, tag = "4")]
    pub max_retry_count: u32,
    #[prost(uint32, tag = "5")]
    pub attempt_count: u32,
    #[prost(message, optional, tag = "6")]
    pub scheduler_run_after: Option<Timestamp>,
    #[prost(string, tag = "7")]
    pub warning_msg: String,
    #[prost(string, tag = "8")]
    pub error_msg: String,
}

impl Client {
    /// Creates a deployment that isn't started, and answers its id.
    ///
    /// Not idempotent: names need not be unique. After an error that [`Error::retry`] calls transient, look for the name first
    /// ([`Client::list_deployments`]).
    pub async fn create_deployment(&self, deployment: Deployment) -> Result<String, Error> {
        let request = CreateDeploymentRequest { deployment: Some(deployment) };
        let answer: CreateDeploymentResponse = self.call_with_image(path::CREATE, request).await?;
        Ok(answer.id)
    }

    /// The deployment with its image: for its state alone list it.
    pub async fn get_deployment(&self, id: &str) -> Result<GetDeploymentResponse, Error> {
        self.call_with_image(path::GET, DeploymentRequest { id: id.to_owned() }).await
    }

    /// Deletes a deployment, running or not. Its multicast group stays behind when it was running.
    pub async fn delete_deployment(&self, id: &str) -> Result<(), Error> {
        self.send(path::DELETE, DeploymentRequest { id: id.to_owned() }).await
    }

    /// Starts a deployment. From then on devices and gateways can't be added.
    pub async fn start_deployment(&self, id: &str) -> Result<(), Error> {
        self.send(path::START, DeploymentRequest { id: id.to_owned() }).await
    }

    /// A page of an application's deployments.
    pub async fn list_deployments(&self, request: ListDeploymentsRequest) -> Result<ListDeploymentsResponse, Error> {
        self.call(path::LIST, request).await
    }

    /// Adds devices that all have the deployment's profile and application.
    pub async fn add_fuota_devices(&self, deployment_id: &str, dev_euis: &[String]) -> Result<(), Error> {
        let dev_euis = dev_euis.iter().map(|eui| normalise_eui(eui)).collect::<Result<_, _>>()?;
        let request = AddDevicesRequest { fuota_deployment_id: deployment_id.to_owned(), dev_euis };
        self.send(path::ADD_DEVICES, request).await
    }

    /// Takes devices out of a deployment that has not started.
    pub async fn remove_fuota_devices(&self, deployment_id: &str, dev_euis: &[String]) -> Result<(), Error> {
        let dev_euis = dev_euis.iter().map(|eui| normalise_eui(eui)).collect::<Result<_, _>>()?;
        let request = RemoveDevicesRequest { fuota_deployment_id: deployment_id.to_owned(), dev_euis };
        self.send(path::REMOVE_DEVICES, request).await
    }

    /// Names the gateways to send from. Without, ChirpStack takes those that heard the devices last.
    pub async fn add_fuota_gateways(&self, deployment_id: &str, gateway_ids: &[String]) -> Result<(), Error> {
        let gateway_ids = gateway_ids.iter().map(|id| normalise_eui(id)).collect::<Result<_, _>>()?;
        let request = AddGatewaysRequest { fuota_deployment_id: deployment_id.to_owned(), gateway_ids };
        self.send(path::ADD_GATEWAYS, request).await
    }

    /// A page of a deployment's devices.
    pub async fn list_fuota_devices(
        &self,
        request: ListDeploymentDevicesRequest,
    ) -> Result<ListDeploymentDevicesResponse, Error> {
        self.call(path::LIST_DEVICES, request).await
    }

    /// The jobs of a deployment, first to last.
    pub async fn list_fuota_jobs(&self, deployment_id: &str) -> Result<Vec<DeploymentJob>, Error> {
        let answer: ListJobsResponse =
            self.call(path::LIST_JOBS, DeploymentRequest { id: deployment_id.to_owned() }).await?;
        Ok(answer.jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_delivered_only_without_an_error() {
        let at = Some(Timestamp { seconds: 1, nanos: 0 });
        let device = |completed_at, error_msg: &str| DeploymentDevice {
            completed_at,
            error_msg: error_msg.to_owned(),
            ..DeploymentDevice::default()
        };
        assert_eq!(device(None, "").outcome(), DeviceOutcome::Running);
        assert_eq!(device(at, "").outcome(), DeviceOutcome::Delivered);
        assert_eq!(device(at, "FragStatusReq timeout.").outcome(), DeviceOutcome::Failed);
        assert_eq!(device(None, "McSessionReq timeout").outcome(), DeviceOutcome::Failed);
    }
}
