//! `waybill firmware upload` and `add-document`: a file with what belongs to it, sent piece by piece.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use futures::{StreamExt, TryStreamExt, stream};
use http_body_util::StreamBody;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Frame;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::io::AsyncReadExt;

use crate::failure::{Failure, Result};
use crate::fields;
use crate::http::{Body, Payload};
use crate::out;

/// Bytes read and sent at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Signatures of one upload; the service takes no more.
const SIGNATURES_MAX: usize = 16;
/// Parts of an upload that hold a signature, and the flags that name their files.
const SIGNATURES: [(&str, &str); 3] =
    [("signature", "signature"), ("minisign", "minisign"), ("cosign-bundle", "cosign_bundle")];

/// Operations whose body is a file with further parts.
pub(crate) const IMAGE: &str = "upload_firmware";
pub(crate) const DOCUMENT: &str = "add_document";
/// Texts beside a document: the flag, which is the part's name, and what it is.
const OF_DOCUMENT: [(&str, &str); 2] = [
    ("product", "Which product of a VEX the firmware is: a product id or a package URL of the document"),
    ("replaces", "Id of the document in whose place it is to be"),
];

/// A multipart body: a head, the file, a tail.
pub(crate) struct Upload {
    file: PathBuf,
    file_bytes: u64,
    boundary: String,
    head: Bytes,
    tail: Bytes,
    progress: ProgressBar,
}

/// The arguments of an operation beside its fields.
pub(crate) fn arguments(command: Command, operation: &str) -> Command {
    let file = |name| Arg::new("image").value_name(name).required(true).value_parser(value_parser!(PathBuf));
    match operation {
        IMAGE => with_signatures(command.arg(file("FIRMWARE").help("The firmware"))),
        DOCUMENT => {
            let command = command.arg(file("DOCUMENT").help("An SBOM, a VEX or a provenance, JSON"));
            OF_DOCUMENT.iter().fold(command, |command, (flag, help)| {
                command.arg(Arg::new(*flag).long(*flag).value_name("TEXT").help(*help))
            })
        }
        _ => command,
    }
}

fn with_signatures(mut command: Command) -> Command {
    for (flag, _) in SIGNATURES {
        let help = match flag {
            "signature" => "A file with what `waybill firmware sign` printed",
            "minisign" => "A .minisig file",
            _ => "A bundle of cosign",
        };
        command = command.arg(Arg::new(flag).long(flag).value_name("FILE").action(ArgAction::Append).help(help));
    }
    command
}

/// The payload of a firmware's upload.
pub(crate) fn payload(matches: &ArgMatches, metadata: &Value) -> Result<Payload> {
    let mut parts = vec![("metadata", metadata.to_string())];
    for (flag, part) in SIGNATURES {
        for file in matches.get_many::<String>(flag).into_iter().flatten() {
            let text = String::from_utf8(fields::input(file)?)
                .map_err(|_| Failure::usage(format!("{file} is no signature")))?;
            parts.push((part, text));
        }
    }
    if parts.len() > SIGNATURES_MAX + 1 {
        return Err(Failure::usage(format!("at most {SIGNATURES_MAX} signatures go with an upload")));
    }
    with_file(matches, "file", &parts)
}

/// The payload of a document.
pub(crate) fn document(matches: &ArgMatches) -> Result<Payload> {
    let text = |(flag, _): (&'static str, _)| Some((flag, matches.get_one::<String>(flag)?.clone()));
    let parts: Vec<(&str, String)> = OF_DOCUMENT.into_iter().filter_map(text).collect();
    with_file(matches, "document", &parts)
}

/// `part`: the name of the part that the file is.
fn with_file(matches: &ArgMatches, part: &str, parts: &[(&str, String)]) -> Result<Payload> {
    let file = matches.get_one::<PathBuf>("image").cloned().unwrap_or_default();
    let meta = std::fs::metadata(&file)
        .map_err(|error| Failure::usage(format!("{} can't be read: {error}", file.display())))?;
    if !meta.is_file() {
        return Err(Failure::usage(format!("{} is no file", file.display())));
    }
    Ok(Payload::Upload(Arc::new(Upload::new(file, meta.len(), part, parts))))
}

impl Upload {
    fn new(file: PathBuf, file_bytes: u64, part: &str, parts: &[(&str, String)]) -> Self {
        let boundary = format!("waybill-{:032x}", rand::random::<u128>());
        let mut head = String::new();
        for (name, text) in parts {
            head.push_str(&format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"
            ));
        }
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{part}\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
            file_name(&file),
        ));
        let tail = format!("\r\n--{boundary}--\r\n");
        let progress = if out::can_ask() { ProgressBar::new(file_bytes) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
            progress.set_style(style);
        }
        Self { file, file_bytes, boundary, head: head.into(), tail: tail.into(), progress }
    }

    pub(crate) fn length(&self) -> u64 {
        self.head.len() as u64 + self.file_bytes + self.tail.len() as u64
    }

    pub(crate) fn media(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The body from its beginning. A file that has changed meanwhile ends it with an error.
    pub(crate) async fn body(&self) -> Result<Body> {
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
fn file_name(file: &std::path::Path) -> String {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.+".contains(c) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn an_upload_can_be_sent_twice_and_has_its_length() {
        let file = std::env::temp_dir().join(format!("waybill-upload-{}", std::process::id()));
        let content = vec![7_u8; PIECE_BYTES + 5];
        std::fs::write(&file, &content).unwrap();
        let upload = Upload::new(file.clone(), content.len() as u64, "file", &[("metadata", "{}".to_owned())]);
        for _ in 0..2 {
            let body = upload.body().await.unwrap().collect().await.unwrap().to_bytes();
            assert_eq!(body.len() as u64, upload.length());
            let at = upload.head.len();
            assert_eq!(&body[at..at + content.len()], content);
        }
        std::fs::remove_file(file).unwrap();
    }
}
