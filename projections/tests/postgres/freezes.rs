//! What a campaign's view knows of freezes of its tenant.

use domain::tenant::{Tenant, TenantCommand};
use projections::rollout;
use runtime::clock;

use crate::campaigns::fleet;
use crate::fleet::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_knows_when_the_last_freeze_of_its_tenant_ended() {
    let world = World::start().await;
    fleet(&world, 2).await;
    let firmware = world.firmware("2.0.0").await;
    let id = world.campaign(&firmware, |_| {}).await;
    let tell = async |command| world.tell::<Tenant>(&world.tenant, command).await.unwrap();
    let view = async || {
        world.settles().await;
        let view = rollout::view(&world.db, &world.tenant, &id, clock::now()).await.unwrap().unwrap().rollout;
        (view.kept_back.is_some(), view.released_at)
    };
    tell(TenantCommand::Adopt).await;
    assert_eq!(view().await, (false, None));
    tell(TenantCommand::Freeze).await;
    tell(TenantCommand::Suspend).await;
    assert_eq!(view().await, (true, None));
    tell(TenantCommand::Unfreeze).await;
    assert_eq!(view().await, (true, None), "it is suspended, too");
    let before = clock::now();
    tell(TenantCommand::Reinstate).await;
    let (frozen, released_at) = view().await;
    assert!(!frozen && released_at.unwrap() >= before - chrono::TimeDelta::milliseconds(1), "{released_at:?}");
    tell(TenantCommand::Freeze).await;
    assert_eq!(view().await, (true, released_at));
    world.equals_a_replay().await;
}
