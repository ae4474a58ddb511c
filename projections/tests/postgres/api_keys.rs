//! Last uses of API keys: the latest counts, and a tenant sees only its own.

use chrono::TimeDelta;
use domain::{ApiKeyId, TenantId};
use projections::api_key_uses::{KeyUse, keep, of_keys};
use runtime::clock;

use crate::fleet::World;

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_use_of_a_key_is_kept() {
    let world = World::start().await;
    world.projections.started().await;
    let (first, second, never) = (ApiKeyId(clock::new_id()), ApiKeyId(clock::new_id()), ApiKeyId(clock::new_id()));
    let (other, now) = (TenantId::new("other").unwrap(), clock::now());
    let used =
        |tenant: &TenantId, key, minutes| KeyUse { tenant: tenant.clone(), key, at: now + TimeDelta::minutes(minutes) };
    for uses in [
        vec![used(&world.tenant, first, 1), used(&world.tenant, second, 2), used(&other, never, 9)],
        vec![used(&world.tenant, first, 5)],
        vec![used(&world.tenant, first, 3)],
        vec![used(&world.tenant, first, 5)],
    ] {
        keep(&world.db, &uses).await.unwrap();
    }
    let mut tx = world.db.read(&world.tenant).await.unwrap();
    let found = of_keys(&mut tx, &[first, second, never]).await.unwrap();
    let after = |key| found.get(&key).map(|at| (*at - now).num_minutes());
    assert_eq!((after(first), after(second), after(never)), (Some(5), Some(2), None));
    drop(tx);
    // They are no read model: neither rebuilt nor compared.
    world.equals_a_replay().await;
}
