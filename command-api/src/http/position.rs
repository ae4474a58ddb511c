//! Reading one's own writes: a query waits, bounded, for the read models it joins. `Waybill-Min-Position` or `?min_position=` says for
//! which position, and then nothing older is answered; who says nothing waits a little for what the caller has stored last, and is
//! answered with what is there.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use event_store::PositionToken;
use projections::WaitError;
use utoipa::IntoParams;

use super::problem::Problem;
use super::query;
use crate::auth::Caller;
use crate::state::App;

/// How long a query waits for its read models to reach the position that it names.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a query that names none waits for what its caller has stored last.
const OWN_WAIT_MAX: Duration = Duration::from_secs(1);

/// Parameter of every query that is no list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `MinPosition` reads by hand")]
pub(crate) struct PositionParams {
    /// Wait, up to 2 s, until what is read has reached this position; also as header `Waybill-Min-Position`.
    min_position: Option<String>,
}

/// The position that a query's answer must include.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinPosition(Option<PositionToken>);

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let header =
            parts.headers.get("waybill-min-position").map(|value| value.to_str().unwrap_or_default().to_owned());
        let parameter =
            query::pairs(parts)?.into_iter().find(|(name, _)| name == "min_position").map(|(_, value)| value);
        let text = query::either(["min_position", "Waybill-Min-Position"], [parameter, header])?;
        let token =
            text.map(|text| text.parse().map_err(|error| Problem::bad_request(format!("min_position: {error}"))));
        token.transpose().map(Self)
    }
}

/// Refuses a position of another log.
pub(crate) async fn same_log(app: &App, token: PositionToken) -> Result<(), Problem> {
    if token.incarnation_ms == app.incarnation_ms().await? {
        return Ok(());
    }
    let detail = "the position is of another event log: it was restored or made anew";
    Err(Problem::new(StatusCode::CONFLICT, "other_incarnation", detail))
}

impl MinPosition {
    /// For what is read from EVENTS itself, which lacks nothing: only a position of another log is refused.
    pub(crate) async fn of_this_log(self, app: &App) -> Result<(), Problem> {
        match self.0 {
            Some(token) => same_log(app, token).await,
            None => Ok(()),
        }
    }

    /// Waits until the read models, by name, have applied everything up to the position; without one, for the caller's own writes.
    pub(crate) async fn wait(self, app: &App, caller: &Caller, read_models: &[&str]) -> Result<(), Problem> {
        let Some(token) = self.0 else {
            if let Some(own) = app.own_writes.of(caller) {
                app.projections.wait_if_running(read_models, own, OWN_WAIT_MAX).await;
            }
            return Ok(());
        };
        same_log(app, token).await?;
        app.projections.wait_for(read_models, token.sequence, WAIT_MAX).await.map_err(|error| match error {
            WaitError::Behind { .. } => Problem::unavailable("read_model_behind", error.to_string()),
            WaitError::Unavailable(_) => Problem::unavailable("postgresql_unavailable", error.to_string()),
        })
    }
}
