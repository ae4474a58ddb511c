//! Claims that the provider leaves out of the ID token, from its userinfo endpoint (OpenID Connect Core 1.0, section 5.3).

use serde_json::{Map, Value};

use super::id_token::{Identity, refused};
use super::parts::SignIn;
use super::provider::{Metadata, unavailable};
use crate::http::Problem;

impl SignIn {
    /// Adds what the ID token doesn't say, if the settings ask for it. The access token is shown to the provider once and kept nowhere.
    pub(super) async fn ask_userinfo(
        &self,
        metadata: &Metadata,
        access_token: Option<String>,
        person: Identity,
    ) -> Result<Identity, Problem> {
        if !self.config.userinfo {
            return Ok(person);
        }
        let endpoint = metadata.userinfo_endpoint.as_deref();
        let endpoint = endpoint.ok_or_else(|| Problem::internal("the OpenID provider has no userinfo endpoint"))?;
        let access_token = access_token.ok_or_else(|| {
            tracing::warn!("The OpenID provider's answer has no access token.");
            unavailable()
        })?;
        let (status, body) = self.provider()?.get_as(endpoint, &format!("Bearer {access_token}")).await?;
        let said = (status == 200).then(|| serde_json::from_slice::<Map<String, Value>>(&body).ok()).flatten();
        let said = said.ok_or_else(|| {
            tracing::warn!(status, "The OpenID provider's userinfo endpoint doesn't answer with claims.");
            unavailable()
        })?;
        // Section 5.3.2: the answer could be about somebody else.
        if said.get("sub").and_then(Value::as_str) != Some(person.actor.id()) {
            return Err(refused("userinfo is about another person"));
        }
        Ok(person.with(said))
    }
}
