//! Providers that are away, that describe themselves otherwise, or that don't exist.

use super::*;

#[tokio::test]
async fn what_cannot_be_known_is_503_and_opens_nothing() {
    let provider = Provider::default().with_groups(&["/ops"]);
    provider.set_away(true);
    let service = Service::start(provider).await;
    let mut browser = Browser::default();
    let answer = service.get(CONSOLE, &browser).await;
    assert_eq!((told(&answer), answer.header("retry-after")), ((503, "provider_unavailable"), "2"));
    service.provider.set_away(false);
    let begins = async || service.get(CONSOLE, &browser).await.status.as_u16();
    until("the provider is asked again", begins, |status| *status == 302).await;

    let asked = service.begins(&mut browser, CONSOLE).await;
    let (state, code) = (asked["state"].clone(), service.provider.lets_in(asked));
    service.provider.set_away(true);
    let answer = service.comes_back(&mut browser, &[("code", &code), ("state", &state)]).await;
    assert_eq!(told(&answer), (503, "provider_unavailable"));
    service.provider.set_away(false);

    service.bucket.set_away(true);
    assert_eq!(told(&service.signs_in(&mut browser).await), (503, "sessions_unavailable"));
    browser.0.insert(SESSION.to_owned(), trust::SessionToken::generate().as_ref().reveal().to_owned());
    assert_eq!(told(&service.get("/api/v1/auth/session", &browser).await), (503, "sessions_unavailable"));
    service.bucket.set_away(false);
    assert_eq!(service.get("/api/v1/auth/session", &browser).await.status, 401);
}

#[tokio::test]
async fn a_provider_that_describes_another_one_is_not_used() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 4] = [
        ("another issuer", |said| said["issuer"] = format!("{ISSUER}/").into()),
        ("a weaker connection", |said| said["token_endpoint"] = "http://id.example.com/token".into()),
        ("no PKCE with S256", |said| said["code_challenge_methods_supported"] = json!(["plain"])),
        ("no keys", |said| drop(said.as_object_mut().unwrap().remove("jwks_uri"))),
    ];
    for (name, change) in cases {
        let service = Service::start(Provider::default().describing(change)).await;
        assert_eq!(told(&service.get(CONSOLE, &Browser::default()).await), (503, "provider_unavailable"), "{name}");
    }
}

#[tokio::test]
async fn a_client_shows_its_secret_as_the_provider_wants() {
    let shown = async |provider: Provider, secret: Option<&str>| {
        let secret = secret.map(SecretValue::new);
        let service = Service::with(provider.with_groups(&["/ops"]), |config| config.client_secret = secret).await;
        assert_eq!(service.signs_in(&mut Browser::default()).await.status, 303);
        let (authorization, form) = service.provider.shown().remove(0);
        (authorization.is_some(), form.get("client_id").cloned(), form.get("client_secret").cloned())
    };
    let taking = |method: &'static str| {
        Provider::default().describing(move |said| said["token_endpoint_auth_methods_supported"] = json!([method]))
    };
    let (id, secret) = (Some(CLIENT.to_owned()), Some(SECRET.to_owned()));
    assert_eq!(shown(Provider::default(), Some(SECRET)).await, (true, None, None));
    assert_eq!(shown(taking("client_secret_basic"), Some(SECRET)).await, (true, None, None));
    assert_eq!(shown(taking("client_secret_post"), Some(SECRET)).await, (false, id.clone(), secret));
    assert_eq!(shown(Provider::default(), None).await, (false, id, None));
}

#[tokio::test]
async fn without_a_provider_nobody_signs_in() {
    let api = Api::new();
    let get = async |path: &str| {
        let cookie = format!("{SESSION}={}", trust::SessionToken::generate().as_ref().reveal());
        api.send(Request::get(path).header(header::COOKIE, cookie).body(Body::empty()).unwrap()).await
    };
    assert_eq!(told(&get(CONSOLE).await), (404, "not_found"));
    assert_eq!(get("/api/v1/auth/callback?code=1&state=2").await.status, 404);
    assert_eq!(get("/api/v1/auth/session").await.status, 401);
    assert_eq!(get("/api/v1/devices/d-1/history").await.status, 401);
}
