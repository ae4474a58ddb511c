//! Bodies that are made to do harm: without an end, with lies about their length, with names that point elsewhere.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, header};
use futures::stream;
use runtime::lifecycle::Tasks;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Answer, Api, MODEL, PATIENCE};
use crate::TrustedProxies;
use crate::listen::{HttpListener, Limits, serve_until_stopped};

/// Pieces in which a hostile body comes, in bytes.
const CHUNK_BYTES: usize = 8 * 1024;
/// What may be read of a part's head, with the piece that exceeds it and one that was under way.
const HEAD_READ_MAX_BYTES: usize = 64 * 1024 + 2 * CHUNK_BYTES;
/// Levels of nested JSON that would overflow the stack.
const LEVELS: usize = 200_000;

fn metadata(version: &str) -> String {
    json!({"name": "F", "version": version, "device_model": MODEL}).to_string()
}

fn part(head: &str, content: &str) -> Vec<u8> {
    format!("--XX\r\n{head}\r\n\r\n{content}\r\n").into_bytes()
}

/// A whole form: the metadata, and a file with a head of its own.
fn form(version: &str, head: &[u8]) -> Vec<u8> {
    let mut body = part("Content-Disposition: form-data; name=\"metadata\"", &metadata(version));
    body.extend_from_slice(b"--XX\r\n");
    body.extend_from_slice(head);
    body.extend_from_slice(b"\r\n\r\nbytes\r\n--XX--\r\n");
    body
}

impl Api {
    async fn upload_raw(&self, content_type: &str, body: Body) -> Answer {
        let request = Request::post("/api/v1/firmware")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, content_type);
        self.send(request.body(body).unwrap()).await
    }

    async fn upload_form(&self, body: impl Into<Body>) -> Answer {
        self.upload_raw("multipart/form-data; boundary=XX", body.into()).await
    }

    /// A body that goes on with the same piece; returns how much of it was read.
    async fn upload_endless(&self, start: Vec<u8>, piece: &str) -> (Answer, usize) {
        let (read, count) = (Arc::new(AtomicUsize::new(0)), 1_000);
        let counted = Arc::clone(&read);
        let piece = Bytes::from(piece.repeat(CHUNK_BYTES / piece.len()));
        let chunks =
            std::iter::once(Bytes::from(start)).chain(std::iter::repeat_n(piece, count)).inspect(move |chunk| {
                counted.fetch_add(chunk.len(), Ordering::Relaxed);
            });
        let answer = self.upload_form(Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)))).await;
        (answer, read.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn a_head_without_an_end_is_given_up_early() {
    let api = Api::new();
    let open = "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"".to_owned();
    let second =
        [part("Content-Disposition: form-data; name=\"metadata\"", &metadata("1")), open.clone().into()].concat();
    let headers = "--XX\r\nContent-Disposition: form-data; name=\"file\"\r\n".to_owned();
    for (start, piece) in [
        (open.into_bytes(), "x"),
        (second, "../"),
        (headers.into_bytes(), "X: y\r\n"),
        (b"no boundary".to_vec(), "x"),
        (b"--XX".to_vec(), " "),
        (b"--XX\r\n".to_vec(), "\r"),
    ] {
        let shown = String::from_utf8_lossy(&start).into_owned();
        let (answer, read) = api.upload_endless(start, piece).await;
        assert_eq!(answer.status, 400, "{shown:?} {}", answer.body);
        assert!(read <= HEAD_READ_MAX_BYTES + shown.len(), "{read} bytes of {shown:?}");
    }
    assert!(api.kept().await.is_empty() && api.stored().await == 0);
}

#[tokio::test]
async fn a_large_file_in_many_pieces_is_no_head_without_an_end() {
    let api = Api::new();
    let body = form("1", b"Content-Disposition: form-data; name=\"file\"; filename=\"f\"");
    let (head, rest) = body.split_at(body.len() - "bytes\r\n--XX--\r\n".len());
    let pieces = std::iter::repeat_n(vec![7_u8; 1_000], 99);
    let all = std::iter::once(head.to_vec()).chain(pieces).chain([rest.to_vec()]);
    let answer = api.upload_form(Body::from_stream(stream::iter(all.map(Ok::<_, Infallible>)))).await;
    assert_eq!((answer.status.as_u16(), &answer.body["file_size"]), (201, &json!(99_005)), "{}", answer.body);
    let bytes = form("2", b"Content-Disposition: form-data; name=\"file\"; filename=\"f\"");
    let single = bytes.into_iter().map(|byte| Ok::<_, Infallible>(vec![byte]));
    let answer = api.upload_form(Body::from_stream(stream::iter(single))).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test]
async fn of_thousands_of_parts_the_first_wrong_one_ends_it() {
    let api = Api::new();
    let parts = |name: &str, count: usize| {
        let one = part(&format!("Content-Disposition: form-data; name=\"{name}\""), &metadata("1"));
        [one.repeat(count), b"--XX--\r\n".to_vec()].concat()
    };
    for name in ["metadata", "file", "other", "metadata[name]", "file[]", "../metadata", "Metadata", "", "\u{0}"] {
        let answer = api.upload_form(parts(name, 5_000)).await;
        assert!(answer.status.is_client_error(), "{name}: {} {}", answer.status, answer.body);
        assert!(answer.bytes.len() < 2_000, "{name}: {} bytes", answer.bytes.len());
    }
    let answer = api.upload_form(parts(&"n".repeat(30_000), 10)).await;
    assert!(answer.status == 422 && answer.bytes.len() < 2_000, "{}", answer.body);
    let headers = "X-A: b\r\n".repeat(100) + "Content-Disposition: form-data; name=\"file\"";
    assert_eq!(api.upload_form(part(&headers, "x")).await.status, 400);
    for content_type in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\""]
    {
        let answer = api.upload_raw(content_type, part("", "x").into()).await;
        assert!(answer.status.is_client_error(), "{content_type}: {}", answer.status);
    }
    assert!(api.kept().await.is_empty() && api.stored().await == 0);
}

#[tokio::test]
async fn a_file_name_is_no_path() {
    let api = Api::new();
    let long = format!("filename=\"{}\"", "é".repeat(20_000));
    let cases: [(&[u8], Option<&str>); 12] = [
        (b"filename=\"../../../etc/passwd\"", Some("passwd")),
        (b"filename=\"..\\\\..\\\\windows\\\\system.ini\"", Some("system.ini")),
        (b"filename=\"/etc/shadow\"", Some("shadow")),
        (b"filename=\"..\"", None),
        (b"filename=\"a/..\"", None),
        (b"filename*=UTF-8''..%2f..%2fetc%2fpasswd", Some("passwd")),
        (b"filename*=UTF-8''a%00b%0d%0aX-Evil:%201.bin", Some("a_b__X-Evil: 1.bin")),
        (b"filename=\"%2e%2e%2fetc%2fpasswd\"", Some("%2e%2e%2fetc%2fpasswd")),
        (b"filename=\"\xff\xfe.bin\"", Some("\u{ff}\u{fe}.bin")),
        (b"filename=\"\"", None),
        (b"filename=\"CON\"", Some("CON")),
        (long.as_bytes(), None),
    ];
    for (n, (name, kept)) in cases.into_iter().enumerate() {
        let head = [b"Content-Disposition: form-data; name=\"file\"; ".as_slice(), name].concat();
        let version = format!("1.0.{n}");
        let shown = String::from_utf8_lossy(&name[..name.len().min(50)]).into_owned();
        let answer = api.upload_form(form(&version, &head)).await;
        assert_eq!(answer.status, 201, "{shown} {}", answer.body);
        let filename = &answer.body["filename"];
        if name.len() > 1_000 {
            assert!(filename.as_str().unwrap().chars().count() <= 200, "{filename}");
        } else {
            assert_eq!(filename.as_str(), kept, "{shown}");
        }
        let link = api.get(&format!("/firmware/{}/download", answer.body["firmware_id"].as_str().unwrap())).await;
        let path =
            link.body["download_url"].as_str().unwrap().strip_prefix("http://localhost:8240").unwrap().to_owned();
        let download = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!((download.status.as_u16(), download.bytes.as_slice()), (200, b"bytes".as_slice()), "{shown}");
        assert!(download.header("content-disposition").starts_with("attachment; "), "{shown}");
    }
    for path in api.kept().await {
        let parts: Vec<&str> = path.split('/').collect();
        let is_own = parts.len() == 3 && parts[0] == "acme" && parts[1].len() == 36 && parts[2].len() == 64;
        assert!(is_own, "{path}");
    }
}

#[tokio::test]
async fn a_path_with_dots_finds_nothing() {
    let api = Api::new();
    for path in [
        "/d/../openapi.json",
        "/d/..%2f..%2fetc%2fpasswd",
        "/d/%00",
        "/api/docs/../../etc/passwd",
        "/api/docs/..%2f..%2fetc",
    ] {
        let answer = api.send(Request::get(path).body(Body::empty()).unwrap()).await;
        assert!(answer.status.is_client_error() || answer.status.is_redirection(), "{path}: {}", answer.status);
    }
    for id in ["..", "%2e%2e%2f", "a%00b", &"x".repeat(10_000), "%ff%fe"] {
        for path in [format!("/devices/{id}"), format!("/firmware/{id}"), format!("/devices/{id}/history")] {
            let answer = api.get(&path).await;
            let is_refused = answer.status.is_client_error() || answer.status == 503;
            assert!(is_refused, "{path}: {} {}", answer.status, answer.body);
        }
    }
}

#[tokio::test]
async fn nested_json_and_huge_numbers_are_refused() {
    let api = Api::new();
    let nested = |open: &str, close: &str| open.repeat(LEVELS) + &close.repeat(LEVELS);
    let inner = nested("[", "]");
    let bodies = [
        inner.clone(),
        nested("{\"a\":", "}"),
        format!("{{\"device_id\":\"d-1\",\"tags\":{inner}}}"),
        "[".repeat(2 * LEVELS),
        format!("{{\"device_id\":\"d-1\",\"contact_interval_s\":1{}}}", "0".repeat(LEVELS)),
        "{\"device_id\":\"d-1\",\"contact_interval_s\":1e999999999}".to_owned(),
        format!("{{{}\"a\":1}}", "\"a\":1,".repeat(LEVELS)),
        "\u{1f}\u{8b}\u{8}compressed".to_owned(),
    ];
    for (method, path) in [
        (Method::POST, "/devices"),
        (Method::PATCH, "/devices/d-1"),
        (Method::POST, "/devices/bulk"),
        (Method::POST, "/campaigns"),
        (Method::POST, "/devices/bulk/update"),
        (Method::DELETE, "/devices/d-1"),
    ] {
        for body in &bodies {
            let request = Request::builder()
                .method(&method)
                .uri(format!("/api/v1{path}"))
                .header(header::AUTHORIZATION, format!("Bearer {}", api.token))
                .header(header::CONTENT_TYPE, "application/json");
            let answer = api.send(request.body(Body::from(body.clone())).unwrap()).await;
            let shown: String = body.chars().take(40).collect();
            let is_refused = answer.status.is_client_error() || answer.body["succeeded"] == 0;
            assert!(is_refused, "{method} {path} {shown}: {} {}", answer.status, answer.body);
            assert!(answer.bytes.len() < 5_000, "{method} {path} {shown}: {} bytes", answer.bytes.len());
        }
    }
    let items = format!("[{{\"device_id\":\"d-1\",\"tags\":{inner}}}]");
    let answer = api.send(bulk(&api, items)).await;
    assert!(answer.status.is_client_error() || answer.body["failed"] == 1, "{} {}", answer.status, answer.body);
    let upload =
        [part("Content-Disposition: form-data; name=\"metadata\"", &"[".repeat(60_000)), b"--XX--\r\n".to_vec()];
    assert_eq!(api.upload_form(upload.concat()).await.status, 400);
    assert_eq!(api.stored().await, 0);
}

fn bulk(api: &Api, body: String) -> Request<Body> {
    let request = Request::post("/api/v1/devices/bulk")
        .header(header::AUTHORIZATION, format!("Bearer {}", api.token))
        .header(header::CONTENT_TYPE, "application/json");
    request.body(Body::from(body)).unwrap()
}

/// What a server answers to bytes, until it or the client closes.
async fn answered(api: &Api, sent: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = HttpListener { tcp: listener, tls: None };
    let (tasks, router) = (Tasks::new(), api.router.clone());
    let of_server = tasks.clone();
    let limits = Limits::new(TrustedProxies::default(), false);
    tasks.spawn("server", async move { serve_until_stopped(listener, router, &of_server, limits).await });
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an end").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_length_that_lies_stores_nothing_and_hides_no_request() {
    let api = Api::new();
    let head = |more: &str| {
        format!(
            "POST /api/v1/devices HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n{more}\r\n",
            api.token
        )
    };
    let body = "{\"device_id\":\"d-1\"}";
    let hidden = "0\r\n\r\nDELETE /api/v1/devices/d-1 HTTP/1.1\r\nHost: x\r\n\r\n";
    let cases = [
        (head("Content-Length: 500\r\n"), body.to_owned(), "cut off"),
        (head("Content-Length: 18446744073709551616\r\n"), body.to_owned(), "too large a number"),
        (head("Content-Length: -1\r\n"), body.to_owned(), "negative"),
        (head("Content-Length: 19\r\nContent-Length: 20\r\n"), body.to_owned(), "two lengths"),
        (head("Content-Length: 5\r\n"), body.to_owned(), "shorter than the body"),
        (head("Transfer-Encoding: chunked\r\n"), "ffffffffffffffff1\r\nx".to_owned(), "a chunk without an end"),
        (head("Transfer-Encoding: chunked\r\n"), format!("13\r\n{body}\r\n"), "no last chunk"),
        (head("Transfer-Encoding: gzip\r\n"), body.to_owned(), "another encoding"),
    ];
    for (head, body, case) in cases {
        let answer = answered(&api, format!("{head}{body}").as_bytes()).await;
        assert!(!answer.contains(" 201 ") && !answer.contains(" 500 "), "{case}: {answer}");
        assert_eq!(api.stored().await, 0, "{case}");
    }
    // The body ends with the empty chunk, and the connection with the answer.
    let both = head(&format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", hidden.len()));
    let answer = answered(&api, format!("{both}{hidden}").as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() == 1 && !answer.contains(" 401 "), "{answer}");
    let whole = format!("{}{body}", head(&format!("Content-Length: {}\r\nConnection: close\r\n", body.len())));
    assert!(answered(&api, whole.as_bytes()).await.starts_with("HTTP/1.1 201 "));
    assert_ne!(api.get("/devices/d-1").await.body, Value::Null);
}
