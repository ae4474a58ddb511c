//! Every operation, by every role, in every tenant.

use axum::http::Method;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use serde_json::Value;

use super::parameters::filled;
use super::{Api, token};
use crate::access::{Access, OPERATIONS, Operation};
use crate::caller::Role;

const ROLES: [Role; 5] = [Role::Viewer, Role::Operator, Role::Approver, Role::Admin, Role::PlatformAdmin];

/// Requests at the same time: reads wait seconds for a PostgreSQL that isn't there, and only so many devices may register at once.
const AT_ONCE: usize = 48;

/// Whether a caller with this role, in the tenant of the request, may do it.
fn takes(access: Access, role: Role) -> bool {
    match access {
        Access::Anyone => true,
        // Takes tokens of devices alone.
        Access::Device => false,
        // Takes cookies alone.
        Access::Session => false,
        Access::Role(least) | Access::OfDevice(least) | Access::OfCampaign(least) | Access::Listing(least) => {
            role.includes(least)
        }
        Access::Platform => role == Role::PlatformAdmin,
        Access::RoleOrPlatform(least) => role == Role::PlatformAdmin || role.includes(least),
    }
}

/// Operations under `/api/v1`.
fn of_api() -> impl Iterator<Item = &'static Operation> {
    let beside = |path: &str| ["/health", "/metrics", "/d/"].iter().any(|start| path.starts_with(start));
    OPERATIONS.iter().filter(move |one| !beside(one.path))
}

async fn status(api: &Api, operation: &Operation, path: &str) -> (u16, String) {
    let method: Method = operation.method.to_ascii_uppercase().parse().unwrap();
    let answer = api.call(method, path, &[], Value::Null).await;
    (answer.status.as_u16(), answer.problem().to_owned())
}

/// The same service for a bearer of each role.
fn of_roles(api: &Api, tenant: &str, roles: &[Role]) -> Vec<(Role, Api)> {
    roles.iter().map(|role| (*role, api.bearing(token(tenant, *role)))).collect()
}

/// Runs all cases, [`AT_ONCE`] at a time.
async fn run(cases: Vec<BoxFuture<'_, ()>>) {
    assert!(!cases.is_empty());
    stream::iter(cases).for_each_concurrent(AT_ONCE, |case| case).await;
}

#[tokio::test]
async fn every_operation_takes_whom_the_table_says() {
    let api = Api::new();
    let nobody = api.bearing("");
    let roles = of_roles(&api, "acme", &ROLES);
    let mut cases = Vec::new();
    for operation in of_api() {
        let access = operation.access;
        // What is done to a tenant is done to another one.
        let tenant = if access == Access::Platform { "rival" } else { "acme" };
        let path = filled(&operation.path.replace("{tenant_id}", tenant));
        let name = format!("{} {}", operation.method, operation.path);
        if access != Access::Anyone {
            let (nobody, path, name) = (&nobody, path.clone(), name.clone());
            let case =
                async move { assert_eq!(status(nobody, operation, &path).await.0, 401, "{name} without a token") };
            cases.push(case.boxed());
        }
        for (role, bearer) in &roles {
            let (path, name) = (path.clone(), name.clone());
            let case = async move {
                let (found, problem) = status(bearer, operation, &path).await;
                match takes(access, *role) {
                    true => assert!(![401, 403].contains(&found), "{name} refuses {role:?}: {found} {problem}"),
                    false if matches!(access, Access::Device | Access::Session) => {
                        assert_eq!(found, 401, "{name} takes {role:?}")
                    }
                    false => assert_eq!((found, problem.as_str()), (403, "forbidden"), "{name} takes {role:?}"),
                }
            };
            cases.push(case.boxed());
        }
    }
    run(cases).await;
}

#[tokio::test]
async fn no_role_reaches_into_another_tenant() {
    let api = Api::new();
    let before = api.stored().await;
    let roles = of_roles(&api, "rival", &[Role::Viewer, Role::Operator, Role::Approver, Role::Admin]);
    let mut cases = Vec::new();
    for operation in of_api().filter(|one| !matches!(one.access, Access::Anyone | Access::Device | Access::Platform)) {
        let path = match operation.access {
            Access::RoleOrPlatform(_) => filled(operation.path),
            _ => format!("/tenants/acme{}", filled(operation.path)),
        };
        for (role, bearer) in &roles {
            let path = path.clone();
            let case = async move {
                let found = status(bearer, operation, &path).await;
                assert_eq!(found, (404, "not_found".to_owned()), "{} {path} as {role:?} of rival", operation.method);
            };
            cases.push(case.boxed());
        }
    }
    run(cases).await;
    assert_eq!(api.stored().await, before);
}

#[tokio::test]
async fn a_tenant_that_nobody_created_opens_nothing() {
    let api = Api::new().bearing(token("nowhere", Role::Admin));
    let before = api.stored().await;
    let cases = of_api().filter(|one| !matches!(one.access, Access::Anyone | Access::Device | Access::Platform));
    let cases = cases.map(|operation| {
        let (api, path) = (&api, filled(&operation.path.replace("{tenant_id}", "nowhere")));
        async move {
            let (found, _) = status(api, operation, &path).await;
            assert_eq!(found, 401, "{} {}", operation.method, operation.path);
        }
        .boxed()
    });
    run(cases.collect()).await;
    assert_eq!(api.stored().await, before);
}
