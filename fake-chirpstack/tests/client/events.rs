//! Events at a webhook, and commands over HTTP.

use std::net::{Ipv4Addr, SocketAddr};

use fake_chirpstack::{Command, FakeChirpstack, Settings, Uplink, Webhook};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::support::{DEV_EUI, client, device, until};

/// Answers one request and returns it.
async fn one_request(listener: &TcpListener) -> String {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap();
        request.extend_from_slice(&buffer[..count]);
        // Bodies here end with the object.
        if request.ends_with(b"}") {
            break;
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
    String::from_utf8(request).unwrap()
}

#[tokio::test]
async fn a_webhook_gets_each_event_with_its_kind_and_the_header() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut webhook = Webhook::new(&format!("http://{}/hooks?source=lns", listener.local_addr().unwrap()));
    webhook.headers.insert("x-webhook-token".to_owned(), "s3cret".to_owned());
    let any = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let settings = Settings { webhooks: vec![webhook], control_listen: any, ..Settings::default() };
    let fake = FakeChirpstack::start(settings).await.unwrap();
    client(&fake, fake_chirpstack::TENANT_KEY).create_device(&device(DEV_EUI)).await.unwrap();

    let control = format!("http://{}", fake.control_address().unwrap());
    let command = serde_json::to_vec(&Command::Uplink { uplink: Uplink::new(DEV_EUI, 10, &[0x2a, 7]) }).unwrap();
    let post = reqwest::Client::builder().no_proxy().build().unwrap().post(&control).body(command);
    assert!(post.send().await.unwrap().status().is_success());
    let request = one_request(&listener).await;
    assert!(request.starts_with("POST /hooks?source=lns&event=up HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("x-webhook-token: s3cret\r\n") && request.contains("content-type: application/json\r\n"));
    assert!(request.contains("\"devEui\":\"0101010101010101\"") && request.contains("\"data\":\"Kgc=\""));
    until("the delivery is counted", async || (fake.deliveries() == (1, 0)).then_some(())).await;
    let unknown = Command::Join { dev_eui: "ff".repeat(8) };
    assert!(fake.carry_out(unknown).is_err());
}
