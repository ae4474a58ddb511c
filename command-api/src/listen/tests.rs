use axum::body::Body;
use axum::extract::Extension;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
/// Shorter than any patience, longer than a request takes.
const SOON: Duration = Duration::from_millis(100);

const LOOKALIKE: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";

/// More than the buffers of a connection hold.
const LARGE_BYTES: usize = 64 * 1024 * 1024;

fn limits() -> Limits {
    Limits::new(TrustedProxies::default(), false)
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
        .route("/large", get(async || vec![0; LARGE_BYTES]))
        .route("/lookalike", get(lookalike));
    let tasks = Tasks::new();
    let of_server = tasks.clone();
    tasks.spawn("server", async move { serve_until_stopped(listener, router, &of_server, limits).await });
    (tasks, address)
}

/// A body that ends with what looks like an answer, after everything before it was sent.
async fn lookalike() -> impl IntoResponse {
    let pieces = futures::stream::iter(["begun", LOOKALIKE]).then(async |piece| {
        tokio::time::sleep(SOON).await;
        Ok::<_, std::io::Error>(piece)
    });
    ([("content-length", 5 + LOOKALIKE.len())], Body::from_stream(pieces))
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
    let sent_least = LeastRate { bytes_per_second: 1, window: SOON };
    let (_tasks, address) = serve(Limits { sent_least, per_address_max: 1, ..limits() }).await;
    let mut silent = TcpStream::connect(address).await.unwrap();
    silent.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    silent.readable().await.unwrap();
    comes_in(address).await;
    let mut taken = Vec::new();
    silent.read_to_end(&mut taken).await.ok();
    assert!(taken.len() < LARGE_BYTES);
}

/// Asks for a large answer and reads it to its end, in pieces of `at_a_time` bytes with a pause after each. Returns how many bytes it got.
async fn taken(mut stream: TcpStream, at_a_time: usize, pause: Duration) -> usize {
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut piece, mut all) = (vec![0; at_a_time], 0);
    while let Ok(bytes @ 1..) = stream.read(&mut piece).await {
        all += bytes;
        tokio::time::sleep(pause).await;
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_an_answer_slowly_is_let_go_although_bytes_go() {
    let sent_least = LeastRate { bytes_per_second: 1_000_000, window: 3 * SOON };
    let (_tasks, address) = serve(Limits { sent_least, per_address_max: 1, ..limits() }).await;
    let connect = async || TcpStream::connect(address).await.unwrap();
    // Some 100 kB a second: the whole answer would take minutes.
    tokio::select! {
        all = taken(connect().await, 1_000, SOON / 10) => panic!("it got {all} bytes in time"),
        () = comes_in(address) => {}
    }
    comes_in(address).await;
    // Some 80 MB a second.
    let fast = taken(connect().await, 400_000, SOON / 20).await;
    assert!(fast > LARGE_BYTES, "{fast}");
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
        is_refused(&answer, 431, "head_too_large");
    }
    let answer = ask(address, "GET /from HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
}

/// An answer is a problem with the headers of all answers, after which the connection is closed, and repeats nothing of the request.
fn is_refused(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    for header in [
        "content-type: application/problem+json",
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'",
        "referrer-policy: no-referrer",
        "connection: close",
        "date: ",
        &format!("content-length: {}", body.len()),
    ] {
        assert_eq!(head.matches(header).count(), 1, "{header}: {answer}");
    }
    let body: serde_json::Value = serde_json::from_str(body).expect("JSON and nothing after it");
    assert_eq!((&body["type"], &body["status"]), (&format!("/problems/{code}").into(), &status.into()));
    assert!(!answer.contains("s3cret"), "{answer}");
}

#[tokio::test]
async fn a_head_that_cannot_be_read_gets_the_problem_and_headers_of_all_answers() {
    let (_tasks, address) = serve(limits()).await;
    for malformed in [
        "GET /from?s3cret\r\nAuthorization: Bearer s3cret\r\n\r\n",
        "GET /from HTTP/1.1\r\nHost: x\r\nAuthorization : Bearer s3cret\r\n\r\n",
        "GET /from HTTP/1.1\r\nAuthorization: Bearer s3cret\r\nX\0: y\r\n\r\n",
        "\0\x01s3cret\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: s3cret\r\nContent-Length: -1\r\n\r\n",
        "GET /from HTTP/7.0\r\nHost: s3cret\r\n\r\n",
    ] {
        is_refused(&ask(address, malformed).await, 400, "malformed_request");
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "s3cret".repeat(HEAD_MAX_BYTES / 6));
    is_refused(&ask(address, &long).await, 431, "head_too_large");
}

#[tokio::test]
async fn a_refusal_follows_the_answers_before_it() {
    let (_tasks, address) = serve(limits()).await;
    let answer = ask(address, "GET /from HTTP/1.1\r\nHost: x\r\n\r\nGET / X\r\n\r\n").await;
    let (first, second) = answer.split_once("127.0.0.1").unwrap();
    assert!(first.starts_with("HTTP/1.1 200 "), "{answer}");
    is_refused(second, 400, "malformed_request");
}

#[tokio::test]
async fn a_body_that_looks_like_an_answer_is_sent_as_it_is() {
    let (_tasks, address) = serve(limits()).await;
    let request = |connection: &str| format!("GET /lookalike HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n");
    let answer = ask(address, &format!("{}{}", request("keep-alive"), request("close"))).await;
    assert_eq!(answer.matches(&format!("begun{LOOKALIKE}")).count(), 2, "{answer}");
}

#[tokio::test]
async fn who_begins_a_head_and_stops_is_told() {
    let (_tasks, address) = serve(Limits { head_time_max: SOON, ..limits() }).await;
    is_refused(&ask(address, "GET /from HTTP/1.1\r\nAuthorization: Bearer s3cret").await, 408, "head_too_slow");
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
