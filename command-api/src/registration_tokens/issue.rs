//! `POST /registration-tokens`: a token with which devices register themselves.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::IntoResponse;
use chrono::{DateTime, TimeDelta, Utc};
use domain::registration_token::{
    LIFE_DEFAULT_DAYS, RegistrationScope, RegistrationTerms, RegistrationToken, RegistrationTokenCommand,
    RegistrationTokenEvent,
};
use domain::{Key, RegistrationTokenId, TokenHash};
use runtime::clock;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::model::{RegistrationTokenBody, location};
use crate::auth::Caller;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Problem};
use crate::shown_token::{NOT_CACHED, ShownToken, shown_before};
use crate::state::App;

/// Which devices may register themselves, how many and how long.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "device_model": "SF-2024-Pro", "id_prefix": "SN-24-", "tags": {"batch": "24-07"}, "devices_max": 500,
    "reason": "batch 24-07",
}))]
pub(crate) struct RegistrationTokenRequest {
    /// Only devices of this model.
    device_model: Option<String>,
    /// Only devices of this type.
    device_type: Option<String>,
    /// Only devices whose ids begin with it.
    id_prefix: Option<String>,
    /// Tags of the devices that it registers.
    #[serde(default)]
    tags: BTreeMap<String, String>,
    /// At most 366 days ahead; in 30 days when absent.
    expires_at: Option<DateTime<Utc>>,
    /// Most devices that may use it, each counted once: 1 to 100,000.
    #[schema(minimum = 1, maximum = 100_000)]
    devices_max: u32,
    reason: Option<String>,
}

/// A registration token with its text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IssuedRegistrationToken {
    /// For the firmware of the devices. Null on a dry run.
    token: Option<ShownToken>,
    #[serde(flatten)]
    body: RegistrationTokenBody,
}

impl RegistrationTokenRequest {
    fn checked(self, now: DateTime<Utc>) -> Result<RegistrationTerms, Problem> {
        let mut checks = Checks::default();
        checks.short("device_model", self.device_model.as_deref());
        checks.short("device_type", self.device_type.as_deref());
        checks.tags("tags", self.tags.iter().map(|(key, value)| (key, Some(value))));
        let Self { device_model, device_type, id_prefix, tags, expires_at, devices_max, .. } = self;
        let scope = RegistrationScope { device_model, device_type, id_prefix, tags };
        let expires_at = expires_at.unwrap_or(now + TimeDelta::days(LIFE_DEFAULT_DAYS));
        let terms = RegistrationTerms { scope, expires_at, devices_max };
        checks.violations(terms.violations(now));
        checks.finish()?;
        Ok(terms)
    }
}

/// Issue a registration token
///
/// Devices register themselves with it (`POST /device-registrations`). Its text is shown in this reply only: it is not stored. Who has it
/// can register devices, and get credentials for known devices in its scope that have none or came with it, until it is revoked: use one for each batch.
#[utoipa::path(
    post, path = "/registration-tokens", tag = "registration tokens", request_body = RegistrationTokenRequest,
    params(CommandHeaders),
    responses(
        (status = 201, body = WithPosition<IssuedRegistrationToken>),
        (status = 409, description = "The same request again: its token can't be shown again", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn issue_registration_token(
    State(app): State<App>,
    caller: Caller,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<RegistrationTokenRequest>>,
) -> Result<impl IntoResponse, Problem> {
    let id = RegistrationTokenId(envelope.new_id(&caller));
    let key = Key::<RegistrationToken>::new(&caller.tenant, &id);
    if app.repeated(&caller, &envelope, &key).await?.is_some() {
        return Err(shown_before("token_id", id));
    }
    let reason = wanted.reason.clone();
    let terms = wanted.checked(clock::now())?;
    let token = trust::RegistrationToken::generate(caller.tenant.clone(), id);
    let hash = app.config.token_hasher.hash(&token);
    let command = RegistrationTokenCommand::Issue { hash, terms };
    let done = app.command(&caller, &envelope, &key, command, reason).await?;
    // The same request was carried out at the same moment.
    if !has_issued(&done.events, hash) {
        return Err(shown_before("token_id", id));
    }
    let token = (!done.dry_run).then(|| ShownToken::of(&token));
    let issued = IssuedRegistrationToken { token, body: RegistrationTokenBody::done(id, &done) };
    Ok((NOT_CACHED, done.reply_created(issued, location(id))))
}

fn has_issued(events: &[RegistrationTokenEvent], wanted: TokenHash) -> bool {
    events.iter().any(|event| matches!(event, RegistrationTokenEvent::Issued { hash, .. } if *hash == wanted))
}
