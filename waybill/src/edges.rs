//! Settings of the API's edges: how much is answered to whom, and which proxies are believed.

use command_api::{ForwardedHeader, RateLimits, TransferLimits, TrustedProxies};
use runtime::network::Network;

/// Limits of one process. 0 is no limit.
#[derive(Debug, Clone, clap::Args)]
pub struct EdgeArgs {
    /// Requests per second of one tenant; ten seconds' worth may come at once; 0 is no limit
    #[arg(long, default_value_t = RateLimits::default().tenant, env = "WAYBILL_TENANT_REQUESTS_PER_SECOND")]
    pub tenant_requests_per_second: u32,
    /// The same of one user, key, service or registration token
    #[arg(long, default_value_t = RateLimits::default().credential, env = "WAYBILL_CREDENTIAL_REQUESTS_PER_SECOND")]
    pub credential_requests_per_second: u32,
    /// The same of one address, for requests without a valid credential
    #[arg(long, default_value_t = RateLimits::default().address, env = "WAYBILL_ADDRESS_REQUESTS_PER_SECOND")]
    pub address_requests_per_second: u32,
    /// Uploads of one tenant at a time; 0 is no limit
    #[arg(long, default_value_t = TransferLimits::default().tenant_uploads, env = "WAYBILL_TENANT_UPLOADS")]
    pub tenant_uploads: u32,
    /// Downloads of one tenant at a time; 0 is no limit
    #[arg(long, default_value_t = TransferLimits::default().tenant_downloads, env = "WAYBILL_TENANT_DOWNLOADS")]
    pub tenant_downloads: u32,
    /// Rate of one download; 0 is no limit
    #[arg(long, default_value_t = 0, env = "WAYBILL_DOWNLOAD_BYTES_PER_SECOND")]
    pub download_bytes_per_second: u64,
    /// Rate of all downloads of one tenant together; 0 is no limit
    #[arg(long, default_value_t = 0, env = "WAYBILL_TENANT_DOWNLOAD_BYTES_PER_SECOND")]
    pub tenant_download_bytes_per_second: u64,
    /// Proxies before the API, as networks such as 10.0.0.0/8, separated by commas: only they are believed who the client is
    #[arg(long, value_delimiter = ',', env = "WAYBILL_TRUSTED_PROXIES")]
    pub trusted_proxies: Vec<Network>,
    /// The header in which these proxies name the client: x-forwarded-for, or forwarded (RFC 7239)
    #[arg(long, default_value = "x-forwarded-for", env = "WAYBILL_FORWARDED_HEADER")]
    pub forwarded_header: ForwardedHeader,
}

impl EdgeArgs {
    pub(crate) fn rate_limits(&self) -> RateLimits {
        RateLimits {
            tenant: self.tenant_requests_per_second,
            credential: self.credential_requests_per_second,
            address: self.address_requests_per_second,
        }
    }

    pub(crate) fn transfer_limits(&self) -> TransferLimits {
        TransferLimits {
            tenant_uploads: self.tenant_uploads,
            tenant_downloads: self.tenant_downloads,
            download_bytes_per_second: self.download_bytes_per_second,
            tenant_bytes_per_second: self.tenant_download_bytes_per_second,
        }
    }

    pub(crate) fn trusted_proxies(&self) -> TrustedProxies {
        TrustedProxies { networks: self.trusted_proxies.clone(), header: self.forwarded_header }
    }
}
