//! Exchanges a code for an ID token and an access token. The latter is used for userinfo at most, and dropped.

use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::parts::SignIn;
use super::pending::Pending;
use super::provider::{Metadata, SecretIn, unavailable};
use crate::http::Problem;

/// Longest word of an error that is repeated to the log.
const ERROR_MAX_BYTES: usize = 64;

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) id_token: String,
    #[serde(default)]
    pub(super) access_token: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl SignIn {
    /// The tokens for a code.
    pub(super) async fn exchange(&self, metadata: &Metadata, pending: &Pending, code: &str) -> Result<Answer, Problem> {
        let redirect_uri = self.redirect_uri();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", &pending.verifier),
        ];
        let secret = self.config.client_secret.as_ref().and_then(|secret| secret.reveal_text());
        let authorization = match (secret, metadata.secret_in()) {
            (None, _) => {
                form.push(("client_id", &self.config.client_id));
                None
            }
            (Some(secret), Some(SecretIn::Header)) => Some(basic(&self.config.client_id, secret)?),
            (Some(secret), Some(SecretIn::Form)) => {
                form.extend([("client_id", self.config.client_id.as_str()), ("client_secret", secret)]);
                None
            }
            (Some(_), None) => return Err(Problem::internal("the OpenID provider takes no client secret")),
        };
        let form = serde_urlencoded::to_string(form).map_err(Problem::internal)?;
        let (status, body) = self.provider()?.post(&metadata.token_endpoint, authorization.as_deref(), form).await?;
        match status {
            200 => serde_json::from_slice(&body).map_err(|_| {
                tracing::warn!("The OpenID provider's answer has no ID token.");
                unavailable()
            }),
            400 | 401 => Err(refused(&body)),
            _ => {
                tracing::warn!(status, "The OpenID provider doesn't exchange a code.");
                Err(unavailable())
            }
        }
    }
}

/// RFC 6749, section 2.3.1: both parts are form-encoded first.
fn basic(id: &str, secret: &str) -> Result<String, Problem> {
    let encoded = |text: &str| {
        let pair = serde_urlencoded::to_string([("x", text)]).map_err(Problem::internal)?;
        Ok::<_, Problem>(pair.trim_start_matches("x=").to_owned())
    };
    Ok(format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id)?, encoded(secret)?))))
}

/// A code that was used or is too old is the browser's problem; anything else is one of the settings.
fn refused(body: &[u8]) -> Problem {
    let error = serde_json::from_slice(body).map_or_else(|_| String::new(), |Refusal { error }| error);
    if error == "invalid_grant" {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "sign_in_failed",
            "the code was used or is too old: sign in again",
        );
    }
    Problem::internal(format!("the OpenID provider refuses this client: {}", word(&error)))
}

/// An error code of the provider, for the log.
pub(super) fn word(error: &str) -> &str {
    let is_word = error.len() <= ERROR_MAX_BYTES && error.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_word { error } else { "an unreadable error" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_shows_its_secret_encoded() {
        assert_eq!(
            basic("way bill", "a:b%ü").unwrap(),
            format!("Basic {}", STANDARD.encode("way+bill:a%3Ab%25%C3%BC"))
        );
        assert_eq!((word("invalid_client"), word("<script>")), ("invalid_client", "an unreadable error"));
    }
}
