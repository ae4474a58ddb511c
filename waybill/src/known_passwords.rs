//! The passwords of nats.conf for development, which everybody knows: refused outside development.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::config::{Role, ServeArgs};
use crate::nats;
use crate::role_user::{ALL_ROLES, RoleUser};
use crate::tls::NatsTls;

/// Users of nats.conf with their passwords there, that the settings name, beside those of [`RoleUser`].
const OF_SETTINGS: [(&str, &str); 5] =
    [(ALL_ROLES, ALL_ROLES), ("bridge", "bridge"), ("bridge-mqtt", "bridge"), ("auth", "auth"), ("sys", "sys")];
/// Further ones, for people.
const OF_PEOPLE: [(&str, &str); 2] = [("admin", "admin"), ("analyst", "analyst")];
/// How long a login may take. When nats-server asks about an unknown user and nobody answers, it refuses after its own time limit.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Refuses settings with such a password.
pub(crate) fn check(args: &ServeArgs) -> Result<()> {
    let of_bridge = [
        ("WAYBILL_NATS_DEVICES_URL", &args.nats_devices_url),
        ("WAYBILL_NATS_AUTH_URL", &args.nats_auth_url),
        ("WAYBILL_NATS_SYSTEM_URL", &args.nats_system_url),
        ("WAYBILL_MQTT_URL", &args.mqtt_url),
    ];
    let of_bridge = of_bridge.into_iter().filter(|_| args.role.runs(Role::Bridge));
    for (setting, urls) in std::iter::once(("WAYBILL_NATS_URL", &args.nats_url)).chain(of_bridge) {
        for url in urls.split(',') {
            let url = reqwest::Url::parse(url.trim()).with_context(|| format!("{setting} is not an address"))?;
            let given = (url.username(), url.password().unwrap_or_default());
            if let Some((user, _)) = OF_SETTINGS.into_iter().chain(of_roles()).find(|known| *known == given) {
                bail!(
                    "{setting} has the password of user {user} that nats.conf has for development, which everybody knows: \
                     change it in nats.conf and in {setting} (or say --development)"
                );
            }
        }
    }
    Ok(())
}

/// Users of single roles, with their passwords in nats.conf.
fn of_roles() -> impl Iterator<Item = (&'static str, &'static str)> {
    RoleUser::ALL.into_iter().map(|user| (user.name(), user.name()))
}

/// Refuses a nats-server that lets in somebody with such a password who isn't in the settings: people, and users of other roles.
pub(crate) async fn try_others(urls: &str, tls: &NatsTls) -> Result<()> {
    let others = OF_PEOPLE.into_iter().chain(of_roles()).chain([(ALL_ROLES, ALL_ROLES)]);
    let tried = others.map(async |(user, password)| {
        let is_let_in = tokio::time::timeout(LOGIN_TIMEOUT, nats::lets_in(urls, tls, user, password)).await;
        anyhow::Ok((user, is_let_in.unwrap_or(Ok(false))?))
    });
    for (user, is_let_in) in futures::future::try_join_all(tried).await? {
        ensure!(
            !is_let_in,
            "nats-server lets in user {user} with the password that nats.conf has for development, which everybody knows: \
             change it in nats.conf, or remove the user"
        );
    }
    Ok(())
}
