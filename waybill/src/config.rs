//! All settings of `waybill serve`, as flags and environment variables. One struct; `--help` is its documentation.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::ValueEnum;
use command_api::SignInConfig;
use mqtt_bridge::callout::Issuer;

use crate::chirpstack_args::ChirpStackArgs;
use crate::edges::EdgeArgs;
use crate::sign_in::SignInArgs;
use crate::store_args::StoreArgs;
use crate::tls::{CertificateArgs, MqttTlsArgs, NatsTlsArgs};
use crate::{origin, secrets};

/// The parts of Waybill that a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    All,
    Api,
    Projections,
    ProcessManagers,
    Bridge,
}

impl Role {
    /// Whether a process of this role runs a part.
    pub fn runs(self, part: Self) -> bool {
        self == Self::All || self == part
    }
}

/// Settings of a serving process.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Which parts to run in this process
    #[arg(long, value_enum, default_value = "all", env = "WAYBILL_ROLE")]
    pub role: Role,
    /// Address of the HTTP API; only health and metrics if the role has no API
    #[arg(long, default_value = "127.0.0.1:8240", env = "WAYBILL_HTTP_LISTEN")]
    pub http_listen: SocketAddr,
    #[command(flatten)]
    pub certificate: CertificateArgs,
    /// nats-server, account WAYBILL, the service's user; tls:// for TLS; commas between several servers of a cluster
    #[arg(
        long,
        default_value = "nats://waybill:waybill@127.0.0.1:4222",
        env = "WAYBILL_NATS_URL",
        hide_env_values = true
    )]
    pub nats_url: String,
    /// nats-server, account DEVICES, the bridge's user; commas between several servers of a cluster
    #[arg(
        long,
        default_value = "nats://bridge:bridge@127.0.0.1:4222",
        env = "WAYBILL_NATS_DEVICES_URL",
        hide_env_values = true
    )]
    pub nats_devices_url: String,
    #[command(flatten)]
    pub nats_tls: NatsTlsArgs,
    /// MQTT listener, the bridge's user; mqtts:// for TLS
    #[arg(
        long,
        default_value = "mqtt://bridge-mqtt:bridge@127.0.0.1:1883",
        env = "WAYBILL_MQTT_URL",
        hide_env_values = true
    )]
    pub mqtt_url: String,
    #[command(flatten)]
    pub mqtt_tls: MqttTlsArgs,
    /// nats-server, account AUTH, the user that answers who may connect as a device; commas between several servers of a cluster
    #[arg(
        long,
        default_value = "nats://auth:auth@127.0.0.1:4222",
        env = "WAYBILL_NATS_AUTH_URL",
        hide_env_values = true
    )]
    pub nats_auth_url: String,
    /// nats-server, the system account, the user that ends connections; commas between several servers of a cluster
    #[arg(
        long,
        default_value = "nats://sys:sys@127.0.0.1:4222",
        env = "WAYBILL_NATS_SYSTEM_URL",
        hide_env_values = true
    )]
    pub nats_system_url: String,
    /// Seed of the account key whose public part is auth_callout.issuer in nats.conf; the bridge needs it. The default is the key of
    /// nats.conf for development and refused without --development
    #[arg(long, default_value = DEVELOPMENT_ISSUER_SEED, env = "WAYBILL_NATS_ISSUER_SEED", hide_env_values = true)]
    pub nats_issuer_seed: String,
    /// Let in MQTT clients without user and password as any device of any tenant; only with --development
    #[arg(long, env = "WAYBILL_ANONYMOUS_DEVICES")]
    pub anonymous_devices: bool,
    /// PostgreSQL; for TLS with ?sslmode=verify-full, and &sslrootcert=FILE for a CA of your own
    #[arg(long, default_value = "postgres://localhost/waybill", env = "WAYBILL_DATABASE_URL", hide_env_values = true)]
    pub database_url: String,
    /// Directory of generated secrets, and of firmware unless there is a --firmware-store
    #[arg(long, default_value = ".waybill", env = "WAYBILL_DATA_DIR")]
    pub data_dir: PathBuf,
    #[command(flatten)]
    pub store: StoreArgs,
    /// Development mode: dev tokens are issued; the issuer's key of nats.conf, --anonymous-devices and http for --jwks-url are accepted; HS256
    /// stays on beside --jwks-url
    #[arg(long, env = "WAYBILL_DEVELOPMENT")]
    pub development: bool,
    /// Secret of HS256 tokens, at least 32 bytes; required with a --role unless there is a --jwks-url, which turns HS256 off if no secret is given (not in development);
    /// otherwise generated and kept in the data directory if absent
    #[arg(long, env = "WAYBILL_JWT_SECRET", hide_env_values = true)]
    pub jwt_secret: Option<String>,
    /// The `iss` that tokens must have; required with --jwks-url
    #[arg(long, env = "WAYBILL_JWT_ISSUER")]
    pub jwt_issuer: Option<String>,
    /// What must be in the `aud` of tokens; required with --jwks-url
    #[arg(long, env = "WAYBILL_JWT_AUDIENCE")]
    pub jwt_audience: Option<String>,
    /// Where the issuer publishes its keys (JWKS), for RS256, ES256 and EdDSA; https, and http in development
    #[arg(long, env = "WAYBILL_JWKS_URL")]
    pub jwks_url: Option<String>,
    /// Secret of download links, at least 32 bytes; required with a --role, otherwise generated and kept in the data directory if absent
    #[arg(long, env = "WAYBILL_DOWNLOAD_SECRET", hide_env_values = true)]
    pub download_secret: Option<String>,
    /// Secret that hashes the tokens of devices, at least 32 bytes; required with a --role, otherwise generated and kept in the data
    /// directory if absent
    #[arg(long, env = "WAYBILL_CREDENTIAL_SECRET", hide_env_values = true)]
    pub credential_secret: Option<String>,
    #[command(flatten)]
    pub master_keys: secrets::MasterKeyArgs,
    /// Origin of download links, as devices reach it; needed by the bridge and if HTTP listens on all addresses [default:
    /// http://{http-listen}, or https:// with --tls-cert]
    #[arg(long, env = "WAYBILL_DOWNLOAD_BASE_URL")]
    pub download_base_url: Option<String>,
    /// Replicas of the streams: missing streams are created with this number, existing ones with another number are refused
    #[arg(long, default_value_t = 1, env = "WAYBILL_STREAM_REPLICAS", value_parser = clap::value_parser!(u8).range(REPLICAS_RANGE))]
    pub stream_replicas: u8,
    /// Pause before an update's second attempt, in seconds; doubled for each further one
    #[arg(long, default_value_t = 30, env = "WAYBILL_RETRY_BACKOFF_SECONDS")]
    pub retry_backoff_seconds: u32,
    /// Time from dispatch to the device's answer before the device counts as unreachable, in seconds
    #[arg(long, default_value_t = 120, env = "WAYBILL_DISPATCH_PATIENCE_SECONDS")]
    pub dispatch_patience_seconds: u32,
    /// Time after a last will before the device counts as offline, in seconds
    #[arg(long, default_value_t = 45, env = "WAYBILL_OFFLINE_DEBOUNCE_SECONDS")]
    pub offline_debounce_seconds: u32,
    /// Pause between two looks whether somebody has changed devices in a tenant's ChirpStack, in seconds
    #[arg(long, default_value_t = 600, env = "WAYBILL_NETWORK_SWEEP_SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub network_sweep_seconds: u32,
    #[command(flatten)]
    pub chirpstack: ChirpStackArgs,
    #[command(flatten)]
    pub edges: EdgeArgs,
    #[command(flatten)]
    pub sign_in: SignInArgs,
}

/// The seed of `issuer` in nats.conf. Everybody knows it.
pub const DEVELOPMENT_ISSUER_SEED: &str = "SAANYZZUXYNAIRRLI2J64QLOBDMFGOVHOKVM2NKU3WNQU3EBBUW4K5L3IU";

/// Numbers of replicas that nats-server allows.
const REPLICAS_RANGE: RangeInclusive<i64> = 1..=5;

impl ServeArgs {
    /// Origin of download links.
    pub fn download_origin(&self) -> String {
        self.download_base_url.clone().unwrap_or_else(|| self.origin_at(self.http_listen))
    }

    /// Origin of the API when it listens on this address.
    pub fn origin_at(&self, address: SocketAddr) -> String {
        let scheme = if self.certificate.is_given() { "https" } else { "http" };
        format!("{scheme}://{address}")
    }

    /// How people sign in: at an OpenID provider, or with a token or a key. None if browsers would send these in the clear.
    pub fn sign_in_config(&self) -> anyhow::Result<Option<SignInConfig>> {
        match self.sign_in.config(self.development)? {
            Some(config) => Ok(Some(config)),
            None => self.sign_in.without_provider(self.origin_at(self.http_listen), self.development),
        }
    }

    /// The secrets that were given.
    pub fn given_secrets(&self) -> secrets::Given<'_> {
        let (jwt, download) = (self.jwt_secret.as_ref(), self.download_secret.as_ref());
        secrets::Given { jwt, download, credential: self.credential_secret.as_ref() }
    }

    /// Checks the settings before anything is started.
    pub fn check(&self) -> anyhow::Result<()> {
        let is_shared = (self.jwt_secret.is_some() || self.jwks_url.is_some())
            && self.download_secret.is_some()
            && self.credential_secret.is_some()
            && self.master_keys.is_given();
        anyhow::ensure!(
            self.role == Role::All || is_shared,
            "processes with a --role must share their secrets: set WAYBILL_JWT_SECRET (or WAYBILL_JWKS_URL), WAYBILL_DOWNLOAD_SECRET, WAYBILL_CREDENTIAL_SECRET and WAYBILL_MASTER_KEYS_FILE (or WAYBILL_MASTER_KEY) to the same values in each"
        );
        self.given_secrets().check()?;
        anyhow::ensure!(
            self.development || !self.anonymous_devices,
            "WAYBILL_ANONYMOUS_DEVICES lets anybody in as any device: it needs --development"
        );
        self.check_issuer()?;
        self.sign_in.config(self.development)?;
        if !self.role.runs(Role::Api) && !self.role.runs(Role::Bridge) {
            return Ok(());
        }
        anyhow::ensure!(
            self.download_base_url.is_some() || (self.role.runs(Role::Api) && !self.http_listen.ip().is_unspecified()),
            "set WAYBILL_DOWNLOAD_BASE_URL to where devices reach the API, such as https://downloads.example.com: {} isn't such a place",
            self.http_listen
        );
        origin::check(&self.download_origin())
    }

    /// The key that signs who may connect as a device.
    pub fn issuer(&self) -> anyhow::Result<Issuer> {
        let issuer = Issuer::from_seed(&self.nats_issuer_seed).context("WAYBILL_NATS_ISSUER_SEED")?;
        anyhow::ensure!(
            self.development || self.nats_issuer_seed != DEVELOPMENT_ISSUER_SEED,
            "WAYBILL_NATS_ISSUER_SEED is the key of nats.conf for development, which everybody knows: make another one with \
             `nk -gen account -pubout`, and set its public part as issuer in nats.conf"
        );
        Ok(issuer)
    }

    /// A token of another issuer, or for another service of the same one, must not pass.
    fn check_issuer(&self) -> anyhow::Result<()> {
        let Some(url) = &self.jwks_url else { return Ok(()) };
        anyhow::ensure!(
            self.jwt_issuer.is_some() && self.jwt_audience.is_some(),
            "WAYBILL_JWKS_URL needs WAYBILL_JWT_ISSUER and WAYBILL_JWT_AUDIENCE: otherwise tokens that the issuer made for other services would be accepted"
        );
        let is_private = url.starts_with("https://") || (self.development && url.starts_with("http://"));
        anyhow::ensure!(is_private, "WAYBILL_JWKS_URL must begin with https:// (http:// only in development)");
        Ok(())
    }

    /// Whether HS256 tokens are accepted.
    pub fn takes_shared_secret(&self) -> bool {
        self.jwks_url.is_none() || self.jwt_secret.is_some() || self.development
    }

    pub fn process_manager_options(&self) -> process_managers::Options {
        process_managers::Options {
            retry_backoff: Duration::from_secs(self.retry_backoff_seconds.into()),
            dispatch_patience: Duration::from_secs(self.dispatch_patience_seconds.into()),
            offline_debounce: Duration::from_secs(self.offline_debounce_seconds.into()),
            network_sweep_interval: Duration::from_secs(self.network_sweep_seconds.into()),
            outward: self.chirpstack.outward(self.development),
            ..process_managers::Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command};

    use super::{DEVELOPMENT_ISSUER_SEED, Issuer, ServeArgs};
    use crate::connection::Connection;
    use crate::secret_store;

    #[test]
    fn help_shows_no_passwords() {
        for command in [
            ServeArgs::augment_args(Command::new("serve")),
            Connection::augment_args(Command::new("replay")),
            secret_store::Connection::augment_args(Command::new("secrets")),
        ] {
            let private = [
                "nats_url",
                "nats_devices_url",
                "nats_auth_url",
                "nats_system_url",
                "mqtt_url",
                "database_url",
                "master_key",
            ];
            let is_private =
                |name: &str| private.contains(&name) || name.ends_with("_secret") || name.ends_with("_seed");
            for arg in command.get_arguments().filter(|arg| is_private(arg.get_id().as_str())) {
                assert!(arg.is_hide_env_values_set(), "{}", arg.get_id());
            }
        }
    }

    #[test]
    fn an_address_that_makes_no_sense_is_not_repeated() {
        let error = projections::Db::connect("postgres//user:geheim@host/waybill").map(drop).unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
    }

    fn serve_args(given: &[&str]) -> ServeArgs {
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            serve: ServeArgs,
        }
        let only: Only = clap::Parser::parse_from([&["waybill"], given].concat());
        only.serve
    }

    #[test]
    fn processes_that_share_the_work_are_given_what_they_must_share() {
        let [jwt, download, credential] = ["j", "d", "c"].map(|letter| letter.repeat(32));
        let shared = ["--jwt-secret", &jwt, "--download-secret", &download, "--credential-secret", &credential];
        let secrets = [&shared[..], &["--master-keys-file", "keys"]].concat();
        let check = |given: &[&str]| serve_args(given).check().map_err(|error| error.to_string());
        assert_eq!(check(&[]), Ok(()));
        assert!(check(&["--role", "bridge"]).unwrap_err().contains("WAYBILL_JWT_SECRET"));
        for given in [&secrets[..4], &shared] {
            let incomplete = [&["--role", "api"][..], given].concat();
            assert!(check(&incomplete).unwrap_err().contains("WAYBILL_CREDENTIAL_SECRET and WAYBILL_MASTER_KEYS_FILE"));
        }
        assert_eq!(check(&[&["--role", "api"][..], &secrets].concat()), Ok(()));
        assert_eq!(check(&[&["--role", "projections"][..], &secrets].concat()), Ok(()));
        let bridge = [&["--role", "bridge"][..], &secrets].concat();
        assert!(check(&bridge).unwrap_err().contains("WAYBILL_DOWNLOAD_BASE_URL"));
        assert_eq!(check(&[&bridge[..], &["--download-base-url", "https://d.example.com"]].concat()), Ok(()));
        assert!(check(&["--http-listen", "0.0.0.0:8240"]).unwrap_err().contains("WAYBILL_DOWNLOAD_BASE_URL"));
    }

    #[test]
    fn what_everybody_knows_lets_devices_in_only_in_development() {
        let issuer = |given: &[&str]| serve_args(given).issuer().map(|_| ()).map_err(|error| format!("{error:#}"));
        assert!(issuer(&[]).unwrap_err().contains("WAYBILL_NATS_ISSUER_SEED is the key of nats.conf for development"));
        assert_eq!(issuer(&["--development"]), Ok(()));
        let seed = Issuer::generate_seed();
        assert_eq!(issuer(&["--nats-issuer-seed", &seed]), Ok(()));
        let error = issuer(&["--nats-issuer-seed", &seed[1..]]).unwrap_err();
        assert!(error.contains("WAYBILL_NATS_ISSUER_SEED") && !error.contains(&seed[1..]), "{error}");
        let anonymous = |given: &[&str]| serve_args(given).check().map_err(|error| error.to_string());
        assert!(anonymous(&["--anonymous-devices"]).unwrap_err().contains("it needs --development"));
        assert_eq!(anonymous(&["--anonymous-devices", "--development"]), Ok(()));
    }

    #[test]
    fn nats_conf_has_the_development_key() {
        let issuer = Issuer::from_seed(DEVELOPMENT_ISSUER_SEED).unwrap();
        assert!(include_str!("../../nats.conf").contains(&format!("issuer: {} ", issuer.public_key())));
    }

    #[test]
    fn an_issuer_is_named_with_its_audience_and_reached_privately() {
        let check = |given: &[&str]| serve_args(given).check().map_err(|error| error.to_string());
        let of = |url| ["--jwks-url", url, "--jwt-issuer", "https://id", "--jwt-audience", "waybill"];
        assert_eq!(check(&of("https://id/keys")), Ok(()));
        assert!(check(&["--jwks-url", "https://id/keys"]).unwrap_err().contains("WAYBILL_JWT_ISSUER"));
        assert!(check(&of("http://id/keys")).unwrap_err().contains("https://"));
        let development = [&of("http://id/keys")[..], &["--development"]].concat();
        assert_eq!(check(&development), Ok(()));
        assert!(check(&[&of("file:///keys")[..], &["--development"]].concat()).is_err());
        assert!(
            serve_args(&development).takes_shared_secret() && !serve_args(&of("https://id/keys")).takes_shared_secret()
        );
    }

    #[test]
    fn a_short_secret_is_refused_by_name_and_not_repeated() {
        for (flag, name) in [
            ("--jwt-secret", "WAYBILL_JWT_SECRET"),
            ("--download-secret", "WAYBILL_DOWNLOAD_SECRET"),
            ("--credential-secret", "WAYBILL_CREDENTIAL_SECRET"),
        ] {
            let error = serve_args(&[flag, "geheim"]).check().unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("6 bytes") && !error.contains("geheim"), "{error}");
        }
    }
}
