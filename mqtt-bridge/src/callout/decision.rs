//! The decision whether a client may connect, and as whom. Pure: a login first names someone ([`Claim`]), the log says what it knows of a
//! device, and [`admit_device`] decides.

use chrono::{DateTime, TimeDelta, Utc};
use domain::TenantId;
use strum::{EnumIter, IntoStaticStr};
use trust::{ApiKey, DeviceLogin, DeviceToken};

use super::access::Access;
use super::credentials::{Found, FoundKey, Proof};
use super::issuer::Issuer;
use super::own_login;
use super::question::Login;

/// The name under which nats-server knows every client without a user.
const ANONYMOUS: &str = "device";

/// Who a client says it is.
#[derive(Debug)]
pub(super) enum Claim {
    Device(DeviceLogin, Proof),
    /// A program that reads the feed of a tenant.
    Reader(ApiKey),
    /// Any device, in development.
    Anonymous,
    /// Waybill itself, to see whether it is asked.
    SelfCheck,
}

/// Why a client may not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumIter, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Refusal {
    /// It doesn't use MQTT, and shows no API key.
    NotMqtt,
    /// It names no user.
    Anonymous,
    /// Its user isn't `{tenant}/{device}`.
    WrongUser,
    /// Its client id isn't one of the device.
    WrongClientId,
    TenantClosed,
    NoDevice,
    Decommissioned,
    /// No credential of the device has this token, or it was revoked.
    WrongToken,
    Expired,
    /// The log gave no answer in time.
    Unavailable,
    /// Too many clients want to connect at once, and it has waited too long.
    Busy,
    /// It has logged in as often as one device may.
    TooOften,
}

/// Where a client is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The MQTT listener.
    Listener,
    /// The public feed, by NATS.
    Feed,
}

/// A client that may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Admission {
    /// Under this name nats-server lists the connection.
    pub(super) user: String,
    pub(super) access: Access,
    pub(super) place: Place,
    /// The server ends the connection then.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl Claim {
    /// Who a login names, if it has a form that may be let in.
    pub(super) fn of(login: &Login, issuer: &Issuer, anonymous_devices: bool) -> Result<Self, Refusal> {
        if !login.by_mqtt {
            let key = ApiKey::parse(&login.password).filter(|key| key.tenant.as_str() == login.user);
            return key.map(Self::Reader).ok_or(Refusal::NotMqtt);
        }
        if login.user.is_empty() {
            return if anonymous_devices { Ok(Self::Anonymous) } else { Err(Refusal::Anonymous) };
        }
        if login.user == own_login::USER {
            let is_own = own_login::is_own(issuer, &login.client_id, &login.password);
            return if is_own { Ok(Self::SelfCheck) } else { Err(Refusal::WrongToken) };
        }
        let device: DeviceLogin = login.user.parse().map_err(|_| Refusal::WrongUser)?;
        if !device.may_use(&login.client_id) {
            return Err(Refusal::WrongClientId);
        }
        let proof = match &login.certificate {
            Some(certificate) if login.password.is_empty() => Proof::Certificate(certificate.clone()),
            _ => Proof::Token(DeviceToken::parse(&login.password).ok_or(Refusal::WrongToken)?),
        };
        Ok(Self::Device(device, proof))
    }
}

/// Decides on a device by what the log knows of it and its token.
pub(super) fn admit_device(device: &DeviceLogin, found: Found, now: DateTime<Utc>) -> Result<Admission, Refusal> {
    let expires_at = match found {
        Found::TenantClosed => return Err(Refusal::TenantClosed),
        Found::NoDevice => return Err(Refusal::NoDevice),
        Found::Decommissioned => return Err(Refusal::Decommissioned),
        Found::WrongToken => return Err(Refusal::WrongToken),
        Found::Expired => return Err(Refusal::Expired),
        Found::Live { expires_at } => expires_at,
    };
    // nats-server knows whole seconds.
    if expires_at.is_some_and(|end| end.timestamp() <= now.timestamp()) {
        return Err(Refusal::Expired);
    }
    Ok(Admission { user: device.to_string(), access: Access::of_device(device), place: Place::Listener, expires_at })
}

/// Decides on a program that wants to read the feed. Every key may read, because every role includes that of a viewer.
pub(super) fn admit_reader(key: &ApiKey, found: FoundKey, now: DateTime<Utc>) -> Result<Admission, Refusal> {
    let (expires_at, consumers) = match found {
        FoundKey::TenantShut => return Err(Refusal::TenantClosed),
        FoundKey::Wrong => return Err(Refusal::WrongToken),
        FoundKey::Expired => return Err(Refusal::Expired),
        FoundKey::Live { expires_at, consumers } => (expires_at, consumers),
    };
    if expires_at.is_some_and(|end| end.timestamp() <= now.timestamp()) {
        return Err(Refusal::Expired);
    }
    let access = Access::of_reader(&key.tenant, &consumers);
    Ok(Admission { user: reader_name(&key.tenant, key.id), access, place: Place::Feed, expires_at })
}

/// Under this name nats-server lists the connections of a key.
pub(super) fn reader_name(tenant: &TenantId, key: impl std::fmt::Display) -> String {
    format!("{tenant}/key:{key}")
}

pub(super) fn admit_anonymous() -> Admission {
    Admission { user: ANONYMOUS.to_owned(), access: Access::of_any_device(), place: Place::Listener, expires_at: None }
}

pub(super) fn admit_self_check(now: DateTime<Utc>) -> Admission {
    let expires_at = Some(now + TimeDelta::seconds(own_login::CONNECTION_S));
    Admission { user: own_login::USER.to_owned(), access: Access::none(), place: Place::Listener, expires_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, client_id: &str) -> Login {
        let password = DeviceToken::generate().as_ref().reveal().to_owned();
        Login { by_mqtt: true, client_id: client_id.to_owned(), user: user.to_owned(), password, certificate: None }
    }

    /// The user that a login names.
    fn claim(login: &Login, anonymous_devices: bool) -> Result<String, Refusal> {
        let issuer = Issuer::from_seed(&Issuer::generate_seed()).unwrap();
        Claim::of(login, &issuer, anonymous_devices).map(|claim| match claim {
            Claim::Device(device, _) => device.to_string(),
            Claim::Anonymous => ANONYMOUS.to_owned(),
            Claim::SelfCheck => own_login::USER.to_owned(),
            Claim::Reader(key) => key.tenant.to_string(),
        })
    }

    fn d_1() -> DeviceLogin {
        "acme/d-1".parse().unwrap()
    }

    #[test]
    fn a_client_id_is_bound_to_the_device() {
        for own in ["acme/d-1", "acme/d-1/modem", "acme/d-1/a/b_c"] {
            assert_eq!(claim(&login("acme/d-1", own), false), Ok("acme/d-1".to_owned()), "{own}");
        }
        for other in ["", "d-1", "acme/d-2", "acme/d-10", "rival/d-1", "acme/d-1x", "acme/d-1/a.b", "acme/d-1/a b"] {
            assert_eq!(claim(&login("acme/d-1", other), false), Err(Refusal::WrongClientId), "{other}");
        }
    }

    #[test]
    fn a_user_is_a_tenant_and_a_device() {
        for wrong in ["acme", "acme/", "/d-1", "acme/d-1/x", "Acme/d-1", "acme/d.1", "acme/*", "acme/d 1", "bridge"] {
            assert_eq!(claim(&login(wrong, wrong), false), Err(Refusal::WrongUser), "{wrong}");
        }
    }

    #[test]
    fn a_client_without_a_user_is_let_in_only_where_devices_are_anonymous() {
        assert_eq!(claim(&login("", "x"), false), Err(Refusal::Anonymous));
        assert_eq!(claim(&login("", "x"), true), Ok(ANONYMOUS.to_owned()));
        assert_eq!(claim(&login(ANONYMOUS, "x"), true), Err(Refusal::WrongUser));
        for anonymous_devices in [false, true] {
            let by_nats = Login { by_mqtt: false, ..login("", "") };
            assert_eq!(claim(&by_nats, anonymous_devices), Err(Refusal::NotMqtt));
            let by_nats = Login { by_mqtt: false, ..login("acme/d-1", "acme/d-1") };
            assert_eq!(claim(&by_nats, anonymous_devices), Err(Refusal::NotMqtt));
            let key = format!("wbk_acme_{}_{}", "0".repeat(32), "A".repeat(43));
            let reader = |user: &str| Login { by_mqtt: false, password: key.clone(), ..login(user, "") };
            assert_eq!(claim(&reader("acme"), anonymous_devices), Ok("acme".to_owned()));
            assert_eq!(claim(&reader("rival"), anonymous_devices), Err(Refusal::NotMqtt));
        }
    }

    #[test]
    fn a_password_that_is_no_devices_token_is_not_looked_up() {
        let registration = format!("wbr_acme_{}_{}", "0".repeat(32), "A".repeat(43));
        for wrong in ["", "wbd_", "secret", &registration] {
            let login = Login { password: wrong.to_owned(), ..login("acme/d-1", "acme/d-1") };
            assert_eq!(claim(&login, false), Err(Refusal::WrongToken), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_takes_the_place_of_a_password() {
        let issuer = Issuer::from_seed(&Issuer::generate_seed()).unwrap();
        let proof = |login: &Login| match Claim::of(login, &issuer, false) {
            Ok(Claim::Device(_, Proof::Token(_))) => "token",
            Ok(Claim::Device(_, Proof::Certificate(der))) if der == [1] => "certificate",
            _ => "nothing",
        };
        let with_token = login("acme/d-1", "acme/d-1");
        let with_both = Login { certificate: Some(vec![1]), ..with_token.clone() };
        let with_certificate = Login { password: String::new(), ..with_both.clone() };
        let with_nothing = Login { password: String::new(), ..with_token.clone() };
        let with_wrong_token = Login { password: "x".to_owned(), ..with_both.clone() };
        let of_another = Login { client_id: "acme/d-2".to_owned(), ..with_certificate.clone() };
        let all =
            [&with_token, &with_both, &with_certificate, &with_nothing, &with_wrong_token, &of_another].map(proof);
        assert_eq!(all, ["token", "token", "certificate", "nothing", "nothing", "nothing"]);
    }

    #[test]
    fn a_device_with_a_live_credential_is_admitted_until_it_ends() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let admitted = |found| admit_device(&d_1(), found, now).map(|admission| admission.expires_at);
        assert_eq!(admitted(Found::Live { expires_at: None }), Ok(None));
        let end = Some(now + TimeDelta::seconds(1));
        assert_eq!(admitted(Found::Live { expires_at: end }), Ok(end));
        assert_eq!(admitted(Found::Live { expires_at: Some(now) }), Err(Refusal::Expired));
        assert_eq!(admitted(Found::TenantClosed), Err(Refusal::TenantClosed));
        assert_eq!(admitted(Found::NoDevice), Err(Refusal::NoDevice));
        assert_eq!(admitted(Found::Decommissioned), Err(Refusal::Decommissioned));
        assert_eq!(admitted(Found::WrongToken), Err(Refusal::WrongToken));
        assert_eq!(admitted(Found::Expired), Err(Refusal::Expired));
        let admission = admit_device(&d_1(), Found::Live { expires_at: None }, now).unwrap();
        assert_eq!((admission.user.as_str(), admission.access), ("acme/d-1", Access::of_device(&d_1())));
    }
}
