//! The answer to nats-server: a signed token that contains another, the client's, or says that there is none.

use chrono::{DateTime, Utc};
use runtime::clock;
use serde::Serialize;

use super::access::Access;
use super::decision::{Admission, Place, Refusal};
use super::issuer::Issuer;
use super::question::Question;

/// The account of devices in nats.conf.
pub(super) const DEVICES_ACCOUNT: &str = "DEVICES";
/// That of programs that read the feed of their tenant.
const READERS_ACCOUNT: &str = "READERS";
/// Version of NATS' claims.
const VERSION: u8 = 2;
/// How nats-server names clients of the listener. It doesn't enforce this on a callout's answer, so [`super::decision`] does.
const MQTT_CONNECTION: &str = "MQTT";
const NATS_CONNECTION: &str = "STANDARD";
/// No limit of NATS.
const UNLIMITED: i64 = -1;

/// Claims of any token of NATS.
#[derive(Serialize)]
struct Token<'a, T> {
    jti: String,
    iat: i64,
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    nats: T,
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
    #[serde(flatten)]
    access: &'a Access,
    subs: i64,
    data: i64,
    payload: i64,
    allowed_connection_types: [&'static str; 1],
}

#[derive(Serialize)]
struct Response {
    #[serde(rename = "type")]
    kind: &'static str,
    version: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
}

/// The token that answers a question.
pub(super) fn answer(
    issuer: &Issuer,
    question: &Question,
    decision: &Result<Admission, Refusal>,
    now: DateTime<Utc>,
) -> String {
    let (jwt, error) = match decision {
        Ok(admission) => (Some(user_token(issuer, &question.user_key, admission, now)), None),
        Err(refusal) => (None, Some((*refusal).into())),
    };
    issuer.token(&Token {
        jti: new_id(),
        iat: now.timestamp(),
        iss: issuer.public_key(),
        sub: &question.user_key,
        aud: &question.server,
        name: "",
        exp: None,
        nats: Response { kind: "authorization_response", version: VERSION, jwt, error },
    })
}

/// The client's own token.
fn user_token(issuer: &Issuer, user_key: &str, admission: &Admission, now: DateTime<Utc>) -> String {
    let (account, connection) = match admission.place {
        Place::Listener => (DEVICES_ACCOUNT, MQTT_CONNECTION),
        Place::Feed => (READERS_ACCOUNT, NATS_CONNECTION),
    };
    issuer.token(&Token {
        jti: new_id(),
        iat: now.timestamp(),
        iss: issuer.public_key(),
        sub: user_key,
        aud: account,
        name: &admission.user,
        exp: admission.expires_at.map(|end| end.timestamp()),
        nats: User {
            kind: "user",
            version: VERSION,
            access: &admission.access,
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            allowed_connection_types: [connection],
        },
    })
}

fn new_id() -> String {
    clock::new_id().simple().to_string()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use chrono::TimeDelta;
    use serde_json::Value;

    use super::super::decision::admit_self_check;
    use super::super::question::Login;
    use super::*;

    /// The claims of a token that the issuer has signed.
    fn claims(issuer: &Issuer, token: &str) -> Value {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(issuer.has_signed(signed.as_bytes(), signature));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap()).unwrap()
    }

    #[test]
    fn an_answer_names_server_client_and_account() {
        let issuer = Issuer::from_seed(&Issuer::generate_seed()).unwrap();
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let question = Question { server: "N1".into(), user_key: "U1".into(), login: Login::default() };
        let admitted = claims(&issuer, &answer(&issuer, &question, &Ok(admit_self_check(now)), now));
        assert_eq!((admitted["aud"].as_str(), admitted["sub"].as_str()), (Some("N1"), Some("U1")));
        assert_eq!(admitted["nats"]["type"], "authorization_response");
        let user = claims(&issuer, admitted["nats"]["jwt"].as_str().unwrap());
        assert_eq!((user["aud"].as_str(), user["sub"].as_str()), (Some(DEVICES_ACCOUNT), Some("U1")));
        assert!(user["exp"].as_i64().unwrap() > now.timestamp());
        assert_eq!(user["nats"]["pub"]["deny"][0], ">");
        let refused = claims(&issuer, &answer(&issuer, &question, &Err(Refusal::WrongToken), now));
        assert_eq!((refused["nats"]["error"].as_str(), refused["nats"].get("jwt")), (Some("wrong_token"), None));
    }
}
