//! Opens a stream: what it is about, from where on, and whether there is room for it.

use std::collections::BTreeSet;

use axum::http::HeaderMap;
use domain::CampaignId;
use domain::events::catalogue;
use event_store::WrittenPosition;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::client::Client;
use super::guard::Guard;
use super::hub::{NotOpened, Start, TOPICS_MAX};
use super::message::ResyncReason;
use super::metrics::Transport;
use super::slots::RETRY_AFTER_S;
use super::stream_caller::StreamCaller;
use super::topic::{Scope, Topic};
use crate::caller::{Caller, Role};
use crate::http::query::refused;
use crate::http::{FilterSet, Problem, single_header};
use crate::state::App;
use tokio::time::Instant;

/// Most types in a filter.
const TYPES_MAX: usize = 50;
/// Times that a reader is waited for which ends at that moment.
const TRIES_MAX: usize = 3;
/// The header in which a browser that comes back names the last message that it has.
const LAST_EVENT_ID: &str = "Last-Event-ID";

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamFilters {
    /// Only this campaign, with the updates of its devices.
    campaign_id: Option<Uuid>,
    /// Only this device; with `campaign_id`, its updates in the campaign.
    #[param(example = "d-1")]
    device_id: Option<String>,
    /// See [`StreamTypes`].
    #[serde(skip)]
    types: Vec<String>,
    /// The position up to which the client has everything: `position` of the last message. The header `Last-Event-ID` counts before it, because browsers keep the
    /// address when they come back.
    last_event_id: Option<String>,
    /// From `POST /auth/stream-ticket`, in place of a header or a session.
    #[expect(dead_code, reason = "read before the handler runs")]
    ticket: Option<String>,
}

/// The parameter that may be given more than once.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `StreamFilters` reads by hand")]
pub(crate) struct StreamTypes {
    /// Only events of this type. It may be given more than once, up to 50 times, and have several types, separated by commas.
    #[param(example = json!(["update.failed"]))]
    types: Option<Vec<String>>,
}

impl FilterSet for StreamFilters {
    const REPEATABLE: &'static [&'static str] = &["types"];

    fn set(&mut self, _name: &str, values: Vec<String>) {
        self.types = values;
    }
}

impl StreamFilters {
    fn topic(&self, caller: &Caller) -> Result<Topic, Problem> {
        let campaign = self.campaign_id.map(|id| CampaignId(id).to_string().into());
        let scope = match (&self.device_id, campaign) {
            (Some(device), campaign) => Scope::Device { id: device.as_str().into(), campaign },
            (None, Some(campaign)) => Scope::Campaign(campaign),
            (None, None) => Scope::Tenant,
        };
        let with_restricted = scope == Scope::Tenant && caller.has(Role::Auditor);
        Ok(Topic { tenant: caller.tenant.clone(), scope, types: self.types()?, with_restricted })
    }

    fn types(&self) -> Result<BTreeSet<String>, Problem> {
        let wanted: BTreeSet<&str> =
            self.types.iter().flat_map(|types| types.split(',')).filter(|name| !name.is_empty()).collect();
        let known = catalogue();
        let is_known = |wanted: &&str| known.iter().any(|(_, types)| types.iter().any(|(name, _)| name == wanted));
        if wanted.len() > TYPES_MAX || !wanted.iter().all(is_known) {
            return Err(refused("types", "there is no such type of event"));
        }
        Ok(wanted.into_iter().map(str::to_owned).collect())
    }

    /// The position that the client says it has.
    fn last(&self, headers: &HeaderMap) -> Result<Option<WrittenPosition>, Problem> {
        let header = single_header(headers, LAST_EVENT_ID)?.filter(|text| !text.is_empty());
        let (name, text) = match (header, &self.last_event_id) {
            (Some(text), _) => (LAST_EVENT_ID, text),
            (None, Some(text)) => ("last_event_id", text.as_str()),
            (None, None) => return Ok(None),
        };
        text.parse().map(Some).map_err(|error| refused(name, &format!("{error}")))
    }
}

/// A client's stream from its first message on.
pub(super) async fn open(
    app: &App,
    caller: &Caller,
    opened_by: StreamCaller,
    headers: &HeaderMap,
    filters: &StreamFilters,
    transport: Transport,
) -> Result<Client, Problem> {
    let (topic, last) = (filters.topic(caller)?, filters.last(headers)?);
    let slot = app.streams.take(&caller.tenant, transport)?;
    let guard = Guard::admit(app, caller, opened_by, topic).await?;
    for _ in 0..TRIES_MAX {
        app.live.followed().await?;
        let from = match last {
            None => Start::Now,
            Some(last) => place_of(app, last).await?,
        };
        match app.live.0.subscribe(&guard.topic, from, Instant::now()) {
            Ok(subscription) => return Ok(Client::new(guard, subscription, slot)),
            Err(NotOpened::NotFollowed) => {}
            Err(NotOpened::TooManyTopics) => return Err(too_many_topics()),
        }
    }
    Err(Problem::unavailable("starting", "the event log is not followed yet"))
}

fn too_many_topics() -> Problem {
    let detail = format!(
        "the open streams of this campaign, device or tenant have {TOPICS_MAX} different filters, as many as they may have: \
         leave out `types`, or name those of an open stream"
    );
    Problem::too_many_requests("too_many_streams", detail, RETRY_AFTER_S)
}

/// From where on a client is told that has everything up to a position.
async fn place_of(app: &App, last: WrittenPosition) -> Result<Start, Problem> {
    let (position, sequence) = (app.live.0.position(), last.sequence());
    if last.incarnation_ms().is_some_and(|other| other != position.incarnation_ms) {
        return Ok(Start::ReadAgain(ResyncReason::OtherLog));
    }
    if sequence > position.sequence {
        if sequence > app.store.log().info().await?.last_sequence {
            return Ok(Start::ReadAgain(ResyncReason::Future));
        }
        app.live.reached(sequence).await?;
    }
    Ok(Start::After(sequence))
}
