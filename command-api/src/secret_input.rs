//! Secrets in requests: never shown again, in no log line and no error.

use std::fmt;

use domain::SecretRef;
use event_store::SecretPlace;
use event_store::secrets::SecretError;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;
use trust::SecretValue;

use crate::http::Problem;

/// Longest secret in a request, in bytes.
pub(crate) const SECRET_INPUT_MAX_BYTES: usize = 4_096;

/// A secret that somebody gives. It doesn't print itself. In descriptions of requests it is a text.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct SecretInput(String);

impl fmt::Debug for SecretInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl SecretInput {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// The value to keep. Control characters and blanks at the ends are mistakes of copying.
    pub(crate) fn value(&self, field: &str) -> Result<SecretValue, Problem> {
        let text = &self.0;
        let fits = (1..=SECRET_INPUT_MAX_BYTES).contains(&text.len());
        if !fits || text.contains(char::is_control) || text.trim() != text {
            let reason =
                format!("1 to {SECRET_INPUT_MAX_BYTES} bytes, without control characters and blanks at the ends");
            return Err(Problem::invalid(field, reason));
        }
        Ok(SecretValue::new(text.as_bytes().to_vec()))
    }

    /// A private key in PEM. It has several lines, and blanks at the ends do no harm.
    pub(crate) fn private_key(&self, field: &str) -> Result<SecretValue, Problem> {
        let pem = self.0.trim();
        let is_key = pem.len() <= SECRET_INPUT_MAX_BYTES && PrivateKeyDer::from_pem_slice(pem.as_bytes()).is_ok();
        if !is_key {
            let reason = format!("a private key in PEM that isn't encrypted, at most {SECRET_INPUT_MAX_BYTES} bytes");
            return Err(Problem::invalid(field, reason));
        }
        Ok(SecretValue::new(pem.as_bytes().to_vec()))
    }
}

/// Whether a secret is set, as replies show it.
#[must_use]
pub(crate) fn presence(is_set: bool) -> &'static str {
    if is_set { "set" } else { "missing" }
}

impl From<SecretError> for Problem {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::TooMany(_) => {
                Self::new(axum::http::StatusCode::CONFLICT, "too_many_secrets", error.to_string())
            }
            SecretError::Size { .. } => Self::invalid("secret", error.to_string()),
            other => {
                tracing::error!(error = %other, "A secret of a tenant can't be kept or read.");
                Self::unavailable("secrets_unavailable", "the secrets of tenants can't be reached")
            }
        }
    }
}

impl crate::state::App {
    /// Removes a secret that nothing names any more. A failure leaves it sealed and unused.
    pub(crate) async fn forget_secret(&self, tenant: &domain::TenantId, secret: &SecretRef) {
        let Some(secrets) = &self.secrets else { return };
        let place = SecretPlace::new(tenant, secret);
        if let Err(error) = secrets.delete(&place).await {
            tracing::warn!(secret = %place, %error, "A secret that is not used any more could not be removed.");
        }
    }
}
