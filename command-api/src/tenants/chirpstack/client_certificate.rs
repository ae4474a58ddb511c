//! Whether a client certificate and a private key belong together.

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use trust::SecretValue;

/// Refused with a reason that has nothing of the key.
pub(super) fn fits(certificate_pem: &str, key: &SecretValue) -> Result<(), &'static str> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate_pem.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or("is no certificate in PEM")?;
    let key = PrivateKeyDer::from_pem_slice(key.reveal()).map_err(|_| "has no readable private key")?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|_| "doesn't belong to client_key")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_and_the_key_of_another_are_refused() {
        let pair = || rcgen::generate_simple_self_signed(["waybill".to_owned()]).unwrap();
        let (one, other) = (pair(), pair());
        let key = |pair: &rcgen::CertifiedKey<rcgen::KeyPair>| {
            SecretValue::new(pair.signing_key.serialize_pem().into_bytes())
        };
        assert_eq!(fits(&one.cert.pem(), &key(&one)), Ok(()));
        assert_eq!(fits(&one.cert.pem(), &key(&other)), Err("doesn't belong to client_key"));
        assert_eq!(fits("-----BEGIN CERTIFICATE-----", &key(&one)), Err("is no certificate in PEM"));
        assert_eq!(fits(&one.cert.pem(), &SecretValue::new(b"?".to_vec())), Err("has no readable private key"));
    }
}
