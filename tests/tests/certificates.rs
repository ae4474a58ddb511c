//! Certificates for one test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// Names of this machine in the certificates of servers.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// An authority of its own.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its private key, PEM.
pub(crate) struct Certificate {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For a server on this machine.
    pub(crate) fn of_server(&self) -> Certificate {
        self.issue(&NAMES, "waybill", vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    /// For a server of a cluster: it is the client of the others, too.
    pub(crate) fn of_peer(&self) -> Certificate {
        let usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(&NAMES, "nats-server", usages)
    }

    /// For a client with this common name.
    pub(crate) fn of_client(&self, name: &str) -> Certificate {
        self.issue(&[], name, vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    fn issue(&self, names: &[&str], common_name: &str, usages: Vec<ExtendedKeyUsagePurpose>) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = usages;
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Certificate { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// Writes `ca.crt`, and `server.crt` and `server.key` of a server.
    pub(crate) fn equips(&self, directory: &Path) {
        std::fs::create_dir_all(directory).unwrap();
        self.writes(directory.join("ca.crt"));
        self.of_server().writes(directory, "server");
    }

    /// Writes the certificate of the authority; returns the file.
    pub(crate) fn writes(&self, file: PathBuf) -> PathBuf {
        std::fs::write(&file, &self.pem).unwrap();
        file
    }
}

impl Certificate {
    /// Writes `NAME.crt` and `NAME.key`.
    pub(crate) fn writes(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.key")), &self.key).unwrap();
        std::fs::write(directory.join(format!("{name}.crt")), &self.cert).unwrap();
    }
}
