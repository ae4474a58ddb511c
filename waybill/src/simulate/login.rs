//! How devices log in to the broker. Firmware shows a registration token once, over HTTP, and keeps the credential that it gets for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{DEVICE_TYPE, shown};
use crate::http_client::HttpClient;

/// Refusals of the broker in a row after which a device asks for another credential. The broker also refuses while it can't check one.
pub(super) const REFUSALS_MAX: u32 = 5;
/// How long the server may take to register a device.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(10);

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// How the devices of a fleet log in.
#[derive(Debug, Clone, Default)]
pub enum Login {
    /// Without user and password, which only a server in development mode may allow.
    #[default]
    Anonymous,
    /// All with the same user and password.
    Shared { user: String, password: Hidden },
    /// Each with a credential of its own, which it gets from this server for a registration token.
    Own { server: String, registration_token: Hidden },
}

/// What a device keeps to log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub(super) user: String,
    pub(super) password: Hidden,
}

/// The same, as the devices use it.
#[derive(Debug)]
pub(super) enum LoginOfFleet {
    Same(Option<Credential>),
    Own(Registrar),
}

impl LoginOfFleet {
    pub(super) fn new(login: &Login, http: &HttpClient) -> Self {
        match login {
            Login::Anonymous => Self::Same(None),
            Login::Shared { user, password } => {
                Self::Same(Some(Credential { user: user.clone(), password: password.clone() }))
            }
            Login::Own { server, registration_token } => {
                Self::Own(Registrar::new(http.clone(), server, registration_token.clone()))
            }
        }
    }
}

impl LoginOfFleet {
    /// What helps when the broker refuses a device.
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Same(None) => "devices need credentials; start with --register, or with --registration-token",
            Self::Same(Some(_)) => "it doesn't accept --mqtt-user with this password",
            Self::Own(_) => "its credential was revoked, or the broker can't check it now",
        }
    }
}

/// A device that registers.
pub(super) struct Applicant {
    pub(super) device_id: String,
    pub(super) device_model: String,
    pub(super) versions: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Reply {
    token: String,
    mqtt: Mqtt,
}

#[derive(Deserialize)]
struct Mqtt {
    username: String,
}

/// Registers devices over HTTP.
#[derive(Debug)]
pub(super) struct Registrar {
    http: HttpClient,
    url: String,
    token: Hidden,
    /// A refusal was shown. The others have the same reason.
    told: AtomicBool,
}

impl Registrar {
    pub(super) fn new(http: HttpClient, server: &str, token: Hidden) -> Self {
        Self {
            http,
            url: format!("{}/api/v1/device-registrations", server.trim_end_matches('/')),
            token,
            told: AtomicBool::new(false),
        }
    }

    /// A new credential for the device; none if it got none in time.
    pub(super) async fn credential(&self, applicant: &Applicant) -> Option<Credential> {
        let answer = tokio::time::timeout(REGISTRATION_TIMEOUT, self.register(applicant)).await;
        let error = match answer {
            Ok(Ok(credential)) => return Some(credential),
            Ok(Err(error)) => error,
            Err(_) => anyhow!("{} doesn't answer", self.url),
        };
        let device = &applicant.device_id;
        if self.told.swap(true, Ordering::Relaxed) {
            tracing::debug!(device.id = %device, error = format!("{error:#}"), "A device isn't registered.");
        } else {
            tracing::warn!(device.id = %device, error = format!("{error:#}"), "A device isn't registered.");
        }
        None
    }

    async fn register(&self, applicant: &Applicant) -> Result<Credential> {
        let reply = self.http.post(&self.url).bearer(Some(&self.token.0)).json(&body(applicant))?.send().await;
        let reply = reply.with_context(|| format!("{} can't be reached", self.url))?;
        let status = reply.status();
        // The text of a success has the credential.
        ensure!(status.is_success(), "{} answered {status}: {}", self.url, shown(&reply.text().await?));
        let reply: Reply = reply.json().await.with_context(|| format!("the answer of {} can't be parsed", self.url))?;
        Ok(Credential { user: reply.mqtt.username, password: Hidden(reply.token) })
    }
}

fn body(applicant: &Applicant) -> Value {
    json!({
        "device_id": applicant.device_id,
        "device_type": DEVICE_TYPE,
        "device_model": applicant.device_model,
        "versions": applicant.versions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let login = Login::Own { server: "http://s".to_owned(), registration_token: Hidden("wbr_secret".to_owned()) };
        assert!(!format!("{login:?}").contains("secret"));
        let credential = Credential { user: "default/d-1".to_owned(), password: Hidden("wbd_secret".to_owned()) };
        assert!(!format!("{credential:?}").contains("secret"));
    }
}
