//! The ChirpStack of the default tenant, and where those of other tenants may be, from flags and environment.

use anyhow::{Result, bail};
use clap::Args;
use command_api::ChirpStackSettings;
use reqwest::Url;
use runtime::network::Network;
use runtime::outward::Outward;
use trust::SecretValue;

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
    /// Networks in which the addresses that tenants set may be, beside the public one, such as 10.20.0.0/16, separated by commas; in
    /// development the machine itself is admitted, too
    #[arg(long, value_delimiter = ',', env = "WAYBILL_OUTWARD_NETWORKS")]
    pub outward_networks: Vec<Network>,
}

impl ChirpStackArgs {
    /// Where addresses that tenants set may lead. The address of the configuration is not judged.
    pub fn outward(&self, development: bool) -> Outward {
        let url = self.chirpstack_api_url.as_deref().and_then(|url| Url::parse(url).ok());
        let service = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
        let services = service.map(|(host, port)| (host.trim_matches(['[', ']']).to_owned(), port));
        let networks = self.outward_networks.clone();
        Outward { networks, loopback: development, services: services.into_iter().collect() }
    }

    /// None if none is given. Without all three there is no connection.
    pub fn settings(&self) -> Result<Option<ChirpStackSettings>> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (given(&self.chirpstack_api_url), given(&self.chirpstack_tenant_id), given(&self.chirpstack_api_key)) {
            (None, None, None) => Ok(None),
            (Some(url), Some(chirpstack_tenant_id), Some(key)) => {
                let api_key = SecretValue::new(key.into_bytes());
                Ok(Some(ChirpStackSettings { url, chirpstack_tenant_id, api_key }))
            }
            _ => {
                bail!("CHIRPSTACK_API_URL, CHIRPSTACK_TENANT_ID and CHIRPSTACK_API_KEY belong together: give all three")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_are_given_or_none() {
        let args = |texts: [&str; 3]| {
            let [url, tenant, key] = texts.map(|text| Some(text.to_owned()));
            ChirpStackArgs {
                chirpstack_api_url: url,
                chirpstack_tenant_id: tenant,
                chirpstack_api_key: key,
                ..ChirpStackArgs::default()
            }
        };
        assert!(ChirpStackArgs::default().settings().unwrap().is_none());
        assert!(args(["", "", ""]).settings().unwrap().is_none());
        assert!(args(["http://lns:8080", "t", ""]).settings().is_err());
        let whole = args(["http://lns:8080", "t", "geheim"]);
        assert_eq!(whole.settings().unwrap().unwrap().api_key.reveal(), b"geheim");
    }
}
