//! The question of nats-server: who wants to connect. A token whose claims are read by hand.
//!
//! Its signature isn't checked: the server signs with a key of its own that nobody else knows, and only the server publishes questions in
//! account AUTH.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Deserialize;

/// Largest question, in bytes. It contains the client id, the user and twice the password; MQTT limits each to 64 KB. A chain of
/// certificates has some KB.
const QUESTION_MAX_BYTES: usize = 512 * 1024;
/// What nats-server calls a client of the MQTT listener.
const MQTT: &str = "mqtt";

/// A client that wants to connect. Not `Debug`, because it contains a password.
pub(super) struct Question {
    /// The server that asks.
    pub(super) server: String,
    /// The key under which the server knows the connection.
    pub(super) user_key: String,
    pub(super) login: Login,
}

/// What a client has sent about itself.
#[derive(Clone, Default)]
pub(super) struct Login {
    pub(super) by_mqtt: bool,
    pub(super) client_id: String,
    /// Empty if it names none.
    pub(super) user: String,
    pub(super) password: String,
    /// The client's certificate in DER, if nats-server has verified it.
    pub(super) certificate: Option<Vec<u8>>,
}

/// Why a question can't be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the question has {0} bytes, at most {QUESTION_MAX_BYTES} are read")]
    TooLarge(usize),
    #[error("the question is not a token of nats-server")]
    Malformed,
}

#[derive(Deserialize)]
struct Claims {
    nats: Request,
}

#[derive(Deserialize)]
struct Request {
    server_id: Server,
    user_nkey: String,
    client_info: Client,
    connect_opts: Options,
    client_tls: Option<Tls>,
}

/// Certificates that nats-server hasn't verified are in another field, which isn't read.
#[derive(Deserialize)]
struct Tls {
    #[serde(default)]
    verified_chains: Vec<Vec<String>>,
}

impl Tls {
    /// The certificate of the client itself, which every chain begins with.
    fn certificate(&self) -> Option<Vec<u8>> {
        let pem = self.verified_chains.first()?.first()?;
        CertificateDer::from_pem_slice(pem.as_bytes()).ok().map(|der| der.to_vec())
    }
}

#[derive(Deserialize)]
struct Server {
    id: String,
}

#[derive(Deserialize)]
struct Client {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    mqtt_id: String,
}

#[derive(Deserialize)]
struct Options {
    #[serde(default)]
    user: String,
    #[serde(default)]
    pass: String,
}

impl Question {
    pub(super) fn read(token: &[u8]) -> Result<Self, Unreadable> {
        if token.len() > QUESTION_MAX_BYTES {
            return Err(Unreadable::TooLarge(token.len()));
        }
        let claims = token.split(|byte| *byte == b'.').nth(1).ok_or(Unreadable::Malformed)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| Unreadable::Malformed)?;
        let Claims { nats } = serde_json::from_slice(&claims).map_err(|_| Unreadable::Malformed)?;
        Ok(Self {
            server: nats.server_id.id,
            user_key: nats.user_nkey,
            login: Login {
                by_mqtt: nats.client_info.kind == MQTT,
                client_id: nats.client_info.mqtt_id,
                user: nats.connect_opts.user,
                password: nats.connect_opts.pass,
                certificate: nats.client_tls.and_then(|tls| tls.certificate()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Vec<u8> {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)).into_bytes()
    }

    #[test]
    fn a_question_of_nats_server_is_read() {
        let asked = token(
            r#"{"aud":"nats-authorization-request","exp":2,"iss":"N1","nats":{"server_id":{"name":"waybill","id":"N1"},
            "user_nkey":"U1","client_info":{"host":"::1","id":10,"user":"acme/d-1","kind":"Client","type":"mqtt","mqtt_id":"acme/d-1"},
            "connect_opts":{"auth_token":"secret","user":"acme/d-1","pass":"secret","protocol":0},"version":2}}"#,
        );
        let Question { server, user_key, login } = Question::read(&asked).ok().unwrap();
        assert_eq!((server.as_str(), user_key.as_str(), login.by_mqtt), ("N1", "U1", true));
        assert_eq!((login.client_id.as_str(), login.user.as_str()), ("acme/d-1", "acme/d-1"));
        assert_eq!(login.password, "secret");
    }

    #[test]
    fn a_client_that_names_nobody_and_one_of_another_protocol_are_told_apart() {
        let asked = |info: &str| {
            let claims = format!(
                r#"{{"nats":{{"server_id":{{"id":"N"}},"user_nkey":"U","client_info":{info},"connect_opts":{{}}}}}}"#
            );
            Question::read(&token(&claims)).ok().unwrap().login
        };
        let anonymous = asked(r#"{"type":"mqtt","mqtt_id":"x"}"#);
        assert!(anonymous.by_mqtt && anonymous.user.is_empty() && anonymous.password.is_empty());
        assert!(!asked(r#"{"type":"nats"}"#).by_mqtt);
        assert!(!asked(r#"{"type":"mqtt_websocket"}"#).by_mqtt);
    }

    #[test]
    fn only_a_verified_certificate_counts() {
        let pem = "-----BEGIN CERTIFICATE-----\\nAQID\\n-----END CERTIFICATE-----\\n";
        let asked = |tls: &str| {
            let claims = format!(
                r#"{{"nats":{{"server_id":{{"id":"N"}},"user_nkey":"U","client_info":{{}},"connect_opts":{{}},"client_tls":{tls}}}}}"#
            );
            Question::read(&token(&claims)).ok().unwrap().login.certificate
        };
        assert_eq!(asked(&format!(r#"{{"version":"1.3","verified_chains":[["{pem}","x"]]}}"#)), Some(vec![1, 2, 3]));
        assert_eq!(asked(&format!(r#"{{"certs":["{pem}"]}}"#)), None);
        assert_eq!(asked(r#"{"verified_chains":[[]]}"#), None);
        assert_eq!(asked(r#"{"verified_chains":[["x"]]}"#), None);
    }

    #[test]
    fn other_messages_are_unreadable() {
        assert_eq!(Question::read(b"").err(), Some(Unreadable::Malformed));
        assert_eq!(Question::read(&token("{}")).err(), Some(Unreadable::Malformed));
        let huge = vec![b'x'; QUESTION_MAX_BYTES + 1];
        assert_eq!(Question::read(&huge).err(), Some(Unreadable::TooLarge(huge.len())));
    }

    proptest::proptest! {
        #![proptest_config(crate::hostile_tests::config())]

        #[test]
        fn no_question_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300), claims in ".{0,200}|[{}\\[\\]\",:a-z0-9]{0,200}") {
            drop((Question::read(&bytes), Question::read(claims.as_bytes()), Question::read(&token(&claims))));
            let nested = format!("{}{claims}", "{\"nats\":".repeat(1_000));
            proptest::prop_assert!(Question::read(&token(&nested)).is_err());
        }
    }
}
