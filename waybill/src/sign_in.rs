//! Settings of the sign-in of people at an OpenID provider. Half of them, or a contradiction, is refused at the start.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use command_api::{RoleMap, SessionLimits, SignInConfig};
use domain::TenantId;
use event_store::streams::SESSIONS_MAX_AGE;
use reqwest::Url;
use trust::SecretValue;

/// Shortest and longest life of a session, in seconds.
const SESSION_MIN_S: u64 = 60;
const SESSION_MAX_S: u64 = SESSIONS_MAX_AGE.as_secs();
/// Longest client secret in a file, in bytes.
const SECRET_FILE_MAX_BYTES: u64 = 4_096;

/// How people sign in. Without an issuer they can't.
#[derive(Debug, Clone, clap::Args)]
pub struct SignInArgs {
    /// OpenID provider at which people sign in, exactly as it calls itself in `iss`; https, and http in development or on this machine
    #[arg(long, env = "WAYBILL_OIDC_ISSUER")]
    pub oidc_issuer: Option<String>,
    /// Id of Waybill's client at the provider; its redirect address there is {public-url}/api/v1/auth/callback
    #[arg(long, env = "WAYBILL_OIDC_CLIENT_ID")]
    pub oidc_client_id: Option<String>,
    /// Secret of this client; none for a public client
    #[arg(long, env = "WAYBILL_OIDC_CLIENT_SECRET", hide_env_values = true)]
    pub oidc_client_secret: Option<String>,
    /// File with this secret, in place of it
    #[arg(long, env = "WAYBILL_OIDC_CLIENT_SECRET_FILE")]
    pub oidc_client_secret_file: Option<PathBuf>,
    /// Origin of the API as people's browsers reach it, scheme and host; required with --oidc-issuer
    #[arg(long, env = "WAYBILL_PUBLIC_URL")]
    pub public_url: Option<String>,
    /// What is asked of the provider, separated by blanks; with openid
    #[arg(long, default_value = "openid", env = "WAYBILL_OIDC_SCOPES")]
    pub oidc_scopes: String,
    /// Claim of the ID token with a person's groups, a list of texts; a path with dots is possible
    #[arg(long, default_value = "groups", env = "WAYBILL_OIDC_GROUPS_CLAIM")]
    pub oidc_groups_claim: String,
    /// Roles by group, GROUP=ROLE or GROUP=TENANT/ROLE, separated by semicolons, such as /ops=acme/operator;/leads=acme/approver
    #[arg(long, value_delimiter = ';', env = "WAYBILL_OIDC_ROLES")]
    pub oidc_roles: Vec<String>,
    /// Tenant of people whose groups name none
    #[arg(long, env = "WAYBILL_OIDC_TENANT")]
    pub oidc_tenant: Option<String>,
    /// Claim of the ID token with the tenant of people whose groups name none, in place of --oidc-tenant
    #[arg(long, env = "WAYBILL_OIDC_TENANT_CLAIM")]
    pub oidc_tenant_claim: Option<String>,
    /// Ask the provider's userinfo endpoint for groups and tenant that the ID token doesn't have
    #[arg(long, env = "WAYBILL_OIDC_USERINFO")]
    pub oidc_userinfo: bool,
    /// How long a person stays signed in, in seconds, up to a day
    #[arg(long, default_value_t = SessionLimits::default().lifetime.as_secs(), env = "WAYBILL_SESSION_SECONDS", value_parser = clap::value_parser!(u64).range(SESSION_MIN_S..=SESSION_MAX_S))]
    pub session_seconds: u64,
    /// How long a person stays signed in without a request, in seconds
    #[arg(long, default_value_t = SessionLimits::default().idle.as_secs(), env = "WAYBILL_SESSION_IDLE_SECONDS", value_parser = clap::value_parser!(u64).range(SESSION_MIN_S..=SESSION_MAX_S))]
    pub session_idle_seconds: u64,
}

impl SignInArgs {
    /// The checked settings; none without an issuer.
    pub fn config(&self, development: bool) -> Result<Option<SignInConfig>> {
        let Some(issuer) = &self.oidc_issuer else {
            ensure!(
                !self.is_given(),
                "settings of OpenID are given without WAYBILL_OIDC_ISSUER: set it, or unset the others"
            );
            return Ok(None);
        };
        let client_id = self.oidc_client_id.clone().filter(|id| !id.is_empty());
        let client_id = client_id.context("WAYBILL_OIDC_ISSUER needs WAYBILL_OIDC_CLIENT_ID")?;
        let public_url = self.public_url.as_deref().context("WAYBILL_OIDC_ISSUER needs WAYBILL_PUBLIC_URL")?;
        check_issuer(issuer, development)?;
        let has_openid = self.oidc_scopes.split(' ').any(|scope| scope == "openid");
        ensure!(has_openid, "WAYBILL_OIDC_SCOPES must have openid: without it the provider makes no ID token");
        ensure!(!self.oidc_groups_claim.is_empty(), "WAYBILL_OIDC_GROUPS_CLAIM must not be empty");
        let tenant_claim = self.oidc_tenant_claim.clone();
        ensure!(tenant_claim.as_deref() != Some(""), "WAYBILL_OIDC_TENANT_CLAIM must not be empty");
        ensure!(
            self.session_idle_seconds <= self.session_seconds,
            "WAYBILL_SESSION_IDLE_SECONDS must not be more than WAYBILL_SESSION_SECONDS: it would never count"
        );
        Ok(Some(SignInConfig {
            issuer: issuer.clone(),
            client_id,
            client_secret: self.secret()?,
            public_url: public_origin(public_url, development)?,
            scopes: self.oidc_scopes.clone(),
            groups_claim: self.oidc_groups_claim.clone(),
            roles: self.roles(tenant_claim.is_some()).context("WAYBILL_OIDC_ROLES")?,
            tenant_claim,
            userinfo: self.oidc_userinfo,
            sessions: self.session_limits(),
        }))
    }

    /// The settings without a provider; none if browsers would send tokens and keys in the clear.
    pub fn without_provider(&self, listening: String, development: bool) -> Result<Option<SignInConfig>> {
        let origin = match &self.public_url {
            Some(given) => public_origin(given, development)?,
            None => listening,
        };
        let is_private = Url::parse(&origin).is_ok_and(|url| is_private(&url, development));
        Ok(is_private.then(|| SignInConfig::without_provider(origin, self.session_limits())))
    }

    fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            lifetime: Duration::from_secs(self.session_seconds),
            idle: Duration::from_secs(self.session_idle_seconds),
        }
    }

    /// Whether any setting is given that has no default.
    fn is_given(&self) -> bool {
        let texts = [&self.oidc_client_id, &self.oidc_client_secret, &self.oidc_tenant, &self.oidc_tenant_claim];
        texts.into_iter().any(Option::is_some)
            || self.oidc_client_secret_file.is_some()
            || !self.oidc_roles.is_empty()
            || self.oidc_userinfo
    }

    fn roles(&self, has_claim: bool) -> Result<RoleMap> {
        let tenant = self.oidc_tenant.as_deref().map(TenantId::new).transpose().context("WAYBILL_OIDC_TENANT")?;
        let entries: Vec<_> = self.oidc_roles.iter().filter(|entry| !entry.trim().is_empty()).cloned().collect();
        Ok(RoleMap::new(&entries, tenant, has_claim)?)
    }

    fn secret(&self) -> Result<Option<SecretValue>> {
        let secret = match (&self.oidc_client_secret, &self.oidc_client_secret_file) {
            (Some(_), Some(_)) => {
                bail!("WAYBILL_OIDC_CLIENT_SECRET and WAYBILL_OIDC_CLIENT_SECRET_FILE are both given: give one of them")
            }
            (Some(secret), None) => secret.clone(),
            (None, Some(file)) => read_secret(file).context("WAYBILL_OIDC_CLIENT_SECRET_FILE")?,
            (None, None) => return Ok(None),
        };
        ensure!(!secret.is_empty(), "the client secret is empty: a public client has none at all");
        Ok(Some(SecretValue::new(secret)))
    }
}

/// The text of a file without the line break at its end.
fn read_secret(file: &Path) -> Result<String> {
    let bytes = std::fs::metadata(file).with_context(|| format!("{} can't be read", file.display()))?.len();
    ensure!(bytes <= SECRET_FILE_MAX_BYTES, "{} has more than {SECRET_FILE_MAX_BYTES} bytes", file.display());
    let text = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// What goes to the provider, and what comes from it, must not be read on the way.
fn check_issuer(issuer: &str, development: bool) -> Result<()> {
    let url =
        Url::parse(issuer).context("WAYBILL_OIDC_ISSUER is not a URL, such as https://id.example.com/realms/acme")?;
    ensure!(
        is_private(&url, development),
        "WAYBILL_OIDC_ISSUER must begin with https:// (http:// only in development or on this machine)"
    );
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    ensure!(is_plain, "WAYBILL_OIDC_ISSUER must have no user, no query and no fragment");
    Ok(())
}

/// An origin as browsers write it, because they compare it.
fn public_origin(text: &str, development: bool) -> Result<String> {
    let url = Url::parse(text).context("WAYBILL_PUBLIC_URL is not a URL, such as https://waybill.example.com")?;
    ensure!(
        is_private(&url, development),
        "WAYBILL_PUBLIC_URL must begin with https:// (http:// only in development or on this machine): otherwise sessions can be read on the way"
    );
    let origin = url.origin().ascii_serialization();
    ensure!(text.trim_end_matches('/') == origin, "WAYBILL_PUBLIC_URL must be an origin without a path: {origin}");
    Ok(origin)
}

fn is_private(url: &Url, development: bool) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && (development || is_here))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const WHOLE: [&str; 8] = [
        "--oidc-issuer",
        "https://id.example.com/realms/acme",
        "--oidc-client-id",
        "waybill",
        "--public-url",
        "https://waybill.example.com/",
        "--oidc-roles",
        "/ops=acme/operator;CN=Leads,OU=x=acme/approver",
    ];

    fn config(given: &[&str], development: bool) -> Result<Option<SignInConfig>, String> {
        #[derive(Parser)]
        struct Only {
            #[command(flatten)]
            sign_in: SignInArgs,
        }
        let only = Only::try_parse_from([&["waybill"], given].concat()).map_err(|error| error.to_string())?;
        only.sign_in.config(development).map_err(|error| format!("{error:#}"))
    }

    /// The whole settings, with some others.
    fn with(more: &[&str]) -> Result<Option<SignInConfig>, String> {
        let mut flags: Vec<(&str, &str)> = WHOLE.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        for pair in more.chunks(2) {
            flags.retain(|(flag, _)| *flag != pair[0]);
            flags.push((pair[0], pair[1]));
        }
        config(&flags.iter().flat_map(|(flag, value)| [*flag, *value]).collect::<Vec<_>>(), false)
    }

    fn refusal(more: &[&str]) -> String {
        with(more).err().unwrap_or_default()
    }

    #[test]
    fn whole_settings_are_taken_and_none_at_all_too() {
        assert!(config(&[], false).unwrap().is_none());
        let whole = with(&["--oidc-client-secret", "geheim"]).unwrap().unwrap();
        assert_eq!(whole.public_url, "https://waybill.example.com");
        assert_eq!(whole.client_secret.unwrap().reveal(), b"geheim");
        assert!(with(&["--oidc-issuer", "http://127.0.0.1:3000", "--public-url", "http://localhost:8240"]).is_ok());
    }

    #[test]
    fn half_of_the_settings_is_refused() {
        for left_out in [0, 2, 4, 6] {
            let given: Vec<&str> = (0..8).filter(|n| *n != left_out && *n != left_out + 1).map(|n| WHOLE[n]).collect();
            let error = config(&given, false).err().unwrap();
            assert!(error.contains("WAYBILL_"), "{error}");
        }
        let error = config(&["--oidc-client-secret", "geheim"], false).err().unwrap();
        assert!(error.contains("WAYBILL_OIDC_ISSUER") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn contradictions_and_silent_mistakes_are_refused() {
        for (more, wanted) in [
            (&["--oidc-issuer", "http://id.example.com"][..], "https://"),
            (&["--oidc-issuer", "https://id.example.com/?x=1"], "no query"),
            (&["--oidc-issuer", "id.example.com"], "not a URL"),
            (&["--public-url", "http://waybill.example.com"], "https://"),
            (&["--public-url", "https://waybill.example.com/console"], "without a path"),
            (&["--public-url", "https://WAYBILL.example.com:443"], "https://waybill.example.com"),
            (&["--oidc-scopes", "profile"], "openid"),
            (&["--oidc-groups-claim", ""], "WAYBILL_OIDC_GROUPS_CLAIM"),
            (&["--oidc-roles", "ops=operator"], "names no tenant"),
            (&["--oidc-roles", "ops=acme/root"], "is no role"),
            (&["--oidc-tenant", "acme"], "never count"),
            (&["--oidc-tenant-claim", "tenant"], "never count"),
            (&["--oidc-tenant-claim", ""], "WAYBILL_OIDC_TENANT_CLAIM"),
            (&["--oidc-client-secret", ""], "is empty"),
            (&["--oidc-client-secret", "geheim", "--oidc-client-secret-file", "f"], "give one of them"),
            (&["--oidc-client-secret-file", "/nowhere"], "/nowhere can't be read"),
            (&["--session-seconds", "3600", "--session-idle-seconds", "7200"], "never count"),
            (&["--session-seconds", "90000"], "86400"),
        ] {
            let error = refusal(more);
            assert!(error.contains(wanted) && !error.contains("geheim"), "{more:?}: {error:?}");
        }
    }
}
