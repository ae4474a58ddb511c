//! Reading one's own writes: a query waits, bounded, for the read models it joins. `Waybill-Min-Position` or `?min_position=` gives the
//! position; without it the query waits for the caller's last stored position. An older state is never returned: a read model that doesn't
//! get there in time is 503, and only an id that the log doesn't know is 404.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::{Decider, Key};
use event_store::{Followed, PositionToken, WrittenPosition};
use projections::WaitError;
use utoipa::IntoParams;

use super::command_headers::single;
use super::problem::Problem;
use super::query;
use crate::auth::Caller;
use crate::state::App;

/// How long a query waits for its read models.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Parameter of every query that isn't a list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what `MinPosition` reads by hand")]
pub(crate) struct PositionParams {
    /// Wait, up to 2 s, until the read model has reached this position; also as header `Waybill-Min-Position`.
    min_position: Option<String>,
}

/// The position that a query's answer must include.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MinPosition(Option<WrittenPosition>);

impl<S: Send + Sync> FromRequestParts<S> for MinPosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let header = single(&parts.headers, "Waybill-Min-Position")?.map(str::to_owned);
        let parameter =
            query::pairs(parts)?.into_iter().find(|(name, _)| name == "min_position").map(|(_, value)| value);
        let text = query::either(["min_position", "Waybill-Min-Position"], [parameter, header])?;
        let written =
            text.map(|text| text.parse().map_err(|error| query::refused("min_position", &format!("{error}"))));
        written.transpose().map(Self)
    }
}

impl From<PositionToken> for MinPosition {
    fn from(token: PositionToken) -> Self {
        Self(Some(token.into()))
    }
}

impl From<WrittenPosition> for MinPosition {
    fn from(written: WrittenPosition) -> Self {
        Self(Some(written))
    }
}

/// Refuses a position of another log.
pub(crate) async fn same_log(app: &App, written: WrittenPosition) -> Result<(), Problem> {
    let Some(incarnation_ms) = written.incarnation_ms() else { return Ok(()) };
    if incarnation_ms == app.incarnation_ms().await? {
        return Ok(());
    }
    let detail = "the position is of another event log: it was restored or created again";
    Err(Problem::new(StatusCode::CONFLICT, "other_incarnation", detail))
}

/// Refuses a position that the log hasn't reached.
pub(crate) async fn is_stored(app: &App, field: &str, sequence: u64) -> Result<(), Problem> {
    let head = app.store.log().info().await?.last_sequence;
    if sequence <= head {
        return Ok(());
    }
    let head = app.token(head).await?;
    Err(Problem::invalid(field, format!("is in the future: the log has reached {head}")))
}

impl MinPosition {
    /// For reads of EVENTS itself, which is always current: refuses only a position of another log or of the future.
    pub(crate) async fn of_this_log(self, app: &App) -> Result<(), Problem> {
        let Some(written) = self.0 else { return Ok(()) };
        same_log(app, written).await?;
        is_stored(app, "min_position", written.sequence()).await
    }

    /// Waits until followed aggregates include the position; without one, the caller's own writes.
    pub(crate) async fn wait_for_followed<A: Decider>(
        self,
        app: &App,
        caller: &Caller,
        followed: &Followed<A>,
    ) -> Result<(), Problem> {
        self.of_this_log(app).await?;
        let wanted = self.0.map(WrittenPosition::sequence).or_else(|| app.own_writes.of(caller));
        Ok(followed.reached(wanted.unwrap_or(0), WAIT_MAX).await?)
    }

    /// Waits until the named read models have applied everything up to the position; without one, for the caller's own writes.
    pub(crate) async fn wait(self, app: &App, caller: &Caller, read_models: &[&str]) -> Result<(), Problem> {
        match self.0 {
            Some(written) => wait_for_written(app, written, read_models).await,
            None => match app.own_writes.of(caller) {
                Some(own) => wait_for_own(app, own, read_models).await,
                None => Ok(()),
            },
        }
    }
}

/// Waits until the named read models have applied everything that is stored now, by anyone.
pub(crate) async fn wait_for_the_end(app: &App, read_models: &[&str]) -> Result<(), Problem> {
    app.db.ping().await?;
    let head = app.store.log().info().await?.last_sequence;
    app.projections.wait_for(read_models, head, WAIT_MAX).await.map_err(behind)
}

/// Asks the log only if the read models haven't reached the position yet, so the log may be down.
async fn wait_for_written(app: &App, written: WrittenPosition, read_models: &[&str]) -> Result<(), Problem> {
    same_log(app, written).await?;
    if app.projections.wait_for(read_models, written.sequence(), Duration::ZERO).await.is_ok() {
        return Ok(());
    }
    match is_stored(app, "min_position", written.sequence()).await {
        Err(problem) if problem.status() != StatusCode::SERVICE_UNAVAILABLE => return Err(problem),
        _ => {}
    }
    app.projections.wait_for(read_models, written.sequence(), WAIT_MAX).await.map_err(behind)
}

/// Waits until the read models have applied the whole log: for a command that is decided by them.
pub(crate) async fn wait_for_head(app: &App, read_models: &[&str]) -> Result<(), Problem> {
    let head = app.store.log().info().await?.last_sequence;
    wait_for_own(app, head, read_models).await
}

/// Waits while the read models run: for what the caller has stored, or was shown.
pub(crate) async fn wait_for_own(app: &App, own: u64, read_models: &[&str]) -> Result<(), Problem> {
    let Err(error) = app.projections.wait_if_running(read_models, own, WAIT_MAX).await else { return Ok(()) };
    app.db.ping().await?;
    Err(behind(error))
}

fn behind(error: WaitError) -> Problem {
    match error {
        WaitError::Behind { .. } => Problem::unavailable("read_model_behind", error.to_string()),
        WaitError::Unavailable(_) => Problem::unavailable("postgresql_unavailable", error.to_string()),
    }
}

/// A query of one aggregate. It waits only for what the caller has stored of that aggregate, and asks the log before it answers 404.
pub(crate) struct ReadOfOne<'a, A: Decider> {
    app: &'a App,
    key: &'a Key<A>,
    read_models: &'a [&'a str],
    looked_again: bool,
}

impl<'a, A: Decider> ReadOfOne<'a, A> {
    /// Waits for the position that was asked for, or for the caller's own writes to the aggregate.
    pub(crate) async fn begin(
        app: &'a App,
        caller: &Caller,
        min_position: MinPosition,
        read_models: &'a [&'a str],
        key: &'a Key<A>,
    ) -> Result<Self, Problem> {
        match (min_position.0, app.own_writes.of(caller)) {
            (Some(written), _) => wait_for_written(app, written, read_models).await?,
            (None, Some(own)) if app.projections.wait_for(read_models, own, Duration::ZERO).await.is_err() => {
                // The wait covers only the caller's own writes; without the log, their last position is the best bound.
                let last = app.store.log().last_sequence(key.raw()).await.unwrap_or(own);
                wait_for_own(app, own.min(last), read_models).await?;
            }
            (None, _) => {}
        }
        Ok(Self::waited(app, read_models, key))
    }

    /// For reads that join rows of other aggregates, and have waited for all of the caller's writes.
    pub(crate) fn waited(app: &'a App, read_models: &'a [&'a str], key: &'a Key<A>) -> Self {
        Self { app, key, read_models, looked_again: false }
    }

    /// The read model has no row. 404 if the log doesn't know the aggregate either; otherwise waits for the read model, so that the caller
    /// can look again.
    pub(crate) async fn look_again(
        &mut self,
        unknown: &str,
        exists: impl Fn(&A) -> bool + Send,
    ) -> Result<(), Problem> {
        let loaded = self.app.store.load_fresh(self.key).await?;
        if loaded.version == 0 || !exists(&loaded.aggregate) {
            return Err(Problem::not_found(unknown));
        }
        if self.looked_again {
            return Err(Problem::unavailable("read_model_behind", "it exists, and the read model doesn't have it yet"));
        }
        self.looked_again = true;
        self.app.projections.wait_for(self.read_models, loaded.last_sequence, WAIT_MAX).await.map_err(behind)
    }
}
