//! The stored form of events: golden files of every type and schema version, and the catalogue in `docs/events.md`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::*;
use crate::decider::EventTypes;

const REGENERATE: &str = "WAYBILL_REGENERATE";

fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// `{type}.v{schema}`, and the JSON of that file.
fn golden_files() -> Vec<(String, Value)> {
    let mut files: Vec<_> = std::fs::read_dir(path("golden"))
        .expect("domain/golden")
        .map(|entry| {
            let file = entry.expect("readable").path();
            let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
            let text = std::fs::read_to_string(&file).expect("readable");
            (name, serde_json::from_str(&text).expect("JSON"))
        })
        .collect();
    files.sort_by(|left, right| left.0.cmp(&right.0));
    files
}

#[test]
fn every_event_type_and_schema_has_its_golden_file() {
    let names: BTreeSet<String> = golden_files().into_iter().map(|(name, _)| name).collect();
    for (_, types) in catalogue() {
        for (name, schema) in types {
            for version in 1..=*schema {
                assert!(
                    names.contains(&format!("{name}.v{version}")),
                    "domain/golden/{name}.v{version}.json is missing"
                );
            }
        }
    }
}

#[test]
fn every_golden_file_has_a_known_type_and_reads_back_unchanged() {
    let known: BTreeSet<&str> = catalogue().iter().flat_map(|(_, types)| types.iter().map(|(name, _)| *name)).collect();
    for (name, json) in golden_files() {
        let kind = json["type"].as_str().expect("a type");
        assert!(known.contains(kind) && name.starts_with(kind), "{name}");
        let event: AnyEvent = serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&event).expect("JSON"), json, "{name}");
        assert_eq!(type_name(&event), kind, "{name}");
    }
}

/// Hashes in the golden files begin with `c0ffee`.
#[test]
fn every_hash_of_a_token_is_hidden() {
    for (name, json) in golden_files() {
        let hidden = hidden_fields(json["type"].as_str().expect("a type"));
        assert_eq!(json.get("hash").is_some(), hidden.contains(&"hash"), "{name}");
        let mut shown = json.clone();
        let fields = shown.as_object_mut().expect("an object");
        hidden.iter().for_each(|field| drop(fields.remove(*field)));
        assert!(!shown.to_string().contains("c0ffee"), "{name} shows a hash");
    }
}

#[test]
fn unknown_fields_are_ignored() {
    for (name, mut json) in golden_files() {
        json["field_of_tomorrow"] = 1.into();
        assert!(serde_json::from_value::<AnyEvent>(json).is_ok(), "{name}");
    }
}

fn type_name(event: &AnyEvent) -> String {
    fn of<E: EventTypes>(event: &E) -> String {
        event.event_type()
    }
    match event {
        AnyEvent::Device(event) => of(event),
        AnyEvent::Firmware(event) => of(event),
        AnyEvent::Campaign(event) => of(event),
        AnyEvent::Plan(event) => of(event),
        AnyEvent::Ledger(event) => of(event),
        AnyEvent::Claim(event) => of(event),
        AnyEvent::Group(event) => of(event),
        AnyEvent::RegistrationToken(event) => of(event),
        AnyEvent::Tenant(event) => of(event),
        AnyEvent::Member(event) => of(event),
        AnyEvent::ApiKey(event) => of(event),
        AnyEvent::Fuota(event) => of(event),
        AnyEvent::LorawanProfile(event) => of(event),
    }
}

/// What each event means. An event type without a line here fails the test.
const MEANINGS: &str = include_str!("meanings.txt");

fn meaning(name: &str) -> &'static str {
    MEANINGS
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_else(|| panic!("{name} has no meaning in domain/src/events/meanings.txt"))
}

fn catalogue_document() -> String {
    let mut text = String::from(
        "# Events\n\nEvery event of the log: its stable name, the schema version written today, the aggregate that writes it and \
         what it means.\nGenerated from `domain`; `WAYBILL_REGENERATE=1 cargo test -p domain` writes it again. The JSON of each \
         is in `domain/golden/`.\n\n*In FEED*: the event is in the public feed, in the words of [feed.md](feed.md). *Ends*: nothing \
         follows but what is said late, a retry of the campaign, or the same device, firmware or group registered again.\n\n\
         | event | schema | aggregate | in FEED | ends | meaning |\n|---|---|---|---|---|---|\n",
    );
    for (aggregate, types) in catalogue() {
        for (name, schema) in types {
            let (public, ends) = (if is_public(aggregate) { "yes" } else { "" }, ends(name).unwrap_or_default());
            text.push_str(&format!(
                "| `{name}` | {schema} | `{aggregate}` | {public} | {ends} | {} |\n",
                meaning(name)
            ));
        }
    }
    text
}

#[test]
fn the_catalogue_of_events_is_up_to_date() {
    check_document("docs/events.md", &catalogue_document());
}

/// Compares a generated document with the one in the repository, or writes it.
#[track_caller]
pub(crate) fn check_document(relative: &str, expected: &str) {
    let file = path("..").join(relative);
    if std::env::var_os(REGENERATE).is_some() {
        std::fs::write(&file, expected).expect("writable");
    }
    let present = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(present == expected, "{relative} is stale: run {REGENERATE}=1 cargo test -p domain");
}
