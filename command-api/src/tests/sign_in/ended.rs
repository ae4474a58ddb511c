//! Sessions that somebody else ends, or that end with what the person could do.

use super::super::token;
use super::*;
use crate::caller::Role;

const PERSON: &str = "user:7f3c";
const LISTED: &str = "/api/v1/auth/sessions";

impl Service {
    /// Another person signs in.
    async fn lets_in_as(&self, sub: &'static str, groups: &[&str]) -> Browser {
        drop(self.provider.clone().with_groups(groups).claiming(move |claims| claims["sub"] = sub.into()));
        let mut browser = Browser::default();
        assert_eq!(self.signs_in(&mut browser).await.status, 303);
        browser
    }

    async fn lists(&self, path: &str, browser: &Browser) -> Vec<Value> {
        let answer = self.get(path, browser).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["items"].as_array().unwrap().clone()
    }

    async fn ends(&self, path: &str, browser: &Browser) -> u16 {
        self.send("DELETE", path, browser, &[OWN], Value::Null).await.status.as_u16()
    }

    async fn status(&self, browser: &Browser) -> u16 {
        self.get("/api/v1/auth/session", browser).await.status.as_u16()
    }

    /// A request with a bearer token of a role in a tenant.
    async fn tells(&self, tenant: &str, role: Role, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", token(tenant, role));
        self.send(method, path, &Browser::default(), &[("authorization", &bearer)], body).await
    }
}

#[tokio::test]
async fn a_person_sees_and_ends_their_own_sessions_and_an_admin_those_of_others() {
    let service = Service::start(Provider::default()).await;
    let (first, second) = (service.lets_in_as("7f3c", &["/ops"]).await, service.lets_in_as("7f3c", &["/ops"]).await);
    let admin = service.lets_in_as("boss", &["/leads"]).await;

    let own = service.lists(LISTED, &second).await;
    assert_eq!(own.iter().map(|one| one["current"] == true).collect::<Vec<_>>(), [false, true]);
    let of_person = service.lists(&format!("{LISTED}?actor={PERSON}"), &admin).await;
    let ids = |listed: &[Value]| listed.iter().map(|one| one["session_id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&of_person), ids(&own));
    assert!(of_person.iter().all(|one| one["current"] == false && one["roles"] == json!(["operator"])));
    // An id is no cookie.
    let id = own[0]["session_id"].as_str().unwrap().to_owned();
    assert!(!first.0[SESSION].contains(&id) && !serde_json::to_string(&own).unwrap().contains("wbs_"));

    let of_admin = service.lists(LISTED, &admin).await[0]["session_id"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("{LISTED}?actor=user:boss"), &first).await.status, 403);
    assert_eq!(service.ends(&format!("{LISTED}?actor=user:boss"), &first).await, 403);
    assert_eq!(service.ends(&format!("{LISTED}/{of_admin}"), &first).await, 404);
    let foreign = async |method, path: String| service.tells("globex", Role::Admin, method, &path, Value::Null).await;
    assert_eq!(foreign("DELETE", format!("{LISTED}/{id}")).await.status, 404);
    assert_eq!(foreign("DELETE", format!("{LISTED}?actor={PERSON}")).await.body["ended"], 0);
    assert_eq!(foreign("GET", format!("{LISTED}?actor={PERSON}")).await.body["items"], json!([]));
    let cross_site = [("sec-fetch-site", "cross-site")];
    let forged = service.send("DELETE", LISTED, &first, &cross_site, Value::Null).await;
    assert_eq!(told(&forged), (403, "cross_origin"));
    assert_eq!((service.status(&first).await, service.status(&admin).await), (200, 200));

    assert_eq!(service.ends(&format!("{LISTED}/{id}"), &second).await, 204);
    assert_eq!(service.ends(&format!("{LISTED}/{id}"), &second).await, 404, "it has ended");
    assert_eq!((service.status(&first).await, service.status(&second).await), (401, 200));
    let third = service.lets_in_as("7f3c", &["/ops"]).await;
    assert_eq!(service.ends(&format!("{LISTED}?actor={PERSON}"), &admin).await, 200);
    assert_eq!((service.status(&second).await, service.status(&third).await), (401, 401));
    assert_eq!(service.status(&admin).await, 200);
    assert_eq!(service.ends(LISTED, &admin).await, 200);
    assert_eq!(service.status(&admin).await, 401);
}

#[tokio::test]
async fn a_session_ends_with_the_suspension_of_its_tenant_and_does_not_come_back() {
    let service = Service::start(Provider::default()).await;
    let before = service.lets_in_as("7f3c", &["/ops"]).await;
    let tells = async |verb: &str| {
        let path = format!("/api/v1/tenants/acme/{verb}");
        let answer =
            service.tells("default", Role::PlatformAdmin, "POST", &path, json!({"reason": "an incident"})).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    tells("suspend").await;
    let refused = service.get("/api/v1/auth/session", &before).await;
    assert_eq!(told(&refused), (403, "tenant_suspended"));
    tells("reinstate").await;
    assert_eq!(service.status(&before).await, 401);
    let after = service.lets_in_as("7f3c", &["/ops"]).await;
    assert_eq!((service.status(&after).await, service.lists(LISTED, &after).await.len()), (200, 1));
}

#[tokio::test]
async fn a_session_ends_when_the_person_is_removed_from_the_members() {
    let service = Service::start(Provider::default()).await;
    let (person, other) = (service.lets_in_as("7f3c", &["/ops"]).await, service.lets_in_as("8", &["/ops"]).await);
    let path = format!("/api/v1/members/{PERSON}");
    let grants = json!({"grants": [{"role": "approver"}], "reason": "holidays"});
    let granted = service.tells("acme", Role::Admin, "PUT", &path, grants.clone()).await;
    assert_eq!((granted.status.as_u16(), service.status(&person).await), (200, 200), "{}", granted.body);
    let removed = service.tells("acme", Role::Admin, "DELETE", &path, json!({"reason": "has left"})).await;
    assert_eq!((removed.status.as_u16(), service.status(&person).await), (200, 401), "{}", removed.body);
    assert_eq!(service.tells("acme", Role::Admin, "PUT", &path, grants).await.status, 200);
    assert_eq!((service.status(&person).await, service.status(&other).await), (401, 200));
    let again = service.lets_in_as("7f3c", &["/ops"]).await;
    assert_eq!(service.status(&again).await, 200);
}
