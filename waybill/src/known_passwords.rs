//! The passwords of nats.conf for development, which everybody knows: refused outside development.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::config::{Role, ServeArgs};
use crate::nats;
use crate::tls::NatsTls;

/// Users of nats.conf with their passwords there, that the settings name.
const OF_SETTINGS: [(&str, &str); 5] =
    [("waybill", "waybill"), ("bridge", "bridge"), ("bridge-mqtt", "bridge"), ("auth", "auth"), ("sys", "sys")];
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
            let known =
                OF_SETTINGS.iter().find(|known| **known == (url.username(), url.password().unwrap_or_default()));
            if let Some((user, _)) = known {
                bail!(
                    "{setting} has the password of user {user} that nats.conf has for development, which everybody knows: \
                     change it in nats.conf and in {setting} (or say --development)"
                );
            }
        }
    }
    Ok(())
}

/// Refuses a nats-server that lets in people with such a password.
pub(crate) async fn try_others(urls: &str, tls: &NatsTls) -> Result<()> {
    let [first, second] = OF_PEOPLE.map(|(user, password)| nats::lets_in(urls, tls, user, password));
    let tried = tokio::time::timeout(LOGIN_TIMEOUT, async { tokio::join!(first, second) }).await;
    let (first, second) = tried.unwrap_or((Ok(false), Ok(false)));
    for ((user, _), is_let_in) in OF_PEOPLE.iter().zip([first?, second?]) {
        ensure!(
            !is_let_in,
            "nats-server lets in user {user} with the password that nats.conf has for development, which everybody knows: \
             change it in nats.conf, or remove the user"
        );
    }
    Ok(())
}
