//! One caller for each way in.

use anyhow::{Context, Result, ensure};
use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN, SET_COOKIE};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use serde_json::json;

use super::provider::Provider;
use crate::service::Service;

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a caller shows.
pub(super) struct Credential {
    /// In names of measurements.
    pub(super) name: &'static str,
    /// In the label of Waybill's metric.
    pub(super) label: &'static str,
    pub(super) headers: HeaderMap,
}

impl Credential {
    fn new(
        name: &'static str,
        label: &'static str,
        headers: impl IntoIterator<Item = (HeaderName, String)>,
    ) -> Result<Self> {
        let headers = headers.into_iter().map(|(name, value)| Ok((name, HeaderValue::try_from(value)?)));
        Ok(Self { name, label, headers: headers.collect::<Result<_>>()? })
    }
}

/// Operators of the tenant, each with another kind of credential.
pub(super) async fn credentials(service: &Service, provider: &Provider) -> Result<Vec<Credential>> {
    let issued = service.api.post("/api-keys", &json!({"roles": ["operator"], "label": "bench"})).await?;
    let key = issued["token"].as_str().context("the API key isn't shown")?.to_owned();
    let bearer = |token: &str| (AUTHORIZATION, format!("Bearer {token}"));
    let origin = service.api.base().to_owned();
    Ok(vec![
        Credential::new("api_key", "api_key", [(API_KEY, key)])?,
        Credential::new("hs256", "token", [bearer(service.api.token())])?,
        Credential::new("es256", "token", [bearer(&provider.access_token()?)])?,
        Credential::new("session", "session", [(COOKIE, sign_in(&origin).await?), (ORIGIN, origin)])?,
    ])
}

/// Signs in as a browser would; the cookie of the session.
async fn sign_in(origin: &str) -> Result<String> {
    let http = Client::builder().redirect(Policy::none()).build()?;
    let begun = http.get(format!("{origin}/api/v1/auth/sign-in?return_to=/")).send().await?;
    let asked = begun.headers().get(LOCATION).context("sign-in leads nowhere")?.to_str()?;
    let asked = Url::parse(asked)?;
    let parameter = |name: &str| asked.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    // The provider of this program takes the nonce as code.
    let (state, nonce) = (parameter("state").context("no state")?, parameter("nonce").context("no nonce")?);
    let back = http.get(format!("{origin}/api/v1/auth/callback")).query(&[("state", state), ("code", nonce)]);
    let back = back.header(COOKIE, cookie(&begun)?).send().await?;
    ensure!(back.status().is_redirection(), "the sign-in failed: {}", back.text().await?);
    cookie(&back)
}

/// The first cookie of an answer, as it is sent back.
fn cookie(answer: &Response) -> Result<String> {
    let set = answer.headers().get(SET_COOKIE).context("no cookie")?.to_str()?;
    Ok(set.split(';').next().unwrap_or_default().to_owned())
}
