//! Hits in replies.

use event_store::{Entry, EventToken};
use projections::archive::AuditEntry;
use projections::search::{AboutCampaign, AboutDevice, AboutFirmware, AboutGroup, Found, Hit, Matched};
use projections::updates::UpdateView;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::AsOf;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchBody {
    pub(super) items: Vec<SearchHit>,
    /// Kinds that have more hits than `limit`: a longer text finds fewer.
    #[schema(example = json!(["device"]))]
    pub(super) more: Vec<&'static str>,
    as_of: AsOf,
}

/// Something that the text means.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SearchHit {
    /// `device`, `campaign`, `firmware`, `group`, `update`, `correlation` or `event`; more may be added.
    #[schema(example = "device")]
    kind: &'static str,
    /// Of an event its position, of a correlation the id that its events have.
    #[schema(example = "d-1")]
    id: String,
    /// Of an event its type.
    #[schema(example = "Lobby frame")]
    name: Option<String>,
    /// What it is, for people.
    #[schema(example = "SF-2024-Pro, runs 2.0.0, online")]
    detail: Option<String>,
    /// What the text is, or begins: `id`, `name`, `version`, `digest`, `eui`, `correlation_id` or `position`.
    #[schema(example = "id")]
    matched: &'static str,
}

impl SearchBody {
    pub(super) fn empty(as_of: AsOf) -> Self {
        Self { items: vec![], more: vec![], as_of }
    }

    pub(super) fn add<T>(&mut self, kind: &'static str, found: Found<T>, hit: fn(Hit<T>) -> SearchHit) {
        self.items.extend(found.hits.into_iter().map(hit));
        self.more.extend(found.more.then_some(kind));
    }

    pub(super) fn extend(&mut self, hits: impl IntoIterator<Item = SearchHit>) {
        self.items.extend(hits);
    }
}

fn word(matched: Matched) -> &'static str {
    match matched {
        Matched::Id => "id",
        Matched::Name => "name",
        Matched::Version => "version",
        Matched::Digest => "digest",
        Matched::Eui => "eui",
    }
}

/// A word of the API for people.
fn plain(word: &str) -> String {
    word.replace('_', " ")
}

impl SearchHit {
    fn of<T>(kind: &'static str, hit: Hit<T>, detail: impl FnOnce(&T) -> String) -> Self {
        let detail = Some(detail(&hit.about));
        Self { kind, id: hit.id, name: hit.name, detail, matched: word(hit.matched) }
    }

    pub(super) fn device(hit: Hit<AboutDevice>) -> Self {
        Self::of("device", hit, |about| {
            let runs = about.firmware_version.as_ref().map(|version| format!("runs {version}"));
            let state = if about.lifecycle == "active" { &about.status } else { &about.lifecycle };
            let parts = about.device_model.iter().cloned().chain(runs).chain([plain(state)]);
            parts.collect::<Vec<_>>().join(", ")
        })
    }

    pub(super) fn campaign(hit: Hit<AboutCampaign>) -> Self {
        Self::of("campaign", hit, |about| format!("{}, {}", plain(&about.strategy), plain(&about.status)))
    }

    pub(super) fn firmware(hit: Hit<AboutFirmware>) -> Self {
        Self::of("firmware", hit, |about| format!("{} for {}, {}", about.version, about.device_model, about.status))
    }

    pub(super) fn group(hit: Hit<AboutGroup>) -> Self {
        Self::of("group", hit, |about| match (about.deleted, about.kind.as_str()) {
            (true, _) => "deleted".to_owned(),
            (false, "static") => format!("static, members: {}", about.members),
            (false, kind) => kind.to_owned(),
        })
    }

    pub(super) fn update(view: UpdateView) -> Self {
        let row = view.row;
        let phase = if row.regressed_at.is_some() { "regressed" } else { row.timed.state.phase.word() };
        let from = row.from_version.map(|version| format!(" from {version}")).unwrap_or_default();
        Self {
            kind: "update",
            id: format!("{}~{}", row.device_id, row.ordinal),
            name: None,
            detail: Some(format!("{}{from} to {}, {}", row.kind.word(), row.version, plain(phase))),
            matched: "id",
        }
    }

    pub(super) fn correlation(id: Uuid, one: &AuditEntry) -> Self {
        let detail = format!("among others {} of {}/{}", type_of(one), one.key.kind, one.key.id);
        Self { kind: "correlation", id: id.to_string(), name: None, detail: Some(detail), matched: "correlation_id" }
    }

    pub(super) fn event(entry: &AuditEntry, incarnation_ms: u64) -> Self {
        let by = match &entry.entry {
            Entry::Event(recorded) => format!(", by {}", recorded.meta.actor),
            Entry::Unreadable(_) => String::new(),
        };
        Self {
            kind: "event",
            id: EventToken { incarnation_ms, position: entry.position() }.to_string(),
            name: Some(type_of(entry)),
            detail: Some(format!("{}/{}{by}", entry.key.kind, entry.key.id)),
            matched: "position",
        }
    }
}

fn type_of(entry: &AuditEntry) -> String {
    match &entry.entry {
        Entry::Event(recorded) => recorded.event["type"].as_str().unwrap_or_default().to_owned(),
        Entry::Unreadable(_) => "unreadable".to_owned(),
    }
}
