//! FUOTA deployments through all their jobs.

use std::collections::BTreeMap;

use chirpstack::grpc::Error;
use chirpstack::grpc::fuota::{
    Deployment, DeviceOutcome, ListDeploymentDevicesRequest, ListDeploymentsRequest, StatusRequest,
};
use chirpstack::grpc::multicast_group::ListMulticastGroupsRequest;
use fake_chirpstack::{APPLICATION_ID, CLASS_C_PROFILE_ID, Command, FuotaScript, GATEWAY_ID};

use super::support::{class_c_device, device, start, until};

const GOOD: &str = "0202020202020202";
const BAD: &str = "0303030303030303";

fn deployment() -> Deployment {
    Deployment {
        application_id: APPLICATION_ID.to_owned(),
        device_profile_id: CLASS_C_PROFILE_ID.to_owned(),
        name: "fw-1.1.0".to_owned(),
        multicast_dr: 5,
        multicast_frequency: 869_525_000,
        unicast_max_retry_count: 1,
        fragmentation_fragment_size: 40,
        request_fragmentation_session_status: StatusRequest::AfterSessionTimeout.into(),
        payload: vec![7; 395],
        on_complete_set_device_tags: BTreeMap::from([("fw".to_owned(), "1.1.0".to_owned())]),
        ..Deployment::default()
    }
}

#[tokio::test]
async fn a_deployment_ends_per_device_with_a_completion_or_an_error() {
    let (fake, client) = start().await;
    for dev_eui in [GOOD, BAD] {
        client.create_device(&class_c_device(dev_eui)).await.unwrap();
    }
    client.create_device(&device("0404040404040404")).await.unwrap();
    fake.carry_out(Command::SetFuotaScript { dev_eui: BAD.to_owned(), script: FuotaScript::NoStatus }).unwrap();
    let id = client.create_deployment(deployment()).await.unwrap();
    let other_profile = client.add_fuota_devices(&id, &["0404040404040404".to_owned()]).await;
    assert!(matches!(other_profile, Err(Error::Refused { code: "INVALID_ARGUMENT", .. })));
    client.add_fuota_devices(&id, &[GOOD.to_owned(), BAD.to_owned()]).await.unwrap();
    client.add_fuota_gateways(&id, &[GATEWAY_ID.to_owned()]).await.unwrap();
    client.start_deployment(&id).await.unwrap();
    let late = client.add_fuota_devices(&id, &[GOOD.to_owned()]).await;
    assert!(matches!(late, Err(Error::Refused { code: "FAILED_PRECONDITION", .. })));

    let list = ListDeploymentsRequest { limit: 10, application_id: APPLICATION_ID.to_owned(), ..Default::default() };
    until("the deployment is completed", async || {
        client.list_deployments(list.clone()).await.unwrap().result[0].completed_at
    })
    .await;
    let devices = ListDeploymentDevicesRequest { limit: 10, fuota_deployment_id: id.clone(), ..Default::default() };
    let devices = client.list_fuota_devices(devices).await.unwrap().result;
    let outcomes: Vec<DeviceOutcome> = devices.iter().map(|device| device.outcome()).collect();
    assert_eq!(outcomes, [DeviceOutcome::Delivered, DeviceOutcome::Failed]);
    assert_eq!(devices[1].error_msg, "FragStatusReq timeout.");
    assert!(devices[1].mc_session_completed_at.is_some() && devices[1].frag_status_completed_at.is_none());
    let jobs = client.list_fuota_jobs(&id).await.unwrap();
    assert_eq!((jobs.len(), jobs[9].job.as_str()), (10, "COMPLETE"));
    assert_eq!(fake.device(GOOD).unwrap().tags["fw"], "1.1.0");
    assert!(fake.device(BAD).unwrap().tags.is_empty());
    assert!(fake.multicast_groups().is_empty());
    assert_eq!(client.get_deployment(&id).await.unwrap().deployment.unwrap().payload, vec![7; 395]);
}

#[tokio::test]
async fn a_deployment_that_is_deleted_while_it_runs_leaves_its_multicast_group() {
    let (fake, client) = start().await;
    client.create_device(&class_c_device(GOOD)).await.unwrap();
    let id = client.create_deployment(deployment()).await.unwrap();
    client.add_fuota_devices(&id, &[GOOD.to_owned()]).await.unwrap();
    client.start_deployment(&id).await.unwrap();
    until("the group is made", async || (!fake.multicast_groups().is_empty()).then_some(())).await;
    client.delete_deployment(&id).await.unwrap();
    let groups =
        ListMulticastGroupsRequest { limit: 10, application_id: APPLICATION_ID.to_owned(), ..Default::default() };
    let groups = client.list_multicast_groups(groups).await.unwrap().result;
    assert_eq!((groups.len(), groups[0].name.clone()), (1, format!("fuota-{id}")));
    client.delete_multicast_group(&groups[0].id).await.unwrap();
    assert!(fake.multicast_groups().is_empty());
}
