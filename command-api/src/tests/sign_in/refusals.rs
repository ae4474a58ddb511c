//! What a person sees whose sign-in is refused.

use super::*;

const AS_BROWSERS: (&str, &str) = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.clone()).unwrap()
}

async fn page(service: &Service, path: &str) -> Answer {
    service.send("GET", path, &Browser::default(), &[AS_BROWSERS], Value::Null).await
}

#[tokio::test]
async fn a_browser_gets_a_page_that_repeats_nothing() {
    let service = Service::start(Provider::default()).await;
    let sent = "%3Cscript%3Ealert(1)%3C/script%3E";
    for path in [
        format!("/api/v1/auth/callback?code={sent}&state={sent}"),
        format!("/api/v1/auth/callback?error={sent}&state={sent}&iss={sent}"),
        format!("/api/v1/auth/sign-in?return_to={sent}"),
    ] {
        let answer = page(&service, &path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (400, "text/html; charset=utf-8"),
            "{path}"
        );
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'; frame-ancestors 'none'"));
        assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
        let text = text(&answer);
        assert!(
            text.contains("You are not signed in") && !text.contains("script") && !text.contains("alert"),
            "{text}"
        );
        // A program gets the problem.
        let told = service.send("GET", &path, &Browser::default(), &[("accept", "*/*")], Value::Null).await;
        assert_eq!(told.header("content-type"), "application/problem+json", "{path}");
    }
}

#[tokio::test]
async fn a_page_says_what_to_do_and_when() {
    let provider = Provider::default().with_groups(&["unknown"]);
    let service = Service::start(provider.clone()).await;
    let mut browser = Browser::default();
    let asked = service.begins(&mut browser, CONSOLE).await;
    let (state, code) = (asked["state"].clone(), provider.lets_in(asked));
    let path = format!("/api/v1/auth/callback?code={code}&state={state}");
    let answer = service.send("GET", &path, &browser, &[AS_BROWSERS], Value::Null).await;
    assert_eq!(answer.status, 403);
    assert!(text(&answer).contains("You have no role here."), "{}", text(&answer));

    let provider = Provider::default();
    provider.set_away(true);
    let service = Service::start(provider).await;
    let answer = page(&service, CONSOLE).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "2"));
    assert!(text(&answer).contains("The identity provider can't be reached now."));
}

#[tokio::test]
async fn health_says_whether_people_can_sign_in() {
    let provider = Provider::default().with_groups(&["/ops"]);
    let service = Service::start(provider.clone()).await;
    let part = async || {
        let bearer = format!("Bearer {}", super::super::token("default", crate::caller::Role::PlatformAdmin));
        let headers = [("authorization", bearer.as_str())];
        let answer = service.send("GET", "/health/detailed", &Browser::default(), &headers, Value::Null).await;
        let parts = answer.body["components"].as_array().unwrap().clone();
        parts.into_iter().find(|part| part["name"] == "sign-in").unwrap()
    };
    assert_eq!(part().await["status"], "up");
    let mut browser = Browser::default();
    let asked = service.begins(&mut browser, CONSOLE).await;
    let (state, code) = (asked["state"].clone(), provider.lets_in(asked));
    provider.set_away(true);
    service.comes_back(&mut browser, &[("code", &code), ("state", &state)]).await;
    let degraded = part().await;
    assert_eq!((&degraded["status"], &degraded["up"]), (&json!("degraded"), &json!(true)));
    assert_eq!(degraded["detail"], "the OpenID provider can't be used: away");
    provider.set_away(false);
    assert_eq!(service.signs_in(&mut browser).await.status, 303);
    assert_eq!(part().await["status"], "up");
}
