//! For tests: a service whose answers are known beforehand.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Body of answers that have no other.
pub(crate) const BODY: &str = "{}";

/// A service that gives these answers, one for each connection: a status and its reason, and further lines of the head. Returns its address,
/// and what it was sent.
pub(crate) async fn start(answers: &[&str]) -> (String, JoinHandle<Vec<String>>) {
    let answers: Vec<(&str, &str)> = answers.iter().map(|head| (*head, BODY)).collect();
    start_with(&answers).await
}

/// The same with bodies of the answers.
pub(crate) async fn start_with(answers: &[(&str, &str)]) -> (String, JoinHandle<Vec<String>>) {
    let answers: Vec<String> = answers
        .iter()
        .map(|(head, body)| {
            let length = body.len();
            format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
        })
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let served = tokio::spawn(async move {
        let mut heads = Vec::new();
        for answer in answers {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4096];
            let read = connection.read(&mut head).await.unwrap();
            heads.push(String::from_utf8_lossy(&head[..read]).into_owned());
            connection.write_all(answer.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
            // What is left unread would take the answer away from the client.
            while connection.read(&mut head).await.is_ok_and(|read| read > 0) {}
        }
        heads
    });
    (url, served)
}
