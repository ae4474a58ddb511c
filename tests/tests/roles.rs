//! Each role in a process of its own, with its own user of nats-server.

use serde_json::json;
use waybill::role_user::RoleUser;

use crate::order::SECRETS;
use crate::world::{World, devices};

/// Devices of the campaign.
const DEVICES: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_runs_over_processes_that_have_only_the_rights_of_their_role() {
    let mut world = World::start_with(&SECRETS).await;
    world.stop_waybill().await;
    let origin = world.base();
    let flags = |role: &'static str, user: RoleUser| {
        let own = ["--role", role, "--nats-url", &world.stack.nats.role_url(user), "--download-base-url", &origin];
        own.map(str::to_owned).into_iter().chain(SECRETS.map(str::to_owned)).collect::<Vec<_>>()
    };
    let api = flags("api", RoleUser::Api);
    let mut others = Vec::new();
    for (role, user) in [
        ("projections", RoleUser::Projections),
        ("process-managers", RoleUser::ProcessManagers),
        ("bridge", RoleUser::Bridge),
    ] {
        let flags = flags(role, user);
        others.push(world.another_process(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await);
    }
    world.restart_with(&api.iter().map(String::as_str).collect::<Vec<_>>()).await;

    let operator = world.operator().await;
    let _fleet = world.online_fleet(&operator, devices(DEVICES)).await;
    let firmware = world.firmware(&operator, "2.0.0").await;
    let campaign = world.campaign(&operator, &firmware, json!({})).await;
    world.campaign_is(&operator, &campaign, &["completed"]).await;
    world.settles().await;
    let wanted = json!({"name": "reports", "filter": "campaign.*"});
    operator.post("/feed/consumers", &wanted).await.unwrap();
    operator.get("/feed/consumers").await.unwrap();
    operator.get("/dead-letters").await.unwrap();
    for log in ["waybill.log", "another.log"] {
        let said = std::fs::read_to_string(world.data_dir().join(log)).unwrap_or_default();
        assert!(!said.contains("nats-server forbids"), "{log}: {said}");
    }
}
