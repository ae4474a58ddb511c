//! `/devices/{id}/lorawan-keys`: the join keys of a device, write-only. They are a sealed secret; the device says which there are.

use axum::extract::State;
use domain::device::{Device, DeviceCommand, LorawanKey, LorawanKeys, NetworkCommand};
use domain::{DeviceId, Key, Rejection, TenantId};
use event_store::SecretPlace;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trust::SecretValue;
use utoipa::ToSchema;

use super::hold::ReasonRequest;
use crate::auth::Caller;
use crate::fields::Checks;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::reply::{Found, WithPosition};
use crate::http::{Body, CommandRequest, Done, MinPosition, Path, PositionParams, Problem, Reply};
use crate::secret_input::{SecretInput, presence};
use crate::state::App;

/// Hex digits of a key.
const KEY_DIGITS: usize = 32;
const KEY_RULE: &str = "32 hexadecimal digits";

/// The join keys of a device; they replace those that it has.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"nwk_key": "000102030405060708090a0b0c0d0e0f"}))]
pub(crate) struct LorawanKeysRequest {
    /// The AppKey of LoRaWAN 1.0, the NwkKey of 1.1: 32 hexadecimal digits.
    #[schema(value_type = String, format = Password, write_only)]
    nwk_key: SecretInput,
    /// The AppKey of LoRaWAN 1.1.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    app_key: Option<SecretInput>,
    /// For firmware by multicast on LoRaWAN 1.0.
    #[schema(value_type = Option<String>, format = Password, write_only)]
    gen_app_key: Option<SecretInput>,
    reason: Option<String>,
}

/// Which join keys are set.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LorawanKeysBody {
    device_id: String,
    /// `set` or `missing`
    nwk_key: &'static str,
    /// `set` or `missing`
    app_key: &'static str,
    /// `set` or `missing`
    gen_app_key: &'static str,
}

impl LorawanKeysBody {
    fn of(id: &DeviceId, device: &Device) -> Self {
        let keys = device.network().and_then(|network| network.keys.as_ref());
        let shown = |key: LorawanKey| presence(keys.is_some_and(|keys| keys.which.contains(&key)));
        Self {
            device_id: id.to_string(),
            nwk_key: shown(LorawanKey::NwkKey),
            app_key: shown(LorawanKey::AppKey),
            gen_app_key: shown(LorawanKey::GenAppKey),
        }
    }
}

impl LorawanKeysRequest {
    /// The keys by name, and their values as they are kept.
    fn checked(&self) -> Result<(Vec<LorawanKey>, SecretValue), Problem> {
        let given = [
            (LorawanKey::NwkKey, Some(&self.nwk_key)),
            (LorawanKey::AppKey, self.app_key.as_ref()),
            (LorawanKey::GenAppKey, self.gen_app_key.as_ref()),
        ];
        let (mut checks, mut names, mut values) = (Checks::default(), Vec::new(), serde_json::Map::new());
        for (name, key) in given {
            let Some(key) = key.map(SecretInput::reveal) else { continue };
            if key.len() != KEY_DIGITS || !key.bytes().all(|b| b.is_ascii_hexdigit()) {
                checks.fail(name.word(), KEY_RULE);
            }
            names.push(name);
            values.insert(name.word().to_owned(), json!(key.to_ascii_lowercase()));
        }
        checks.finish()?;
        Ok((names, SecretValue::new(serde_json::to_vec(&values).map_err(Problem::internal)?)))
    }
}

/// Which join keys a device has
///
/// `set` or `missing`; the keys themselves are never shown.
#[utoipa::path(
    get, path = "/devices/{device_id}/lorawan-keys", tag = "lorawan", params(DevicePath, PositionParams),
    responses(
        (status = 200, body = LorawanKeysBody),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_lorawan_keys(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    min_position: MinPosition,
) -> Result<Found<LorawanKeysBody>, Problem> {
    min_position.of_this_log(&app).await?;
    let loaded = app.store.load_fresh(&Key::<Device>::new(&caller.tenant, &path.device_id)).await?;
    if loaded.version == 0 {
        return Err(Rejection::DeviceUnknown.into());
    }
    Ok(Found { version: loaded.version, resource: LorawanKeysBody::of(&path.device_id, &loaded.aggregate) })
}

/// Set the join keys of a device
///
/// With them a device that joins over the air (OTAA) can join: they are written to the network server with the device. They replace those that
/// it has, are kept sealed, and never shown again.
#[utoipa::path(
    put, path = "/devices/{device_id}/lorawan-keys", tag = "lorawan", request_body = LorawanKeysRequest,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<LorawanKeysBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Decommissioned", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The keys can't be kept now", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn set_lorawan_keys(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<LorawanKeysRequest>>,
) -> Result<Reply<LorawanKeysBody>, Problem> {
    let envelope = envelope.without_digest();
    let (keys, value) = wanted.checked()?;
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let secret = LorawanKeys::secret_of(&path.device_id);
    let place = SecretPlace::new(&caller.tenant, &secret);
    let command = DeviceCommand::Network { wanted: NetworkCommand::SetKeys { keys, secret } };
    // A device that is refused keeps the keys that it has.
    let checked = app.command(&caller, &envelope.as_dry_run(), &key, command.clone(), wanted.reason.clone()).await?;
    if envelope.dry_run {
        return Ok(checked.reply(LorawanKeysBody::of(&path.device_id, &checked.aggregate)));
    }
    // Of a request that was carried out before, the keys are kept already, or others are by now.
    if !envelope.is_stored(&caller, &*app.store.load(&key).await?) {
        app.secrets()?.put(&place, &value).await?;
    }
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    Ok(done.reply(LorawanKeysBody::of(&path.device_id, &done.aggregate)))
}

/// Remove the join keys of a device
///
/// Here and in the network server. The device can't join again without others.
#[utoipa::path(
    delete, path = "/devices/{device_id}/lorawan-keys", tag = "lorawan", request_body = ReasonRequest,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 200, body = WithPosition<LorawanKeysBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remove_lorawan_keys(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(wanted)): CommandRequest<Body<ReasonRequest>>,
) -> Result<Reply<LorawanKeysBody>, Problem> {
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let command = DeviceCommand::Network { wanted: NetworkCommand::RemoveKeys };
    let done = app.command(&caller, &envelope, &key, command, wanted.reason).await?;
    if !done.dry_run {
        forget(&app, &caller.tenant, &path.device_id, &done).await;
    }
    Ok(done.reply(LorawanKeysBody::of(&path.device_id, &done.aggregate)))
}

/// Removes the kept keys of a device that has none any more.
pub(super) async fn forget(app: &App, tenant: &TenantId, id: &DeviceId, done: &Done<Device>) {
    let network = done.aggregate.network();
    let had_keys = network.is_some_and(|network| network.keys_revision > 0 && network.keys.is_none());
    if had_keys {
        app.forget_secret(tenant, &LorawanKeys::secret_of(id)).await;
    }
}
