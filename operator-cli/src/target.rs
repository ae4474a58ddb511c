//! Where requests go and as whom: flags, then the environment, then the context.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ArgMatches;
use serde_json::Value;

use crate::config::{self, Config, Context};
use crate::failure::{Failure, Result};

/// A service, a tenant and a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// How messages name it: the context, or the address.
    pub name: String,
    pub context: Context,
    /// The tenant of the token.
    pub tenant_of_token: Option<String>,
}

/// What overrides the configuration.
#[derive(Debug, Default)]
struct Overrides {
    context: Option<String>,
    url: Option<String>,
    tenant: Option<String>,
    token: Option<String>,
}

impl Target {
    /// The target of an invocation.
    pub(crate) fn of(matches: &ArgMatches) -> Result<Self> {
        let path = config::path()?;
        if config::is_open_to_others(&path) {
            crate::out::note(format_args!("waybill: others can read {}: run chmod 600", path.display()));
        }
        Self::without_words(matches)
    }

    /// The same without a warning, for completion.
    pub(crate) fn without_words(matches: &ArgMatches) -> Result<Self> {
        let path = config::path()?;
        let overrides = Overrides {
            context: given(matches, "context", "WAYBILL_CONTEXT"),
            url: given(matches, "url", "WAYBILL_URL"),
            tenant: given(matches, "tenant", "WAYBILL_TENANT"),
            token: std::env::var("WAYBILL_TOKEN").ok().filter(|token| !token.is_empty()),
        };
        Self::resolve(&Config::read(&path)?, overrides)
    }

    fn resolve(config: &Config, given: Overrides) -> Result<Self> {
        // An address without a context's name stands alone.
        let name = given.context.clone().or_else(|| config.current.clone().filter(|_| given.url.is_none()));
        let known = name.as_ref().and_then(|name| config.contexts.get(name));
        if let (Some(name), None) = (&given.context, known) {
            return Err(Failure::usage(format!("there is no context {name:?}: `waybill context list` has them")));
        }
        let mut context = known.cloned().unwrap_or_default();
        if let Some(url) = given.url {
            // A context's token is only for the context's service.
            if url.trim_end_matches('/') != context.url.trim_end_matches('/') {
                context.token = None;
            }
            context.url = url;
        }
        context.tenant = given.tenant.or(context.tenant);
        context.token = given.token.or(context.token);
        if context.url.is_empty() {
            return Err(Failure::usage("no service is named: run `waybill login --url URL`, or set WAYBILL_URL"));
        }
        let tenant_of_token =
            context.token.as_deref().and_then(|token| Some(claims(token)?["tenant_id"].as_str()?.to_owned()));
        let name = name.unwrap_or_else(|| context.url.clone());
        Ok(Self { name, context, tenant_of_token })
    }

    /// The tenant that was named, or the token's.
    pub(crate) fn tenant(&self) -> Option<&str> {
        self.context.tenant.as_deref().or(self.tenant_of_token.as_deref())
    }
}

/// A flag, or the environment if the flag isn't given. What is empty counts as not given.
pub(crate) fn given(matches: &ArgMatches, flag: &str, variable: &str) -> Option<String> {
    let flag = matches.try_get_one::<String>(flag).ok().flatten().cloned();
    flag.or_else(|| std::env::var(variable).ok()).filter(|value| !value.is_empty())
}

/// The claims of a bearer token. Only the service can check them.
pub(crate) fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn config() -> Config {
        let context = |url: &str| Context {
            url: url.into(),
            tenant: Some("acme".into()),
            token: Some("secret".into()),
            ca: None,
        };
        let contexts = BTreeMap::from([
            ("home".to_owned(), context("https://home")),
            ("away".to_owned(), context("https://away")),
        ]);
        Config { current: Some("home".into()), contexts }
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn the_named_context_counts_before_the_current_one() {
        let current = Target::resolve(&config(), Overrides::default()).unwrap();
        assert_eq!((current.name.as_str(), current.context.url.as_str()), ("home", "https://home"));
        let named = Target::resolve(&config(), Overrides { context: some("away"), ..Overrides::default() }).unwrap();
        assert_eq!((named.name.as_str(), named.context.url.as_str()), ("away", "https://away"));
        assert!(Target::resolve(&config(), Overrides { context: some("none"), ..Overrides::default() }).is_err());
        assert!(Target::resolve(&Config::default(), Overrides::default()).is_err());
    }

    #[test]
    fn a_token_is_sent_to_no_other_service() {
        let other = Overrides { url: some("https://other"), ..Overrides::default() };
        let target = Target::resolve(&config(), other).unwrap();
        assert_eq!((target.name.as_str(), target.context.token), ("https://other", None));
        let other = Overrides { context: some("home"), url: some("https://other"), ..Overrides::default() };
        assert_eq!(Target::resolve(&config(), other).unwrap().context.token, None);
        let same = Overrides { context: some("home"), url: some("https://home/"), ..Overrides::default() };
        assert_eq!(Target::resolve(&config(), same).unwrap().context.token, some("secret"));
    }

    #[test]
    fn the_tenant_of_a_token_counts_if_none_is_named() {
        let payload = URL_SAFE_NO_PAD.encode(r#"{"tenant_id":"beta"}"#);
        let given =
            || Overrides { url: some("http://x"), token: Some(format!("a.{payload}.c")), ..Overrides::default() };
        assert_eq!(Target::resolve(&config(), given()).unwrap().tenant(), Some("beta"));
        let named = Overrides { tenant: some("gamma"), ..given() };
        assert_eq!(Target::resolve(&config(), named).unwrap().tenant(), Some("gamma"));
        assert_eq!(claims("wbk_not_a_jwt"), None);
    }
}
