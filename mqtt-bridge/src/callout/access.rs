//! What a client of the listener may do: subjects it may publish and subscribe to, in the words of NATS.

use domain::TenantId;
use serde::Serialize;
use trust::DeviceLogin;

use crate::topics::{command_subjects, down_subjects, up_subjects};

/// nats-server itself subscribes to this for a client that subscribes with QoS 1. Clients can't subscribe to it.
const QOS_1_DELIVERY: &str = "$MQTT.sub.>";
const ALL: &str = ">";

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Access {
    #[serde(rename = "pub")]
    publish: Rule,
    #[serde(rename = "sub")]
    subscribe: Rule,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
struct Rule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deny: Vec<String>,
}

/// Prefix of the inboxes that readers of a tenant's feed must use: the usual one would show them the replies of others.
fn inbox_of(tenant: &TenantId) -> String {
    format!("_INBOX_{tenant}")
}

impl Access {
    /// The topics of one device.
    pub(super) fn of_device(DeviceLogin { tenant, device }: &DeviceLogin) -> Self {
        Self::of(tenant.as_str(), device.as_str())
    }

    /// The topics of every device of every tenant.
    pub(super) fn of_any_device() -> Self {
        Self::of("*", "*")
    }

    /// The public feed of one tenant: by direct get and through its consumers. Replies come only to inboxes of the tenant. There is no live
    /// subscription, because another reader could name its subject as a reply subject, and so send messages of its own to it.
    pub(super) fn of_reader(tenant: &TenantId, consumers: &[String]) -> Self {
        let mut publish = vec![format!("$JS.waybill.API.DIRECT.GET.FEED.feed.{tenant}.>")];
        for consumer in consumers {
            publish.push(format!("$JS.waybill.API.CONSUMER.INFO.FEED.{consumer}"));
            publish.push(format!("$JS.waybill.API.CONSUMER.MSG.NEXT.FEED.{consumer}"));
            publish.push(format!("$JS.ACK.FEED.{consumer}.>"));
        }
        let subscribe = vec![format!("{}.>", inbox_of(tenant))];
        let allow = |allow| Rule { allow, deny: Vec::new() };
        Self { publish: allow(publish), subscribe: allow(subscribe) }
    }

    pub(super) fn none() -> Self {
        let rule = || Rule { allow: Vec::new(), deny: vec![ALL.to_owned()] };
        Self { publish: rule(), subscribe: rule() }
    }

    /// Only the bridge sends commands and chunks of a firmware.
    fn of(tenant: &str, device: &str) -> Self {
        let subscribed = down_subjects(tenant, device).into_iter().chain([QOS_1_DELIVERY.to_owned()]);
        Self {
            publish: Rule { allow: up_subjects(tenant, device), deny: command_subjects(tenant, device).to_vec() },
            subscribe: Rule { allow: subscribed.collect(), deny: Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_its_own_topics_only() {
        let Access { publish, subscribe } = Access::of_device(&"acme/d-1".parse().unwrap());
        assert!(publish.allow.iter().all(|subject| subject.starts_with("acme.devices.d-1")));
        assert_eq!(publish.deny, ["acme.devices.d-1.commands", "acme.devices.d-1.run"]);
        let [commands, run, chunks] =
            ["commands", "run", "firmware.*.*"].map(|topic| format!("acme.devices.d-1.{topic}"));
        assert_eq!(subscribe.allow, [commands, run, chunks, QOS_1_DELIVERY.to_owned()]);
        assert!(!publish.allow.iter().any(|subject| subject.ends_with("firmware.*.*") || subject.ends_with("d-1.>")));
    }

    #[test]
    fn a_reader_has_the_feed_of_one_tenant_only() {
        let acme = TenantId::new("acme").unwrap();
        let Access { publish, subscribe } = Access::of_reader(&acme, &["acme_reports".to_owned()]);
        assert_eq!(subscribe.allow, ["_INBOX_acme.>"]);
        assert!(publish.allow.iter().all(|subject| subject.contains("acme")), "{publish:?}");
    }

    #[test]
    fn who_has_no_access_is_denied_everything() {
        let text = serde_json::to_string(&Access::none()).unwrap();
        assert_eq!(text, r#"{"pub":{"deny":[">"]},"sub":{"deny":[">"]}}"#);
    }
}
