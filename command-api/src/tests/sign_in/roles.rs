//! What the groups of a person, or the grants of their tenant, let them do.

use super::*;

#[tokio::test]
async fn groups_decide_about_tenant_and_roles() {
    let signs_in = async |groups: &'static [&'static str], path: &str| {
        let service = Service::start(Provider::default().with_groups(groups)).await;
        let mut browser = Browser::default();
        let answer = service.signs_in_by(&mut browser, path).await;
        let session = service.get("/api/v1/auth/session", &browser).await.body;
        ((answer.status.as_u16(), answer.problem().to_owned()), session["tenant_id"].clone(), session["roles"].clone())
    };
    let refused = |status: u16, problem: &str| ((status, problem.to_owned()), Value::Null, Value::Null);
    assert_eq!(signs_in(&[], CONSOLE).await, refused(403, "no_role"));
    assert_eq!(signs_in(&["ops", "/ops/", "/OPS"], CONSOLE).await, refused(403, "no_role"));
    assert_eq!(signs_in(&["lost"], CONSOLE).await, refused(403, "tenant_unknown"));
    assert_eq!(signs_in(&["/ops", "/ops-globex"], CONSOLE).await, refused(409, "several_tenants"));
    let done = (303, "no problem".to_owned());
    let globex = "/api/v1/auth/sign-in?tenant=globex";
    assert_eq!(signs_in(&["/ops", "/ops-globex"], globex).await, (done.clone(), json!("globex"), json!(["viewer"])));
    assert_eq!(signs_in(&["/ops"], globex).await, refused(403, "no_role"));
    assert_eq!(signs_in(&["/ops", "/leads"], CONSOLE).await, (done, json!("acme"), json!(["operator", "admin"])));
}

#[tokio::test]
async fn tenant_and_groups_may_come_from_other_claims() {
    let provider = Provider::default().claiming(|claims| claims["realm_access"] = json!({"roles": ["ops"]}));
    let service = Service::with(provider, |config| {
        config.groups_claim = "realm_access.roles".to_owned();
        config.tenant_claim = Some("tenant".to_owned());
        config.roles = RoleMap::new(&["ops=approver".to_owned()], None, true).unwrap();
    })
    .await;
    let mut browser = Browser::default();
    assert_eq!(service.signs_in(&mut browser).await.status, 303);
    let session = service.get("/api/v1/auth/session", &browser).await.body;
    assert_eq!((&session["tenant_id"], &session["roles"]), (&json!("acme"), &json!(["approver"])));
}

#[tokio::test]
async fn a_member_without_groups_signs_in_by_what_the_tenant_grants() {
    let service = Service::with(Provider::default(), |config| {
        let acme = domain::TenantId::new("acme").unwrap();
        config.roles = RoleMap::new(&["ops=operator".to_owned()], Some(acme), false).unwrap();
    })
    .await;
    assert_eq!(told(&service.signs_in(&mut Browser::default()).await), (403, "no_role"));
    let body = json!({"grants": [{"role": "viewer"}]});
    let granted = service.api.call(axum::http::Method::PUT, "/members/user:7f3c", &[], body).await;
    assert_eq!(granted.status, 200, "{}", granted.body);
    let mut browser = Browser::default();
    assert_eq!(service.signs_in(&mut browser).await.status, 303);
    assert_eq!(service.get("/api/v1/auth/session", &browser).await.body["roles"], json!(["viewer"]));
}

#[tokio::test]
async fn groups_that_are_not_in_the_id_token_come_from_userinfo_about_the_same_person() {
    let signs_in = async |said: Value, userinfo: bool| {
        let provider = Provider::default().informing(said).claiming(|claims| {
            claims.as_object_mut().unwrap().remove("groups");
        });
        let service = Service::with(provider, |config| config.userinfo = userinfo).await;
        let mut browser = Browser::default();
        let answer = service.signs_in(&mut browser).await;
        let session = service.get("/api/v1/auth/session", &browser).await.body;
        ((answer.status.as_u16(), answer.problem().to_owned()), session["roles"].clone())
    };
    let refused = |status: u16, problem: &str| ((status, problem.to_owned()), Value::Null);
    let said = json!({"sub": "7f3c", "groups": ["/ops"]});
    assert_eq!(signs_in(said.clone(), true).await, ((303, "no problem".to_owned()), json!(["operator"])));
    assert_eq!(signs_in(said, false).await, refused(403, "no_role"));
    for other in [json!({"sub": "8a1d", "groups": ["/ops"]}), json!({"groups": ["/ops"]})] {
        assert_eq!(signs_in(other, true).await, refused(403, "id_token_invalid"));
    }
    for broken in [Value::Null, json!("eyJhbGciOiJub25lIn0.e30.")] {
        assert_eq!(signs_in(broken, true).await, refused(503, "provider_unavailable"));
    }
}

#[tokio::test]
async fn userinfo_changes_nothing_that_the_id_token_says() {
    let provider = Provider::default().with_groups(&["/ops"]);
    let provider = provider.informing(json!({"sub": "7f3c", "groups": ["/leads"]}));
    let service = Service::with(provider, |config| config.userinfo = true).await;
    let mut browser = Browser::default();
    assert_eq!(service.signs_in(&mut browser).await.status, 303);
    assert_eq!(service.get("/api/v1/auth/session", &browser).await.body["roles"], json!(["operator"]));
}
