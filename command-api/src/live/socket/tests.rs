//! Pings with a manual clock, and the places of connections.

use std::future::ready;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::client_address::TrustedProxies;
use crate::listen::{HttpListener, Limits, serve_until_stopped};

const PATIENCE: Duration = Duration::from_secs(30);
const HANDSHAKE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The text that the server begins with.
const GREETING: &str = "hello";

#[test]
fn who_answers_pings_stays_however_long_nothing_else_comes() {
    let (mut pulse, begun) = (Pulse::default(), Instant::now());
    for n in 1..=100_u32 {
        assert_eq!(pulse.look(begun + n * PING_INTERVAL), Look::Ping, "{n}");
        pulse.heard();
    }
}

#[test]
fn who_leaves_a_ping_unanswered_is_gone_after_a_time() {
    let (mut pulse, begun) = (Pulse::default(), Instant::now());
    let silent_after = |pulse: &mut Pulse, from: Instant| {
        let looks: Vec<_> = (0..=4_u32).map(|n| pulse.look(from + n * PING_INTERVAL)).collect();
        assert_eq!(looks[..2], [Look::Ping, Look::Wait], "one ping at a time");
        looks.iter().position(|look| *look == Look::Silent)
    };
    assert_eq!(silent_after(&mut pulse, begun), Some(3));
    pulse.heard();
    assert_eq!(pulse.look(begun + PONG_WITHIN), Look::Ping, "what came late counts");
    pulse.unheard(PING_INTERVAL);
    assert_eq!(pulse.look(begun + 2 * PONG_WITHIN), Look::Wait, "nobody listened all the time");
    assert_eq!(pulse.look(begun + 2 * PONG_WITHIN + PING_INTERVAL), Look::Silent);
}

async fn greet(mut socket: WebSocket) {
    socket.send(Frame::Text(GREETING.into())).await.unwrap();
    while let Some(Ok(_)) = socket.recv().await {}
}

async fn connect(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(HANDSHAKE).await.ok();
    stream
}

/// Whether the server greets: it has let the connection in and handed it over.
async fn is_greeted(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    while !read.ends_with(GREETING.as_bytes()) {
        match timeout(PATIENCE, stream.read_u8()).await.expect("an answer or an end") {
            Ok(byte) => read.push(byte),
            Err(_) => return false,
        }
    }
    true
}

#[tokio::test]
async fn a_socket_keeps_the_place_of_its_connection_until_it_ends() {
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, tasks) = (tcp.local_addr().unwrap(), Tasks::new());
    let of_sockets = tasks.clone();
    let open = move |place: Option<Extension<ConnectionPlace>>, upgrade: WebSocketUpgrade| {
        ready(begin(upgrade, place, of_sockets.clone(), greet))
    };
    let router = Router::new().route("/", get(open));
    let limits = Limits { per_address_max: 1, ..Limits::new(TrustedProxies::default(), false) };
    let (of_server, listener) = (tasks.clone(), HttpListener { tcp, tls: None });
    tasks.spawn("server", async move { serve_until_stopped(listener, router, &of_server, limits).await });
    let mut first = connect(address).await;
    assert!(is_greeted(&mut first).await);
    assert!(!is_greeted(&mut connect(address).await).await, "one connection");
    drop(first);
    let until = Instant::now() + PATIENCE;
    while !is_greeted(&mut connect(address).await).await {
        assert!(Instant::now() < until, "the place comes back");
    }
}
