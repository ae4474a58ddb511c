//! The filters of the audit, and the position up to which it is read.

use chrono::{DateTime, Utc};
use domain::CampaignId;
use domain::events::catalogue;
use domain::values::is_usable_time;
use event_store::WrittenPosition;
use projections::ARCHIVE;
use projections::archive::{AuditFilter, Order};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::auth::Caller;
use crate::http::position::{is_stored, same_log};
use crate::http::query::refused;
use crate::http::{Direction, FilterSet, MinPosition, Problem};
use crate::state::App;

/// Longest actor or aggregate in a filter, in bytes.
const TEXT_MAX_BYTES: usize = 256;
/// Most types in a filter.
const TYPES_MAX: usize = 50;

#[derive(Debug, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditFilters {
    /// Exactly this actor.
    #[param(example = "user:42")]
    actor: Option<String>,
    /// A type of aggregate, or one aggregate: `{type}/{id}`.
    #[param(example = "device/d-1")]
    aggregate: Option<String>,
    /// See [`TypeParams`].
    #[serde(skip)]
    types: Vec<String>,
    /// Stored at this time or later, by the log's clock.
    from: Option<DateTime<Utc>>,
    /// Stored before this time, by the log's clock.
    to: Option<DateTime<Utc>>,
    /// Everything that followed from one request.
    correlation_id: Option<Uuid>,
    /// Events of the campaign, its plan and its slots, and all that name it, such as its devices' updates.
    campaign_id: Option<Uuid>,
    /// `desc` (the default): newest first. `asc`: oldest first.
    #[param(inline)]
    order: Option<Direction>,
    /// Leave out what was stored after this position; without it, the one that the archive has reached.
    at_position: Option<String>,
}

/// The parameter that may be given more than once.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `AuditFilters` reads by hand")]
pub(crate) struct TypeParams {
    /// Type of the event; may be given more than once, up to 50 times.
    #[param(rename = "type", example = json!(["update.failed"]))]
    types: Option<Vec<String>>,
}

impl FilterSet for AuditFilters {
    const REPEATABLE: &'static [&'static str] = &["type"];

    fn set(&mut self, _name: &str, values: Vec<String>) {
        self.types = values;
    }
}

impl AuditFilters {
    /// Newest first by default.
    pub(super) fn order(&self) -> Order {
        match self.order {
            None | Some(Direction::Desc) => Order::NewestFirst,
            Some(Direction::Asc) => Order::OldestFirst,
        }
    }

    pub(super) fn filter(&self) -> Result<AuditFilter, Problem> {
        let is_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > TEXT_MAX_BYTES);
        for (name, text) in [("actor", &self.actor), ("aggregate", &self.aggregate)] {
            if is_long(text) || text.as_ref().is_some_and(|text| text.contains('\0')) {
                return Err(refused(name, &format!("a text of at most {TEXT_MAX_BYTES} bytes")));
            }
        }
        for (name, time) in [("from", self.from), ("to", self.to)] {
            if time.is_some_and(|time| !is_usable_time(time)) {
                return Err(refused(name, "is too far away"));
            }
        }
        let (aggregate, aggregate_id) = match self.aggregate.as_deref().map(|text| text.split_once('/')) {
            None => (None, None),
            Some(None) => (self.aggregate.clone(), None),
            Some(Some((kind, id))) => (Some(kind.to_owned()), Some(id.to_owned())),
        };
        let kinds = catalogue();
        if aggregate.as_ref().is_some_and(|wanted| !kinds.iter().any(|(kind, _)| kind == wanted)) {
            return Err(refused("aggregate", "there is no such type of aggregate"));
        }
        let is_known = |wanted: &String| kinds.iter().any(|(_, types)| types.iter().any(|(name, _)| name == wanted));
        if self.types.len() > TYPES_MAX || !self.types.iter().all(is_known) {
            return Err(refused("type", "there is no such type of event"));
        }
        Ok(AuditFilter {
            actor: self.actor.clone(),
            aggregate,
            aggregate_id,
            types: self.types.clone(),
            from: self.from,
            to: self.to,
            correlation_id: self.correlation_id,
            campaign_id: self.campaign_id.map(|id| CampaignId(id).to_string()),
        })
    }

    /// The position up to which the audit is read. Waits until the archive has reached what the caller asks for, or has written.
    pub(super) async fn until(&self, app: &App, caller: &Caller, min_position: MinPosition) -> Result<u64, Problem> {
        min_position.wait(app, caller, &[ARCHIVE]).await?;
        let Some(text) = &self.at_position else { return Ok(projections::archive::reached(&app.db).await?) };
        let written: WrittenPosition = text.parse().map_err(|error| refused("at_position", &format!("{error}")))?;
        same_log(app, written).await?;
        is_stored(app, "at_position", written.sequence()).await?;
        MinPosition::from(written).wait(app, caller, &[ARCHIVE]).await?;
        Ok(written.sequence())
    }
}
