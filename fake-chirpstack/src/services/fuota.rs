//! `api.FuotaService`.

use std::collections::BTreeMap;

use chirpstack::grpc::Empty;
use chirpstack::grpc::fuota::{
    AddDevicesRequest, AddGatewaysRequest, CreateDeploymentRequest, CreateDeploymentResponse, Deployment,
    DeploymentDevice, DeploymentListItem, DeploymentRequest, GetDeploymentResponse, ListDeploymentDevicesRequest,
    ListDeploymentDevicesResponse, ListDeploymentsRequest, ListDeploymentsResponse, ListJobsResponse,
    RemoveDevicesRequest, path,
};
use runtime::clock;
use tonic::Status;

use super::{page, parse};
use crate::auth::does_not_exist;
use crate::call::{Call, Response, Work};
use crate::deployments;
use crate::store::{DEPLOYMENTS_MAX, DeploymentEntry, Store, Stored};
use crate::times::now;

/// Bytes of a fragmentation descriptor.
const DESCRIPTOR_BYTES: usize = 4;

pub(super) async fn serve(call: Call) -> Result<Response, Call> {
    Ok(match call.path() {
        path::CREATE => call.unary(create).await,
        path::GET => call.unary(get).await,
        path::DELETE => call.unary(delete).await,
        path::START => call.unary(start).await,
        path::LIST => call.unary(list).await,
        path::ADD_DEVICES => call.unary(add_devices).await,
        path::REMOVE_DEVICES => call.unary(remove_devices).await,
        path::LIST_DEVICES => call.unary(list_devices).await,
        path::ADD_GATEWAYS => call.unary(add_gateways).await,
        path::LIST_JOBS => call.unary(list_jobs).await,
        _ => return Err(call),
    })
}

fn create(work: &mut Work<'_>, request: CreateDeploymentRequest) -> Result<CreateDeploymentResponse, Status> {
    let deployment = request.deployment.ok_or_else(|| parse::missing("deployment"))?;
    let application_id = parse::uuid(&deployment.application_id)?;
    let device_profile_id = parse::uuid(&deployment.device_profile_id)?;
    work.caller.may_use_application(work.store, &application_id)?;
    let tenant_of = |id: &str| work.store.profiles.get(id).map(|profile| profile.object.tenant_id.clone());
    let profile_tenant = tenant_of(&device_profile_id).ok_or_else(|| does_not_exist(&device_profile_id))?;
    let application = work.store.applications.get(&application_id).ok_or_else(|| does_not_exist(&application_id))?;
    if application.object.tenant_id != profile_tenant {
        return Err(parse::invalid("The application and device-profile must be under the samen tenant"));
    }
    if ![0, DESCRIPTOR_BYTES].contains(&deployment.fragmentation_descriptor.len()) {
        return Err(parse::invalid("fragmentation_descriptor must be 4 bytes"));
    }
    if work.store.deployments.len() >= DEPLOYMENTS_MAX {
        return Err(Status::invalid_argument("Not allowed (Max number of deployments exceeded)"));
    }
    let id = clock::new_id().to_string();
    let deployment = Deployment { id: id.clone(), application_id, device_profile_id, ..deployment };
    let entry = DeploymentEntry {
        stored: Stored::new(deployment),
        started_at: None,
        completed_at: None,
        devices: BTreeMap::new(),
        gateways: Vec::new(),
        jobs: Vec::new(),
    };
    work.store.deployments.insert(id.clone(), entry);
    Ok(CreateDeploymentResponse { id })
}

fn get(work: &mut Work<'_>, request: DeploymentRequest) -> Result<GetDeploymentResponse, Status> {
    let entry = deployment(work, &request.id)?;
    Ok(GetDeploymentResponse {
        deployment: Some(entry.stored.object.clone()),
        created_at: Some(entry.stored.created_at),
        updated_at: Some(entry.stored.updated_at),
        started_at: entry.started_at,
        completed_at: entry.completed_at,
    })
}

/// The multicast group of a running deployment stays.
fn delete(work: &mut Work<'_>, request: DeploymentRequest) -> Result<Empty, Status> {
    let id = deployment(work, &request.id)?.stored.object.id.clone();
    work.store.deployments.remove(&id);
    Ok(Empty {})
}

fn start(work: &mut Work<'_>, request: DeploymentRequest) -> Result<Empty, Status> {
    let entry = deployment(work, &request.id)?;
    if entry.started_at.is_some() {
        return Err(Status::failed_precondition("FUOTA deployment has already started"));
    }
    deployments::start(entry);
    Ok(Empty {})
}

fn list(work: &mut Work<'_>, request: ListDeploymentsRequest) -> Result<ListDeploymentsResponse, Status> {
    let application_id = parse::uuid(&request.application_id)?;
    work.caller.may_use_application(work.store, &application_id)?;
    let mut items: Vec<DeploymentListItem> = work
        .store
        .deployments
        .values()
        .filter(|entry| entry.stored.object.application_id == application_id)
        .map(|entry| item(work.store, entry))
        .collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    let (total_count, result) = page(items, request.limit, request.offset);
    Ok(ListDeploymentsResponse { total_count, result })
}

fn item(store: &Store, entry: &DeploymentEntry) -> DeploymentListItem {
    let deployment = &entry.stored.object;
    let application = store.applications.get(&deployment.application_id);
    DeploymentListItem {
        id: deployment.id.clone(),
        created_at: Some(entry.stored.created_at),
        updated_at: Some(entry.stored.updated_at),
        started_at: entry.started_at,
        completed_at: entry.completed_at,
        name: deployment.name.clone(),
        application_id: deployment.application_id.clone(),
        application_name: application.map(|application| application.object.name.clone()).unwrap_or_default(),
    }
}

fn add_devices(work: &mut Work<'_>, request: AddDevicesRequest) -> Result<Empty, Status> {
    let dev_euis = request.dev_euis.iter().map(|text| parse::eui(text)).collect::<Result<Vec<_>, _>>()?;
    let deployment_id = not_started(work, &request.fuota_deployment_id)?.stored.object.id.clone();
    let fits = |store: &Store, dev_eui: &str| {
        let device = &store.devices.get(dev_eui)?.stored.object;
        let deployment = &store.deployments.get(&deployment_id)?.stored.object;
        let is_same = device.application_id == deployment.application_id
            && device.device_profile_id == deployment.device_profile_id;
        is_same.then_some(())
    };
    if dev_euis.iter().any(|dev_eui| fits(work.store, dev_eui).is_none()) {
        return Err(parse::invalid("All devices must have the same device-profile as the FUOTA deployment"));
    }
    let entry = deployment(work, &deployment_id)?;
    let mut is_duplicate = false;
    for dev_eui in dev_euis {
        let device = DeploymentDevice {
            fuota_deployment_id: deployment_id.clone(),
            dev_eui: dev_eui.clone(),
            created_at: Some(now()),
            ..DeploymentDevice::default()
        };
        match entry.devices.contains_key(&dev_eui) {
            true => is_duplicate = true,
            false => drop(entry.devices.insert(dev_eui, device)),
        }
    }
    if is_duplicate { Err(Status::internal("Multiple errors")) } else { Ok(Empty {}) }
}

fn remove_devices(work: &mut Work<'_>, request: RemoveDevicesRequest) -> Result<Empty, Status> {
    let dev_euis = request.dev_euis.iter().map(|text| parse::eui(text)).collect::<Result<Vec<_>, _>>()?;
    let entry = not_started(work, &request.fuota_deployment_id)?;
    dev_euis.iter().for_each(|dev_eui| drop(entry.devices.remove(dev_eui)));
    Ok(Empty {})
}

fn list_devices(
    work: &mut Work<'_>,
    request: ListDeploymentDevicesRequest,
) -> Result<ListDeploymentDevicesResponse, Status> {
    let entry = deployment(work, &request.fuota_deployment_id)?;
    let (total_count, result) = page(entry.devices.values().cloned().collect(), request.limit, request.offset);
    Ok(ListDeploymentDevicesResponse { total_count, result })
}

fn add_gateways(work: &mut Work<'_>, request: AddGatewaysRequest) -> Result<Empty, Status> {
    let gateway_ids = request.gateway_ids.iter().map(|text| parse::eui(text)).collect::<Result<Vec<_>, _>>()?;
    not_started(work, &request.fuota_deployment_id)?;
    if gateway_ids.iter().any(|id| !work.store.gateways.contains_key(id)) {
        return Err(parse::invalid("All gateways must be under the same tenant as the FUOTA deployment"));
    }
    deployment(work, &request.fuota_deployment_id)?.gateways.extend(gateway_ids);
    Ok(Empty {})
}

fn list_jobs(work: &mut Work<'_>, request: DeploymentRequest) -> Result<ListJobsResponse, Status> {
    Ok(ListJobsResponse { jobs: deployment(work, &request.id)?.jobs.clone() })
}

fn deployment<'a>(work: &'a mut Work<'_>, id: &str) -> Result<&'a mut DeploymentEntry, Status> {
    let id = parse::uuid(id)?;
    work.caller.may_use_deployment(work.store, &id)?;
    work.store.deployments.get_mut(&id).ok_or_else(|| does_not_exist(&id))
}

fn not_started<'a>(work: &'a mut Work<'_>, id: &str) -> Result<&'a mut DeploymentEntry, Status> {
    let entry = deployment(work, id)?;
    match entry.started_at {
        None => Ok(entry),
        Some(_) => Err(Status::failed_precondition("FUOTA deployment has already started")),
    }
}
