//! FUOTA deployments: the chain of jobs, in accelerated time.
//!
//! Each job takes one step. Devices answer as their scripts say; who failed takes no part in later jobs.

use std::sync::Arc;
use std::time::Duration;

use chirpstack::grpc::fuota::{DeploymentDevice, DeploymentJob, StatusRequest};
use chirpstack::grpc::multicast_group::MulticastGroupListItem;
use prost_types::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::radio::{self, Outgoing};
use crate::shared::Shared;
use crate::store::{DeploymentEntry, FuotaScript, Store};
use crate::times::now;

/// The jobs, first to last.
const JOBS: [&str; 10] = [
    "CREATE_MC_GROUP",
    "ADD_DEVS_TO_MC_GROUP",
    "ADD_GWS_TO_MC_GROUP",
    "MC_GROUP_SETUP",
    "FRAG_SESSION_SETUP",
    "MC_SESSION",
    "ENQUEUE",
    "FRAG_STATUS",
    "DELETE_MC_GROUP",
    "COMPLETE",
];
/// The jobs that ask each device, and may ask again.
const UNICAST_JOBS: [&str; 3] = ["MC_GROUP_SETUP", "FRAG_SESSION_SETUP", "MC_SESSION"];

/// Ports of the packages for multicast set-up and for fragments.
const MULTICAST_PORT: u32 = 200;
const FRAGMENT_PORT: u32 = 201;

/// Advances all deployments by a job per step, until cancelled.
pub(crate) async fn run(shared: Arc<Shared>, step: Duration, stopping: CancellationToken) {
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(step) => {}
        }
        shared.with_store(advance);
    }
}

/// The deployment starts with its first job.
pub(crate) fn start(entry: &mut DeploymentEntry) {
    entry.started_at = Some(now());
    entry.stored.updated_at = now();
    entry.jobs = vec![new_job(entry, JOBS[0])];
}

fn new_job(entry: &DeploymentEntry, job: &str) -> DeploymentJob {
    let is_unicast = UNICAST_JOBS.contains(&job);
    DeploymentJob {
        job: job.to_owned(),
        created_at: Some(now()),
        max_retry_count: if is_unicast { entry.stored.object.unicast_max_retry_count } else { 0 },
        scheduler_run_after: Some(now()),
        ..DeploymentJob::default()
    }
}

fn advance(store: &mut Store, outgoing: &mut Outgoing) {
    let is_running = |entry: &DeploymentEntry| entry.started_at.is_some() && entry.completed_at.is_none();
    let running: Vec<String> =
        store.deployments.iter().filter(|(_, entry)| is_running(entry)).map(|(id, _)| id.clone()).collect();
    for id in running {
        finish_job(store, outgoing, &id);
    }
}

/// Does the work of the deployment's last job, completes it and begins the next one.
fn finish_job(store: &mut Store, outgoing: &mut Outgoing, id: &str) {
    // Taken out, so that the devices can be looked at meanwhile.
    let Some(mut entry) = store.deployments.remove(id) else { return };
    let job = entry.jobs.last().map(|job| job.job.clone()).unwrap_or_default();
    match job.as_str() {
        "CREATE_MC_GROUP" => create_group(store, &entry),
        "DELETE_MC_GROUP" => drop(store.multicast_groups.remove(id)),
        "COMPLETE" => complete(store, &mut entry),
        _ => ask_devices(store, outgoing, &mut entry, &job),
    }
    let time = Some(now());
    if let Some(last) = entry.jobs.last_mut() {
        last.completed_at = time;
        last.attempt_count = 1;
    }
    match JOBS.iter().position(|name| *name == job).and_then(|index| JOBS.get(index + 1)) {
        Some(next) => entry.jobs.push(new_job(&entry, next)),
        None => entry.completed_at = time,
    }
    if let Some(time) = time {
        entry.stored.updated_at = time;
    }
    store.deployments.insert(id.to_owned(), entry);
}

/// The group has the id of its deployment.
fn create_group(store: &mut Store, entry: &DeploymentEntry) {
    let deployment = &entry.stored.object;
    let application = store.applications.get(&deployment.application_id);
    let group = MulticastGroupListItem {
        id: deployment.id.clone(),
        created_at: Some(now()),
        updated_at: Some(now()),
        name: format!("fuota-{}", deployment.id),
        region: store
            .profiles
            .get(&deployment.device_profile_id)
            .map(|profile| profile.object.region)
            .unwrap_or_default(),
        group_type: deployment.multicast_group_type,
        application_id: deployment.application_id.clone(),
        application_name: application.map(|application| application.object.name.clone()).unwrap_or_default(),
    };
    store.multicast_groups.insert(group.id.clone(), group);
}

fn ask_devices(store: &mut Store, outgoing: &mut Outgoing, entry: &mut DeploymentEntry, job: &str) {
    let asks_for_status = entry.stored.object.request_fragmentation_session_status() != StatusRequest::NoRequest;
    let live = |device: &&mut DeploymentDevice| device.error_msg.is_empty();
    for device in entry.devices.values_mut().filter(live) {
        let script = store.devices.get(&device.dev_eui).map(|known| known.fuota).unwrap_or_default();
        let answer = match job {
            "MC_GROUP_SETUP" => {
                answer(script, FuotaScript::NoGroupSetup, "McGroupSetupReq timeout.", MULTICAST_PORT, &[0x02, 0])
            }
            "FRAG_SESSION_SETUP" => answer(
                script,
                FuotaScript::NoFragmentationSetup,
                "FragSessionSetupReq timeout.",
                FRAGMENT_PORT,
                &[0x02, 0],
            ),
            "MC_SESSION" => {
                answer(script, FuotaScript::NoSession, "McSessionReq timeout", MULTICAST_PORT, &[0x04, 0, 0, 0, 0])
            }
            "FRAG_STATUS" if asks_for_status && script == FuotaScript::MissesFragments => {
                Err("Error: FragSessionStatusAns response nb_frag_received=10, missing_frag=2".to_owned())
            }
            "FRAG_STATUS" if asks_for_status => {
                answer(script, FuotaScript::NoStatus, "FragStatusReq timeout.", FRAGMENT_PORT, &[0x01, 12, 0, 0, 0])
            }
            _ => continue,
        };
        match answer {
            Ok((f_port, data)) => {
                radio::deployment_answer(store, outgoing, &device.dev_eui, f_port, &data);
                *completed_at(device, job) = Some(now());
            }
            Err(error) => device.error_msg = error,
        }
    }
}

fn answer(
    script: FuotaScript,
    fails: FuotaScript,
    error: &str,
    f_port: u32,
    data: &[u8],
) -> Result<(u32, Vec<u8>), String> {
    if script == fails { Err(error.to_owned()) } else { Ok((f_port, data.to_vec())) }
}

fn completed_at<'a>(device: &'a mut DeploymentDevice, job: &str) -> &'a mut Option<Timestamp> {
    match job {
        "MC_GROUP_SETUP" => &mut device.mc_group_setup_completed_at,
        "FRAG_SESSION_SETUP" => &mut device.frag_session_setup_completed_at,
        "MC_SESSION" => &mut device.mc_session_completed_at,
        _ => &mut device.frag_status_completed_at,
    }
}

/// Devices without an error are completed and get the deployment's tags.
fn complete(store: &mut Store, entry: &mut DeploymentEntry) {
    let tags = entry.stored.object.on_complete_set_device_tags.clone();
    let descriptor = entry.stored.object.fragmentation_descriptor.as_slice().try_into().ok();
    for device in entry.devices.values_mut().filter(|device| device.error_msg.is_empty()) {
        device.completed_at = Some(now());
        if let Some(known) = store.devices.get_mut(&device.dev_eui) {
            known.stored.object.tags.extend(tags.clone());
            known.received = descriptor;
        }
    }
}
