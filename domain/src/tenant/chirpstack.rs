//! How a tenant's ChirpStack is reached. Keys and passwords are references to the tenant's secrets; their values are never in here.

use serde::{Deserialize, Serialize};

use crate::campaign::Violation;
use crate::secret_ref::SecretRef;

/// Longest URL, in bytes.
const URL_MAX_BYTES: usize = 256;
/// Longest id of ChirpStack, in bytes. They are UUIDs; version 3 had integers.
const ID_MAX_BYTES: usize = 100;
/// Longest certificates, of an authority or of Waybill, in bytes.
pub const CA_MAX_BYTES: usize = 16 * 1024;
/// Most applications whose devices are imported without being asked for.
pub const AUTO_IMPORT_MAX: usize = 32;
/// Longest template of a topic, in bytes.
const TOPIC_MAX_BYTES: usize = 256;
/// Longest user name at the MQTT broker, in bytes.
const USERNAME_MAX_BYTES: usize = 128;
/// Longest name of an HTTP header, in bytes.
const HEADER_MAX_BYTES: usize = 64;
/// Where ChirpStack publishes events, unless it is configured otherwise.
pub const EVENT_TOPIC_DEFAULT: &str = "application/{{application_id}}/device/{{dev_eui}}/event/{{event}}";
/// Header of webhooks that has the secret, unless the connection names another.
pub const WEBHOOK_HEADER_DEFAULT: &str = "X-Waybill-Webhook-Secret";

/// Where and how a tenant's ChirpStack is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChirpStackConnection {
    /// Of its gRPC API: `http://` or `https://`, host and port.
    pub url: String,
    /// Id of the tenant over there.
    pub chirpstack_tenant_id: String,
    pub api_key: SecretRef,
    /// Certificates of the authority of an `https` URL (PEM); the system's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// What Waybill shows to an `https` URL that asks for a certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// The private key of this certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<SecretRef>,
    /// For devices that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_device_profile_id: Option<String>,
    /// What webhooks must show, as the value of a header or as the key of a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<SecretRef>,
    /// Another one that counts as well, while one replaces the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_webhook_secret: Option<SecretRef>,
    /// The header that has it; [`WEBHOOK_HEADER_DEFAULT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_header: Option<String>,
    /// Applications whose devices are imported without being asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub auto_import: Vec<String>,
    /// The broker of its MQTT integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mqtt: Option<ChirpStackMqtt>,
}

/// Where ChirpStack's MQTT integration publishes events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChirpStackMqtt {
    /// `mqtt://` or `mqtts://`, host and port.
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// Certificates of the authority of an `mqtts` URL (PEM); the system's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// What Waybill shows to an `mqtts` URL that asks for a certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// The private key of this certificate (PEM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<SecretRef>,
    /// [`EVENT_TOPIC_DEFAULT`] when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_topic: Option<String>,
}

impl ChirpStackConnection {
    /// The secrets that it needs.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let of_broker = self.mqtt.iter().flat_map(|mqtt| [mqtt.password.as_ref(), mqtt.client_key.as_ref()]);
        let of_api = [Some(&self.api_key), self.client_key.as_ref()];
        of_api.into_iter().chain(of_broker).flatten().chain(self.webhook_secrets())
    }

    /// What webhooks may show.
    pub fn webhook_secrets(&self) -> impl Iterator<Item = &SecretRef> {
        [&self.webhook_secret, &self.second_webhook_secret].into_iter().flatten()
    }

    /// All violations, in the order of the fields.
    pub fn violations(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        let mut check = |field: &str, is_right: bool, rule: &str| {
            if !is_right {
                found.push((field.to_owned(), rule.to_owned()));
            }
        };
        check("url", is_url(&self.url, &["http", "https"]), "http:// or https://, host and port, and nothing else");
        check("chirpstack_tenant_id", is_application_id(&self.chirpstack_tenant_id), ID_RULE);
        check("ca", is_pem(self.ca.as_deref()), PEM_RULE);
        check("client_certificate", is_pem(self.client_certificate.as_deref()), PEM_RULE);
        check("client_certificate", self.client_certificate.is_none() || self.url.starts_with("https://"), TLS_RULE);
        check("client_key", self.client_key.is_some() == self.client_certificate.is_some(), PAIR_RULE);
        let profile = self.default_device_profile_id.as_deref();
        check("default_device_profile_id", profile.is_none_or(is_application_id), ID_RULE);
        let has_first = self.webhook_secret.is_some() || self.second_webhook_secret.is_none();
        check("second_webhook_secret", has_first, "needs a webhook_secret");
        check("webhook_header", self.webhook_header.as_deref().is_none_or(is_header), "the name of an HTTP header");
        let applications = &self.auto_import;
        check("auto_import", applications.len() <= AUTO_IMPORT_MAX, "at most 32 applications");
        check("auto_import", applications.iter().all(|id| is_application_id(id)), ID_RULE);
        let Some(mqtt) = &self.mqtt else { return found };
        check(
            "mqtt.url",
            is_url(&mqtt.url, &["mqtt", "mqtts"]),
            "mqtt:// or mqtts://, host and port, and nothing else",
        );
        let is_username =
            |name: &str| (1..=USERNAME_MAX_BYTES).contains(&name.len()) && !name.contains(char::is_control);
        check("mqtt.username", mqtt.username.as_deref().is_none_or(is_username), "1 to 128 bytes");
        check("mqtt.password", mqtt.password.is_none() || mqtt.username.is_some(), "needs a username");
        check("mqtt.ca", is_pem(mqtt.ca.as_deref()), PEM_RULE);
        check("mqtt.client_certificate", is_pem(mqtt.client_certificate.as_deref()), PEM_RULE);
        let is_tls = mqtt.url.starts_with("mqtts://");
        check("mqtt.client_certificate", mqtt.client_certificate.is_none() || is_tls, TLS_RULE);
        check("mqtt.client_key", mqtt.client_key.is_some() == mqtt.client_certificate.is_some(), PAIR_RULE);
        check("mqtt.event_topic", mqtt.event_topic.as_deref().is_none_or(is_event_topic), TOPIC_RULE);
        found
    }
}

const ID_RULE: &str = "1 to 100 letters, digits and hyphens";
const PEM_RULE: &str = "PEM, at most 16 KiB";
const TLS_RULE: &str = "needs an https or mqtts URL";
const PAIR_RULE: &str = "a certificate and its private key belong together; null removes a key";
const TOPIC_RULE: &str =
    "levels with {{application_id}}, {{dev_eui}} and {{event}} once each, as whole levels, and no wildcards";

/// Whether a text can be an id of ChirpStack.
pub fn is_application_id(text: &str) -> bool {
    (1..=ID_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A scheme, a host, a port if any, and at most a slash after it: no user, no path, no query.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) if host.parse::<std::net::Ipv6Addr>().is_ok() => {
            (host, after.strip_prefix(':').or(Some(after)))
        }
        Some(_) => return false,
        None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
    };
    let is_host =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':'));
    let is_port = port.is_none_or(|port| port.is_empty() || port.parse::<u16>().is_ok_and(|port| port > 0));
    text.len() <= URL_MAX_BYTES && schemes.contains(&scheme) && is_host && is_port
}

fn is_pem(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.len() <= CA_MAX_BYTES && text.contains("-----BEGIN CERTIFICATE-----"))
}

fn is_header(text: &str) -> bool {
    (1..=HEADER_MAX_BYTES).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_event_topic(text: &str) -> bool {
    let levels: Vec<&str> = text.split('/').collect();
    let has_once = |name: &str| levels.iter().filter(|level| **level == name).count() == 1;
    let is_level = |level: &&str| {
        let is_template = ["{{application_id}}", "{{dev_eui}}", "{{event}}"].contains(level);
        is_template || !level.contains(['+', '#', '{', '}', '\0']) && !level.contains(char::is_control)
    };
    text.len() <= TOPIC_MAX_BYTES
        && ["{{application_id}}", "{{dev_eui}}", "{{event}}"].into_iter().all(has_once)
        && levels.iter().all(is_level)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> ChirpStackConnection {
        ChirpStackConnection {
            url: "http://localhost:8080".into(),
            chirpstack_tenant_id: "60538e7d-0000-4000-8000-000000000001".into(),
            api_key: "secret:chirpstack-key".parse().unwrap(),
            ca: None,
            client_certificate: None,
            client_key: None,
            default_device_profile_id: None,
            webhook_secret: None,
            second_webhook_secret: None,
            webhook_header: None,
            auto_import: vec![],
            mqtt: None,
        }
    }

    #[test]
    fn an_url_has_a_scheme_and_a_host_and_no_more() {
        for good in
            ["http://localhost:8080", "https://lns.example.com", "https://lns.example.com/", "http://[::1]:8080"]
        {
            assert!(is_url(good, &["http", "https"]), "{good}");
        }
        for bad in [
            "",
            "localhost:8080",
            "ftp://lns",
            "http://",
            "http://:8080",
            "http://user:key@lns",
            "http://user@lns:1",
            "http://lns/api",
            "http://lns?key=1",
            "http://lns#x",
            "http://lns:0",
            "http://lns:65536",
            "http://a b",
            "http://[lns]:1",
            "http://lns\n",
            "HTTP://lns",
        ] {
            assert!(!is_url(bad, &["http", "https"]), "{bad}");
        }
    }

    #[test]
    fn a_connection_names_the_fields_that_are_wrong() {
        assert_eq!(connection().violations(), []);
        let mqtt = ChirpStackMqtt {
            url: "http://broker".into(),
            username: None,
            password: Some("secret:p".parse().unwrap()),
            ca: Some("x".into()),
            client_certificate: None,
            client_key: Some("secret:k".parse().unwrap()),
            event_topic: Some("application/+/device/{{dev_eui}}/event/{{event}}".into()),
        };
        let wrong = ChirpStackConnection {
            url: "lns".into(),
            chirpstack_tenant_id: String::new(),
            client_certificate: Some("-----BEGIN CERTIFICATE-----".into()),
            webhook_header: Some("a b".into()),
            auto_import: vec!["a/b".into()],
            mqtt: Some(mqtt),
            ..connection()
        };
        let fields: Vec<String> = wrong.violations().into_iter().map(|(field, _)| field).collect();
        let expected = [
            "url",
            "chirpstack_tenant_id",
            "client_certificate",
            "client_key",
            "webhook_header",
            "auto_import",
            "mqtt.url",
            "mqtt.password",
            "mqtt.ca",
            "mqtt.client_key",
            "mqtt.event_topic",
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn a_certificate_has_a_key_and_an_encrypted_connection() {
        let certificate = || Some("-----BEGIN CERTIFICATE-----".to_owned());
        let key = || Some("secret:k".parse().unwrap());
        let with = ChirpStackConnection {
            url: "https://lns".into(),
            client_certificate: certificate(),
            client_key: key(),
            mqtt: Some(ChirpStackMqtt {
                url: "mqtts://broker".into(),
                username: None,
                password: None,
                ca: None,
                client_certificate: certificate(),
                client_key: Some("secret:of-broker".parse().unwrap()),
                event_topic: None,
            }),
            ..connection()
        };
        assert_eq!(with.violations(), []);
        let names: Vec<String> = with.secrets().map(ToString::to_string).collect();
        assert_eq!(names, ["secret:chirpstack-key", "secret:k", "secret:of-broker"]);
    }

    #[test]
    fn the_usual_topic_is_one() {
        assert!(is_event_topic(EVENT_TOPIC_DEFAULT));
        assert!(is_event_topic("lns/eu/{{application_id}}/{{dev_eui}}/{{event}}"));
        for bad in [
            "",
            "application/{{application_id}}/#",
            "a/{{dev_eui}}/{{event}}",
            "{{application_id}}/{{dev_eui}}/{{event}}/{{event}}",
        ] {
            assert!(!is_event_topic(bad), "{bad}");
        }
    }
}
