//! Devices that log in with a client certificate in place of a password.

use std::time::Duration;

use rumqttc::QoS;
use serde_json::{Value, json};
use waybill::tls;

use super::{Operator, TlsWorld};
use crate::login::{Client, log_in_with};
use crate::world::MODEL;

/// A revoked device is disconnected within 5 s, and one that was being let in within 8 s.
const REVOKED_WITHIN: Duration = Duration::from_secs(8);

impl TlsWorld {
    /// Logs in to the listener, with the certificate of this name.
    async fn device(&self, certificate: Option<&str>, user: &str, password: &str) -> Result<Client, String> {
        let file = |name: String| self.directory.path().join("tls").join(name);
        let pair = certificate.map(|name| (file(format!("{name}.crt")), file(format!("{name}.key"))));
        let pair = pair.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()));
        let config = tls::client(Some(&file("ca.crt".to_owned())), pair).unwrap();
        log_in_with(self.stack.nats.mqtt_listen(), user, user, password, Some(config)).await
    }

    /// A certificate that the listener trusts; returns it in PEM.
    fn certificate(&self, name: &str) -> String {
        let certificate = self.ca.of_client(name);
        certificate.writes(&self.directory.path().join("tls"), name);
        certificate.cert
    }
}

async fn issue(operator: &Operator, device: &str, body: &Value) -> Result<Value, String> {
    operator.sends(&["--json", &body.to_string()], &format!("/devices/{device}/credentials")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_certificate_takes_the_place_of_a_password_until_it_is_revoked() {
    let world = TlsWorld::start_with(|nats| nats.verify_devices = true).await;
    let own = world.certificate("bridge");
    assert!(own.contains("BEGIN CERTIFICATE"));
    let (cert, key) = (world.file("bridge.crt"), world.file("bridge.key"));
    let _waybill = world.serve(&[("--mqtt-cert", &cert), ("--mqtt-key-file", &key)]);
    world.until_ready().await;
    let operator = Operator::sign_in(&world).await;
    for id in ["d-1", "d-2"] {
        let device = json!({"device_id": id, "device_model": MODEL}).to_string();
        operator.sends(&["--json", &device], "/devices").await.unwrap();
    }
    let (one, two) = (world.certificate("one"), world.certificate("two"));
    let issued = issue(&operator, "d-1", &json!({"certificate": one})).await.unwrap();
    assert!(issued["token"].is_null(), "{issued}");
    issue(&operator, "d-2", &json!({"certificate": two})).await.unwrap();

    let mut device = world.device(Some("one"), "default/d-1", "").await.unwrap();
    assert!(device.may_subscribe("default/devices/d-1/commands", QoS::AtMostOnce).await);
    assert!(!device.may_subscribe("default/devices/d-2/commands", QoS::AtMostOnce).await);

    for (certificate, user, password, why) in [
        (Some("one"), "default/d-2", "", "the certificate of another device"),
        (Some("bridge"), "default/d-1", "", "a certificate of nobody"),
        (Some("one"), "rival/d-1", "", "another tenant"),
        (Some("one"), "default/d-1", "wbd_x", "a wrong token"),
        (Some("one"), "", "", "nobody"),
    ] {
        let refused = world.device(certificate, user, password).await.err();
        assert!(refused.is_some_and(|refused| refused.contains("NotAuthorized")), "{why} is let in");
    }
    assert!(world.device(None, "default/d-1", "").await.is_err(), "a device without a certificate is let in");
    let foreign = crate::certificates::Ca::new("another CA").of_client("one");
    foreign.writes(&world.directory.path().join("tls"), "foreign");
    assert!(world.device(Some("foreign"), "default/d-1", "").await.is_err(), "another authority is trusted");

    // A token still counts, together with any certificate that the listener trusts.
    let token = issue(&operator, "d-2", &json!({})).await.unwrap()["token"].as_str().unwrap().to_owned();
    assert!(world.device(Some("one"), "default/d-2", &token).await.is_ok());

    let revoked = format!("/devices/d-1/credentials/{}", issued["credential_id"].as_str().unwrap());
    operator.sends(&["--request", "DELETE", "--json", "{\"reason\":\"stolen\"}"], &revoked).await.unwrap();
    assert!(device.is_ended_within(REVOKED_WITHIN).await, "its connection goes on");
    assert!(world.device(Some("one"), "default/d-1", "").await.is_err(), "it comes back");

    for wrong in ["geheim", "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n"] {
        let refused = issue(&operator, "d-1", &json!({"certificate": wrong})).await.unwrap_err();
        assert!(refused.contains("certificate") && refused.contains("422"), "{refused}");
    }
}
