//! The state of an update, with the times at which its events were recorded, which the domain doesn't keep.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::device::{DeviceEvent, Phase, UpdateState, idle_in};
use domain::window::DeviceWindows;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::db::DbError;
use crate::row::{ArrayQuery, ColumnGroup, ColumnValue as _, from_json, to_json};

/// An update's state and its times.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedUpdate {
    pub state: UpdateState,
    pub phase_since: DateTime<Utc>,
    /// The device's first `received`.
    pub reached_at: Option<DateTime<Utc>>,
    /// How long the working clock stood still ([`idle_in`]), or the update waited in a paused campaign.
    pub idle_s: f64,
    pub ended_at: Option<DateTime<Utc>>,
}

impl TimedUpdate {
    pub(crate) fn queued(at: DateTime<Utc>) -> Self {
        Self { state: UpdateState::queued(), phase_since: at, reached_at: None, idle_s: 0.0, ended_at: None }
    }

    /// Whether the event brought it to a phase, be it the same again. `windows`: those of its campaign.
    pub(crate) fn apply(&mut self, event: &DeviceEvent, at: DateTime<Utc>, windows: Option<DeviceWindows<'_>>) -> bool {
        let before = self.state.phase;
        if !self.state.apply(event) {
            return false;
        }
        if self.reached_at.is_some() {
            self.stand_still(idle_in(before, self.phase_since, at, windows));
        }
        self.phase_since = at;
        self.reached_at = self.reached_at.or_else(|| self.state.reached.then_some(at));
        self.ended_at = self.state.phase.is_ended().then_some(at);
        true
    }

    /// Other windows hold from `at` on. The time before that keeps what it was: [`idle_in`] will count all of the phase by the new windows.
    pub(crate) fn change_windows(
        &mut self,
        at: DateTime<Utc>,
        former: Option<DeviceWindows<'_>>,
        windows: Option<DeviceWindows<'_>>,
    ) {
        if self.reached_at.is_some() && at > self.phase_since {
            let idle = |windows| idle_in(self.state.phase, self.phase_since, at, windows);
            self.stand_still(idle(former) - idle(windows));
        }
    }

    /// The campaign was paused from `from` to `at`. [`idle_in`] counts the time with a closed window.
    pub(crate) fn end_pause(&mut self, from: DateTime<Utc>, at: DateTime<Utc>, windows: Option<DeviceWindows<'_>>) {
        if self.reached_at.is_some() {
            self.stand_still((at - from) - idle_in(self.state.phase, from, at, windows));
        }
    }

    fn stand_still(&mut self, time: TimeDelta) {
        self.idle_s += time.num_milliseconds() as f64 / 1_000.0;
    }

    pub fn phase(&self) -> Phase {
        self.state.phase
    }

    pub(crate) fn idle(&self) -> TimeDelta {
        TimeDelta::milliseconds((self.idle_s * 1_000.0) as i64)
    }
}

impl ColumnGroup for TimedUpdate {
    const COLUMNS: &'static [&'static str] = &[
        "phase",
        "wait_reason",
        "attempt",
        "not_before",
        "window_closed",
        "before_cancel",
        "cancel_refused",
        "code",
        "code_class",
        "reason",
        "late",
        "phase_since",
        "reached_at",
        "idle_s",
        "ended_at",
        "open",
    ];

    fn read(row: &PgRow, first: usize) -> Result<Self, DbError> {
        let mut columns = first..;
        let mut next = || columns.next().unwrap_or_default();
        let (phase, wait_reason): (&str, Option<&str>) = (row.try_get(next())?, row.try_get(next())?);
        let phase = phase_of(phase, wait_reason)?;
        let attempt = u16::from_wire(row.try_get(next())?)?;
        let not_before = row.try_get(next())?;
        let window_closed = row.try_get(next())?;
        let before_cancel: Option<&str> = row.try_get(next())?;
        let state = UpdateState {
            phase,
            attempt,
            reached: false,
            not_before,
            window_closed,
            before_cancel: before_cancel.map(|word| phase_of(word, None)).transpose()?,
            cancel_refused: row.try_get(next())?,
            code: row.try_get(next())?,
            class: Option::from_wire(row.try_get(next())?)?,
            reason: row.try_get(next())?,
            late: from_json::<Option<BTreeSet<String>>>(row.try_get(next())?)?.unwrap_or_default(),
        };
        let phase_since = row.try_get(next())?;
        let reached_at: Option<DateTime<Utc>> = row.try_get(next())?;
        Ok(Self {
            state: UpdateState { reached: reached_at.is_some(), ..state },
            phase_since,
            reached_at,
            idle_s: row.try_get(next())?,
            ended_at: row.try_get(next())?,
        })
    }

    fn bind<'q>(query: ArrayQuery<'q>, values: &[&Self]) -> Result<ArrayQuery<'q>, DbError> {
        let words =
            |word: fn(&UpdateState) -> Option<&'static str>| values.iter().map(|v| word(&v.state)).collect::<Vec<_>>();
        let texts = |text: fn(&UpdateState) -> &Option<String>| {
            values.iter().map(|value| text(&value.state).to_wire()).collect::<Vec<_>>()
        };
        let late = values.iter().map(|value| to_json(&value.state.late)).collect::<Result<Vec<_>, _>>()?;
        Ok(query
            .bind(words(|state| Some(state.phase.word())))
            .bind(words(|state| state.phase.wait_reason().map(|reason| reason.word())))
            .bind(values.iter().map(|value| value.state.attempt.to_wire()).collect::<Vec<_>>())
            .bind(values.iter().map(|value| value.state.not_before).collect::<Vec<_>>())
            .bind(values.iter().map(|value| value.state.window_closed).collect::<Vec<_>>())
            .bind(words(|state| state.before_cancel.map(Phase::word)))
            .bind(values.iter().map(|value| value.state.cancel_refused).collect::<Vec<_>>())
            .bind(texts(|state| &state.code))
            .bind(words(|state| state.class.map(|class| class.word())))
            .bind(texts(|state| &state.reason))
            .bind(late)
            .bind(values.iter().map(|value| value.phase_since).collect::<Vec<_>>())
            .bind(values.iter().map(|value| value.reached_at).collect::<Vec<_>>())
            .bind(values.iter().map(|value| value.idle_s).collect::<Vec<_>>())
            .bind(values.iter().map(|value| value.ended_at).collect::<Vec<_>>())
            .bind(values.iter().map(|value| !value.state.phase.is_ended()).collect::<Vec<_>>()))
    }
}

/// The phase of a row.
pub(crate) fn phase_of(phase: &str, wait_reason: Option<&str>) -> Result<Phase, DbError> {
    Phase::from_words(phase, wait_reason)
        .ok_or_else(|| DbError::Invalid(format!("{phase:?} with reason {wait_reason:?} is no phase of an update")))
}
