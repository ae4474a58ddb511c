//! `POST /devices/{id}/rollback`: a device goes back to what it ran before.

use axum::extract::State;
use domain::device::{Device, DeviceCommand, FirmwareSnapshot, Lifecycle, UpdateKind, UpdateRequest};
use domain::rollback::{self, RollbackObstacle};
use domain::values::{FIRMWARE_COMPONENT, Priority, VERSION_MAX_BYTES, is_component};
use domain::version::is_same;
use domain::{FirmwareId, Key, Rejection};
use projections::FLEET;
use projections::firmware_catalog::{FirmwareCatalog, FormerFirmware};
use projections::rollbacks::changes;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::http::commands::CommandHeaders;
use crate::http::path::DevicePath;
use crate::http::position::wait_for_head;
use crate::http::problem::ProblemBody;
use crate::http::reply::WithPosition;
use crate::http::{Body, CommandRequest, Path, Problem, Reply};
use crate::state::App;
use crate::updates::{
    RETRIES_DEFAULT, TIMEOUT_DEFAULT_MINUTES, UpdateBody, WAIT_DEFAULT_MINUTES, limits, queued, usable_firmware,
};

/// A rollback of a device.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to_version": "1.4.2", "reason": "2.0.0 loses its network at night"}))]
pub(crate) struct RollbackOrder {
    /// The component that goes back.
    #[serde(default = "firmware")]
    #[schema(default = "firmware")]
    component: String,
    /// A version that the component ran at some time; by default the one before the present one.
    to_version: Option<String>,
    reason: Option<String>,
}

fn firmware() -> String {
    FIRMWARE_COMPONENT.to_owned()
}

/// Roll a device back
///
/// An update of kind `rollback`, ahead of all other updates that wait for the device. Without `to_version` the device goes back to what it
/// ran before, by its firmware history. 409 `rollback_impossible` with a `reason`: `no_previous_version`, `never_ran`, `firmware_unknown`
/// (the old firmware was never uploaded, or is deleted), `firmware_withdrawn`, `update_under_way` (cancel it first), or `not_allowed` (the
/// firmware that runs has `rollback_allowed: false`). 409 `not_eligible` for a held device, and for a version that runs already.
#[utoipa::path(
    post, path = "/devices/{device_id}/rollback", tag = "rollbacks", request_body = RollbackOrder,
    params(DevicePath, CommandHeaders),
    responses(
        (status = 201, body = WithPosition<UpdateBody>),
        (status = 404, body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn roll_back_device(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    CommandRequest(envelope, Body(order)): CommandRequest<Body<RollbackOrder>>,
) -> Result<Reply<UpdateBody>, Problem> {
    let id = path.device_id;
    let key = Key::<Device>::new(&caller.tenant, &id);
    if let Some(done) = app.repeated(&caller, &envelope, &key).await? {
        return queued(&app, &key, &id, &done).await;
    }
    if !is_component(&order.component) {
        return Err(Problem::invalid("component", "is not a component's name"));
    }
    if order.to_version.as_deref().is_some_and(|version| !is_version(version)) {
        return Err(Problem::invalid(
            "to_version",
            format!("1 to {VERSION_MAX_BYTES} bytes without control characters"),
        ));
    }
    let loaded = app.store.load_fresh(&key).await?;
    let device = &loaded.aggregate;
    if device.lifecycle == Lifecycle::Absent {
        return Err(Rejection::DeviceUnknown.into());
    }
    app.tenants.rules_of_dispatch(&caller.tenant).await?;
    wait_for_head(&app, &[FLEET]).await?;
    let firmware = usable_firmware(&app, &caller, target(&app, &caller, id.as_str(), device, &order).await?).await?;
    let request = Box::new(request(&app, device, firmware, &order.component));
    let done = app.command(&caller, &envelope, &key, DeviceCommand::RequestUpdate { request }, order.reason).await?;
    queued(&app, &key, &id, &done).await
}

fn is_version(text: &str) -> bool {
    (1..=VERSION_MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The firmware that the device goes back to.
async fn target(
    app: &App,
    caller: &Caller,
    id: &str,
    device: &Device,
    order: &RollbackOrder,
) -> Result<FirmwareId, Problem> {
    let component = &order.component;
    if let Some(live) = device.live().filter(|live| live.spec.firmware.component == *component) {
        let ordinal = live.ordinal;
        let detail = format!("update {ordinal} of the {component} has begun: cancel it, or wait for its end");
        return Err(refused(RollbackObstacle::UpdateUnderWay, detail));
    }
    let model = device.profile.device_model.as_deref().unwrap_or_default();
    let mut tx = app.db.read(&caller.tenant).await?;
    let ran = changes(&mut tx, &caller.tenant, id, component).await?;
    let catalog = FirmwareCatalog::read(&mut tx, caller.tenant.as_str(), model, component).await?;
    drop(tx);
    let running = device.versions.get(component).map(String::as_str);
    let version = match (&order.to_version, running) {
        (Some(wanted), _) if rollback::ran(wanted, &ran) => wanted.as_str(),
        (Some(wanted), _) => {
            return Err(refused(RollbackObstacle::NeverRan, format!("the device never ran {component} {wanted}")));
        }
        (None, Some(running)) => rollback::previous_version(running, &ran).ok_or_else(|| {
            let detail = format!(
                "no version of {component} before {running} is known, except versions that the device left by a rollback or \
                 by falling back: name any version that it ran as to_version"
            );
            refused(RollbackObstacle::NoPreviousVersion, detail)
        })?,
        (None, None) => {
            let detail = format!("the device has not reported which {component} it runs");
            return Err(refused(RollbackObstacle::NoPreviousVersion, detail));
        }
    };
    if let Some(running) = running.filter(|running| !catalog.may_be_left(running)) {
        let detail = format!("{component} {running} doesn't allow a rollback (rollback_allowed is false)");
        return Err(refused(RollbackObstacle::NotAllowed, detail));
    }
    let confirmed = confirmed_before(device, component, version);
    let former = FormerFirmware { version, firmware_id: confirmed.as_deref() };
    catalog.target(former).map_err(|obstacle| {
        let detail = match obstacle {
            RollbackObstacle::FirmwareWithdrawn => format!("{component} {version} for model {model} is withdrawn"),
            _ => format!("there is no firmware {component} {version} for model {model}: upload it first"),
        };
        refused(obstacle, detail)
    })
}

/// The firmware of a version, if the device was confirmed to run it before its present update.
fn confirmed_before(device: &Device, component: &str, version: &str) -> Option<String> {
    let update = device.update(device.confirmed.get(component)?.update.ordinal)?;
    let from = update.spec.from_version.as_deref().filter(|from| is_same(from, version));
    from.and(update.spec.from_firmware_id).map(|id| id.to_string())
}

fn refused(obstacle: RollbackObstacle, detail: String) -> Problem {
    let rejection: Rejection = obstacle.refuses(detail);
    rejection.into()
}

fn request(app: &App, device: &Device, firmware: FirmwareSnapshot, component: &str) -> UpdateRequest {
    let running = device.versions.get(component);
    let confirmed = device.confirmed.get(component);
    UpdateRequest {
        firmware,
        priority: Priority::Normal,
        kind: UpdateKind::Rollback,
        limits: limits(&app.config, TIMEOUT_DEFAULT_MINUTES, WAIT_DEFAULT_MINUTES),
        max_attempts: RETRIES_DEFAULT + 1,
        activate: true,
        force_update: false,
        allow_downgrade: true,
        require_digest_report: false,
        preconditions: None,
        retry_of: None,
        rolls_back: confirmed
            .filter(|confirmed| running.is_some_and(|running| confirmed.is_run_by(running)))
            .map(|confirmed| confirmed.update.ordinal),
    }
}
