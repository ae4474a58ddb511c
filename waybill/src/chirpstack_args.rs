//! The ChirpStack of the default tenant, and where those of other tenants may be, from flags and environment.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use command_api::{BrokerSettings, ChirpStackSettings, ClientIdentitySettings};
use reqwest::Url;
use runtime::network::Network;
use runtime::outward::Outward;
use trust::SecretValue;

use crate::tls::pem_text;

/// Ports of MQTT without and with TLS.
const MQTT_PORT: u16 = 1_883;
const MQTTS_PORT: u16 = 8_883;

/// Where the ChirpStack of the default tenant is. Other tenants are connected with `PUT /tenants/{id}/chirpstack`.
#[derive(Args, Clone, Debug, Default)]
pub struct ChirpStackArgs {
    /// gRPC API of the ChirpStack of the default tenant, http:// or https://; used if that tenant never had a connection
    #[arg(long, env = "CHIRPSTACK_API_URL")]
    pub chirpstack_api_url: Option<String>,
    /// Id of the tenant in that ChirpStack
    #[arg(long, env = "CHIRPSTACK_TENANT_ID")]
    pub chirpstack_tenant_id: Option<String>,
    /// API key of that tenant
    #[arg(long, env = "CHIRPSTACK_API_KEY", hide_env_values = true)]
    pub chirpstack_api_key: Option<String>,
    /// CA that this ChirpStack's certificate must come from, PEM [default: the system's]
    #[arg(long, env = "CHIRPSTACK_CA")]
    pub chirpstack_ca: Option<PathBuf>,
    /// Client certificate for this ChirpStack, PEM, if it requires one
    #[arg(long, env = "CHIRPSTACK_CERT")]
    pub chirpstack_cert: Option<PathBuf>,
    /// Private key of this certificate, PEM
    #[arg(long, env = "CHIRPSTACK_KEY_FILE")]
    pub chirpstack_key_file: Option<PathBuf>,
    /// Broker of this ChirpStack's MQTT integration, mqtt:// or mqtts://
    #[arg(long, env = "CHIRPSTACK_MQTT_URL")]
    pub chirpstack_mqtt_url: Option<String>,
    /// User at that broker
    #[arg(long, env = "CHIRPSTACK_MQTT_USERNAME")]
    pub chirpstack_mqtt_username: Option<String>,
    /// Password of that user
    #[arg(long, env = "CHIRPSTACK_MQTT_PASSWORD", hide_env_values = true)]
    pub chirpstack_mqtt_password: Option<String>,
    /// CA that the broker's certificate must come from, PEM [default: the system's]
    #[arg(long, env = "CHIRPSTACK_MQTT_CA")]
    pub chirpstack_mqtt_ca: Option<PathBuf>,
    /// Client certificate for the broker, PEM, if it requires one
    #[arg(long, env = "CHIRPSTACK_MQTT_CERT")]
    pub chirpstack_mqtt_cert: Option<PathBuf>,
    /// Private key of this certificate, PEM
    #[arg(long, env = "CHIRPSTACK_MQTT_KEY_FILE")]
    pub chirpstack_mqtt_key_file: Option<PathBuf>,
    /// Networks in which the addresses that tenants set may be, beside the public one, such as 10.20.0.0/16, separated by commas; in
    /// development the machine itself is admitted, too
    #[arg(long, value_delimiter = ',', env = "WAYBILL_OUTWARD_NETWORKS")]
    pub outward_networks: Vec<Network>,
}

impl ChirpStackArgs {
    /// Where addresses that tenants set may lead. The addresses of the configuration are not judged.
    pub fn outward(&self, development: bool) -> Outward {
        let services = [&self.chirpstack_api_url, &self.chirpstack_mqtt_url].into_iter().flatten();
        let services = services.filter_map(|url| host_and_port(url)).collect();
        Outward { networks: self.outward_networks.clone(), loopback: development, services }
    }

    /// None if none is given. Without URL, tenant and key there is no connection.
    pub fn settings(&self) -> Result<Option<ChirpStackSettings>> {
        let connection =
            (text(&self.chirpstack_api_url), text(&self.chirpstack_tenant_id), text(&self.chirpstack_api_key));
        let mqtt = self.broker()?;
        let identity = identity(&self.chirpstack_cert, &self.chirpstack_key_file)
            .context("CHIRPSTACK_CERT, CHIRPSTACK_KEY_FILE")?;
        let ca = file(&self.chirpstack_ca).context("CHIRPSTACK_CA")?;
        match connection {
            (None, None, None) => {
                ensure!(
                    mqtt.is_none() && identity.is_none() && ca.is_none(),
                    "CHIRPSTACK_CA, CHIRPSTACK_CERT and CHIRPSTACK_MQTT_URL need CHIRPSTACK_API_URL"
                );
                Ok(None)
            }
            (Some(url), Some(chirpstack_tenant_id), Some(key)) => {
                let api_key = SecretValue::new(key.into_bytes());
                Ok(Some(ChirpStackSettings { url, chirpstack_tenant_id, api_key, ca, identity, mqtt }))
            }
            _ => {
                bail!("CHIRPSTACK_API_URL, CHIRPSTACK_TENANT_ID and CHIRPSTACK_API_KEY belong together: give all three")
            }
        }
    }

    fn broker(&self) -> Result<Option<BrokerSettings>> {
        let username = text(&self.chirpstack_mqtt_username);
        let password = text(&self.chirpstack_mqtt_password).map(|password| SecretValue::new(password.into_bytes()));
        let identity = identity(&self.chirpstack_mqtt_cert, &self.chirpstack_mqtt_key_file)
            .context("CHIRPSTACK_MQTT_CERT, CHIRPSTACK_MQTT_KEY_FILE")?;
        let ca = file(&self.chirpstack_mqtt_ca).context("CHIRPSTACK_MQTT_CA")?;
        let Some(url) = text(&self.chirpstack_mqtt_url) else {
            ensure!(
                username.is_none() && password.is_none() && identity.is_none() && ca.is_none(),
                "CHIRPSTACK_MQTT_USERNAME, …_PASSWORD, …_CA and …_CERT need CHIRPSTACK_MQTT_URL"
            );
            return Ok(None);
        };
        Ok(Some(BrokerSettings { url, username, password, ca, identity }))
    }
}

/// A variable that is set to nothing counts as not set.
fn text(given: &Option<String>) -> Option<String> {
    given.clone().filter(|text| !text.is_empty())
}

fn file(given: &Option<PathBuf>) -> Result<Option<String>> {
    given.as_deref().filter(|path| !path.as_os_str().is_empty()).map(pem_text).transpose()
}

fn identity(cert: &Option<PathBuf>, key_file: &Option<PathBuf>) -> Result<Option<ClientIdentitySettings>> {
    match (file(cert)?, file(key_file)?) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            let key = SecretValue::new(key.trim().as_bytes().to_vec());
            Ok(Some(ClientIdentitySettings { certificate, key }))
        }
        _ => bail!("a certificate and its private key belong together: give both"),
    }
}

fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let usual = match url.scheme() {
        "mqtt" => Some(MQTT_PORT),
        "mqtts" => Some(MQTTS_PORT),
        _ => url.port_or_known_default(),
    };
    Some((url.host_str()?.trim_matches(['[', ']']).to_owned(), url.port().or(usual)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(texts: [&str; 3]) -> ChirpStackArgs {
        let [url, tenant, key] = texts.map(|text| Some(text.to_owned()));
        ChirpStackArgs {
            chirpstack_api_url: url,
            chirpstack_tenant_id: tenant,
            chirpstack_api_key: key,
            ..ChirpStackArgs::default()
        }
    }

    #[test]
    fn all_three_are_given_or_none() {
        assert!(ChirpStackArgs::default().settings().unwrap().is_none());
        assert!(args(["", "", ""]).settings().unwrap().is_none());
        assert!(args(["http://lns:8080", "t", ""]).settings().is_err());
        let whole = args(["http://lns:8080", "t", "geheim"]);
        assert_eq!(whole.settings().unwrap().unwrap().api_key.reveal(), b"geheim");
    }

    #[test]
    fn certificates_are_read_with_their_keys() {
        let directory = std::env::temp_dir().join(format!("waybill-chirpstack-args-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let (cert, key_file) = (directory.join("client.crt"), directory.join("client.key"));
        std::fs::write(&cert, "a certificate").unwrap();
        std::fs::write(&key_file, "a key\n").unwrap();
        let whole = || args(["https://lns:8080", "t", "geheim"]);
        let with_identity =
            ChirpStackArgs { chirpstack_cert: Some(cert.clone()), chirpstack_key_file: Some(key_file), ..whole() };
        let read = with_identity.settings().unwrap().unwrap().identity.unwrap();
        assert_eq!((read.certificate.as_str(), read.key.reveal()), ("a certificate", b"a key".as_slice()));
        for wrong in [
            ChirpStackArgs { chirpstack_cert: Some(cert.clone()), ..whole() },
            ChirpStackArgs { chirpstack_ca: Some(directory.join("missing")), ..whole() },
            ChirpStackArgs { chirpstack_mqtt_password: Some("p".to_owned()), ..whole() },
            ChirpStackArgs { chirpstack_ca: Some(cert), ..ChirpStackArgs::default() },
        ] {
            assert!(wrong.settings().is_err(), "{wrong:?}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn the_services_of_the_configuration_are_admitted() {
        let mut configured = args(["https://lns.lan", "t", "k"]);
        configured.chirpstack_mqtt_url = Some("mqtts://broker.lan".to_owned());
        let services = configured.outward(false).services;
        assert_eq!(services, [("lns.lan".to_owned(), 443), ("broker.lan".to_owned(), 8_883)]);
    }
}
