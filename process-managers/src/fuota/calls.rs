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
use crate::network::{Server, ServerError, plain};

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
            Err(error) => return of_application(server, error).await,
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

/// What an application has that can't be listed: nothing, if it is gone, also with its ChirpStack. That and a refused key get the same answer.
async fn of_application(server: &Server, error: Error) -> Result<Vec<Listed>, Stop> {
    match error {
        Error::NotFound { .. } => Ok(vec![]),
        error => match plain(error) {
            ServerError::KeyRefused => Ok(server.key_works().await.map(|()| vec![])?),
            other => Err(other.into()),
        },
    }
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
        let answer = server.client.list_fuota_devices(request).await;
        let answer = match answer {
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

/// A deployment that is gone and a refused key get the same answer. The list of the next run says whether it is gone.
async fn of_deployment(server: &Server, error: Error) -> Stop {
    match plain(error) {
        ServerError::KeyRefused => match server.key_works().await {
            Ok(()) => Stop::Broken("ChirpStack does not know the deployment".to_owned()),
            Err(error) => error.into(),
        },
        other => other.into(),
    }
}

/// Adds devices. ChirpStack takes all of them or none, unless some are there already. Returns why not, where it refuses.
pub(super) async fn add(server: &Server, chirpstack_id: &str, dev_euis: &[String]) -> Result<Option<String>, Stop> {
    match server.client.add_fuota_devices(chirpstack_id, dev_euis).await {
        Ok(()) => Ok(None),
        Err(error) => match of_deployment(server, error).await {
            Stop::Broken(reason) => Ok(Some(reason)),
            stop => Err(stop),
        },
    }
}

/// Starts the deployment. That it is started already is told by the list of the next run.
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

/// Deletes a deployment and its multicast group, which has the same id. It is no error that one isn't there.
pub(super) async fn delete(server: &Server, chirpstack_id: &str) -> Result<(), Stop> {
    let group = server.client.delete_multicast_group(chirpstack_id).await;
    gone(server, group).await?;
    let deployment = server.client.delete_deployment(chirpstack_id).await;
    gone(server, deployment).await
}

async fn gone(server: &Server, outcome: Result<(), Error>) -> Result<(), Stop> {
    match outcome {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => match plain(error) {
            ServerError::KeyRefused => Ok(server.key_works().await?),
            other => Err(other.into()),
        },
    }
}
