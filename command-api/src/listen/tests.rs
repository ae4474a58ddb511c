use axum::extract::Extension;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
/// Shorter than any patience, longer than a request takes.
const SOON: Duration = Duration::from_millis(100);

/// More than the buffers of a connection hold.
const LARGE_BYTES: usize = 64 * 1024 * 1024;

fn limits() -> Limits {
    Limits::new(TrustedProxies::default())
}

/// A server that replies with the body it received, slowly, or with the client's address.
async fn serve(limits: Limits) -> (Tasks, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = HttpListener { tcp: listener, tls: None };
    let from = async |Extension(from): Extension<ConnectedFrom>| from.0.ip().to_string();
    let slow = async || {
        tokio::time::sleep(3 * SOON).await;
        "slow"
    };
    let router = Router::new()
        .route("/", post(async |body: String| body))
        .route("/slow", get(slow))
        .route("/from", get(from))
        .route("/large", get(async || vec![0; LARGE_BYTES]));
    let tasks = Tasks::new();
    let of_server = tasks.clone();
    tasks.spawn("server", async move { serve_until_stopped(listener, router, &of_server, limits).await });
    (tasks, address)
}

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an end").ok();
    answer
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.ok();
    rest(stream).await
}

#[tokio::test]
async fn who_never_names_a_request_is_let_go() {
    let (_tasks, address) = serve(Limits { idle_time_max: SOON, ..limits() }).await;
    assert_eq!(ask(address, "").await, "");
}

#[tokio::test]
async fn who_sends_a_head_slowly_is_let_go_although_bytes_come() {
    let (_tasks, address) = serve(Limits { head_time_max: SOON, ..limits() }).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let answered = "GET /from HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(answered.as_bytes()).await.unwrap();
    let dripping = async {
        let mut sent = 0;
        loop {
            if stream.write_all(b"G").await.is_err() {
                return sent;
            }
            sent += 1;
            tokio::time::sleep(SOON / 10).await;
        }
    };
    let sent = tokio::time::timeout(PATIENCE, dripping).await.expect("the connection is closed");
    assert!(sent < 1_000, "{sent}");
}

#[tokio::test]
async fn a_slow_answer_has_no_limit_of_a_head() {
    let (_tasks, address) = serve(Limits { head_time_max: SOON, ..limits() }).await;
    let answer = ask(address, "GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("slow"), "{answer}");
    let both = "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nGET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(ask(address, both).await.matches("slow").count(), 2, "a head that came early waits for its turn");
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_let_go() {
    let (_tasks, address) = serve(Limits { send_silence_max: SOON, per_address_max: 1, ..limits() }).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    silent.readable().await.unwrap();
    comes_in(address).await;
    let mut taken = Vec::new();
    silent.read_to_end(&mut taken).await.ok();
    assert!(taken.len() < LARGE_BYTES);
}

/// Waits until there is a place for a connection.
async fn comes_in(address: SocketAddr) {
    let until = tokio::time::Instant::now() + PATIENCE;
    while ask(address, "GET /from HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.is_empty() {
        assert!(tokio::time::Instant::now() < until, "the place comes back");
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let (_tasks, address) = serve(limits()).await;
    let many = "X: y\r\n".repeat(HEADERS_MAX + 1);
    let large = format!("X: {}\r\n", "y".repeat(HEAD_MAX_BYTES));
    for headers in [many, large] {
        let answer = ask(address, &format!("GET /from HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    let answer = ask(address, "GET /from HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn an_address_has_a_number_of_connections() {
    let (_tasks, address) = serve(Limits { per_address_max: 1, ..limits() }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET /from HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    first.readable().await.unwrap();
    assert_eq!(ask(address, "GET /from HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await, "");
    drop(first);
    comes_in(address).await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_although_the_server_stops() {
    let (tasks, address) = serve(limits()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n").await.unwrap();
    let mut asked = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut asked)).await.expect("it is asked for its body").unwrap();
    let stopping = tasks.clone();
    let stopped = stopping.shutdown(PATIENCE);
    let answered = async {
        tasks.token().cancelled().await;
        stream.write_all(b"answer").await.unwrap();
        rest(stream).await
    };
    let (stopped, answer) = tokio::join!(stopped, answered);
    assert!(stopped && answer.ends_with("answer"), "{answer}");
}
