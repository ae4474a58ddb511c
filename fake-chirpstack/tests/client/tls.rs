//! An `https` address, whose certificate comes from an authority that only the connection names.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chirpstack::grpc::{ApiKey, Client, Connection, Error, KeyState};
use fake_chirpstack::{APPLICATION_ID, FakeChirpstack, Settings, TENANT_ID, TENANT_KEY};
use runtime::lifecycle::Tasks;
use runtime::outward::Outward;
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Ends TLS and passes on what comes.
async fn proxy(listener: TcpListener, tls: TlsAcceptor, behind: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = tls.accept(stream).await else { continue };
        let Ok(mut server) = TcpStream::connect(behind).await else { continue };
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
    }
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_the_connection_names_it() {
    let fake = FakeChirpstack::start(Settings::default()).await.unwrap();
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(own.cert.der().to_vec())], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let behind = fake.url().trim_start_matches("http://").parse().unwrap();
    let tasks = Tasks::new();
    tasks.spawn("proxy", proxy(listener, TlsAcceptor::from(Arc::new(config)), behind));

    let outward = Outward { loopback: true, ..Outward::default() };
    let plain = Connection {
        call_timeout: Duration::from_secs(5),
        ..Connection::new(&url, ApiKey::new(TENANT_KEY).unwrap(), outward)
    };
    let strange = Client::new(&plain).unwrap().probe(APPLICATION_ID, TENANT_ID).await;
    assert!(matches!(strange, Err(Error::Unavailable { .. })), "{strange:?}");
    let trusting = Connection { extra_ca_pem: Some(own.cert.pem()), ..plain };
    assert_eq!(Client::new(&trusting).unwrap().probe(APPLICATION_ID, TENANT_ID).await, Ok(KeyState::Accepted));
}
