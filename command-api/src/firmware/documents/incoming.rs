//! Reads the parts of an upload within their bounds, and checks a document before it is stored.

use std::sync::Arc;

use axum::http::header;
use bytes::Bytes;
use documents::limits::{DOCUMENT_MAX_BYTES, KEPT_TEXT_MAX_BYTES};
use documents::{Content, Document, DocumentError, Provenance, Question, read};
use domain::DocumentId;
use domain::firmware::{FirmwareDocument, KeyFingerprint};
use domain::tenant::Tenant;
use domain::values::Sha256Digest;
use tokio::task::spawn_blocking;
use trust::signatures::VerificationKey;

use crate::firmware::filename;
use crate::firmware::incoming::{arriving, next_chunk};
use crate::firmware::signatures::untrusted;
use crate::http::Problem;
use crate::http::form::Form;
use crate::least_rate::Progress;
use crate::state::App;

/// How much of an unknown part's name a refusal repeats.
const PART_NAME_SHOWN_CHARS: usize = 64;

/// The parts of an upload.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) bytes: Option<Bytes>,
    pub(super) filename: Option<String>,
    pub(super) product: Option<String>,
    pub(super) replaces: Option<DocumentId>,
}

impl Parts {
    pub(super) async fn read(app: &App, mut form: Form) -> Result<Self, Problem> {
        let (mut parts, mut progress) = (Self::default(), Progress::new(app.config.upload_least));
        while let Some(mut field) = arriving(app, form.next_part()).await? {
            let name = field.name().unwrap_or_default().to_owned();
            let (is_given, max_bytes) = match name.as_str() {
                "document" => (parts.bytes.is_some(), DOCUMENT_MAX_BYTES),
                "product" => (parts.product.is_some(), KEPT_TEXT_MAX_BYTES),
                "replaces" => (parts.replaces.is_some(), KEPT_TEXT_MAX_BYTES),
                name => {
                    let name: String = name.chars().take(PART_NAME_SHOWN_CHARS).collect();
                    return Err(Problem::invalid(name, "no such part; the parts are document, product and replaces"));
                }
            };
            if is_given {
                return Err(Problem::invalid(name, "this part is given twice"));
            }
            let disposition = field.headers().get(header::CONTENT_DISPOSITION).cloned();
            let mut bytes = Vec::new();
            while let Some(chunk) = next_chunk(app, &mut field, &mut progress).await? {
                if bytes.len() + chunk.len() > max_bytes {
                    return Err(Problem::invalid(name, format!("larger than {max_bytes} bytes")));
                }
                bytes.extend_from_slice(&chunk);
            }
            match name.as_str() {
                "document" => {
                    parts.bytes = Some(bytes.into());
                    parts.filename = disposition.and_then(|header| filename::uploaded(header.as_bytes()));
                }
                "product" => parts.product = Some(text_of("product", bytes)?),
                _ => {
                    let id = text_of("replaces", bytes)?.parse();
                    parts.replaces = Some(id.map_err(|_| Problem::invalid("replaces", "not the id of a document"))?);
                }
            }
        }
        Ok(parts)
    }
}

fn text_of(name: &str, bytes: Vec<u8>) -> Result<String, Problem> {
    let text = String::from_utf8(bytes).map_err(|_| Problem::invalid(name, "is not text"))?;
    let text = text.trim();
    let is_short = !text.is_empty() && !text.chars().any(char::is_control);
    if is_short { Ok(text.to_owned()) } else { Err(Problem::invalid(name, "is empty, or has control characters")) }
}

/// What a document says of the firmware with this digest. Reading takes long, so it has a thread of its own.
pub(super) async fn content_of(
    bytes: Bytes,
    firmware: Sha256Digest,
    product: Option<String>,
) -> Result<Result<Document, DocumentError>, Problem> {
    let reading = spawn_blocking(move || read(&bytes, Question { sha256: &firmware, product: product.as_deref() }));
    reading.await.map_err(Problem::internal)
}

/// The digest of a document. A large one takes long, so it is computed on a thread of its own.
pub(super) async fn digest_of(bytes: Bytes) -> Result<Sha256Digest, Problem> {
    spawn_blocking(move || Sha256Digest::of(&bytes)).await.map_err(Problem::internal)
}

/// 422 that names the part that is wrong.
pub(super) fn refused(error: &DocumentError) -> Problem {
    Problem::invalid(if error.is_of_product() { "product" } else { "document" }, error.to_string())
}

/// The trusted key that signed a provenance; none for other documents. Each signature is tried with each key, so this has a thread of its
/// own.
pub(super) async fn signer(content: &Content, tenant: Arc<Tenant>) -> Result<Option<KeyFingerprint>, Problem> {
    let Content::Provenance(provenance) = content else { return Ok(None) };
    let provenance = provenance.clone();
    let trying = spawn_blocking(move || trusted_signer(&provenance, &tenant));
    let found = trying.await.map_err(Problem::internal)?;
    found.map(Some).ok_or_else(|| untrusted("it is not an envelope by a key that the tenant trusts"))
}

fn trusted_signer(provenance: &Provenance, tenant: &Tenant) -> Option<KeyFingerprint> {
    let keys = tenant.trusted_keys.0.iter();
    let mut keys = keys.filter_map(|(name, key)| Some((*name, key.public_key.parse::<VerificationKey>().ok()?)));
    let is_signer = |key: &VerificationKey| {
        provenance.signatures.iter().any(|signature| key.verifies_message(&provenance.signed, signature))
    };
    keys.find(|(_, key)| is_signer(key)).map(|(name, _)| name)
}

/// The document as the event has it.
pub(super) fn described(
    id: DocumentId,
    (size, sha256): (u64, Sha256Digest),
    document: &Document,
    key: Option<KeyFingerprint>,
    (filename, product): (Option<String>, Option<String>),
) -> FirmwareDocument {
    FirmwareDocument { id, format: document.format, size, sha256, filename, product, key }
}
