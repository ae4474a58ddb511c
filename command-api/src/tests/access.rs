//! Every operation, by every role, in every tenant.

use axum::http::Method;
use serde_json::Value;

use super::parameters::filled;
use super::{Api, token};
use crate::access::{Access, OPERATIONS, Operation};
use crate::caller::Role;

const ROLES: [Role; 6] =
    [Role::Viewer, Role::Operator, Role::Approver, Role::Admin, Role::Auditor, Role::PlatformAdmin];

/// Whether a caller with this role, in the tenant of the request, may do it.
fn takes(access: Access, role: Role) -> bool {
    match access {
        // In development a webhook needs to show nothing.
        Access::Anyone | Access::Webhook => true,
        // Takes tokens of devices alone.
        Access::Device => false,
        // Takes cookies alone.
        Access::Session => false,
        Access::Role(least)
        | Access::OfDevice(least)
        | Access::OfCampaign(least)
        | Access::Listing(least)
        | Access::Stream(least) => role.includes(least),
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

#[tokio::test]
async fn every_operation_takes_whom_the_table_says() {
    let api = Api::new();
    // Reads wait for PostgreSQL, which isn't there.
    let checks = of_api().map(|operation| takes_whom_the_table_says(&api, operation));
    futures::future::join_all(checks).await;
}

async fn takes_whom_the_table_says(api: &Api, operation: &Operation) {
    let nobody = api.bearing("");
    let access = operation.access;
    // What is done to a tenant is done to another one.
    let tenant = if access == Access::Platform { "rival" } else { "acme" };
    let path = filled(&operation.path.replace("{tenant_id}", tenant));
    let name = format!("{} {}", operation.method, operation.path);
    if !matches!(access, Access::Anyone | Access::Webhook) {
        assert_eq!(status(&nobody, operation, &path).await.0, 401, "{name} without a token");
    }
    for role in ROLES {
        let (found, problem) = status(&api.bearing(token("acme", role)), operation, &path).await;
        match takes(access, role) {
            true => assert!(![401, 403].contains(&found), "{name} refuses {role:?}: {found} {problem}"),
            false if matches!(access, Access::Device | Access::Session) => {
                assert_eq!(found, 401, "{name} takes {role:?}")
            }
            false => assert_eq!((found, problem.as_str()), (403, "forbidden"), "{name} takes {role:?}"),
        }
    }
}

#[tokio::test]
async fn no_role_reaches_into_another_tenant() {
    let api = Api::new();
    let before = api.stored().await;
    for operation in of_api()
        .filter(|one| !matches!(one.access, Access::Anyone | Access::Webhook | Access::Device | Access::Platform))
    {
        let path = match operation.access {
            Access::RoleOrPlatform(_) => filled(operation.path),
            _ => format!("/tenants/acme{}", filled(operation.path)),
        };
        for role in Role::OF_TENANTS {
            let found = status(&api.bearing(token("rival", role)), operation, &path).await;
            assert_eq!(found, (404, "not_found".to_owned()), "{} {path} as {role:?} of rival", operation.method);
        }
    }
    assert_eq!(api.stored().await, before);
}

#[tokio::test]
async fn a_tenant_that_nobody_created_opens_nothing() {
    let api = Api::new().bearing(token("nowhere", Role::Admin));
    let before = api.stored().await;
    for operation in of_api()
        .filter(|one| !matches!(one.access, Access::Anyone | Access::Webhook | Access::Device | Access::Platform))
    {
        let path = filled(&operation.path.replace("{tenant_id}", "nowhere"));
        let (found, _) = status(&api, operation, &path).await;
        assert_eq!(found, 401, "{} {}", operation.method, operation.path);
    }
    assert_eq!(api.stored().await, before);
}
