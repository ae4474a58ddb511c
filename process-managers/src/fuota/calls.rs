//! Calls of ChirpStack's FUOTA service, with its odd answers told apart.

use std::collections::BTreeMap;

use chirpstack::grpc::Error;
use chirpstack::grpc::fuota::{
    Deployment, DeploymentDevice, DeploymentJob, ListDeploymentDevicesRequest, ListDeploymentsRequest, StatusRequest,
};
use chirpstack::grpc::multicast_group::{MulticastGroupType, SchedulingType};
use domain::FuotaDeploymentId;
use domain::fuota::{DEVICES_MAX, DeploymentPlan, Remote, name_over_there};

use super::worker::Stop;
use crate::network::Server;

/// Items of a page.
const PAGE: u32 = 100;
/// Pages of an application's deployments. Ours are deleted when they have ended.
const PAGES_MAX: u32 = 100;

/// A deployment over there.
#[derive(Debug, Clone)]
pub(super) struct Listed {
    pub(super) remote: Remote,
    pub(super) is_completed: bool,
}

/// All deployments of an application over there that have our deployment's name.
pub(super) async fn list(server: &Server, application_id: &str, id: FuotaDeploymentId) -> Result<Vec<Listed>, Stop> {
    let name = name_over_there(id);
    let mut found = Vec::new();
    for page in 0..PAGES_MAX {
        let request = ListDeploymentsRequest {
            limit: PAGE,
            offset: page * PAGE,
            application_id: application_id.to_owned(),
            ..ListDeploymentsRequest::default()
        };
        let answer = match server.client.list_deployments(request).await {
            Ok(answer) => answer,
            Err(error) => {
                // An application that is gone has no deployments.
                server.confirm_unknown(error).await?;
                return Ok(vec![]);
            }
        };
        let is_last = answer.result.len() < PAGE as usize;
        found.extend(answer.result.into_iter().filter(|item| item.name == name).map(|item| Listed {
            remote: Remote { id: item.id, started: item.started_at.is_some() },
            is_completed: item.completed_at.is_some(),
        }));
        if is_last {
            return Ok(found);
        }
    }
    Err(Stop::Broken(format!("the application has more than {} deployments", PAGES_MAX * PAGE)))
}

/// Creates the deployment. Its reply may be lost: look at the list before the next try.
pub(super) async fn create(
    server: &Server,
    id: FuotaDeploymentId,
    plan: &DeploymentPlan,
    image: Vec<u8>,
) -> Result<String, Stop> {
    match server.client.create_deployment(deployment(id, plan, image)).await {
        Ok(id) => Ok(id),
        Err(error) => Err(server.why_not_written(error, &plan.application_id, &plan.device_profile_id).await.into()),
    }
}

fn deployment(id: FuotaDeploymentId, plan: &DeploymentPlan, image: Vec<u8>) -> Deployment {
    let parameters = &plan.parameters;
    Deployment {
        application_id: plan.application_id.clone(),
        device_profile_id: plan.device_profile_id.clone(),
        name: name_over_there(id),
        multicast_group_type: MulticastGroupType::ClassC as i32,
        multicast_class_c_scheduling_type: SchedulingType::Delay as i32,
        multicast_dr: parameters.data_rate.into(),
        multicast_frequency: parameters.frequency_hz,
        // ChirpStack knows its own pause between two frames.
        calculate_multicast_timeout: true,
        unicast_max_retry_count: parameters.unicast_retries_max.into(),
        fragmentation_fragment_size: parameters.fragment_bytes.into(),
        fragmentation_redundancy_percentage: parameters.redundancy_percent.into(),
        // The first bytes of the digest: the device can tell which image it is about to get.
        fragmentation_descriptor: plan.sha256.0[..4].to_vec(),
        request_fragmentation_session_status: StatusRequest::AfterFragmentEnqueue as i32,
        payload: image,
        ..Deployment::default()
    }
}

/// The devices of a deployment over there, by EUI.
pub(super) async fn devices(server: &Server, chirpstack_id: &str) -> Result<BTreeMap<String, DeploymentDevice>, Stop> {
    let mut found = BTreeMap::new();
    for page in 0..=(DEVICES_MAX as u32 / PAGE) {
        let request = ListDeploymentDevicesRequest {
            limit: PAGE,
            offset: page * PAGE,
            fuota_deployment_id: chirpstack_id.to_owned(),
        };
        let answer = match server.client.list_fuota_devices(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(of_deployment(server, error).await),
        };
        let is_last = answer.result.len() < PAGE as usize;
        found.extend(answer.result.into_iter().map(|device| (device.dev_eui.to_ascii_lowercase(), device)));
        if is_last {
            break;
        }
    }
    Ok(found)
}

/// Why a call about a deployment has failed. The list of the next run says whether the deployment is gone.
async fn of_deployment(server: &Server, error: Error) -> Stop {
    match server.confirm_unknown(error).await {
        Ok(()) => Stop::Broken("ChirpStack does not know the deployment".to_owned()),
        Err(error) => error.into(),
    }
}

/// What ChirpStack has done with devices for a deployment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    All,
    /// It refuses them for good.
    Refused(String),
    /// It broke: some of them may be there, and another try may succeed.
    Broken(String),
}

impl Added {
    /// None if the error is not about the devices.
    fn failed(error: &Error) -> Option<Self> {
        match error {
            // One of them is there already.
            Error::Duplicate { .. } | Error::Internal { .. } => Some(Self::Broken(error.to_string())),
            Error::Malformed { .. } | Error::Refused { .. } => Some(Self::Refused(error.to_string())),
            Error::Unavailable { .. }
            | Error::DeadlineExceeded
            | Error::NotFound { .. }
            | Error::Unauthenticated { .. }
            | Error::NotChirpstack { .. } => None,
        }
    }
}

/// Adds devices. ChirpStack takes all of them or none, unless some are there already.
pub(super) async fn add(server: &Server, chirpstack_id: &str, dev_euis: &[String]) -> Result<Added, Stop> {
    match server.client.add_fuota_devices(chirpstack_id, dev_euis).await {
        Ok(()) => Ok(Added::All),
        Err(error) => match Added::failed(&error) {
            Some(added) => Ok(added),
            None => Err(of_deployment(server, error).await),
        },
    }
}

/// Takes devices out of a deployment that has not started.
pub(super) async fn remove(server: &Server, chirpstack_id: &str, dev_euis: &[String]) -> Result<(), Stop> {
    match server.client.remove_fuota_devices(chirpstack_id, dev_euis).await {
        Ok(()) => Ok(()),
        Err(error) => Err(of_deployment(server, error).await),
    }
}

/// Starts the deployment. The list of the next run says whether it is started already.
pub(super) async fn start(server: &Server, chirpstack_id: &str) -> Result<(), Stop> {
    match server.client.start_deployment(chirpstack_id).await {
        Ok(()) => Ok(()),
        Err(error) => Err(of_deployment(server, error).await),
    }
}

/// The jobs of a deployment.
pub(super) async fn jobs(server: &Server, chirpstack_id: &str) -> Result<Vec<DeploymentJob>, Stop> {
    match server.client.list_fuota_jobs(chirpstack_id).await {
        Ok(jobs) => Ok(jobs),
        Err(error) => Err(of_deployment(server, error).await),
    }
}

/// Deletes a deployment and its multicast group, which has the same id. It is no error that one isn't there. A key that may only read gets
/// the same answer: the list decides whether the deployment is gone.
pub(super) async fn delete(server: &Server, chirpstack_id: &str) -> Result<(), Stop> {
    if let Err(error) = server.client.delete_multicast_group(chirpstack_id).await {
        server.confirm_unknown(error).await?;
    }
    if let Err(error) = server.client.delete_deployment(chirpstack_id).await {
        server.confirm_unknown(error).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_chirpstack_refuses_for_good_is_refused() {
        let message = || "no".to_owned();
        let refused = Error::Refused { code: "INVALID_ARGUMENT", message: message() };
        assert!(matches!(Added::failed(&refused), Some(Added::Refused(_))));
        for broken in [Error::Internal { message: message() }, Error::Duplicate { message: message() }] {
            assert!(matches!(Added::failed(&broken), Some(Added::Broken(_))), "{broken}");
        }
        for other in [Error::Unavailable { message: message() }, Error::Unauthenticated { message: message() }] {
            assert_eq!(Added::failed(&other), None, "{other}");
        }
    }
}
