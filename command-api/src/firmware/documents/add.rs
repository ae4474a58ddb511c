//! `POST /firmware/{id}/documents`: add a document, or replace one.
//!
//! The document is checked whole, then its bytes are stored under an id of their own, then the event is stored. Without the event the bytes
//! don't count, and are removed later.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use documents::{Content, Document};
use domain::firmware::{Firmware, FirmwareCommand, FirmwareDocument};
use domain::ids::name_based_uuid;
use domain::{DocumentId, FirmwareId, Key, Rejection};
use utoipa::ToSchema;

use super::incoming::{Parts, content_of, described, digest_of, refused, signer};
use super::model::{DocumentBody, location};
use super::{contents, stored};
use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::form::Form;
use crate::http::path::FirmwarePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Done, Path, Problem, UnreadCommand};
use crate::state::App;

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the multipart body")]
pub(crate) struct DocumentForm {
    /// JSON of at most 64 MiB: CycloneDX 1.4 to 1.6 or SPDX 2.3; OpenVEX or CSAF 2.0; SLSA provenance in a DSSE envelope. Not compressed.
    #[schema(value_type = String, format = Binary, content_media_type = "application/json")]
    document: String,
    /// Which product of a VEX the firmware is: a product id or a package URL of the document.
    product: Option<String>,
    /// Id of the document in whose place it is to be.
    replaces: Option<uuid::Uuid>,
}

/// Add a document to a firmware
///
/// Multipart with the part `document`; its format is recognised. A VEX counts for the product with the SHA-256 of the firmware, or its only
/// product, or the one that `product` names. A provenance must be signed by a key that the tenant trusts (409 `signature_untrusted`), and
/// one of its subjects must have the SHA-256 of the firmware. The same document again: 200, nothing changes. Deleted and withdrawn
/// firmware has documents, too: devices may still run it.
#[utoipa::path(
    post, path = "/firmware/{firmware_id}/documents", tag = "firmware", params(FirmwarePath, CommandHeaders),
    request_body(content = DocumentForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = WithPosition<DocumentBody>),
        (status = 200, description = "The firmware has it already", body = WithPosition<DocumentBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "By no trusted key, or the firmware has as many as it may", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Of no known format, beyond a bound, or not about the firmware", body = ProblemBody, content_type = "application/problem+json"),
        (status = 429, description = "Too many documents at a time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn add_document(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<FirmwarePath>,
    UnreadCommand(envelope): UnreadCommand,
    form: Form,
) -> Result<Response, Problem> {
    let _transfer = app.transfers.upload(&caller.tenant)?;
    let _slot = app.documents.take(&caller.tenant)?;
    let (tenant, id) = (&caller.tenant, path.firmware_id);
    let key = Key::<Firmware>::new(tenant, &id);
    let firmware = app.store.load_fresh(&key).await?;
    let (_, image) = firmware.aggregate.content.as_ref().ok_or(Rejection::FirmwareUnknown)?;
    let Parts { bytes, filename, product, replaces } = Parts::read(&app, form).await?;
    let bytes = bytes.ok_or_else(|| Problem::invalid("document", "this part is missing"))?;
    let read = content_of(bytes.clone(), image.sha256, product.clone()).await?;
    let document = read.map_err(|error| refused(&error))?;
    let signer = signer(&document.content, app.tenants.get(tenant).await?).await?;
    let sha256 = digest_of(bytes.clone()).await?;
    // The digest is part of the id: a request with the same key and other bytes must not overwrite stored bytes.
    let names = [envelope.new_id(&caller).to_string(), sha256.to_string()];
    let new = DocumentId(name_based_uuid(&[names[0].as_str(), names[1].as_str()]));
    let described = described(new, (bytes.len() as u64, sha256), &document, signer, (filename, product));
    let command = FirmwareCommand::AddDocument { document: Box::new(described.clone()), replaces };
    let would_be = app.command(&caller, &envelope.as_dry_run(), &key, command.clone(), None).await?;
    if envelope.dry_run {
        return reply(id, &described, &document, &would_be);
    }
    if !would_be.events.is_empty() {
        app.has_room_for_bytes(tenant, described.size).await?;
    }
    stored::put(&app, tenant, id, new, bytes).await?;
    let outcome = app.command(&caller, &envelope, &key, command, None).await;
    // After another failure the event may have been stored all the same. The next start looks in the log and decides.
    let is_refused = outcome.as_ref().is_err_and(|problem| problem.status().is_client_error());
    if is_refused || outcome.as_ref().is_ok_and(|done| !done.aggregate.has_document(new)) {
        discard(&app, &key, id, new).await;
    }
    let done = outcome?;
    if done.aggregate.has_document(new) {
        contents::store(&app, tenant, new, &document.content).await;
    }
    if let Some(replaced) = replaces.filter(|replaced| !done.aggregate.has_document(*replaced)) {
        contents::drop_document(&app, tenant, id, replaced).await;
    }
    reply(id, &described, &document, &done)
}

/// Removes bytes that the firmware doesn't have. The log decides: the same request may have stored them before.
async fn discard(app: &App, key: &Key<Firmware>, firmware: FirmwareId, document: DocumentId) {
    match app.store.load_fresh(key).await {
        Ok(loaded) if !loaded.aggregate.has_document(document) => {
            stored::remove(app, key.tenant(), firmware, document).await;
        }
        Ok(_) => {}
        Err(error) => {
            tracing::warn!(document.id = %document, %error, "A document that was refused stays until the next start.")
        }
    }
}

fn reply(
    firmware: FirmwareId,
    sent: &FirmwareDocument,
    document: &Document,
    done: &Done<Firmware>,
) -> Result<Response, Problem> {
    let known = done.aggregate.documents.iter();
    let known =
        known.rev().find(|known| known.id == sent.id || (known.sha256, &known.product) == (sent.sha256, &sent.product));
    let shown = known.unwrap_or(sent);
    let entries = match &document.content {
        Content::Sbom(components) => Some(components.len() as u64),
        Content::Vex(statements) => Some(statements.len() as u64),
        Content::Provenance(_) => None,
    };
    let body = DocumentBody::from(shown).with_entries(entries, warnings(&document.content));
    Ok(done.reply_created(body, location(firmware, shown)).into_response())
}

fn warnings(content: &Content) -> Vec<String> {
    match content {
        Content::Sbom(components) => match components.iter().filter(|component| component.package.is_none()).count() {
            0 => vec![],
            nameless => {
                vec![format!("{nameless} components have no valid package URL: no question by purl finds them")]
            }
        },
        Content::Vex(statements) if statements.is_empty() => vec!["it says nothing of the firmware".to_owned()],
        Content::Vex(_) | Content::Provenance(_) => vec![],
    }
}
