//! What a request sends: nothing, JSON, CSV, or a multipart form with a file, which is read while it is sent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::failure::{Failure, Result};
use crate::out;

/// Bytes of a file that are read and sent at a time.
const PIECE_BYTES: usize = 256 * 1024;

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The body of a request. It can be made more than once, for further attempts.
#[derive(Clone)]
pub(crate) enum Payload {
    None,
    Json(Value),
    Csv(Bytes),
    Form(Arc<Form>),
}

/// A multipart form: a head with all texts, one file, a tail.
pub(crate) struct Form {
    file: PathBuf,
    file_bytes: u64,
    boundary: String,
    head: Bytes,
    tail: Bytes,
    progress: ProgressBar,
}

impl Payload {
    /// The media type; none without a body.
    pub(crate) fn media(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Json(_) => Some("application/json".to_owned()),
            Self::Csv(_) => Some("text/csv".to_owned()),
            Self::Form(form) => Some(format!("multipart/form-data; boundary={}", form.boundary)),
        }
    }

    /// The length in bytes of a body that is a stream. The HTTP client knows the length of the others.
    pub(crate) fn stream_bytes(&self) -> Option<u64> {
        match self {
            Self::Form(form) => Some(form.length()),
            _ => None,
        }
    }

    /// The body from its beginning.
    pub(crate) async fn body(&self) -> Result<Body> {
        match self {
            Self::None => Ok(whole(Bytes::new())),
            Self::Json(value) => Ok(whole(value.to_string().into())),
            Self::Csv(bytes) => Ok(whole(bytes.clone())),
            Self::Form(form) => form.body().await,
        }
    }
}

fn whole(bytes: Bytes) -> Body {
    UnsyncBoxBody::new(Full::new(bytes).map_err(|never| match never {}))
}

impl Form {
    /// `part` is the name of the part with the file; `texts` are the names and texts of the other parts.
    pub(crate) fn new(part: &str, file: PathBuf, texts: &[(&str, String)]) -> Result<Self> {
        let unreadable = |error: std::io::Error| Failure::usage(format!("{} can't be read: {error}", file.display()));
        let meta = std::fs::metadata(&file).map_err(unreadable)?;
        if !meta.is_file() {
            return Err(Failure::usage(format!("{} is no file", file.display())));
        }
        let boundary = format!("waybill-{:032x}", rand::random::<u128>());
        let mut head = String::new();
        for (name, text) in texts {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            ));
        }
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            file_name(&file),
        ));
        let tail = format!("\r\n--{boundary}--\r\n");
        let file_bytes = meta.len();
        let progress = if out::can_ask() { ProgressBar::new(file_bytes) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            progress.set_style(style);
        }
        Ok(Self { file, file_bytes, boundary, head: head.into(), tail: tail.into(), progress })
    }

    fn length(&self) -> u64 {
        self.head.len() as u64 + self.file_bytes + self.tail.len() as u64
    }

    /// A file that has become shorter gives a shorter body than `length`, so the request fails.
    async fn body(&self) -> Result<Body> {
        let file = tokio::fs::File::open(&self.file).await;
        let file = file.map_err(|error| Failure::usage(format!("{} can't be read: {error}", self.file.display())))?;
        self.progress.set_position(0);
        let progress = self.progress.clone();
        let pieces = stream::try_unfold((file.take(self.file_bytes), progress), |(mut file, progress)| async move {
            let mut piece = vec![0; PIECE_BYTES];
            let read = file.read(&mut piece).await?;
            if read == 0 {
                progress.finish_and_clear();
                return Ok(None);
            }
            progress.inc(read as u64);
            piece.truncate(read);
            Ok(Some((Bytes::from(piece), (file, progress))))
        });
        let (head, tail) = (self.head.clone(), self.tail.clone());
        let whole = stream::once(async { Ok(head) }).chain(pieces).chain(stream::once(async { Ok(tail) }));
        Ok(UnsyncBoxBody::new(StreamBody::new(whole.map_ok(Frame::data))))
    }
}

/// The file's name as a header takes it.
fn file_name(file: &Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_form_can_be_sent_twice_and_has_its_length() {
        let file = std::env::temp_dir().join(format!("waybill-form-{}", std::process::id()));
        let content = vec![7_u8; PIECE_BYTES + 5];
        std::fs::write(&file, &content).unwrap();
        let form = Arc::new(Form::new("file", file.clone(), &[("metadata", "{}".to_owned())]).unwrap());
        let payload = Payload::Form(Arc::clone(&form));
        for _ in 0..2 {
            let body = payload.body().await.unwrap().collect().await.unwrap().to_bytes();
            assert_eq!(Some(body.len() as u64), payload.stream_bytes());
            let at = form.head.len();
            assert_eq!(&body[at..at + content.len()], content);
        }
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn a_directory_is_no_file() {
        assert!(Form::new("file", std::env::temp_dir(), &[]).is_err());
    }
}
