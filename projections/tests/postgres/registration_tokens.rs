//! Registration tokens: their state at a moment, by the rule of the aggregate, and their pages.

use chrono::{DateTime, TimeDelta, Utc};
use domain::registration_token::{
    Applicant, RegistrationScope, RegistrationTerms, RegistrationToken, RegistrationTokenCommand as C,
    RegistrationTokenStatus as Status,
};
use domain::{Key, RegistrationTokenId, TenantId, TokenHash};
use projections::registration_tokens::{RegistrationTokenFilter, RegistrationTokenRow, list};
use runtime::clock;

use crate::fleet::{World, device};

/// Less than there are tokens.
const LIMIT: usize = 2;

async fn issue(world: &World, model: Option<&str>, devices_max: u32, minutes: i64) -> RegistrationTokenId {
    let id = RegistrationTokenId(clock::new_id());
    let scope = RegistrationScope { device_model: model.map(str::to_owned), ..RegistrationScope::default() };
    let terms = RegistrationTerms { scope, expires_at: clock::now() + TimeDelta::minutes(minutes), devices_max };
    world.tell::<RegistrationToken>(&id, C::Issue { hash: TokenHash::new([2; 32]), terms }).await.unwrap();
    id
}

async fn register(world: &World, id: &RegistrationTokenId, devices: &[&str]) {
    for name in devices {
        let applicant = Applicant { device: device(name), device_model: None, device_type: None };
        world.tell::<RegistrationToken>(id, C::Use { applicant }).await.unwrap();
    }
}

/// All tokens of a tenant that a filter has, page by page.
async fn listed(world: &World, tenant: &TenantId, filter: RegistrationTokenFilter) -> Vec<RegistrationTokenRow> {
    world.settles().await;
    let mut tx = world.db.read(tenant).await.unwrap();
    let (mut found, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = list(&mut tx, &filter, after.as_deref(), LIMIT, true).await.unwrap();
        found.extend(page.items);
        let Some(next) = page.next else {
            assert_eq!(page.total, Some(found.len() as u64));
            return found;
        };
        after = Some(next[0].clone());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_tokens_are_listed_by_their_state() {
    let world = World::start().await;
    let active = issue(&world, None, 3, 60).await;
    register(&world, &active, &["d-1", "d-2", "d-1"]).await;
    let used_up = issue(&world, None, 1, 60).await;
    register(&world, &used_up, &["d-3"]).await;
    let revoked = issue(&world, None, 1, 60).await;
    register(&world, &revoked, &["d-4"]).await;
    world.tell::<RegistrationToken>(&revoked, C::Revoke).await.unwrap();
    let for_a_model = issue(&world, Some("M"), 1, 120).await;
    let of_another = RegistrationTokenId(clock::new_id());
    let other = TenantId::new("other").unwrap();
    let terms = RegistrationTerms {
        scope: RegistrationScope::default(),
        expires_at: clock::now() + TimeDelta::minutes(60),
        devices_max: 1,
    };
    let command = C::Issue { hash: TokenHash::new([3; 32]), terms };
    world.tell_in::<RegistrationToken>(&other, &of_another, command).await.unwrap();

    let ids = async |filter: RegistrationTokenFilter| {
        let rows = listed(&world, &world.tenant, filter).await;
        rows.into_iter().map(|row| row.token_id).collect::<Vec<_>>()
    };
    let named = |tokens: &[RegistrationTokenId]| tokens.iter().map(ToString::to_string).collect::<Vec<_>>();
    let all = [active, used_up, revoked, for_a_model];
    assert_eq!(ids(RegistrationTokenFilter::default()).await, named(&all));
    let model = RegistrationTokenFilter { device_model: Some("M".to_owned()), ..RegistrationTokenFilter::default() };
    assert_eq!(ids(model).await, named(&[for_a_model]));
    assert_eq!(listed(&world, &other, RegistrationTokenFilter::default()).await.len(), 1);

    let in_state = |status: Status, now: DateTime<Utc>| RegistrationTokenFilter {
        status: Some((status, now)),
        ..RegistrationTokenFilter::default()
    };
    let (now, later) = (clock::now(), clock::now() + TimeDelta::minutes(90));
    assert_eq!(ids(in_state(Status::Active, now)).await, named(&[active, for_a_model]));
    assert_eq!(ids(in_state(Status::UsedUp, now)).await, named(&[used_up]));
    assert_eq!(ids(in_state(Status::Revoked, later)).await, named(&[revoked]));
    assert_eq!(ids(in_state(Status::Expired, now)).await, named(&[]));
    assert_eq!(ids(in_state(Status::Expired, later)).await, named(&[active, used_up]));

    // Rows, their filter and the aggregate agree.
    for at in [now, later] {
        for status in [Status::Active, Status::Revoked, Status::Expired, Status::UsedUp] {
            for row in listed(&world, &world.tenant, in_state(status, at)).await {
                let id: RegistrationTokenId = row.token_id.parse().unwrap();
                let loaded = world.store.load_fresh(&Key::<RegistrationToken>::new(&world.tenant, &id)).await.unwrap();
                assert_eq!((row.status(at), loaded.aggregate.status(at)), (status, status), "{row:?}");
                let version = loaded.version;
                assert_eq!((row.devices_used, row.version), (loaded.aggregate.devices.len() as u64, version));
            }
        }
    }
    world.equals_a_replay().await;
}
