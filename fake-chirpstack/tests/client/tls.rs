//! An `https` address, whose certificate comes from an authority that only the connection names, and which wants to see one.

use chirpstack::grpc::{ApiKey, Client, ClientIdentity, Connection, Error, KeyState};
use fake_chirpstack::{APPLICATION_ID, FakeChirpstack, Settings, TENANT_ID, TENANT_KEY, TlsSettings};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use runtime::outward::Outward;

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate and its key.
    fn issues(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn client(&self) -> ClientIdentity {
        let (certificate, key) = self.issues("waybill", ExtendedKeyUsagePurpose::ClientAuth);
        ClientIdentity::new(&certificate, &key)
    }
}

/// A double with TLS; without `clients` it wants no certificate.
async fn start(own: &Authority, clients: Option<&Authority>) -> (FakeChirpstack, Connection) {
    let (certificate_pem, key_pem) = own.issues("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let tls = TlsSettings { certificate_pem, key_pem, client_ca_pem: clients.map(|clients| clients.pem.clone()) };
    let fake = FakeChirpstack::start(Settings { tls: Some(tls), ..Settings::default() }).await.unwrap();
    let outward = Outward { loopback: true, ..Outward::default() };
    let connection = Connection::new(&fake.url(), ApiKey::new(TENANT_KEY).unwrap(), outward);
    (fake, connection)
}

async fn probed(connection: &Connection) -> Result<KeyState, Error> {
    Client::new(connection).unwrap().probe(APPLICATION_ID, TENANT_ID).await
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_the_connection_names_it() {
    let own = Authority::new();
    let (_fake, plain) = start(&own, None).await;
    let strange = probed(&plain).await;
    assert!(matches!(strange, Err(Error::Unavailable { .. })), "{strange:?}");
    let trusting = Connection { extra_ca_pem: Some(own.pem.clone()), ..plain };
    assert_eq!(probed(&trusting).await, Ok(KeyState::Accepted));
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_the_one_of_the_connection() {
    let (own, clients) = (Authority::new(), Authority::new());
    let (_fake, plain) = start(&own, Some(&clients)).await;
    let trusting = Connection { extra_ca_pem: Some(own.pem.clone()), ..plain };
    for identity in [None, Some(own.client())] {
        let refused = probed(&Connection { identity, ..trusting.clone() }).await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    assert_eq!(
        probed(&Connection { identity: Some(clients.client()), ..trusting.clone() }).await,
        Ok(KeyState::Accepted)
    );

    let (certificate, _) = clients.issues("waybill", ExtendedKeyUsagePurpose::ClientAuth);
    let (_, key) = clients.issues("waybill", ExtendedKeyUsagePurpose::ClientAuth);
    let identity = Some(ClientIdentity::new(&certificate, &key));
    assert!(Client::new(&Connection { identity, ..trusting }).is_err(), "the key of another certificate");
}
