//! `POST /firmware`: upload a firmware as multipart, parts in any order.
//!
//! The bytes are streamed to the store. Then everything is checked, then they are moved to their path, then the event is stored: an upload
//! that fails at any step leaves nothing that can be downloaded.

use axum::extract::State;
use axum::extract::multipart::Field;
use axum::response::{IntoResponse, Response};
use domain::firmware::{
    Deletion, Firmware, FirmwareCommand, FirmwareEvent, FirmwareMetadata, FirmwareSignature, FirmwareStatus,
    RollbackNeed, SIGNATURES_MAX,
};
use domain::tenant::Tenant;
use domain::{FirmwareId, Key, TenantId};
use event_store::CommandHash;
use serde_json::json;
use utoipa::ToSchema;

use super::incoming::{Incoming, arriving, discard, next_chunk, receive};
use super::metadata::UploadMetadata;
use super::model::{FirmwareBody, location, object_path};
use super::removal::{self, Kept};
use super::signatures::{self, SIGNATURE_PART_MAX_BYTES, SignatureRequest, Signed};
use super::store_problem::broken_store;
use crate::auth::Caller;
use crate::devices::key::claim_for;
use crate::http::commands::CommandHeaders;
use crate::http::form::Form;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Done, Envelope, Problem, UnreadCommand, body};
use crate::least_rate::Progress;
use crate::state::App;

/// Largest `metadata` part, in bytes.
const METADATA_MAX_BYTES: usize = 64 * 1024;

/// How much of an unknown part's name a refusal repeats.
const PART_NAME_SHOWN_CHARS: usize = 64;

/// The parts of an upload.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the multipart body")]
pub(crate) struct UploadForm {
    metadata: UploadMetadata,
    #[schema(value_type = String, format = Binary, content_media_type = "application/octet-stream")]
    file: String,
    /// A signature of the manifest, as `waybill firmware sign` prints it; may come more than once.
    signature: Option<SignatureRequest>,
    /// A `.minisig` file over the bytes; may come more than once.
    minisign: Option<String>,
    /// A bundle of cosign over the bytes; may come more than once.
    cosign_bundle: Option<String>,
}

/// Upload a firmware
///
/// Multipart with the parts `metadata` (JSON) and `file`, in any order, and with up to 16 signatures in further parts: `signature`,
/// `minisign`, `cosign_bundle`. Each must be by a key that the tenant trusts, else nothing is kept. The same bytes again: 200 with the
/// existing firmware, which gets the signatures that it lacks. Other bytes for the same model, component and version: 409. Given sizes and
/// digests must match.
#[utoipa::path(
    post, path = "/firmware", tag = "firmware", params(CommandHeaders),
    request_body(content = UploadForm, content_type = "multipart/form-data"),
    responses(
        (status = 201, body = WithPosition<FirmwareBody>),
        (status = 200, description = "The same bytes existed already", body = WithPosition<FirmwareBody>),
        (status = 408, description = "It came too slowly", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It exists with other bytes, or a signature is by no trusted key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A digest differs, or a field is wrong", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn upload_firmware(
    State(app): State<App>,
    caller: Caller,
    UnreadCommand(envelope): UnreadCommand,
    form: Form,
) -> Result<Response, Problem> {
    let _transfer = app.transfers.upload(&caller.tenant)?;
    let tenant = app.tenants.get(&caller.tenant).await?;
    let mut parts = Parts::default();
    let read = parts.read(&app, &caller.tenant, &tenant, form).await;
    let (metadata, incoming, signatures) = match (read, parts) {
        (Ok(()), Parts { metadata: Some(metadata), file: Some(file), signatures }) => (metadata, file, signatures),
        (read, parts) => {
            let missing = if parts.metadata.is_none() { "metadata" } else { "file" };
            if let Some(file) = parts.file {
                file.drop_bytes().await;
            }
            return Err(read.err().unwrap_or_else(|| Problem::invalid(missing, "this part is missing")));
        }
    };
    match checked(metadata, &incoming, &signatures, &tenant) {
        Ok(upload) => store(&app, &caller, &envelope, upload, incoming).await,
        Err(problem) => {
            incoming.drop_bytes().await;
            Err(problem)
        }
    }
}

/// What is said of the bytes, checked with them.
struct Upload {
    metadata: FirmwareMetadata,
    signatures: Vec<FirmwareSignature>,
}

fn checked(
    metadata: UploadMetadata,
    incoming: &Incoming,
    signatures: &[SignatureRequest],
    tenant: &Tenant,
) -> Result<Upload, Problem> {
    metadata.check_bytes(&incoming.bytes)?;
    let metadata = metadata.into_domain();
    let signed = Signed { metadata: &metadata, bytes: &incoming.bytes, blake2b_512: incoming.blake2b_512 };
    let signatures = signatures::checked("signature", signatures, tenant, &signed)?;
    Ok(Upload { metadata, signatures })
}

/// The parts read so far.
#[derive(Default)]
struct Parts {
    metadata: Option<UploadMetadata>,
    file: Option<Incoming>,
    signatures: Vec<SignatureRequest>,
}

impl Parts {
    async fn read(&mut self, app: &App, id: &TenantId, tenant: &Tenant, mut form: Form) -> Result<(), Problem> {
        let mut progress = Progress::new(app.config.upload_least);
        while let Some(mut field) = arriving(app, form.next_part()).await? {
            match field.name().unwrap_or_default() {
                "metadata" if self.metadata.is_none() => {
                    let text = text_of(app, &mut field, &mut progress, "metadata", METADATA_MAX_BYTES).await?;
                    let metadata: UploadMetadata = body::parse(&text)?;
                    metadata.check()?;
                    self.metadata = Some(metadata);
                }
                "file" if self.file.is_none() => {
                    self.file =
                        Some(receive(app, id, &mut field, &mut progress, !tenant.trusted_keys.is_empty()).await?);
                }
                "signature" | "minisign" | "cosign_bundle" => {
                    if self.signatures.len() >= SIGNATURES_MAX {
                        return Err(Problem::invalid("signature", format!("at most {SIGNATURES_MAX}")));
                    }
                    let name = field.name().unwrap_or_default().to_owned();
                    let text = text_of(app, &mut field, &mut progress, &name, SIGNATURE_PART_MAX_BYTES).await?;
                    self.signatures.push(SignatureRequest::of_part(&name, &text)?);
                }
                name @ ("metadata" | "file") => return Err(Problem::invalid(name, "this part is given twice")),
                name => {
                    let name: String = name.chars().take(PART_NAME_SHOWN_CHARS).collect();
                    return Err(Problem::invalid(
                        name,
                        "no such part; the parts are metadata, file, signature, minisign and cosign_bundle",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// A small part, whole.
async fn text_of(
    app: &App,
    field: &mut Field<'_>,
    progress: &mut Progress,
    name: &str,
    max_bytes: usize,
) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::new();
    while let Some(chunk) = next_chunk(app, field, progress).await? {
        if text.len() + chunk.len() > max_bytes {
            return Err(Problem::invalid(name, format!("larger than {max_bytes} bytes")));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(text)
}

async fn store(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    Upload { metadata, signatures }: Upload,
    incoming: Incoming,
) -> Result<Response, Problem> {
    let id = FirmwareId::derive(&caller.tenant, &metadata.device_model, &metadata.component, &metadata.version);
    let key = Key::<Firmware>::new(&caller.tenant, &id);
    let bytes = incoming.bytes.clone();
    let sha256 = bytes.sha256;
    let command = FirmwareCommand::Register { metadata: Box::new(metadata), bytes, signatures };
    // It may have been closed while the bytes came, and nothing removes them afterwards.
    let allowed = match app.tenants.must_be_open(&caller.tenant).await {
        Ok(()) => allow(app, caller, envelope, &key, &command).await,
        Err(shut) => Err(shut),
    };
    let allowed = match allowed {
        // The same bytes again are counted already, also when they bring signatures.
        Ok(would_be) if has_new_bytes(&would_be) => {
            app.has_room_for_bytes(&caller.tenant, incoming.bytes.size).await.map(|()| would_be)
        }
        allowed => allowed,
    };
    let outcome = match allowed {
        Ok(would_be) if envelope.dry_run => {
            incoming.drop_bytes().await;
            Ok(would_be)
        }
        Ok(_) => {
            incoming.keep(&caller.tenant, &id).await?;
            let outcome = app.command(caller, envelope, &key, command, None).await;
            if outcome.as_ref().is_err_and(|problem| problem.status().is_client_error()) {
                discard(app, &caller.tenant, &id, &sha256).await;
            }
            if outcome.is_ok() {
                has_its_bytes(app, caller, envelope, &key, Kept { tenant: caller.tenant.clone(), id, sha256 }).await?;
                // So that the first download needn't wait for it.
                drop(app.proofs.read(app, &object_path(&caller.tenant, &id, &sha256), sha256));
            }
            outcome
        }
        Err(problem) => {
            incoming.drop_bytes().await;
            Err(problem)
        }
    };
    let done = outcome.map_err(|problem| name_existing(problem, id))?;
    reply(id, &done)
}

/// A deletion that ran at the same time may have removed the bytes before the event was stored. Then the firmware is deleted again.
async fn has_its_bytes(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    key: &Key<Firmware>,
    kept: Kept,
) -> Result<(), Problem> {
    if removal::are_there(app, &kept).await.map_err(broken_store(app))? {
        return Ok(());
    }
    let firmware = app.store.load_fresh(key).await?;
    if !matches!(firmware.aggregate.status, FirmwareStatus::Active | FirmwareStatus::Deprecated) {
        return Ok(());
    }
    app.store
        .execute(
            key,
            envelope.bare_request(
                caller,
                FirmwareCommand::Delete(Deletion { forced: false, rollback_need: Some(RollbackNeed::default()) }),
            ),
        )
        .await?;
    removal::remove(app, &kept).await;
    Err(Problem::unavailable("firmware_being_deleted", "the firmware was just being deleted; upload it again"))
}

/// The outcome of a dry run. After it the key belongs to this upload; a refusal doesn't change the key.
async fn allow(
    app: &App,
    caller: &Caller,
    envelope: &Envelope,
    key: &Key<Firmware>,
    command: &FirmwareCommand,
) -> Result<Done<Firmware>, Problem> {
    let asking = envelope.as_dry_run();
    let owner = match envelope.reason() {
        Some(reason) => CommandHash::of(&(command, reason)),
        None => CommandHash::of(command),
    };
    let owner = owner.map_err(Problem::internal)?.to_hex();
    claim_for(app, caller, &asking, owner.clone()).await?;
    let would_be = app.command(caller, &asking, key, command.clone(), None).await?;
    claim_for(app, caller, envelope, owner).await?;
    Ok(would_be)
}

fn reply(id: domain::FirmwareId, done: &Done<Firmware>) -> Result<Response, Problem> {
    let body = FirmwareBody::done(id, done).ok_or_else(|| Problem::internal("a firmware without content"))?;
    let reply = if has_new_bytes(done) { done.reply_created(body, location(id)) } else { done.reply(body) };
    Ok(reply.into_response())
}

/// Whether an upload brings bytes that the tenant didn't have.
fn has_new_bytes(done: &Done<Firmware>) -> bool {
    use FirmwareEvent as E;
    done.events.iter().any(|event| matches!(event, E::Registered { .. } | E::Restored { .. }))
}

/// Adds the existing firmware to a conflict.
fn name_existing(problem: Problem, id: domain::FirmwareId) -> Problem {
    let sha256 = problem.facts().and_then(|facts| facts.get("sha256").cloned());
    match sha256 {
        Some(sha256) => problem.with_facts(json!({"firmware_id": id, "sha256": sha256})),
        None => problem,
    }
}
