//! How Waybill itself logs in at the MQTT listener, to see whether it is asked ([`super::self_check`]).

use super::issuer::Issuer;

/// The user of the check. It is no device's, because a tenant has no underscore.
pub(super) const USER: &str = "_waybill/self-check";
/// The connection of the check ends after this long at the latest, in seconds.
pub(super) const CONNECTION_S: i64 = 30;

/// The password of the check, for one client id.
pub(super) fn password(issuer: &Issuer, client_id: &str) -> String {
    issuer.signature(signed(client_id).as_bytes())
}

/// Whether a password was made by a process with the same key.
pub(super) fn is_own(issuer: &Issuer, client_id: &str, password: &str) -> bool {
    issuer.has_signed(signed(client_id).as_bytes(), password)
}

fn signed(client_id: &str) -> String {
    format!("{USER} {client_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_issuers_key_makes_the_password_of_the_check() {
        let [ours, theirs] = [(); 2].map(|()| Issuer::from_seed(&Issuer::generate_seed()).unwrap());
        let made = password(&ours, "one");
        assert!(is_own(&ours, "one", &made));
        assert!(!is_own(&ours, "two", &made) && !is_own(&theirs, "one", &made) && !is_own(&ours, "one", ""));
    }
}
