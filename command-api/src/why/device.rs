//! `GET /devices/{id}/why`: how a device came to run its version, from the first cause to the proof.

use axum::Json;
use axum::extract::State;
use domain::device::{Device, DeviceEvent, Origin, OriginKind, version_origin};
use domain::values::{FIRMWARE_COMPONENT, is_component};
use domain::{DeviceId, Key, UpdateId};
use event_store::{At, Entry, Recorded};
use projections::ARCHIVE;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::chain::{ChainBody, OwnEvents, Walked};
use super::sentence;
use crate::auth::Caller;
use crate::http::past::MomentParams;
use crate::http::path::DevicePath;
use crate::http::problem::ProblemBody;
use crate::http::query::refused;
use crate::http::{FilterSet, Filters, MinPosition, Path, PositionParams, Problem};
use crate::state::App;

/// Most events of a device that are read for one answer.
const EVENTS_READ_MAX: usize = 20_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhyParams {
    /// `firmware` by default.
    component: Option<String>,
    #[serde(flatten)]
    #[param(ignore)]
    moment: MomentParams,
}

impl FilterSet for WhyParams {}

/// The latest update of a device, if it isn't the one that explains the version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LatestUpdate {
    #[schema(example = "d-1~17")]
    update_id: String,
    /// Its latest event, as a sentence.
    answer: String,
    #[serde(flatten)]
    chain: ChainBody,
}

/// Why a device runs its version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WhyBody {
    device_id: String,
    component: String,
    /// Null if it is not known.
    version: Option<String>,
    /// `update` (an update brought it), `rollback`, `regression` (the device left a confirmed version by itself), `reported` (the device says so, and
    /// no update brought it), `stated` (at the registration, or by an operator), or `unknown`.
    cause: &'static str,
    /// The answer in one sentence.
    answer: String,
    #[schema(example = "d-1~17")]
    update_id: Option<String>,
    campaign_id: Option<String>,
    #[serde(flatten)]
    chain: ChainBody,
    /// Why a later update didn't change the version: an update that failed, waits, or is under way.
    latest_update: Option<LatestUpdate>,
    /// Events after this position are not included.
    #[schema(example = "1790000000123-42")]
    at_position: String,
}

/// Explain what a device runs
///
/// The events that led to the version that the device runs, each with its position, time and actor: from the request of an operator, over the campaign
/// and its slots, to the report that proved it. For a device that no update has reached, the event that made its version known. If a later update
/// failed or is under way, `latest_update` has its chain, too. With `at_time` or `at_position`, the answer at that time or position.
#[utoipa::path(
    get, path = "/devices/{device_id}/why", tag = "devices", params(DevicePath, WhyParams, MomentParams, PositionParams),
    responses(
        (status = 200, body = WhyBody),
        (status = 404, description = "Unknown, or not yet registered then", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "A time or position in the future", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn device_why(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<DevicePath>,
    Filters(params): Filters<WhyParams>,
    min_position: MinPosition,
) -> Result<Json<WhyBody>, Problem> {
    let component = params.component.unwrap_or_else(|| FIRMWARE_COMPONENT.to_owned());
    if !is_component(&component) {
        return Err(refused("component", "is not a component's name"));
    }
    min_position.of_this_log(&app).await?;
    let head = app.store.log().info().await?.last_sequence;
    let moment = params.moment.moment(&app).await?.unwrap_or(At::Position(head));
    let key = Key::<Device>::new(&caller.tenant, &path.device_id);
    let events = events_until(&app, &key, moment).await?;
    let Some(last) = events.last() else { return Err(Problem::not_found("no such device, or not yet then")) };
    // Causes of its events are older than the newest of them.
    MinPosition::from(app.token(last.position.sequence).await?).wait(&app, &caller, &[ARCHIVE]).await?;
    let at_position = match moment {
        At::Position(position) => app.token(position).await?,
        At::Event(event) => app.token(event.sequence).await?,
        At::Time(_) => app.token(last.position.sequence).await?,
    };
    let story = Story { app: &app, key: &key, device: &path.device_id, events };
    story.told(component, at_position.to_string()).await.map(Json)
}

/// The events of a device at a moment.
async fn events_until(app: &App, key: &Key<Device>, moment: At) -> Result<Vec<Recorded<DeviceEvent>>, Problem> {
    let entries = app.store.entries(key, 1, EVENTS_READ_MAX).await?;
    let covered = |event: &Recorded<DeviceEvent>| match moment {
        At::Event(last) => event.position <= last,
        at => at.covers(event.position.sequence, event.stored_at, event.recorded_at),
    };
    let events = entries.into_iter().filter_map(|entry| match entry {
        Entry::Event(event) => Some(event),
        // What can't be read is shown in the history.
        Entry::Unreadable(_) => None,
    });
    Ok(events.take_while(covered).collect())
}

/// What happened to a device.
struct Story<'a> {
    app: &'a App,
    key: &'a Key<Device>,
    device: &'a DeviceId,
    events: Vec<Recorded<DeviceEvent>>,
}

impl Story<'_> {
    async fn told(&self, component: String, at_position: String) -> Result<WhyBody, Problem> {
        let (version, origin) = version_origin(self.events.iter().map(|recorded| &recorded.event), &component);
        let explained = origin.and_then(|Origin { event, .. }| self.events[event].event.update());
        let latest = self.latest_update(explained.map(|update| update.ordinal));
        let mut tx = self.app.db.read(&self.key.raw().tenant).await?;
        let incarnation_ms = self.app.incarnation_ms().await?;
        let walked = Walked { incarnation_ms, key: self.key.raw(), own: &self.own()? };
        let chain = match origin {
            Some(Origin { event, .. }) => walked.chain_of(&mut tx, &self.leading_to(event)?).await?,
            None => ChainBody::default(),
        };
        let latest_update = match latest {
            None => None,
            Some((ordinal, event)) => {
                let answer = sentence::of_event(&value_of(&self.events[event])?.event);
                let chain = walked.chain_of(&mut tx, &self.leading_to(event)?).await?;
                Some(LatestUpdate { update_id: self.id(ordinal), answer, chain })
            }
        };
        let is_rollback = explained.is_some_and(|update| self.is_rollback(update.ordinal));
        let (cause, answer) = answer(version.as_deref(), &component, origin.map(|origin| origin.kind), is_rollback);
        let answer = match (&latest_update, self.last_ordinal()) {
            (Some(latest), _) => format!("{answer}; of its latest update: {}", latest.answer),
            (None, None) => format!("{answer}; no update was ever requested for it"),
            (None, Some(_)) => answer,
        };
        Ok(WhyBody {
            device_id: self.device.to_string(),
            component,
            version,
            cause,
            answer,
            update_id: explained.map(|update| self.id(update.ordinal)),
            campaign_id: explained.and_then(|update| update.campaign).map(|id| id.to_string()),
            chain,
            latest_update,
            at_position,
        })
    }

    fn id(&self, ordinal: u32) -> String {
        UpdateId { device: self.device.clone(), ordinal }.to_string()
    }

    fn last_ordinal(&self) -> Option<u32> {
        self.events.iter().filter_map(|recorded| recorded.event.update()).map(|update| update.ordinal).max()
    }

    fn is_rollback(&self, of: u32) -> bool {
        self.events.iter().any(|recorded| match &recorded.event {
            DeviceEvent::UpdateQueued { update, spec, .. } => {
                update.ordinal == of && spec.kind == domain::device::UpdateKind::Rollback
            }
            _ => false,
        })
    }

    /// The latest event of the latest update, unless that is the one with this ordinal.
    fn latest_update(&self, explained: Option<u32>) -> Option<(u32, usize)> {
        let ordinal = self.last_ordinal().filter(|last| Some(*last) != explained)?;
        let is_of = |recorded: &Recorded<DeviceEvent>| {
            let update = recorded.event.update();
            update.is_some_and(|update| update.ordinal == ordinal) && recorded.event.phase().is_some()
        };
        self.events.iter().rposition(is_of).map(|event| (ordinal, event))
    }

    /// An event, after the earlier ones of the same update: attempts have causes of their own.
    fn leading_to(&self, event: usize) -> Result<Vec<Recorded<Value>>, Problem> {
        let ordinal_of = |recorded: &Recorded<DeviceEvent>| recorded.event.update().map(|update| update.ordinal);
        let ordinal = ordinal_of(&self.events[event]);
        let earlier = self.events[..event].iter().filter(|one| ordinal.is_some() && ordinal_of(one) == ordinal);
        earlier.chain([&self.events[event]]).map(value_of).collect()
    }

    /// The events by their records.
    fn own(&self) -> Result<OwnEvents, Problem> {
        let mut own = OwnEvents::new();
        for recorded in &self.events {
            own.entry(recorded.position.sequence).or_default().push(value_of(recorded)?);
        }
        Ok(own)
    }
}

fn value_of(recorded: &Recorded<DeviceEvent>) -> Result<Recorded<Value>, Problem> {
    Ok(Recorded {
        position: recorded.position,
        version: recorded.version,
        recorded_at: recorded.recorded_at,
        stored_at: recorded.stored_at,
        command_id: recorded.command_id,
        meta: recorded.meta.clone(),
        event: serde_json::to_value(&recorded.event).map_err(Problem::internal)?,
    })
}

/// The kind of the cause, and the answer as a sentence.
fn answer(
    version: Option<&str>,
    component: &str,
    kind: Option<OriginKind>,
    is_rollback: bool,
) -> (&'static str, String) {
    let Some((version, kind)) = version.zip(kind) else {
        return ("unknown", format!("the device has not said which {component} it runs"));
    };
    let (cause, why) = match kind {
        OriginKind::Confirmed if is_rollback => ("rollback", "a rollback brought it"),
        OriginKind::Confirmed => ("update", "an update brought it"),
        OriginKind::Regressed => ("regression", "it left a confirmed version by itself"),
        OriginKind::Reported => ("reported", "it reports this version, and no update brought it"),
        OriginKind::Stated => ("stated", "it was registered with this version, or an operator has stated it"),
    };
    (cause, format!("the device runs {component} {version}: {why}"))
}
